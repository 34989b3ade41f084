/*
 * lost - the keys of transactions that a promoted server does not have, deleted once more.
 *
 * A primary that dies may have sent us transactions that no replica got.  Their deletes are done, but caches
 * may have been filled from their rows since.  Before a server is followed that lacks them, their keys go
 * through the pipeline again; they are in our own log, under their ids.
 *
 *     lost_check()   before the server is followed: is every key of them in the log, or on its way there?
 *     lost_emit()    afterwards, before anything of the new stream: one item for each of their records
 *
 * The items have no id and no place, so the checkpoint stays where it was until the item with the new whole
 * position comes behind them: a crash in between does all of it again.
 *
 * What the check asks for:
 *     - Each of them was read as an ordinary transaction since `since`: the position where reading began
 * (what is before a source.start was never read), or behind the last end of an XA transaction (whose keys are
 *       no longer kept when XA COMMIT comes again).  The writer keeps it in the log, as the note LOST_SINCE.
 *     - The log reaches back to before the first of them: a record's position has none of them, or nothing
 * was ever removed from the log.
 *     - No record behind that is damaged.
 * A key that is not in the log yet is in the queue, and its first delete is still to come.
 *
 * Threads: the reading one.   Blocks: on the disk; lost_emit() as emit() does.   Clock: injected.
 */
#ifndef SQUEAL_LOST_H
#define SQUEAL_LOST_H

#include "lib/broker/broker.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "squeal/binlog/gtid_set.h"
#include "squeal/binlog/position.h"
#include "squeal/queue.h"

#define LOST_SINCE "since"

/* clang-format off */
/*	  name            kind     unit            help */
#define LOST_METRICS(M)                                                                                       \
	M(source_rewound, COUNTER, "times",        "a server was followed that lacks transactions which were read: promoted without them") \
	M(rewound_keys,   COUNTER, "keys",         "keys of such transactions that were deleted once more")
/* clang-format on */

struct lost_metrics {
	METRIC_FIELDS(LOST_METRICS)
};
extern const struct metric_row lost_metric_rows[];
extern const size_t lost_metric_nrows;

/* All borrowed.  `emit` and `blank` as in gather.h. */
struct lost_parts {
	const struct clock *clock;
	const struct log_options *log_opt;
	const struct broker_context *context;
	const char *source;
	struct lost_metrics *metrics;
	bool (*emit)(void *arg, struct queue_item *it);
	struct queue_item *(*blank)(void *arg);
	void *arg;
};

/* `since` NULL: not known.  ERR_BEHIND with a sentence when the keys of `set` cannot be shown to be there;
 * errors of broker_reader_open() and broker_read(). */
err_t lost_check(const struct lost_parts *parts, const struct gtid_set *set, const struct position *since,
		 struct err_detail *why) MUST_CHECK;

/* *nkeys: how many were emitted.  Errors as above; ERR_CLOSED: nobody takes them. */
err_t lost_emit(const struct lost_parts *parts, const struct gtid_set *set, uint64_t *nkeys,
		struct err_detail *why) MUST_CHECK;

#endif
