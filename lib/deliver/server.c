#include "lib/deliver/server_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/crash.h"
#include "lib/core/mem.h"
#include "lib/route/ring.h"

typedef struct server_metrics metric_owner;
const struct metric_row server_metric_rows[] = {METRIC_ROWS(SERVER_METRICS)};
const size_t server_metric_nrows = sizeof(server_metric_rows) / sizeof(server_metric_rows[0]);

enum { FIRST_PAUSE_MS = 10, MAX_INPUT = 4 * MC_REPLY_LINE_MAX };

static void server_connect(void *arg);
static void server_watch(void *arg);

/* An IPv6 host is written without brackets where it is hashed, and needs them to be connected to. */
static char *
address_of(const struct server_options *opt, const char *name)
{
	struct buf b = BUF_INIT;
	char *address;

	if (opt->connect[0] != '\0')
		buf_put_str(&b, opt->connect);
	else if (strchr(opt->host, ':') != NULL && opt->host[0] != '[')
		buf_printf(&b, "[%s]:%u", opt->host, (unsigned)opt->port);
	else
		buf_put_str(&b, name);
	address = span_dup(buf_span(&b));
	buf_fini(&b);
	return address;
}

struct server *
server_create(const struct server_options *opt, const struct server_context *ctx)
{
	struct server *s = MEM_NEW(struct server);
	struct outbox_context outbox = {0};
	struct buf name = BUF_INIT;

	s->ctx = *ctx;
	s->random = ctx->seed | 1;
	ring_server_name(opt, &name);
	s->name = span_dup(buf_span(&name));
	buf_fini(&name);
	s->address = address_of(opt, s->name);
	s->tls_name = server_security_name(opt);
	outbox.opt = ctx->opt;
	outbox.clock = loop_clock(ctx->loop);
	outbox.log = ctx->log;
	outbox.metrics = &s->outbox_metrics;
	outbox.server = s->name;
	outbox.on_acked = ctx->on_acked;
	outbox.on_coalesced = ctx->on_coalesced;
	outbox.arg = ctx->arg;
	s->outbox = outbox_create(&outbox, 0);
	loop_timer_init(&s->pause, ctx->loop, server_connect, s);
	loop_timer_init(&s->watch, ctx->loop, server_watch, s);
	return s;
}

void
server_destroy(struct server **sp)
{
	struct server *s = *sp;

	if (s == NULL)
		return;
	loop_timer_stop(&s->pause);
	loop_timer_stop(&s->watch);
	stream_close(&s->stream);
	outbox_destroy(&s->outbox);
	buf_fini(&s->out);
	free(s->name);
	free(s->address);
	free(s->tls_name);
	free(s);
	*sp = NULL;
}

uint64_t
server_now_ms(const struct server *s)
{
	return clock_mono_ms(loop_clock(s->ctx.loop));
}

/* --- going away -------------------------------------------------------------------------------------------
 */

static uint64_t
next_random(struct server *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

/* Doubles with every failure in a row; half of it is chance, so that routers do not return in step. */
static uint64_t
pause_ms(struct server *s)
{
	uint64_t ms = (uint64_t)FIRST_PAUSE_MS << (s->failures < 20 ? s->failures : 20);

	if (ms > s->ctx.opt->backoff_max)
		ms = s->ctx.opt->backoff_max;
	return ms / 2 + next_random(s) % (ms / 2 + 1);
}

void
server_count_stream(struct server *s)
{
	const struct stream_counts *c;

	if (s->stream == NULL)
		return;
	c = stream_counts(s->stream);
	metric_add(&s->metrics.router_packets, c->writes - s->counted.writes);
	metric_add(&s->metrics.router_bytes_sent, c->bytes_out - s->counted.bytes_out);
	s->counted = *c;
}

static void
server_leave(struct server *s, const char *reason)
{
	/* A connection that held for a while was a good one: the next try comes soon. */
	if (s->state == SERVER_UP && server_now_ms(s) - s->up_at_ms > s->ctx.opt->backoff_max)
		s->failures = 0;
	snprintf(s->last_error, sizeof(s->last_error), "%s", reason);
	if (!s->said_away)
		log_warn(s->ctx.log, "server is away; its deletes wait in the log", F_STR("server", s->name),
			 F_STR("address", s->address), F_STR("reason", reason));
	s->said_away = true;
	server_count_stream(s);
	stream_close(&s->stream);
	buf_clear(&s->out);
	outbox_disconnected(s->outbox);
	loop_timer_stop(&s->watch);
	s->state = SERVER_AWAY;
	metric_set(&s->metrics.router_server_up, 0);
	loop_timer_once(&s->pause, pause_ms(s));
	s->failures++;
}

void
server_reconnect(struct server *s, const char *reason)
{
	if (s->state != SERVER_AWAY)
		server_leave(s, reason);
}

/* --- time -------------------------------------------------------------------------------------------------
 */

/* Sets the watch to the next moment that matters.  A watch that is set earlier is left alone: it looks again.
 */
static void
server_schedule(struct server *s)
{
	uint64_t now = server_now_ms(s), due = 0, at;

	if (s->state == SERVER_GREETING)
		due = s->greeting_at_ms + s->ctx.opt->ack_timeout;
	else if (outbox_waiting_since_ms(s->outbox) != 0)
		due = outbox_waiting_since_ms(s->outbox) + s->ctx.opt->ack_timeout;
	at = s->state == SERVER_UP ? outbox_retry_at_ms(s->outbox) : 0;
	if (at != 0 && (due == 0 || at < due))
		due = at;
	if (due == 0)
		return;
	if (due <= now)
		due = now + 1;
	if (!loop_timer_is_set(&s->watch) || s->watch.at_ns > due * 1000000)
		loop_timer_once(&s->watch, due - now);
}

static void
server_watch(void *arg)
{
	struct server *s = arg;
	uint64_t since = s->state == SERVER_GREETING ? s->greeting_at_ms : outbox_waiting_since_ms(s->outbox);

	if (s->state != SERVER_GREETING && s->state != SERVER_UP)
		return;
	if (since != 0 && server_now_ms(s) - since >= s->ctx.opt->ack_timeout) {
		char reason[80];

		metric_inc(&s->metrics.router_ack_timeouts);
		snprintf(reason, sizeof(reason), "no answer for %llu ms",
			 (unsigned long long)s->ctx.opt->ack_timeout);
		server_leave(s, reason);
		s->ctx.on_progress(s->ctx.arg, s);
		return;
	}
	server_pump(s);
}

/* --- talking ----------------------------------------------------------------------------------------------
 */

void
server_pump(struct server *s)
{
	if (s->state != SERVER_UP)
		return;
	if (outbox_send(s->outbox, &s->out)) {
		stream_write(s->stream, &s->out);
		server_count_stream(s);
		CRASH_POINT("router.sent");
	}
	server_schedule(s);
}

static void
on_open(void *arg)
{
	struct server *s = arg;

	server_greet(s);
	server_schedule(s);
}

/*
 * Looks through everything that has arrived before any of it is believed: where one line is no reply, or
 * there are more answers to end marks than end marks, those before it may have been out of step as well.
 */
static err_t
look_ahead(const struct server *s, struct span in, struct err_detail *why)
{
	enum mc_reply_kind mark = s->meta ? MC_REPLY_MN : MC_REPLY_VERSION;
	size_t marks = 0;

	for (;;) {
		struct mc_reply reply;
		err_t err;

		/* Misses come in long runs. */
		while (span_starts(in, SPAN_LIT("NF\r\n")))
			in = span_from(in, 4);
		err = mc_reply_parse(in, &reply, why);
		if (err != ERR_OK || reply.kind == MC_REPLY_MORE)
			return err;
		marks += reply.kind == mark;
		if (marks > outbox_in_flight(s->outbox))
			return err_set(why, ERR_PROTOCOL, "%s although nothing was asked",
				       mc_reply_name(mark));
		in = span_from(in, reply.used);
	}
}

static void
server_garbage(struct server *s, const struct err_detail *why)
{
	metric_inc(why->code == ERR_AUTH ? &s->metrics.router_auth_errors : &s->metrics.router_garbage);
	server_leave(s, err_why(why));
	s->ctx.on_progress(s->ctx.arg, s);
}

static size_t
on_bytes(void *arg, struct span bytes)
{
	struct server *s = arg;
	uint64_t acked = outbox_acked(s->outbox);
	uint64_t windows = metric_get(&s->outbox_metrics.router_windows_acked);
	struct err_detail why = {0};
	struct span in = bytes;

	if (s->state == SERVER_UP && look_ahead(s, in, &why) != ERR_OK) {
		server_garbage(s, &why);
		return bytes.len;
	}
	for (;;) {
		struct mc_reply reply;
		err_t err = mc_reply_parse(in, &reply, &why);

		if (err == ERR_OK && reply.kind == MC_REPLY_MORE)
			break;
		if (err == ERR_OK)
			err = s->state == SERVER_GREETING ? server_greeting_reply(s, &reply, &why)
							  : outbox_reply(s->outbox, &reply, &why);
		if (err != ERR_OK) {
			server_garbage(s, &why);
			return bytes.len;
		}
		in = span_from(in, reply.used);
	}
	if (s->state == SERVER_UP)
		s->heard_at_ms = (int64_t)server_now_ms(s);
	if (metric_get(&s->outbox_metrics.router_windows_acked) != windows)
		s->failures = 0;
	if (outbox_acked(s->outbox) != acked)
		CRASH_POINT("router.acked");
	server_pump(s);
	s->ctx.on_progress(s->ctx.arg, s);
	return bytes.len - in.len;
}

static void
on_close(void *arg, err_t err, const char *why)
{
	struct server *s = arg;

	/* A proxy that hangs up on a command it does not know is greeted without it next time, and the time
	 * after that with it again. */
	if (s->state == SERVER_GREETING && s->step == STEP_STATS)
		s->stats_hangups++;
	else
		s->no_probe = s->state == SERVER_GREETING && s->step == STEP_FENCE && !s->no_probe;
	if (err == ERR_TOO_LONG)
		metric_inc(&s->metrics.router_garbage);
	else if (s->state == SERVER_CONNECTING)
		metric_inc(&s->metrics.router_connect_errors);
	else
		metric_inc(&s->metrics.router_disconnects);
	server_leave(s, why);
	s->ctx.on_progress(s->ctx.arg, s);
}

/* --- connecting -------------------------------------------------------------------------------------------
 */

static void
server_connect(void *arg)
{
	static const struct stream_ops ops = {.on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};
	struct server *s = arg;
	struct stream_options opt = {.connect_timeout_ms = s->ctx.opt->connect_timeout,
				     .max_input = MAX_INPUT,
				     .tls = server_security_tls(s->ctx.security),
				     .tls_name = s->tls_name};
	struct err_detail why = {0};

	metric_inc(&s->metrics.router_connects);
	s->counted = (struct stream_counts){0};
	s->state = SERVER_CONNECTING;
	if (stream_connect(&s->stream, s->ctx.loop, s->address, &opt, &ops, s, &why) != ERR_OK) {
		metric_inc(&s->metrics.router_connect_errors);
		server_leave(s, err_why(&why));
	}
}

void
server_start(struct server *s)
{
	if (s->state == SERVER_AWAY && !loop_timer_is_set(&s->pause))
		loop_timer_once(&s->pause, 0);
}

void
server_recall(struct server *s, const struct server_past *past)
{
	if (s->process.met)
		return;
	process_recall(&s->process, past);
	s->heard_at_ms = past->heard_ms;
}
