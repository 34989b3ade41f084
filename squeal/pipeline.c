#include "squeal/pipeline.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/broker/broker.h"
#include "lib/core/mem.h"
#include "lib/core/metric.h"
#include "lib/core/thread.h"
#include "lib/net/admin.h"
#include "lib/net/daemon.h"
#include "lib/net/loop.h"
#include "squeal/batch.h"
#include "squeal/binlog/gate.h"
#include "squeal/binlog/source_mysql.h"
#include "squeal/gather.h"
#include "squeal/lost.h"
#include "squeal/queue.h"
#include "squeal/schema/schema.h"
#include "squeal/schema/schema_mysql.h"
#include "squeal/state.h"
#include "squeal/tail.h"
#include "squeal/writer.h"

enum { REFRESH_MS = 1000, STANDBY_MS = 250 };

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

/* --- called from the two threads --------------------------------------------------------------------- */

static void
on_writer_done(void *arg)
{
	struct pipeline *p = arg;

	daemon_shutdown(p->daemon); /* the threads may end before a signal asks for it */
	daemon_drained(p->daemon);
}

static void
shut_down(void *arg)
{
	struct pipeline *p = arg;

	daemon_shutdown(p->daemon);
}

static void
keep_failure(struct pipeline *p, const struct err_detail *why)
{
	pthread_mutex_lock(&p->lock);
	if (p->failure.code == ERR_OK)
		p->failure = *why;
	pthread_mutex_unlock(&p->lock);
}

static void
on_tail_ended(void *arg, const struct err_detail *gap)
{
	struct pipeline *p = arg;

	if (gap != NULL)
		keep_failure(p, gap);
	/* In a GAP the daemon stays, not ready, for the operator to see, or leaves for its supervisor to act.
	 */
	if (p->opt->until_end || (gap != NULL && strcmp(p->topo->squeal.on_gap, "exit") == 0))
		loop_post(p->loop, shut_down, p);
}

static void
on_log_failed(void *arg, const struct err_detail *why)
{
	struct pipeline *p = arg;

	keep_failure(p, why);
	log_crit(p->log, "the log cannot be written any more; leaving", F_STR("reason", err_why(why)));
	loop_post(p->loop, shut_down, p);
}

static bool
emit(void *arg, struct queue_item *it)
{
	return queue_put(arg, it);
}

static struct queue_item *
blank(void *arg)
{
	return queue_blank(arg);
}

static void *
tail_main(void *arg)
{
	struct pipeline *p = arg;

	tail_run(p->tail);
	return NULL;
}

static void *
writer_main(void *arg)
{
	struct pipeline *p = arg;

	writer_run(p->writer);
	loop_post(p->loop, on_writer_done, p);
	return NULL;
}

/* --- the main thread ------------------------------------------------------------------------------------ */

static void
on_drain(void *arg)
{
	struct pipeline *p = arg;

	log_info(p->log, "draining");
	if (p->tail != NULL)
		tail_stop(p->tail);
	if (p->queue != NULL)
		queue_close(p->queue);
	if (!p->writer_started)
		daemon_drained(p->daemon);
}

static void
on_setting(void *arg, const char *section, const char *name, bool taken)
{
	struct pipeline *p = arg;

	if (taken)
		log_notice(p->log, "setting changed", F_STR("section", section), F_STR("name", name));
	else
		log_warn(p->log, "setting changed in the file, but needs a restart",
			 F_STR("section", section), F_STR("name", name));
}

static void
on_reload(void *arg)
{
	struct pipeline *p = arg;
	struct err_detail why = {0};
	struct topology *fresh = NULL;
	enum log_level level;

	if (topology_load(&fresh, p->opt->config, &why) != ERR_OK) {
		log_error(p->log, "kept the old configuration", F_STR("reason", err_why(&why)));
		return;
	}
	topology_reload(p->topo, fresh, on_setting, p);
	topology_destroy(&fresh);
	if (p->writer != NULL)
		writer_reload(p->writer, &p->topo->squeal);
	if (p->broker != NULL)
		broker_writer_retain(p->broker, p->topo->log.retention, p->topo->log.max_size);
	if (log_level_parse(span_of(p->topo->squeal.log_level), &level))
		log_set_level(p->log, level);
	if (p->has_rules && rule_live_load(&p->rules, p->topo->markers.rules, &why) != ERR_OK)
		log_error(p->log, "kept the old rules", F_STR("reason", err_why(&why)));
	log_info(p->log, "configuration reloaded", F_STR("file", p->opt->config));
}

/* What it is that is waited for before reading can begin. */
static const char *
wait_word(const struct pipeline *p)
{
	return p->standby_why.code == ERR_IN_USE ? "standby" : "waiting for the log";
}

static void
on_refresh(void *arg)
{
	struct pipeline *p = arg;
	char line[512];

	state_refresh(p->state, queue_bytes(p->queue), queue_is_full(p->queue));
	state_line(p->state, line, sizeof(line));
	if (p->is_standby)
		snprintf(line, sizeof(line), "%s: %.400s", wait_word(p), err_why(&p->standby_why));
	daemon_status(p->daemon, "%s", line);
	if (!p->is_ready && state_has_checkpoint(p->state)) {
		p->is_ready = true;
		daemon_ready(p->daemon);
	}
}

static void
add_reason(void *arg, const char *sentence)
{
	admin_not_ready(arg, "%s", sentence);
}

static void
on_ready(void *arg, struct admin_reasons *reasons)
{
	struct pipeline *p = arg;

	if (p->is_standby) {
		admin_not_ready(reasons, "%s: %s", wait_word(p), err_why(&p->standby_why));
		return;
	}
	state_reasons(p->state, p->topo->squeal.unready_after, add_reason, reasons);
}

static void
on_status(void *arg, struct json *j)
{
	struct pipeline *p = arg;

	json_kv_bool(j, "standby", p->is_standby);
	state_json(p->state, j);
	json_name(j, "queue");
	json_object(j);
	json_kv_u64(j, "bytes", queue_bytes(p->queue));
	json_kv_u64(j, "limit", p->topo->squeal.queue_bytes);
	json_kv_bool(j, "full", queue_is_full(p->queue));
	json_object_end(j);
}

static err_t
open_admin(struct pipeline *p, struct err_detail *why)
{
	const struct admin_options opt = {
	    .address = p->topo->squeal.admin,
	    .setting = "admin in section squeal of squeal.yaml",
	    .program = "squeal",
	    .metrics = p->registry,
	    .log = p->log,
	};
	err_t err;

	if (opt.address[0] == '\0')
		return ERR_OK;
	err = admin_open(&p->admin, p->loop, &opt, why);
	if (err != ERR_OK)
		return err;
	admin_on_ready(p->admin, on_ready, p);
	admin_on_status(p->admin, on_status, p);
	log_info(p->log, "admin port", F_UINT("port", admin_port(p->admin)));
	return ERR_OK;
}

static void
register_metrics(struct pipeline *p)
{
	struct metrics *m = &p->metrics;
	char labels[128];

	snprintf(labels, sizeof(labels), "source=\"%s\"", p->topo->source.name);
	metric_registry_add(p->registry, state_metric_rows, state_metric_nrows, &m->state, labels);
	metric_registry_add(p->registry, binlog_metric_rows, binlog_metric_nrows, &m->binlog, labels);
	metric_registry_add(p->registry, gather_metric_rows, gather_metric_nrows, &m->gather, labels);
	metric_registry_add(p->registry, rule_metric_rows, rule_metric_nrows, &m->rule, labels);
	metric_registry_add(p->registry, schema_metric_rows, schema_metric_nrows, &m->schema, labels);
	metric_registry_add(p->registry, lost_metric_rows, lost_metric_nrows, &m->lost, labels);
	metric_registry_add(p->registry, gate_metric_rows, gate_metric_nrows, &m->gate, labels);
	metric_registry_add(p->registry, batch_metric_rows, batch_metric_nrows, &m->batch, labels);
	metric_registry_add(p->registry, prepared_metric_rows, prepared_metric_nrows, &m->prepared, labels);
	metric_registry_add(p->registry, broker_metric_rows, broker_metric_nrows, &m->broker, labels);
}

/* ERR_IN_USE: another process writes the log. */
static err_t
open_log(struct pipeline *p, struct err_detail *why)
{
	p->context = (struct broker_context){p->clock, p->log, &p->metrics.broker};
	if (!p->opt->null_log)
		return broker_writer_open(&p->broker, &p->topo->log, p->topo->source.name, &p->context, why);
	broker_writer_open_null(&p->broker, &p->context);
	return ERR_OK;
}

/* Another process writes the log and may leave it; or its brokers do not answer and may do so later. */
static bool
may_open_later(const struct pipeline *p, err_t err)
{
	if (err == ERR_IN_USE)
		return p->opt->standby;
	return broker_is_kafka(&p->topo->log) && err_action(err) == ERR_DO_RETRY && !p->opt->until_end;
}

/* Beside which squeal's other files are. */
static const char *
log_file(const struct topology *topo)
{
	return broker_is_kafka(&topo->log) ? topo->log.state : topo->log.path;
}

/* Where to start: the option, or the checkpoint, or now when there is none yet. */
static err_t
find_start(struct pipeline *p, struct buf *out, bool *is_checkpoint, struct err_detail *why)
{
	const char *start = p->opt->start != NULL ? p->opt->start : p->topo->source.start;
	err_t err;

	*is_checkpoint = false;
	if (strcmp(start, "checkpoint") != 0) {
		buf_put_str(out, start);
		return ERR_OK;
	}
	err = broker_checkpoint(p->broker, out, why);
	*is_checkpoint = err == ERR_OK && out->len > 0;
	if (err == ERR_OK && out->len == 0) {
		log_notice(p->log, "no checkpoint yet: starting at the end of the binlog",
			   F_STR("source", p->topo->source.name));
		buf_put_str(out, "now");
	}
	return err;
}

/* What rows' columns are called, where the binlog does not say it.  Without rules nobody watches for DDL, so
 * what was known ends. */
static err_t
open_schema(struct pipeline *p, bool resumed, struct err_detail *why)
{
	const struct topology *topo = p->topo;
	char folder[PATH_MAX], path[PATH_MAX + 256];

	snprintf(folder, sizeof(folder), "%s", log_file(topo));
	snprintf(path, sizeof(path), "%s/%s.columns", dirname(folder), topo->source.name);
	if (!p->has_rules && !p->opt->null_log && unlink(path) != 0 && errno != ENOENT)
		return err_set(why, ERR_SYS, "cannot remove %s: %s", path, strerror(errno));
	if (!p->has_rules)
		return ERR_OK;
	p->columns = schema_mysql_create(&topo->source, p->source);
	return schema_open(&p->schema,
			   &(struct schema_parts){
			       .ops = &schema_mysql_ops,
			       .arg = p->columns,
			       .log = p->log,
			       .path = p->opt->null_log ? NULL : path,
			       .resumed = resumed,
			       .metrics = &p->metrics.schema,
			   },
			   why);
}

static err_t
on_lost(void *arg, const struct gtid_set *lost, struct err_detail *why)
{
	struct pipeline *p = arg;

	return lost_check(&p->lost, lost, gather_since(p->gather), why);
}

/* What is needed to follow a server that was promoted without what we have read. */
static err_t
open_lost(struct pipeline *p, bool resumed, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	struct position since = {0};
	bool found = false;
	err_t err;

	if (p->opt->null_log)
		return ERR_OK;
	p->lost = (struct lost_parts){
	    .clock = p->clock,
	    .log_opt = &p->topo->log,
	    .context = &p->context,
	    .source = p->topo->source.name,
	    .metrics = &p->metrics.lost,
	    .emit = emit,
	    .blank = blank,
	    .arg = p->queue,
	};
	err = broker_note_read(p->broker, SPAN_LIT(LOST_SINCE), 0, &text, &found, why);
	if (err == ERR_OK && found && resumed) {
		err = position_parse(buf_span(&text), &since, why);
		if (err == ERR_OK)
			gather_take_since(p->gather, &since);
	}
	if (err == ERR_OK)
		source_mysql_may_rewind(p->source, on_lost, p);
	position_fini(&since);
	buf_fini(&text);
	return err;
}

static err_t
open_parts(struct pipeline *p, struct err_detail *why)
{
	const struct topology *topo = p->topo;
	struct buf from = BUF_INIT;
	bool is_checkpoint = false;
	char folder[PATH_MAX];
	err_t err;

	err = find_start(p, &from, &is_checkpoint, why);
	if (err != ERR_OK)
		goto done;
	p->has_rules = topo->markers.rules[0] != '\0';
	if (p->has_rules) {
		err = rule_live_load(&p->rules, topo->markers.rules, why);
		if (err != ERR_OK)
			goto done;
	}
	p->source = source_mysql_create(&topo->source, topo->region.region);
	source_mysql_use_clock(p->source, p->clock);
	if (p->opt->until_end)
		source_mysql_stop_at_end(p->source);
	if (p->has_rules)
		source_mysql_need_rows(p->source);
	if (topo->markers.rules_only)
		source_mysql_without_texts(p->source);
	if (strcmp(topo->source.visibility, "gate") == 0 && !p->opt->null_log)
		p->gate = gate_create(&topo->source, p->clock, &p->metrics.gate);
	err = open_schema(p, is_checkpoint, why);
	if (err != ERR_OK)
		goto done;
	snprintf(folder, sizeof(folder), "%s", log_file(topo));
	p->gather = gather_create(&(struct gather_parts){
	    .clock = p->clock,
	    .log = p->log,
	    .emit = emit,
	    .blank = blank,
	    .arg = p->queue,
	    .gate = p->gate,
	    .metrics = &p->metrics.gather,
	    .markers = &topo->markers,
	    .spill_dir = topo->squeal.spill_dir[0] != '\0' ? topo->squeal.spill_dir : dirname(folder),
	    .txn_memory = topo->squeal.txn_memory,
	    .rules = p->has_rules ? &p->rules : NULL,
	    .rule_metrics = &p->metrics.rule,
	    .schema = p->schema,
	    .max_event = topo->source.max_event,
	});
	err = open_lost(p, is_checkpoint, why);
	if (err != ERR_OK)
		goto done;
	p->tail = tail_create(
	    &(struct tail_parts){
		.clock = p->clock,
		.log = p->log,
		.source = p->source,
		.gate = p->gate,
		.gather = p->gather,
		.ops = p->has_rules ? &gather_row_ops : &gather_ops,
		.state = p->state,
		.metrics = &p->metrics.binlog,
		.lost = &p->lost,
		.max_event = topo->source.max_event,
		.backoff_max_ms = topo->source.backoff_max,
		.ended = on_tail_ended,
		.arg = p,
	    },
	    buf_str(&from));
	p->writer = writer_create(
	    &(struct writer_parts){
		.clock = p->clock,
		.log = p->log,
		.queue = p->queue,
		.gate = p->gate,
		.broker = p->broker,
		.state = p->state,
		.state_metrics = &p->metrics.state,
		.batch_metrics = &p->metrics.batch,
		.prepared_metrics = &p->metrics.prepared,
		.source = topo->source.name,
		.visibility_patience_ms = topo->source.visibility_patience,
		.failed = on_log_failed,
		.arg = p,
	    },
	    &topo->squeal);
done:
	buf_fini(&from);
	return err;
}

static void
join_threads(struct pipeline *p)
{
	if (p->tail_started) {
		tail_stop(p->tail);
		pthread_join(p->tail_thread, NULL);
	}
	if (p->writer_started) {
		if (p->gate != NULL)
			gate_interrupt(p->gate);
		writer_hurry(p->writer);
		pthread_join(p->writer_thread, NULL);
	}
}

static void
close_parts(struct pipeline *p)
{
	writer_destroy(&p->writer);
	tail_destroy(&p->tail);
	gather_destroy(&p->gather);
	schema_close(&p->schema);
	schema_mysql_destroy(&p->columns);
	gate_destroy(&p->gate);
	source_destroy(&p->source);
	queue_destroy(&p->queue);
	state_destroy(&p->state);
	broker_writer_close(&p->broker);
}

/* What a measurement wants to know, as one line of JSON on standard output. */
static void
print_summary(struct pipeline *p)
{
	const struct metrics *m = &p->metrics;
	struct buf out = BUF_INIT;
	struct rusage used;
	struct json j;

	getrusage(RUSAGE_SELF, &used);
	json_init(&j, &out);
	json_object(&j);
	json_kv_u64(&j, "events", metric_get(&m->binlog.binlog_event));
	json_kv_u64(&j, "bytes", metric_get(&m->binlog.binlog_bytes));
	json_kv_u64(&j, "transactions", metric_get(&m->binlog.binlog_txn));
	json_kv_u64(&j, "keys", metric_get(&m->batch.batch_key));
	json_kv_u64(&j, "records", metric_get(&m->batch.batch_record));
	json_name(&j, "wall_seconds");
	json_double(&j, (double)(clock_mono_ns(p->clock) - p->started_ns) / 1e9);
	json_name(&j, "cpu_seconds");
	json_double(&j, (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			    (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
	json_kv_u64(&j, "max_resident_kib", (uint64_t)used.ru_maxrss);
	json_object_end(&j);
	puts(buf_str(&out));
	buf_fini(&out);
}

static err_t
start_threads(struct pipeline *p, struct err_detail *why)
{
	err_t err = thread_start(&p->writer_thread, "squeal-write", writer_main, p, why);
	if (err != ERR_OK)
		return err;
	p->writer_started = true;
	err = thread_start(&p->tail_thread, "squeal-read", tail_main, p, why);
	p->tail_started = err == ERR_OK;
	return err;
}

/* The other one's lock goes with its process, however that ends. */
static void
on_standby(void *arg)
{
	struct pipeline *p = arg;
	struct err_detail why = {0};
	err_t err = daemon_is_draining(p->daemon) ? ERR_CLOSED : open_log(p, &why);

	if (err == ERR_CLOSED)
		return;
	if (may_open_later(p, err)) {
		p->standby_why = why;
		return;
	}
	loop_timer_stop(&p->standby);
	p->is_standby = false;
	if (err == ERR_OK)
		log_notice(p->log, "the log is free: taking over", F_STR("log", log_file(p->topo)));
	if (err == ERR_OK)
		err = open_parts(p, &why);
	if (err == ERR_OK)
		err = start_threads(p, &why);
	if (err != ERR_OK) {
		keep_failure(p, &why);
		shut_down(p);
	}
}

static void
stand_by(struct pipeline *p, const struct err_detail *why)
{
	p->is_standby = true;
	p->standby_why = *why;
	if (why->code == ERR_IN_USE)
		log_notice(p->log, "standby: another squeal writes the log", F_STR("reason", err_why(why)));
	else
		log_error(p->log, "the log cannot be opened yet; it is tried again",
			  F_STR("reason", err_why(why)));
	loop_timer_init(&p->standby, p->loop, on_standby, p);
	loop_timer_every(&p->standby, STANDBY_MS);
	/* A service manager need not wait for what may never come. */
	p->is_ready = true;
	daemon_ready(p->daemon);
}

err_t
pipeline_run(struct topology *topo, const struct pipeline_options *opt, const struct clock *clock,
	     struct log *log, struct err_detail *why)
{
	static const struct daemon_ops ops = {.drain = on_drain, .reload = on_reload};
	struct pipeline *p = MEM_NEW(struct pipeline);
	struct daemon_options daemon_opt = {.log = log};
	struct err_detail busy = {0};
	bool waits;
	err_t err;

	p->topo = topo;
	p->opt = opt;
	p->clock = clock;
	p->log = log;
	p->started_ns = clock_mono_ns(clock);
	pthread_mutex_init(&p->lock, NULL);
	rule_live_init(&p->rules, NULL);
	p->registry = metric_registry_create();
	register_metrics(p);
	daemon_options_from_env(&daemon_opt);
	err = loop_create(&p->loop, clock, why);
	if (err != ERR_OK)
		goto done;
	err = daemon_create(&p->daemon, p->loop, &daemon_opt, &ops, p, why);
	if (err != ERR_OK)
		goto done;
	p->state = state_create(topo->source.name, clock, &p->metrics.state);
	p->queue = queue_create(topo->squeal.queue_bytes);
	/* Brokers that do not answer are waited for, and meanwhile the port says so. */
	if (broker_is_kafka(&topo->log))
		err = open_admin(p, why);
	if (err != ERR_OK)
		goto done;
	err = open_log(p, &busy);
	waits = may_open_later(p, err);
	if (err == ERR_OK)
		err = open_parts(p, why);
	else if (!waits)
		err_set(why, err, "%s", err_why(&busy));
	if (err != ERR_OK && !waits)
		goto done;
	if (p->admin == NULL)
		err = open_admin(p, why);
	else
		err = ERR_OK;
	if (err != ERR_OK)
		goto done;
	loop_timer_init(&p->refresh, p->loop, on_refresh, p);
	loop_timer_every(&p->refresh, REFRESH_MS);
	if (waits)
		stand_by(p, &busy);
	else
		err = start_threads(p, why);
	if (err != ERR_OK)
		goto done;
	loop_run(p->loop);
	if (p->failure.code != ERR_OK)
		err = err_set(why, p->failure.code, "%s", err_why(&p->failure));
	if (daemon_was_hurried(p->daemon))
		log_warn(p->log, "left before everything read was in the log; the binlog still has it");
done:
	join_threads(p);
	if (opt->until_end && err == ERR_OK)
		print_summary(p);
	if (p->loop != NULL) {
		loop_timer_stop(&p->refresh);
		loop_timer_stop(&p->standby);
	}
	admin_close(&p->admin);
	close_parts(p);
	daemon_destroy(&p->daemon);
	loop_destroy(&p->loop);
	metric_registry_destroy(&p->registry);
	pthread_mutex_destroy(&p->lock);
	rule_live_fini(&p->rules);
	free(p);
	return err;
}
