/*
 * reading - the transactions of binlog files, or of a server's binlog, with their keys: the way from events
 * to keys is the daemon's own (txn.h, gather.h), and which transactions are wanted is said by a range.
 *
 * `squeal keys` prints what comes out, squeal-replay deletes it.  A transaction that a file ends inside of is
 * left out, and that is logged; so is a file that does not go on where the one before it says.
 *
 * Threads: one at a time per object.   Blocks: on the source and as its take() does.   Clock: none.
 */
#ifndef SQUEAL_READING_H
#define SQUEAL_READING_H

#include "lib/conf/topology.h"
#include "lib/core/log.h"
#include "markers/rule.h"
#include "squeal/binlog/source.h"
#include "squeal/gather.h"
#include "squeal/keys/range.h"
#include "squeal/queue.h"

struct reading; /* opaque */

/* A transaction that is wanted.  Valid during the call. */
struct reading_txn {
	const struct queue_item *end; /* its id, place and times */
	const char *file;	      /* that it stands in; "" when not known */
	/* Whose keys it delivers: itself, or, when it ends a prepared one, that; NULL: none. */
	const struct queue_item *keys;
	bool xa_unknown;	    /* it ends a prepared one that was not read */
	uint64_t rows;		    /* with count_rows */
	const struct span *sources; /* with `sources`: objects with commas between them; otherwise NULL */
	/*
	 * With `tables`: "db.table" of each that its rows changed, those of the prepared one included.
	 * `is_blind`: it changes something that does not come as rows too (statement format, DDL), so there
	 * may be others.
	 */
	const struct span *tables;
	size_t ntables;
	bool is_blind;
};

/* An error ends the reading with it.  ERR_CLOSED: enough; *why is left alone. */
typedef err_t reading_take_fn(void *arg, const struct reading_txn *t, struct err_detail *why);

/* All borrowed; `log` may be NULL. */
struct reading_options {
	const struct markers_options *markers;
	struct rule_live *rules; /* NULL: keys of comments only */
	struct schema *schema;	 /* with rules: names of columns that come without; NULL: they stay unknown */
	bool count_rows;	 /* read all rows and say how many there were */
	bool sources;		 /* say where each key comes from */
	bool tables;		 /* say which tables were changed */
	struct range *range;
	const char *spill_dir;
	struct log *log;
	reading_take_fn *take;
	void *arg;
};

struct reading *reading_create(const struct reading_options *opt);
void reading_destroy(struct reading **r);

/* One file.  Errors as range.h and source_file.h say, and what the reader or the rules said. */
err_t reading_file(struct reading *r, const char *path, struct err_detail *why) MUST_CHECK;

/*
 * A server's stream until its end (source_mysql_stop_at_end()), or that of the range.  `from` as for
 * source_open().  A range with a place is looked for in the order of the files.  Errors of the source; after
 * ERR_CONN and ERR_TIMEOUT it may be called again with reading_position().
 */
err_t reading_server(struct reading *r, struct source *src, struct span from,
		     struct err_detail *why) MUST_CHECK;

/* Behind the last whole transaction. */
const struct position *reading_position(const struct reading *r);

#endif
