/*
 * schema_history - what is known of one table: its definitions, one after the other, each with the part of
 * the stream that was read with it; and how they are written into schema_file.h's lines.
 *
 * Two kinds of lines, behind the words that schema.h finds the table by.  A definition: from, asked, and the
 * definition's words.  An end: the place: GTID (or nothing), file, offset.  It ends all definitions of the
 * table before it that have no end yet and do not begin behind it.
 *
 *     "def" database table from asked ...
 *     "end" database table gtid file offset
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_SCHEMA_HISTORY_H
#define SQUEAL_SCHEMA_HISTORY_H

#include "squeal/schema/schema_def.h"
#include "squeal/schema/schema_place.h"

/* A definition, and the part of the stream that was read with it. */
struct schema_version {
	struct schema_version *next; /* of the same table, newer */
	struct schema_def *def;
	struct position from;  /* rows behind it */
	struct position asked; /* the server said it here */
	bool has_end;	       /* only after a restart: it was seen to end here */
	struct schema_place end;
};

struct schema_history {
	char *db, *name;
	struct schema_version *oldest;
};

struct schema_history *schema_history_create(struct span db, struct span name);
void schema_history_destroy(struct schema_history *h);
void schema_version_destroy(struct schema_version *v); /* one that is in no history */

/* Takes ownership of the newest. */
void schema_history_add(struct schema_history *h, struct schema_version *v);

/* The newest that is known to hold at this place; NULL when there is none. */
struct schema_version *schema_history_find(struct schema_history *h, const struct position *at);

/* Whole lines, without their ends. */
void schema_history_write_def(const struct schema_history *h, const struct schema_version *v,
			      struct buf *line);
void schema_history_write_end(const struct schema_history *h, const struct schema_place *end,
			      struct buf *line);

/* What follows database and table in a line.  ERR_CORRUPT and what parsers say. */
err_t schema_history_read_def(struct schema_history *h, struct span rest, struct err_detail *why) MUST_CHECK;
err_t schema_history_read_end(struct schema_history *h, struct span rest, struct err_detail *why) MUST_CHECK;

#endif
