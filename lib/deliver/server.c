#include "lib/deliver/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/crash.h"
#include "lib/core/mem.h"
#include "lib/deliver/process.h"
#include "lib/net/stream.h"
#include "lib/route/ring.h"
#include "lib/wire/mc_reply.h"
#include "lib/wire/mc_request.h"

typedef struct server_metrics metric_owner;
const struct metric_row server_metric_rows[] = {METRIC_ROWS(SERVER_METRICS)};
const size_t server_metric_nrows = sizeof(server_metric_rows) / sizeof(server_metric_rows[0]);

enum {
	FIRST_PAUSE_MS = 10,
	MAX_INPUT = 4 * MC_REPLY_LINE_MAX,
	HANGUPS_BELIEVED =
	    2, /* at "stats", in a row: the server is not asked any more until one greeting worked */
};

enum server_state { SERVER_AWAY, SERVER_CONNECTING, SERVER_GREETING, SERVER_UP };

/* What the greeting waits for. */
enum greeting_step {
	STEP_LOGIN,
	STEP_VERSION,
	STEP_FENCE,
	STEP_STATS,   /* pid, uptime, time, total_connections */
	STEP_RESTART, /* squeal-cache: started_us */
};

struct server {
	struct server_context ctx;
	char *name;
	char *address;
	char *tls_name; /* that its certificate must carry; "" for a socket */
	enum server_state state;
	struct stream *stream;
	struct outbox *outbox;
	struct loop_timer pause; /* the next try to connect */
	struct loop_timer watch; /* ack_timeout, and windows that wait for time */
	uint64_t random;
	unsigned failures; /* in a row */
	uint64_t up_at_ms;
	uint64_t greeting_at_ms;
	bool was_up;
	bool said_away; /* one line per absence */
	bool no_probe;	/* the last server hung up on "mn": greet with "version" only */
	enum greeting_step step;
	unsigned stats_hangups; /* in a row: connections that ended at "stats" */
	bool meta;
	char version[96];
	unsigned can;	    /* enum outbox_ability, out of the version */
	uint64_t greetings; /* so far */
	char last_error[200];
	struct server_identity identity;
	struct process process;	      /* that is connected, or was */
	struct process fresh;	      /* being asked for */
	uint64_t asked_at_ms;	      /* "stats" was sent */
	uint64_t heard_at_ms;	      /* the last that came from the process that is connected, or was */
	struct stream_counts counted; /* of the stream, already in the metrics */
	struct buf out;
	struct server_metrics metrics;
	struct outbox_metrics outbox_metrics;
};

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

static char *
tls_name_of(const struct server_options *opt)
{
	struct span host = span_of(opt->host);

	if (host.len > 0 && host.p[0] == '/')
		host.len = 0;
	if (host.len > 2 && host.p[0] == '[')
		host = span_make(host.p + 1, host.len - 2);
	return span_dup(host);
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
	s->tls_name = tls_name_of(opt);
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

static uint64_t
now_ms(const struct server *s)
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

static void
count_stream(struct server *s)
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
	if (s->state == SERVER_UP && now_ms(s) - s->up_at_ms > s->ctx.opt->backoff_max)
		s->failures = 0;
	snprintf(s->last_error, sizeof(s->last_error), "%s", reason);
	if (!s->said_away)
		log_warn(s->ctx.log, "server is away; its deletes wait in the log", F_STR("server", s->name),
			 F_STR("address", s->address), F_STR("reason", reason));
	s->said_away = true;
	count_stream(s);
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
	uint64_t now = now_ms(s), due = 0, at;

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
	if (since != 0 && now_ms(s) - since >= s->ctx.opt->ack_timeout) {
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
		count_stream(s);
		CRASH_POINT("router.sent");
	}
	server_schedule(s);
}

static void
ask_version(struct server *s)
{
	s->step = STEP_VERSION;
	mc_request_version(&s->out);
	if (!s->no_probe)
		mc_request_fence(&s->out);
	stream_write(s->stream, &s->out);
}

static void
on_open(void *arg)
{
	struct server *s = arg;
	struct span login = server_security_login(s->ctx.security);

	s->state = SERVER_GREETING;
	s->greeting_at_ms = now_ms(s);
	if (login.len > 0) {
		s->step = STEP_LOGIN;
		mc_request_login(&s->out, login);
		stream_write(s->stream, &s->out);
	} else {
		ask_version(s);
	}
	server_schedule(s);
}

/* squeal-cache says behind its version what it can do beyond memcached (schemas/cache-protocol.md). */
static unsigned
abilities_of(const char *version)
{
	const char *ours = strstr(version, " squeal-cache/");
	unsigned can = 0;

	if (ours == NULL)
		return 0;
	if (strstr(ours, " holdoff") != NULL)
		can |= OUTBOX_HOLDOFF;
	if (strstr(ours, " epoch") != NULL)
		can |= OUTBOX_CAUGHT_UP;
	if (strstr(ours, " parts") != NULL)
		can |= OUTBOX_CAUGHT_UP_PART;
	return can;
}

static void
say_up(const struct server *s)
{
	static const char *const changes[] = {"same", "restarted", "other"};

	if (s->said_away)
		log_notice(s->ctx.log, "server is back", F_STR("server", s->name),
			   F_STR("version", s->version), F_STR("process", changes[s->identity.changed]),
			   F_UINT("acked_offset", outbox_acked(s->outbox)));
	else
		log_info(s->ctx.log, "server is up", F_STR("server", s->name), F_STR("address", s->address),
			 F_STR("version", s->version), F_STR("deletes", s->meta ? "meta" : "classic"),
			 F_STR("tls", server_security_tls_mode(s->ctx.security)));
}

static void
server_greeted(struct server *s)
{
	uint64_t now = now_ms(s);

	s->identity.changed = process_compare(&s->process, &s->fresh, s->heard_at_ms);
	s->identity.known = s->fresh.known;
	s->identity.pid = s->fresh.pid;
	s->identity.started_us = process_started_us(&s->fresh, clock_real_us(loop_clock(s->ctx.loop)), now);
	s->process = s->fresh;
	s->process.met = true;
	s->heard_at_ms = now;
	s->stats_hangups = 0;
	s->state = SERVER_UP;
	s->up_at_ms = now;
	if (s->was_up)
		metric_inc(&s->metrics.router_reconnects);
	say_up(s);
	s->said_away = false;
	s->was_up = true;
	metric_set(&s->metrics.router_server_up, 1);
	count_stream(s);
	s->greetings++;
	s->can = abilities_of(s->version);
	outbox_abilities(s->outbox, s->can);
	outbox_connected(s->outbox, s->meta);
}

static void
ask_stats(struct server *s)
{
	s->fresh = (struct process){0};
	if (s->stats_hangups >= HANGUPS_BELIEVED) {
		server_greeted(s);
		return;
	}
	s->step = STEP_STATS;
	s->asked_at_ms = now_ms(s);
	mc_request_stats(&s->out, "");
	stream_write(s->stream, &s->out);
}

static err_t
login_reply(struct server *s, const struct mc_reply *reply, struct err_detail *why)
{
	if (reply->kind == MC_REPLY_STORED) {
		ask_version(s);
		return ERR_OK;
	}
	if (!mc_reply_is_error(reply->kind))
		return err_set(why, ERR_PROTOCOL, "%s answers the password", mc_reply_name(reply->kind));
	return err_set(
	    why, ERR_AUTH,
	    "the server refuses the user or the password of auth_file (%s %.*s); check it against the "
	    "server's -Y file",
	    mc_reply_name(reply->kind), SPAN_FMT(span_first(reply->text, 80)));
}

static err_t
version_reply(struct server *s, const struct mc_reply *reply, struct err_detail *why)
{
	if (reply->kind == MC_REPLY_CLIENT_ERROR && span_is(reply->text, "unauthenticated"))
		return err_set(why, ERR_AUTH,
			       "the server wants a password; set auth_file in squeal.yaml to a file with the "
			       "line user:password");
	if (reply->kind != MC_REPLY_VERSION)
		return err_set(why, ERR_PROTOCOL, "%s %.*s answers \"version\"", mc_reply_name(reply->kind),
			       SPAN_FMT(span_first(reply->text, 80)));
	snprintf(s->version, sizeof(s->version), "%.*s",
		 SPAN_FMT(span_first(reply->text, sizeof(s->version) - 1)));
	s->step = STEP_FENCE;
	if (s->no_probe) {
		s->meta = false;
		ask_stats(s);
	}
	return ERR_OK;
}

static err_t
stats_reply(struct server *s, const struct mc_reply *reply, struct err_detail *why)
{
	if (reply->kind == MC_REPLY_STAT) {
		process_stat(&s->fresh, reply->text);
	} else if (mc_reply_is_error(reply->kind)) {
		server_greeted(s);
	} else if (reply->kind != MC_REPLY_END) {
		return err_set(why, ERR_PROTOCOL, "%s answers \"stats\"", mc_reply_name(reply->kind));
	} else if (s->step == STEP_STATS) {
		process_asked(&s->fresh, s->asked_at_ms, now_ms(s));
		if (!(abilities_of(s->version) & OUTBOX_CAUGHT_UP)) {
			server_greeted(s);
			return ERR_OK;
		}
		s->step = STEP_RESTART;
		mc_request_stats(&s->out, "restart");
		stream_write(s->stream, &s->out);
	} else {
		server_greeted(s);
	}
	return ERR_OK;
}

static err_t
greeting_reply(struct server *s, const struct mc_reply *reply, struct err_detail *why)
{
	switch (s->step) {
	case STEP_LOGIN:
		return login_reply(s, reply, why);
	case STEP_VERSION:
		return version_reply(s, reply, why);
	case STEP_FENCE:
		if (reply->kind != MC_REPLY_MN && !mc_reply_is_error(reply->kind))
			return err_set(why, ERR_PROTOCOL, "%s answers \"mn\"", mc_reply_name(reply->kind));
		s->meta = reply->kind == MC_REPLY_MN;
		ask_stats(s);
		return ERR_OK;
	case STEP_STATS:
	case STEP_RESTART:
		break;
	}
	return stats_reply(s, reply, why);
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
			err = s->state == SERVER_GREETING ? greeting_reply(s, &reply, &why)
							  : outbox_reply(s->outbox, &reply, &why);
		if (err != ERR_OK) {
			server_garbage(s, &why);
			return bytes.len;
		}
		in = span_from(in, reply.used);
	}
	if (s->state == SERVER_UP)
		s->heard_at_ms = now_ms(s);
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

/* --- looking ----------------------------------------------------------------------------------------------
 */

uint64_t
server_greetings(const struct server *s)
{
	return s->greetings;
}

unsigned
server_can(const struct server *s)
{
	return s->state == SERVER_UP ? s->can : 0;
}

struct outbox *
server_outbox(struct server *s)
{
	return s->outbox;
}

bool
server_is_up(const struct server *s)
{
	return s->state == SERVER_UP;
}

const char *
server_state(const struct server *s)
{
	static const char *const names[] = {"away", "connecting", "greeting", "up"};

	return names[s->state];
}

const char *
server_name(const struct server *s)
{
	return s->name;
}

const char *
server_address(const struct server *s)
{
	return s->address;
}

const char *
server_version(const struct server *s)
{
	return s->version;
}

const char *
server_last_error(const struct server *s)
{
	return s->last_error;
}

bool
server_has_meta(const struct server *s)
{
	return s->meta;
}

const struct server_identity *
server_identity(const struct server *s)
{
	return &s->identity;
}

static void
status_cannot(const struct server *s, struct json *j)
{
	unsigned can = server_can(s);

	json_name(j, "cannot");
	json_array(j);
	if (s->was_up && !(can & OUTBOX_HOLDOFF))
		json_str(j, "hold-off: a plain delete leaves nothing behind that would refuse a late fill");
	if (s->was_up && !s->meta)
		json_str(j, "stale: without meta commands the value is deleted");
	else if (s->was_up && can == 0)
		json_str(j, "stale to readers who ask for it only: get returns a stale value as if it were a "
			    "good one; readers must use mg");
	if (s->was_up && !s->identity.known)
		json_str(j,
			 "identity: it does not answer \"stats\", so another server at this address is not "
			 "noticed");
	json_str(j, "epochs: every delete removes whatever is there");
	json_array_end(j);
}

void
server_status(const struct server *s, struct json *j)
{
	static const char *const changes[] = {"same", "restarted", "other"};
	const struct outbox_metrics *m = &s->outbox_metrics;

	json_kv_str(j, "address", s->address);
	json_kv_str(j, "version", s->version);
	json_kv_str(j, "deletes", s->meta ? "meta" : "classic");
	json_kv_str(j, "tls", server_security_tls_mode(s->ctx.security));
	json_kv_bool(j, "auth", server_security_login(s->ctx.security).len > 0);
	json_name(j, "identity");
	if (s->identity.known) {
		json_object(j);
		json_kv_u64(j, "pid", s->identity.pid);
		json_kv_u64(j, "started_us", s->identity.started_us);
		json_kv_str(j, "changed", changes[s->identity.changed]);
		json_object_end(j);
	} else {
		json_null(j);
	}
	status_cannot(s, j);
	json_kv_u64(j, "holdoff_unsupported", metric_get(&m->router_holdoff_unsupported));
	json_kv_u64(j, "stale_unsupported", metric_get(&m->router_stale_unsupported));
	json_kv_bool(j, "paused", outbox_is_paused(s->outbox));
	json_kv_u64(j, "limited_waiting", metric_get(&m->router_limited_waiting));
	json_kv_u64(j, "coalesced", metric_get(&m->router_deletes_coalesced));
	json_kv_u64(j, "delete_hits", metric_get(&m->router_delete_hits));
	json_kv_u64(j, "delete_misses", metric_get(&m->router_delete_misses));
}

const struct server_metrics *
server_metrics(const struct server *s)
{
	return &s->metrics;
}

const struct outbox_metrics *
server_outbox_metrics(const struct server *s)
{
	return &s->outbox_metrics;
}

void
server_metrics_add(struct server *s, struct metric_registry *r, const char *labels)
{
	metric_registry_add(r, server_metric_rows, server_metric_nrows, &s->metrics, labels);
	metric_registry_add(r, outbox_metric_rows, outbox_metric_nrows, &s->outbox_metrics, labels);
}

void
server_metrics_remove(struct server *s, struct metric_registry *r)
{
	metric_registry_remove(r, &s->metrics);
	metric_registry_remove(r, &s->outbox_metrics);
}
