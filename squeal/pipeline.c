#include "squeal/pipeline.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/core/mem.h"
#include "lib/core/metric.h"
#include "lib/core/thread.h"
#include "squeal/pipeline_inside.h"

enum { REFRESH_MS = 1000, STANDBY_MS = 250 };

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

void
pipeline_on_tail_ended(void *arg, const struct err_detail *gap)
{
	struct pipeline *p = arg;

	if (gap != NULL)
		keep_failure(p, gap);
	/* In a GAP the daemon stays, not ready, for the operator to see, or leaves for its supervisor to act.
	 */
	if (p->opt->until_end || (gap != NULL && strcmp(p->topo->squeal.on_gap, "exit") == 0))
		loop_post(p->loop, shut_down, p);
}

void
pipeline_on_log_failed(void *arg, const struct err_detail *why)
{
	struct pipeline *p = arg;

	keep_failure(p, why);
	log_crit(p->log, "the log cannot be written any more; leaving", F_STR("reason", err_why(why)));
	loop_post(p->loop, shut_down, p);
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
	err_t err = daemon_is_draining(p->daemon) ? ERR_CLOSED : pipeline_open_log(p, &why);

	if (err == ERR_CLOSED)
		return;
	if (pipeline_may_open_later(p, err)) {
		p->standby_why = why;
		return;
	}
	loop_timer_stop(&p->standby);
	p->is_standby = false;
	if (err == ERR_OK)
		log_notice(p->log, "the log is free: taking over", F_STR("log", pipeline_log_file(p->topo)));
	if (err == ERR_OK)
		err = pipeline_open_parts(p, &why);
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
	err = pipeline_open_log(p, &busy);
	waits = pipeline_may_open_later(p, err);
	if (err == ERR_OK)
		err = pipeline_open_parts(p, why);
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
	pipeline_close_parts(p);
	daemon_destroy(&p->daemon);
	loop_destroy(&p->loop);
	metric_registry_destroy(&p->registry);
	pthread_mutex_destroy(&p->lock);
	rule_live_fini(&p->rules);
	free(p);
	return err;
}
