/*
 * source_start - where a server's stream is to begin, and the proof that it can.
 *
 * "now", "earliest", a checkpoint or what an operator wrote becomes a position that this server understands;
 * what the server says of its history goes to resume.h, which decides.
 *
 * Threads: one at a time per connection.   Blocks: on the server, up to the connection's timeout.
 */
#ifndef SQUEAL_BINLOG_SOURCE_START_H
#define SQUEAL_BINLOG_SOURCE_START_H

#include "squeal/binlog/position.h"
#include "squeal/binlog/source_setup.h"

enum { SOURCE_START_OF_FILE = 4 }; /* the first event of a file */

/* {0} to begin with. */
struct source_start {
	struct position at;
	bool has_gtids; /* MySQL: every transaction of the server has an id */
	bool is_behind; /* with an error: the server lacks what we have read, and may still get it */
	/* The same, and it could be followed without: from `at` then.  Empty otherwise. */
	struct gtid_set lost;
	struct buf note; /* what an operator should know about this start; empty: nothing */
};

/*
 * `from` may have come from anywhere; empty is "now".  ERR_CONFIG: it makes no sense.  ERR_PURGED, and what
 * resume_from() says: the server cannot go on from there.
 */
err_t source_start_find(struct source_start *start, struct conn *c, const struct source_setup *setup,
			struct span from, struct err_detail *why) MUST_CHECK;
void source_start_fini(struct source_start *start);

#endif
