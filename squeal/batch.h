/*
 * batch - turns committed transactions into log records.
 *
 * A record is finished when it holds batch_keys keys or about batch_bytes bytes; a transaction that does not
 * fit goes on in the next one.  Finished records gather until batch_take(); the position that comes with them
 * is that behind the last whole transaction, so a checkpoint never lies inside one.
 *
 * Keys of a prepared XA transaction become notes of the log (prepared.h) instead of records; its other end
 * removes them, and puts into records what the writer has found for it.
 *
 * Threads: one at a time.   Blocks: on the disk, when it reads spilled keys back.   Clock: none.
 */
#ifndef SQUEAL_BATCH_H
#define SQUEAL_BATCH_H

#include "lib/broker/broker.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"
#include "squeal/binlog/position.h"
#include "squeal/queue.h"

/* clang-format off */
/*	  name                kind     unit            help */
#define BATCH_METRICS(M)                                                                              \
	M(batch_txn,          COUNTER, "transactions", "transactions with keys put into records")     \
	M(batch_key,          COUNTER, "keys",         "keys put into records")                       \
	M(batch_record,       COUNTER, "records",      "records made")                                \
	M(batch_part,         COUNTER, "records",      "records that end inside a transaction")
/* clang-format on */

struct batch_metrics {
	METRIC_FIELDS(BATCH_METRICS)
};
extern const struct metric_row batch_metric_rows[];
extern const size_t batch_metric_nrows;

struct batch_limits {
	size_t keys;
	size_t bytes;
};

struct batch; /* opaque */

/* `source` is copied; `metrics` is borrowed. */
struct batch *batch_create(const char *source, struct batch_limits limits, struct batch_metrics *metrics);
void batch_destroy(struct batch **b);
void batch_set_limits(struct batch *b, struct batch_limits limits);

/* The position behind the transactions so far; starts as the empty position. */
const struct position *batch_position(const struct batch *b);

/*
 * Adds keys of `it` until all are in (*done) or enough records are finished that they should be taken first:
 * then call batch_take() and this again with the same item.  The item must stay as it is until the records
 * were taken.
 */
err_t batch_add(struct batch *b, const struct queue_item *it, bool *done, struct err_detail *why) MUST_CHECK;

/* A change of a note that goes with the next batch_take(); its bytes are copied. */
void batch_change_note(struct batch *b, const struct broker_note *note);

/* True when a note of this name is changed by what was not taken yet. */
bool batch_changes_note(const struct batch *b, struct span name);

/* True when batch_take() would give records or a position that was not taken before. */
bool batch_has_news(const struct batch *b);

struct batch_output {
	const struct span *records;
	size_t nrecords;
	uint64_t nkeys;
	uint64_t ntxns;
	struct span checkpoint; /* "gtid:0-1-100"; empty when it did not move */
	const struct broker_note *notes;
	size_t nnotes;
};

/* Finishes the record under way and shows everything gathered, valid until batch_clear(). */
void batch_take(struct batch *b, struct batch_output *out);

/* Forgets what batch_take() showed, once it is in the log. */
void batch_clear(struct batch *b);

#endif
