/*
 * rows - the rows of a row event, before and after the change.
 *
 *     rows_open(rows, ev, table, why);
 *     while (rows_next(rows, &row, &more, why) == ERR_OK && more)
 *             if (row_get(&row.after, column, &value))
 *                     rows_value_text(&value, &text);
 *
 * Going on to the next row finds where each column begins and decodes none: only what is asked for is
 * decoded. Nothing is allocated per row.  MariaDB's compressed rows are decompressed by rows_open().
 *
 * An image need not have all columns (binlog_row_image=MINIMAL, NOBLOB): row_get() says which it has.
 * MariaDB's MINIMAL insert of nothing but defaults is a row without any column.
 *
 * Times with fractions of MariaDB tables that were made before 10.1 or with mysql56_temporal_format=OFF are
 * longer than those without, and a binlog does not tell which they are.  They are read as without;
 * rows_open() goes through all rows of such a table first, and where they do not add up that way, no row
 * comes out.
 *
 * Threads: one at a time per struct rows.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_ROWS_H
#define SQUEAL_BINLOG_ROWS_H

#include "lib/core/err.h"
#include "squeal/binlog/event.h"
#include "squeal/binlog/row_value.h"
#include "squeal/binlog/table.h"

struct row_image {
	bool exists; /* inserts have no before, deletes no after */
	const struct table *table;
	const char *base;
	const uint32_t *at;	      /* of each column: where its value begins, or one of the two below */
	const unsigned char *partial; /* a bit for each JSON column; NULL: none is partial */
};

enum { ROW_ABSENT = UINT32_MAX, ROW_NULL = UINT32_MAX - 1 };

struct row {
	enum binlog_action action;
	struct row_image before, after;
};

struct rows; /* opaque */

/* `max_event` bounds rows after decompression. */
struct rows *rows_create(size_t max_event);
void rows_destroy(struct rows **r); /* NULL is fine */

/*
 * Begins with a BINLOG_ROWS event, whose bytes and table must stay until the last use of a row.
 * ERR_BAD_EVENT, ERR_TOO_LONG, ERR_UNKNOWN_EVENT; *why says what and where.
 */
err_t rows_open(struct rows *r, const struct binlog_event *ev, const struct table *t,
		struct err_detail *why) MUST_CHECK;

/* The next row, valid until the next call.  A JSON that a partial update (MySQL's binlog_row_value_options)
 * leaves as it was has its old value.  ERR_BAD_EVENT: its bytes do not add up. */
err_t rows_next(struct rows *r, struct row *row, bool *more, struct err_detail *why) MUST_CHECK;

/* False when the image does not have the column. */
bool row_get(const struct row_image *image, uint32_t column, struct row_value *out);

/* The event's bytes after decompression, of the rows alone. */
size_t rows_bytes(const struct rows *r);

#endif
