#include "squeal/pipeline_inside.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

err_t
pipeline_open_log(struct pipeline *p, struct err_detail *why)
{
	p->context = (struct broker_context){p->clock, p->log, &p->metrics.broker};
	if (!p->opt->null_log)
		return broker_writer_open(&p->broker, &p->topo->log, p->topo->source.name, &p->context, why);
	broker_writer_open_null(&p->broker, &p->context);
	return ERR_OK;
}

bool
pipeline_may_open_later(const struct pipeline *p, err_t err)
{
	if (err == ERR_IN_USE)
		return p->opt->standby;
	return broker_is_kafka(&p->topo->log) && err_action(err) == ERR_DO_RETRY && !p->opt->until_end;
}

const char *
pipeline_log_file(const struct topology *topo)
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

	snprintf(folder, sizeof(folder), "%s", pipeline_log_file(topo));
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

err_t
pipeline_open_parts(struct pipeline *p, struct err_detail *why)
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
	snprintf(folder, sizeof(folder), "%s", pipeline_log_file(topo));
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
		.ended = pipeline_on_tail_ended,
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
		.failed = pipeline_on_log_failed,
		.arg = p,
	    },
	    &topo->squeal);
done:
	buf_fini(&from);
	return err;
}

void
pipeline_close_parts(struct pipeline *p)
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
