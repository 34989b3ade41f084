/*
 * writer - takes committed transactions from the queue, waits until readers of the database can see them,
 * puts them into the log, and moves the checkpoint.
 *
 *     queue ──▶ batch ──▶ gate (visible?) ──▶ broker_append(records, checkpoint) ──▶ give the items back
 *
 * While the log is being written the queue fills, and the next append takes all of it: under load the batches
 * grow by themselves, and `linger` may stay 0.  The checkpoint goes into the same transaction as the records,
 * so it is never ahead of them.  What the log does not take is tried again for ever with a pause; nothing is
 * dropped.
 *
 * Keys of prepared XA transactions go into the log as notes (prepared.h), without waiting for the gate; XA
 * COMMIT fetches them from there, waits for the gate, and makes records of them.
 *
 * Threads: writer_run() is a thread's whole life; the rest from the main thread.   Blocks: writer_run() on
 * queue, source and disk.   Clock: injected.
 */
#ifndef SQUEAL_WRITER_H
#define SQUEAL_WRITER_H

#include "lib/broker/broker.h"
#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/log.h"
#include "squeal/batch.h"
#include "squeal/binlog/gate.h"
#include "squeal/prepared.h"
#include "squeal/queue.h"
#include "squeal/state.h"

struct writer; /* opaque */

/* All are borrowed and must outlive the writer.  `gate` NULL: nothing is waited for. */
struct writer_parts {
	const struct clock *clock;
	struct log *log;
	struct queue *queue;
	struct gate *gate;
	struct broker_writer *broker;
	struct state *state;
	struct state_metrics *state_metrics;
	struct batch_metrics *batch_metrics;
	struct prepared_metrics *prepared_metrics;
	const char *source;
	uint64_t visibility_patience_ms;
	/* Called once from the writer's thread when the log can never be written again. */
	void (*failed)(void *arg, const struct err_detail *why);
	void *arg;
};

/* `opt` is read now, and again by writer_reload(). */
struct writer *writer_create(const struct writer_parts *parts, const struct squeal_options *opt);
void writer_destroy(struct writer **w);

/* Returns when the queue was closed and everything in it is in the log, or after writer_hurry() or a failure.
 */
void writer_run(struct writer *w);

/* Stop retrying and waiting: what is not in the log stays in the binlog. */
void writer_hurry(struct writer *w);

/* Takes the reloadable settings.  Any thread. */
void writer_reload(struct writer *w, const struct squeal_options *opt);

#endif
