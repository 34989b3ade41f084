/*
 * pipeline_inside - what pipeline.c, the life of `squeal run`, and pipeline_parts.c, which puts its parts
 * together, share.
 *
 * For these only.
 *
 * Threads: the main one, but for pipeline_on_tail_ended() and pipeline_on_log_failed().
 */
#ifndef SQUEAL_PIPELINE_INSIDE_H
#define SQUEAL_PIPELINE_INSIDE_H

#include <pthread.h>

#include "lib/broker/broker.h"
#include "lib/net/admin.h"
#include "lib/net/daemon.h"
#include "lib/net/loop.h"
#include "squeal/batch.h"
#include "squeal/binlog/gate.h"
#include "squeal/binlog/source_mysql.h"
#include "squeal/gather.h"
#include "squeal/lost.h"
#include "squeal/pipeline.h"
#include "squeal/queue.h"
#include "squeal/schema/schema.h"
#include "squeal/schema/schema_mysql.h"
#include "squeal/state.h"
#include "squeal/tail.h"
#include "squeal/writer.h"

/* Every metric of the daemon. */
struct metrics {
	struct binlog_metrics binlog;
	struct gate_metrics gate;
	struct gather_metrics gather;
	struct batch_metrics batch;
	struct prepared_metrics prepared;
	struct broker_metrics broker;
	struct state_metrics state;
	struct rule_metrics rule;
	struct schema_metrics schema;
	struct lost_metrics lost;
};

struct pipeline {
	struct topology *topo;
	const struct pipeline_options *opt;
	const struct clock *clock;
	struct log *log;

	struct metrics metrics;
	struct metric_registry *registry;
	struct loop *loop;
	struct daemon *daemon;
	struct admin *admin;
	struct loop_timer refresh, standby;
	bool is_standby;
	struct err_detail standby_why; /* who writes the log, or why it cannot be opened yet */

	struct broker_writer *broker;
	struct source *source;
	struct gate *gate;
	struct queue *queue;
	struct state *state;
	struct rule_live rules;
	bool has_rules;
	struct schema_mysql *columns;
	struct schema *schema; /* NULL without rules */
	struct gather *gather;
	struct broker_context context;
	struct lost_parts lost;
	struct tail *tail;
	struct writer *writer;
	pthread_t tail_thread, writer_thread;
	bool tail_started, writer_started;
	bool is_ready; /* READY=1 was sent */

	pthread_mutex_t lock; /* guards failure */
	struct err_detail failure;
	uint64_t started_ns;
};

/* Opens the log that is written.  ERR_IN_USE: another process writes it. */
err_t pipeline_open_log(struct pipeline *p, struct err_detail *why) MUST_CHECK;

/* Another process writes the log and may leave it; or its brokers do not answer and may do so later. */
bool pipeline_may_open_later(const struct pipeline *p, err_t err);

/* Beside which squeal's other files are. */
const char *pipeline_log_file(const struct topology *topo);

/* Makes everything between the database and the open log; nothing runs yet. */
err_t pipeline_open_parts(struct pipeline *p, struct err_detail *why) MUST_CHECK;

/* Ends them, and closes the log.  The threads are over. */
void pipeline_close_parts(struct pipeline *p);

/* From the reading thread: it is over.  `gap` NULL: at the end that was asked for. */
void pipeline_on_tail_ended(void *arg, const struct err_detail *gap);

/* From the writing thread. */
void pipeline_on_log_failed(void *arg, const struct err_detail *why);

#endif
