#include "replay/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/arena.h"
#include "lib/core/mem.h"
#include "lib/wire/mc_request.h"
#include "lib/wire/record.h"

typedef struct follow_metrics metric_owner;
const struct metric_row follow_metric_rows[] = {METRIC_ROWS(FOLLOW_METRICS)};
const size_t follow_metric_nrows = sizeof(follow_metric_rows) / sizeof(follow_metric_rows[0]);

enum {
	SLICE_RECORDS = 64,
	SLICE_BYTES = 128 * 1024,
	TICK_MS = 1000,
	REOPEN_MS = 500,
};

struct follow {
	struct follow_context ctx;
	struct broker_reader *reader; /* NULL: not open */
	struct loop_fd woken;
	struct loop_timer turn, tick, reopen;
	char log_id[64]; /* of the log that `next` is a place of; "" before the first */
	uint64_t next;
	bool stopped;
	char error[600];
	struct arena arena;
	struct buf wire;
	struct route_answer answer;
	struct follow_metrics metrics;
	struct broker_metrics broker_metrics;
};

static void on_turn(void *arg);
static void on_reopen(void *arg);

struct follow *
follow_create(const struct follow_context *ctx)
{
	struct follow *f = MEM_NEW(struct follow);

	f->ctx = *ctx;
	snprintf(f->error, sizeof(f->error), "not opened yet");
	loop_timer_init(&f->turn, ctx->loop, on_turn, f);
	loop_timer_init(&f->tick, ctx->loop, on_turn, f);
	loop_timer_init(&f->reopen, ctx->loop, on_reopen, f);
	if (ctx->metrics != NULL) {
		metric_registry_add(ctx->metrics, follow_metric_rows, follow_metric_nrows, &f->metrics, "");
		metric_registry_add(ctx->metrics, broker_metric_rows, broker_metric_nrows, &f->broker_metrics,
				    "");
	}
	return f;
}

static void
close_log(struct follow *f)
{
	loop_timer_stop(&f->turn);
	loop_timer_stop(&f->tick);
	loop_fd_fini(&f->woken);
	f->woken = (struct loop_fd){0};
	broker_reader_close(&f->reader);
}

void
follow_destroy(struct follow **fp)
{
	struct follow *f = *fp;

	if (f == NULL)
		return;
	loop_timer_stop(&f->reopen);
	close_log(f);
	if (f->ctx.metrics != NULL) {
		metric_registry_remove(f->ctx.metrics, &f->metrics);
		metric_registry_remove(f->ctx.metrics, &f->broker_metrics);
	}
	arena_fini(&f->arena);
	buf_fini(&f->wire);
	route_answer_fini(&f->answer);
	free(f);
	*fp = NULL;
}

static void
log_failed(struct follow *f, const struct err_detail *why)
{
	metric_inc(&f->metrics.audit_log_errors);
	if (strcmp(f->error, err_why(why)) != 0)
		log_error(f->ctx.log, "the log cannot be read; it is tried again",
			  F_STR("reason", err_why(why)));
	snprintf(f->error, sizeof(f->error), "%s", err_why(why));
	close_log(f);
	loop_timer_once(&f->reopen, REOPEN_MS);
}

/* --- records ----------------------------------------------------------------------------------------------
 */

static void
take_key(struct follow *f, struct audit_origin *from, struct span key, struct span pool)
{
	struct span wire = {"", 0};

	route_key(f->ctx.route, key, pool, &f->answer);
	from->copies = f->answer.n;
	if (f->answer.n > 0) {
		buf_clear(&f->wire);
		buf_put_span(&f->wire, f->answer.hops[0].prefix);
		buf_put_span(&f->wire, f->answer.key);
		if (mc_request_key_ok(buf_span(&f->wire)) && !span_eq(buf_span(&f->wire), f->ctx.probe_key))
			wire = buf_span(&f->wire);
	}
	audit_key(f->ctx.audit, from, key, wire);
}

static bool
on_record(void *arg, const struct broker_record *raw)
{
	struct follow *f = arg;
	struct err_detail why = {0};
	struct record rec;

	metric_inc(&f->metrics.audit_records);
	arena_reset(&f->arena);
	if (raw->damaged)
		err_set(&why, ERR_CHECKSUM, "its checksum does not match");
	if (raw->damaged || record_decode(raw->bytes, &f->arena, &rec, &why) != ERR_OK) {
		metric_inc(&f->metrics.audit_bad_records);
		log_warn(f->ctx.log, "a record of the log cannot be read; its keys are not audited",
			 F_UINT("offset", raw->offset), F_STR("reason", err_why(&why)));
		return true;
	}
	for (size_t t = 0; t < rec.ntxns; t++) {
		const struct record_txn *txn = &rec.txns[t];
		struct audit_origin from = {txn->gtid, raw->offset, txn->seen_us, raw->at_us, 0};

		for (size_t i = 0; i < txn->nkeys; i++)
			take_key(f, &from, txn->keys[i], txn->pool);
		for (size_t i = 0; i < txn->nmarkers; i++)
			take_key(f, &from, txn->markers[i], txn->pool);
	}
	return true;
}

/* One slice, and then the loop may do other things. */
static void
on_turn(void *arg)
{
	struct follow *f = arg;
	struct err_detail why = {0};
	uint64_t next = f->next, at_ns = clock_mono_ns(loop_clock(f->ctx.loop));
	err_t err;

	if (f->reader == NULL || f->stopped)
		return;
	err = broker_read(f->reader, f->next, SLICE_RECORDS, SLICE_BYTES, on_record, f, &next, &why);
	if (err == ERR_GAP) {
		metric_inc(&f->metrics.audit_log_gaps);
		log_warn(f->ctx.log, "records of the log are missing; their keys are not audited",
			 F_UINT("from", f->next), F_UINT("next", next), F_STR("reason", err_why(&why)));
	} else if (err != ERR_OK) {
		f->next = next;
		log_failed(f, &why);
		return;
	}
	if (next == f->next)
		audit_at_end(f->ctx.audit, at_ns);
	else
		loop_timer_once(&f->turn, 0);
	f->next = next;
}

static void
on_woken(void *arg, int what)
{
	struct follow *f = arg;

	(void)what;
	broker_reader_woken(f->reader);
	on_turn(f);
}

/* --- the log ----------------------------------------------------------------------------------------------
 */

static void
on_reopen(void *arg)
{
	struct follow *f = arg;
	struct broker_context ctx = {loop_clock(f->ctx.loop), f->ctx.log, &f->broker_metrics};
	struct err_detail why = {0};
	uint64_t first = 0, end = 0;
	err_t err;

	if (f->stopped)
		return;
	/* One reader is one partition, and an audit of a part of the keys would call the others lost. */
	if (broker_is_kafka(f->ctx.log_opt))
		err = err_set(
		    &why, ERR_CONFIG,
		    "squeal-audit follows a log that is a file; this one is a topic of Kafka: run it where "
		    "log.type is sqlite");
	else
		err = broker_reader_open(&f->reader, f->ctx.log_opt, &ctx, &why);
	if (err == ERR_OK)
		err = broker_bounds(f->reader, &first, &end, &why);
	if (err != ERR_OK) {
		log_failed(f, &why);
		return;
	}
	/* The first log is followed from its end, one that takes its place from its beginning. */
	if (f->log_id[0] == '\0') {
		f->next = end;
	} else if (strcmp(f->log_id, broker_reader_log_id(f->reader)) != 0) {
		f->next = first;
		audit_at_end(f->ctx.audit, 0);
	}
	snprintf(f->log_id, sizeof(f->log_id), "%s", broker_reader_log_id(f->reader));
	f->error[0] = '\0';
	log_info(f->ctx.log, "following the log", F_STR("path", f->ctx.log_opt->path), F_STR("id", f->log_id),
		 F_UINT("from", f->next));
	loop_fd_init(&f->woken, f->ctx.loop, broker_reader_fd(f->reader), on_woken, f);
	loop_fd_want(&f->woken, LOOP_READ);
	loop_timer_every(&f->tick, TICK_MS);
	loop_timer_once(&f->turn, 0);
}

void
follow_start(struct follow *f)
{
	loop_timer_once(&f->reopen, 0);
}

void
follow_stop(struct follow *f)
{
	f->stopped = true;
	loop_timer_stop(&f->reopen);
	close_log(f);
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

bool
follow_began(const struct follow *f)
{
	return f->log_id[0] != '\0';
}

const char *
follow_error(const struct follow *f)
{
	return f->error;
}

const struct follow_metrics *
follow_metrics(const struct follow *f)
{
	return &f->metrics;
}
