/*
 * schema_place - where in the stream something was: a transaction against a position, and two positions.
 *
 * Ids are compared with ids, and files with files of the same name and another number; between the two, and
 * where ids of the other kind of server come, nobody knows.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_SCHEMA_PLACE_H
#define SQUEAL_SCHEMA_PLACE_H

#include "squeal/binlog/position.h"

enum schema_answer { SCHEMA_NO, SCHEMA_YES, SCHEMA_UNKNOWN };

/* The place of one transaction, in both ways to say it. */
struct schema_place {
	struct gtid gtid;
	struct buf file;
	uint64_t pos;
};

/* Whether the transaction is among those up to `p`. */
enum schema_answer schema_place_has(const struct position *p, const struct schema_place *t);

/* Whether `p` is known to be where `part` is, or behind it. */
bool schema_place_covers(const struct position *p, const struct position *part);

/* For sentences: the id, or file and offset; and a position, cut short, since a set of many servers is long.
 */
void schema_place_format(const struct schema_place *t, struct buf *out);
void schema_place_show(const struct position *p, struct buf *out);

#endif
