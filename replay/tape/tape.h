/*
 * tape - what is replayed: transactions and their keys, one after the other, from wherever they are kept.
 *
 *     tape_binlog   binlog files                        tape_list    keys in a file, one a line, or JSON
 * lines tape_server   a server's binlog                   tape_spool   mcrouter's AsyncLog folders tape_log
 * the log between squeal and routers
 *
 * A tape can be run again and again and gives the same in the same order, as long as nobody removes what it
 * reads: a plan counts in one run what another run sends.  Every transaction has a mark, its place, by which
 * a run can begin where another one ended.
 *
 * Threads: one at a time per tape, except tape_stop().   Blocks: tape_run() on what it reads, and as the sink
 * does.   Clock: none of its own.
 */
#ifndef SQUEAL_REPLAY_TAPE_TAPE_H
#define SQUEAL_REPLAY_TAPE_TAPE_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/span.h"

/* Where a transaction is: "mariadb-bin.000007:4711", ":1234/2" (transaction 2 of the log's record 1234),
 * "keys.txt:3" (line 3). */
struct tape_mark {
	struct span file; /* empty: the log */
	uint64_t at;
	uint32_t part;
};

bool tape_mark_same(const struct tape_mark *a, const struct tape_mark *b);
void tape_mark_format(const struct tape_mark *m, struct buf *out);

/* `out->file` points into `text`.  False: it is none. */
bool tape_mark_parse(struct span text, struct tape_mark *out);

/* All spans are valid during the call. */
struct tape_txn {
	struct tape_mark mark;
	struct span source; /* its name; empty when not known */
	struct span gtid;   /* text; empty when not known */
	struct span pool;   /* inv_p; empty for none */
	uint64_t commit_us; /* 0: not known */
	uint32_t holdoff_ms;
	/* "db.table"; `knows_tables` false: there may be others. */
	const struct span *tables;
	size_t ntables;
	bool knows_tables;
};

enum tape_answer { TAPE_TAKE, TAPE_SKIP /* not its keys */, TAPE_STOP };

struct tape_sink {
	enum tape_answer (*txn)(void *arg, const struct tape_txn *t);
	/* One key of it: 1 to 250 bytes without spaces and control characters.  False: stop. */
	bool (*key)(void *arg, struct span key);
	void *arg;
};

/* What a run met; begins at 0 with each run. */
struct tape_counts {
	uint64_t txns;			      /* in the range */
	uint64_t bad;			      /* records or lines that make no sense, left out */
	uint64_t bad_keys;		      /* keys that cannot be sent, left out */
	uint64_t left_out;		      /* transactions that are not in the range */
	uint64_t seen_first_us, seen_last_us; /* when all that is there was committed; 0: not known */
	uint64_t xa_unknown;		      /* XA transactions whose keys were before the range */
	bool begins_inside; /* nothing before the range's beginning was there: more may be missing */
};

struct tape;

struct tape_ops {
	err_t (*run)(struct tape *t, const struct tape_mark *from, const struct tape_sink *sink,
		     struct err_detail *why);
	void (*stop)(struct tape *t); /* may be NULL */
	void (*destroy)(struct tape *t);
};

/* Each kind begins with this. */
struct tape {
	const struct tape_ops *ops;
	const char *unit; /* of bad things: "records", "lines" */
	const char *noun; /* of what has a mark: "transaction", "line" */
	struct tape_counts counts;
	/* How far a run is, in bytes or records; total 0: not known.  Any thread may look. */
	_Atomic uint64_t done, total;
	_Atomic bool stopping;
};

/*
 * Hands everything over, or, with `from`, everything from the transaction with that mark on.  ERR_OK: all of
 * it, or the sink said stop (tape_stop() too).  ERR_NOT_FOUND: `from`, or something of the range, is not
 * there any more.  Otherwise what the kind says; what came before an error is good.
 */
err_t tape_run(struct tape *t, const struct tape_mark *from, const struct tape_sink *sink,
	       struct err_detail *why) MUST_CHECK;

/* Makes tape_run() end soon.  Any thread. */
void tape_stop(struct tape *t);

void tape_destroy(struct tape **t); /* NULL is fine */

/* For kinds of tapes: a key that came from outside goes to the sink, or is counted as bad. */
bool tape_give_key(struct tape *t, const struct tape_sink *sink, struct span key);

#endif
