/*
 * tail - the reading side: opens the source, feeds its events through decoder and txn into gather, and opens
 * it again when the link is lost.
 *
 * Lost links, refused connections and a database that is not set up are retried with a growing pause, from
 * behind the last whole transaction that was read.  Where continuity cannot be proven (purged binlog, unknown
 * event, incident, the same bad event three times) the state becomes GAP and reading ends: what was read is
 * still written, and an operator decides from where to go on.
 *
 * Threads: tail_run() is a thread's whole life; tail_stop() from any.   Blocks: tail_run() on the source and,
 * through gather, on the queue.   Clock: injected; pauses are real time.
 */
#ifndef SQUEAL_TAIL_H
#define SQUEAL_TAIL_H

#include "lib/core/clock.h"
#include "lib/core/log.h"
#include "squeal/binlog/event.h"
#include "squeal/binlog/source.h"
#include "squeal/gather.h"
#include "squeal/lost.h"
#include "squeal/state.h"

struct tail; /* opaque */

/* All borrowed. */
struct tail_parts {
	const struct clock *clock;
	struct log *log;
	struct source *source;
	struct gate *gate; /* NULL for none */
	struct gather *gather;
	const struct txn_ops *ops; /* gather_ops or gather_row_ops */
	struct state *state;
	struct binlog_metrics *metrics;
	const struct lost_parts *lost; /* for sources that rewind (source_mysql_may_rewind()); else NULL */
	size_t max_event;
	uint64_t backoff_max_ms;
	/* Called once from the reading thread when it ends by itself: `gap` says why, NULL: the end of what
	 * was to be read. */
	void (*ended)(void *arg, const struct err_detail *gap);
	void *arg;
};

/* `from`: see source_open(); copied. */
struct tail *tail_create(const struct tail_parts *parts, const char *from);
void tail_destroy(struct tail **t);

void tail_run(struct tail *t);
void tail_stop(struct tail *t);

#endif
