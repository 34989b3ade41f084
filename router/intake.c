#include "router/intake.h"

#include <stdio.h>
#include <string.h>

enum {
	REOPEN_FIRST_MS = 100,
	REOPEN_MAX_MS = 2000,
	SAY_AGAIN_MS = 30000, /* a log that stays unreadable is mentioned this often */
};

static void on_reopen(void *arg);

void
intake_init(struct intake *in, const struct intake_context *ctx)
{
	memset(in, 0, sizeof(*in));
	in->ctx = *ctx;
	snprintf(in->error, sizeof(in->error), "not opened yet");
	loop_timer_init(&in->reopen, ctx->loop, on_reopen, in);
}

void
intake_start(struct intake *in)
{
	loop_timer_once(&in->reopen, 0);
}

static void
intake_close(struct intake *in)
{
	loop_fd_fini(&in->woken);
	in->woken = (struct loop_fd){0};
	broker_reader_close(&in->reader);
}

void
intake_stop(struct intake *in)
{
	loop_timer_stop(&in->reopen);
	intake_close(in);
}

void
intake_failed(struct intake *in, err_t err, const struct err_detail *why)
{
	uint64_t ms = (uint64_t)REOPEN_FIRST_MS << (in->failures < 8 ? in->failures : 8);
	uint64_t now = clock_mono_ms(loop_clock(in->ctx.loop));

	metric_inc(in->ctx.errors);
	if (in->err != err || now - in->said_ms >= SAY_AGAIN_MS) {
		log_error(in->ctx.log, "the log cannot be read; it is tried again",
			  F_UINT("partition", in->ctx.partition), F_STR("reason", err_why(why)));
		in->said_ms = now;
	}
	in->err = err;
	snprintf(in->error, sizeof(in->error), "%s", err_why(why));
	intake_close(in);
	in->failures++;
	loop_timer_once(&in->reopen, ms < REOPEN_MAX_MS ? ms : REOPEN_MAX_MS);
}

bool
intake_look(struct intake *in)
{
	struct err_detail why = {0};
	err_t err = broker_bounds(in->reader, &in->first, &in->end, &why);

	if (err != ERR_OK)
		intake_failed(in, err, &why);
	return err == ERR_OK;
}

static void
on_woken(void *arg, int what)
{
	struct intake *in = arg;

	(void)what;
	broker_reader_woken(in->reader);
	in->ctx.on_woken(in->ctx.arg);
}

static void
on_reopen(void *arg)
{
	struct intake *in = arg;
	struct broker_context ctx = {loop_clock(in->ctx.loop), in->ctx.log, in->ctx.metrics};
	struct err_detail why = {0};
	err_t err;

	err = broker_reader_open_partition(&in->reader, in->ctx.opt, in->ctx.partition, &ctx, &why);
	if (err != ERR_OK) {
		intake_failed(in, err, &why);
		return;
	}
	if (!intake_look(in))
		return;
	log_info(in->ctx.log, "reading the log", F_UINT("partition", in->ctx.partition),
		 F_STR("id", broker_reader_log_id(in->reader)), F_UINT("first", in->first),
		 F_UINT("end", in->end));
	in->failures = 0;
	in->err = ERR_OK;
	in->error[0] = '\0';
	loop_fd_init(&in->woken, in->ctx.loop, broker_reader_fd(in->reader), on_woken, in);
	loop_fd_want(&in->woken, LOOP_READ);
	in->ctx.on_open(in->ctx.arg);
}
