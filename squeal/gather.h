/*
 * gather - takes the keys out of a transaction's statements and rows and hands them on when it commits.
 *
 * Plugs into txn.h: statements are searched for comments with keys as they come, keys are kept once,
 * forgotten at rollback, and emitted at commit together with the place behind the transaction.  Transactions
 * without keys only move the position; their moves are emitted now and then, see gather_idle().
 *
 * The two ends of an XA transaction are emitted always, in items of their own kinds: the keys with the first,
 * and with the second the id under which they are known.
 *
 * With rules, keys are made of row changes too (rowkeys.h).  A change in statement format is then one that
 * the rules cannot see: counted and logged.
 *
 * A malformed comment or key is counted and logged and costs nothing else: the good keys of the same comment
 * are taken.
 *
 * Threads: the reading thread.   Blocks: as emit() does, and while a spill file cannot be written.
 * Clock: injected.
 */
#ifndef SQUEAL_GATHER_H
#define SQUEAL_GATHER_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "markers/rule.h"
#include "squeal/binlog/gate.h"
#include "squeal/binlog/txn.h"
#include "squeal/queue.h"
#include "squeal/schema/schema.h"
#include "squeal/sources.h"

/* clang-format off */
/*	  name                  kind     unit            help */
#define GATHER_METRICS(M)                                                                                      \
	M(statement,            COUNTER, "statements",   "statement texts searched for keys")                  \
	M(statement_with_keys,  COUNTER, "statements",   "statement texts that held at least one key")         \
	M(key_found,            COUNTER, "keys",         "keys found in comments")                             \
	M(key_repeated,         COUNTER, "keys",         "keys dropped because their transaction had them already") \
	M(key_rolled_back,      COUNTER, "keys",         "keys dropped by ROLLBACK or ROLLBACK TO SAVEPOINT")  \
	M(key_bad,              COUNTER, "keys",         "keys in comments that are not valid cache keys; not delivered") \
	M(marker_bad,           COUNTER, "comments",     "comments with a malformed or unknown key field")     \
	M(marker_too_long,      COUNTER, "comments",     "comments, or key lists, beyond their limit")         \
	M(marker_pool_conflict, COUNTER, "transactions", "transactions whose statements name different pools; delivered to all") \
	M(savepoint_lost,       COUNTER, "savepoints",   "rollbacks to savepoints that were not seen; keys were kept") \
	M(txn_with_keys,        COUNTER, "transactions", "committed transactions with keys")                   \
	M(txn_without_keys,     COUNTER, "transactions", "committed transactions without keys")                \
	M(txn_kept_at_rollback, COUNTER, "transactions", "rolled-back transactions whose keys were delivered because not everything could be undone") \
	M(rule_blind,           COUNTER, "statements",   "data changes in statement format, which no rule can see")  \
	M(spill_bytes,          COUNTER, "bytes",        "keys of large transactions written to spill files")  \
	M(spill_retry,          COUNTER, "calls",        "spill files that could not be written at the first try")
/* clang-format on */

struct gather_metrics {
	METRIC_FIELDS(GATHER_METRICS)
};
extern const struct metric_row gather_metric_rows[];
extern const size_t gather_metric_nrows;

extern const struct txn_ops gather_ops; /* `arg` is the struct gather */

/* The same for a gather with rules: row events are read too. */
extern const struct txn_ops gather_row_ops;

struct gather; /* opaque */

/* Takes ownership of a committed transaction, or of a move of the position.  False: nobody takes any more. */
typedef bool gather_emit_fn(void *arg, struct queue_item *it);

/* All borrowed; `gate` and `log` may be NULL. */
struct gather_parts {
	const struct clock *clock;
	struct log *log;
	gather_emit_fn *emit;
	struct queue_item *(*blank)(void *arg); /* where empty items come from; NULL: they are made */
	void *arg;
	bool each; /* transactions without keys are emitted too, each one */
	struct gate *gate;
	struct gather_metrics *metrics;
	const struct markers_options *markers;
	const char *spill_dir;
	size_t txn_memory;
	struct rule_live *rules;	   /* with gather_row_ops; otherwise NULL */
	struct rule_metrics *rule_metrics; /* the same */
	struct schema *schema;		   /* columns of tables without names; NULL: they stay unknown */
	size_t max_event;		   /* bounds rows after decompression */
	struct sources *sources;	   /* hears where each key comes from; usually NULL */
};

struct gather *gather_create(const struct gather_parts *parts);
void gather_destroy(struct gather **g);

/* A stream begins at `start`: forgets an unfinished transaction.  The first time, and whenever the position
 * differs from the one that was reached, the start itself is emitted.  False: nobody takes it. */
bool gather_start(struct gather *g, const struct position *start);

/* The position behind the last whole transaction. */
const struct position *gather_position(const struct gather *g);

/*
 * All that was read behind this position is in ordinary transactions (lost.h); NULL: not known.  It begins
 * where the first gather_start() does, unless it is given before, and moves behind every end of an XA
 * transaction.  gather_take_since() copies.
 */
const struct position *gather_since(const struct gather *g);
void gather_take_since(struct gather *g, const struct position *since);

/*
 * For a MySQL source that is followed by file and offset, and that gives ids now: `before` are all ids before
 * this place, a file's start.  When the next transaction has an id the position becomes a set.  Not before,
 * since files of the time without ids say nothing of their transactions; a set would pass over these.
 */
void gather_offer_gtids(struct gather *g, const struct gtid_set *before);

/* Emits a move of the position that waits; called at heartbeats.  False: nobody takes it. */
bool gather_idle(struct gather *g);

/* The sentence of the last error that a callback returned; its code is ERR_OK when there was none.  Callbacks
 * of txn.h have no room for one. */
const struct err_detail *gather_why(const struct gather *g);

/* Makes a wait for a spill file, or for the server that tells columns, end.  Any thread. */
void gather_interrupt(struct gather *g);

#endif
