/*
 * row_value - one column's value of a row, and its text.
 *
 * Bytes stay as they are in the event: text is in the column's own character set, whose number is
 * column->collation.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_ROW_VALUE_H
#define SQUEAL_BINLOG_ROW_VALUE_H

#include "lib/core/buf.h"
#include "lib/core/span.h"
#include "squeal/binlog/table.h"

struct row_value {
	const struct table_column *column;
	struct span bytes; /* as in the event, without the length; empty for NULL */
	bool is_null;
	bool is_partial; /* MySQL's partial JSON: `bytes` are differences to the before image, not a value */
};

/*
 * Appends the value as SELECT prints it ("NULL" for NULL), with these differences:
 *   TIMESTAMP    in UTC, as with time_zone='+00:00'
 *   BIT          as a number
 *   FLOAT(M,D), DOUBLE(M,D), ZEROFILL, and UUID, INET6 of MariaDB: the binlog does not say that they are;
 *                numbers come as without, the latter as their bytes
 *   unsigned     as signed where signedness is not known
 *   ENUM, SET    as a number where their texts are not known
 *   geometry, VECTOR and MySQL's multi-valued indexes: their bytes
 * False, and nothing appended, when the bytes make no sense, or when the value is partial.
 */
bool rows_value_text(const struct row_value *v, struct buf *out);

/* Integers, YEAR, BIT, ENUM and SET as a number; false for others and NULL.  *is_negative: *out is a two's
 * complement. */
bool rows_value_u64(const struct row_value *v, uint64_t *out, bool *is_negative);

#endif
