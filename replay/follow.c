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
	ASK_MS = 100,
	REOPEN_MS = 500,
	REOPEN_TOPIC_MS = 5000, /* each try may stop the loop for a moment */
	LOOK_MS = 30000,	/* for a partition that is not there yet */
};

struct follow {
	struct follow_context ctx;
	struct broker_reader *reader; /* NULL: not open */
	struct loop_fd woken;
	struct loop_timer turn, tick, reopen;
	char log_id[64]; /* of the log that `next` is a place of; "" before the first */
	uint64_t next;
	bool stopped;
	bool was_missing; /* nobody has read what it began with */

	/* At asked_ns somebody asked where the log ends.  When everything before that end was handed over,
	 * what comes then was not there at asked_ns. */
	bool asking, told;
	uint64_t asked, asked_ns, asked_end;
	uint64_t end_ns; /* the last such moment; 0: none yet */
	char error[600];
	struct arena arena;
	struct buf wire;
	struct route_answer answer;
};

static void on_turn(void *arg);
static void on_reopen(void *arg);

struct follow *
follow_create(const struct follow_context *ctx)
{
	struct follow *f = MEM_NEW(struct follow);

	f->ctx = *ctx;
	if (!ctx->is_optional)
		snprintf(f->error, sizeof(f->error), "not opened yet");
	loop_timer_init(&f->turn, ctx->loop, on_turn, f);
	loop_timer_init(&f->tick, ctx->loop, on_turn, f);
	loop_timer_init(&f->reopen, ctx->loop, on_reopen, f);
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
	f->asking = false;
}

void
follow_destroy(struct follow **fp)
{
	struct follow *f = *fp;

	if (f == NULL)
		return;
	loop_timer_stop(&f->reopen);
	close_log(f);
	arena_fini(&f->arena);
	buf_fini(&f->wire);
	route_answer_fini(&f->answer);
	free(f);
	*fp = NULL;
}

static void
log_failed(struct follow *f, err_t err, const struct err_detail *why)
{
	bool is_topic = broker_is_kafka(f->ctx.log_opt);

	/* Once it was missing, nobody who cannot be asked makes it more than that. */
	if (f->ctx.is_optional && !follow_began(f) && (err == ERR_NOT_FOUND || f->was_missing)) {
		f->was_missing = true;
		f->error[0] = '\0';
		loop_timer_once(&f->reopen, LOOK_MS);
		return;
	}
	metric_inc(&f->ctx.metrics->audit_log_errors);
	if (strcmp(f->error, err_why(why)) != 0)
		log_error(f->ctx.log, "the log cannot be read; it is tried again",
			  F_STR("reason", err_why(why)));
	snprintf(f->error, sizeof(f->error), "%s", err_why(why));
	close_log(f);
	loop_timer_once(&f->reopen, is_topic ? REOPEN_TOPIC_MS : REOPEN_MS);
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

	metric_inc(&f->ctx.metrics->audit_records);
	arena_reset(&f->arena);
	if (raw->damaged)
		err_set(&why, ERR_CHECKSUM, "its checksum does not match");
	if (raw->damaged || record_decode(raw->bytes, &f->arena, &rec, &why) != ERR_OK) {
		metric_inc(&f->ctx.metrics->audit_bad_records);
		log_warn(f->ctx.log, "a record of the log cannot be read; its keys are not audited",
			 F_UINT("offset", raw->offset), F_STR("reason", err_why(&why)));
		return true;
	}
	for (size_t t = 0; t < rec.ntxns; t++) {
		const struct record_txn *txn = &rec.txns[t];
		struct audit_origin from = {
		    txn->gtid, raw->offset, txn->seen_us, raw->at_us, f->end_ns, f->ctx.partition, 0};

		for (size_t i = 0; i < txn->nkeys; i++)
			take_key(f, &from, txn->keys[i], txn->pool);
		for (size_t i = 0; i < txn->nmarkers; i++)
			take_key(f, &from, txn->markers[i], txn->pool);
	}
	return true;
}

static void
ask_for_end(struct follow *f, uint64_t now_ns)
{
	if (f->asking || (f->asked_ns != 0 && now_ns - f->asked_ns < (uint64_t)ASK_MS * 1000000))
		return;
	f->asking = true;
	f->told = false;
	f->asked_ns = now_ns;
	f->asked = broker_ask(f->reader);
}

/* Everything before `next` was handed over. */
static err_t
look_at_end(struct follow *f, uint64_t next, struct err_detail *why)
{
	uint64_t first;
	err_t err = ERR_OK;

	if (!f->asking || (!f->told && !broker_answered(f->reader, f->asked)))
		return ERR_OK;
	if (!f->told)
		err = broker_bounds(f->reader, &first, &f->asked_end, why);
	if (err != ERR_OK)
		return err;
	f->told = true;
	if (next < f->asked_end)
		return ERR_OK;
	f->end_ns = f->asked_ns;
	f->asking = false;
	return ERR_OK;
}

/* One slice, and then the loop may do other things. */
static void
on_turn(void *arg)
{
	struct follow *f = arg;
	struct err_detail why = {0};
	uint64_t next = f->next;
	err_t err;

	if (f->reader == NULL || f->stopped)
		return;
	ask_for_end(f, clock_mono_ns(loop_clock(f->ctx.loop)));
	err = broker_read(f->reader, f->next, SLICE_RECORDS, SLICE_BYTES, on_record, f, &next, &why);
	if (err == ERR_GAP) {
		metric_inc(&f->ctx.metrics->audit_log_gaps);
		log_warn(f->ctx.log, "records of the log are missing; their keys are not audited",
			 F_UINT("partition", f->ctx.partition), F_UINT("from", f->next), F_UINT("next", next),
			 F_STR("reason", err_why(&why)));
	} else if (err != ERR_OK) {
		f->next = next;
		log_failed(f, err, &why);
		return;
	}
	if (next != f->next)
		loop_timer_once(&f->turn, 0);
	f->next = next;
	err_clear(&why);
	err = look_at_end(f, next, &why);
	if (err != ERR_OK)
		log_failed(f, err, &why);
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
	struct broker_context ctx = {loop_clock(f->ctx.loop), f->ctx.log, f->ctx.broker_metrics};
	struct err_detail why = {0};
	struct buf name = BUF_INIT;
	uint64_t first = 0, end = 0;
	bool begins;
	err_t err;

	if (f->stopped)
		return;
	err = broker_reader_open_partition(&f->reader, f->ctx.log_opt, f->ctx.partition, &ctx, &why);
	if (err == ERR_OK)
		err = broker_bounds(f->reader, &first, &end, &why);
	if (err != ERR_OK) {
		log_failed(f, err, &why);
		return;
	}
	begins = f->log_id[0] == '\0';
	/* The first log is followed from its end, one that takes its place from its beginning. */
	if (f->log_id[0] == '\0') {
		f->next = f->was_missing ? first : end;
	} else if (strcmp(f->log_id, broker_reader_log_id(f->reader)) != 0) {
		f->next = first;
		f->end_ns = 0;
	}
	snprintf(f->log_id, sizeof(f->log_id), "%s", broker_reader_log_id(f->reader));
	f->error[0] = '\0';
	broker_describe(f->ctx.log_opt, &name);
	log_info(f->ctx.log, "following the log", F_STR("log", buf_str(&name)),
		 F_UINT("partition", f->ctx.partition), F_STR("id", f->log_id), F_UINT("from", f->next));
	buf_fini(&name);
	loop_fd_init(&f->woken, f->ctx.loop, broker_reader_fd(f->reader), on_woken, f);
	loop_fd_want(&f->woken, LOOP_READ);
	loop_timer_every(&f->tick, TICK_MS);
	loop_timer_once(&f->turn, 0);
	if (begins)
		f->ctx.on_began(f->ctx.arg, f);
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
