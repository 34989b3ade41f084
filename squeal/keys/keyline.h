/*
 * keyline - a transaction and its keys as one line of JSON: what `squeal keys` prints.
 *
 *     {"file":"mariadb-bin.000001","pos":1234,"gtid":"0-1-100","time_us":1795210680000000,
 *      "keys":["user:42"],"markers":[]}
 *
 * `pos` is the offset behind the transaction.  In this order, where there is something to say: holdoff_ms,
 * pool, rows before markers, sources, and of an XA transaction xa ("prepare", "commit", "rollback"), xid and
 * xa_unknown at the end.
 *
 * Written by hand rather than through json.h since millions of lines are: what does not change from one line
 * to the next is kept as text.
 *
 * Threads: one at a time per object.   Blocks: when keys are read back from a spill file.
 */
#ifndef SQUEAL_KEYLINE_H
#define SQUEAL_KEYLINE_H

#include "squeal/queue.h"

/* {0} is a new one. */
struct keyline {
	struct buf head; /* from the brace up to the position */
	struct buf id;	 /* `"gtid":"0-1-`: all but the number of the last id */
	struct gtid last;
};

void keyline_fini(struct keyline *l);

/* The file that the next transactions stand in. */
void keyline_enter_file(struct keyline *l, const char *name);

/* What a line has besides the transaction. */
struct keyline_extra {
	const uint64_t *rows;	    /* NULL: not counted */
	const struct span *sources; /* objects with commas between them; NULL: not asked for */
	/* Whose keys the line has: the transaction itself, or, when it ends a prepared one, that; NULL: none.
	 */
	const struct queue_item *keys;
	bool xa_unknown; /* it ends a prepared one that was not read */
};

/* Appends the line.  ERR_IO: the keys cannot be read back. */
err_t keyline_put(struct keyline *l, const struct queue_item *it, const struct keyline_extra *extra,
		  struct buf *out, struct err_detail *why) MUST_CHECK;

#endif
