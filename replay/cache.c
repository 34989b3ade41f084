#include "replay/cache.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/net/stream.h"
#include "lib/wire/mc_reply.h"
#include "lib/wire/mc_request.h"
#include "replay/ages.h"

typedef struct cache_metrics metric_owner;
const struct metric_row cache_metric_rows[] = {METRIC_ROWS(CACHE_METRICS)};
const size_t cache_metric_nrows = sizeof(cache_metric_rows) / sizeof(cache_metric_rows[0]);

enum { HISTORY_SPARE = 64, MAX_INPUT = 4 * MC_REPLY_LINE_MAX };

enum cache_state { CACHE_AWAY, CACHE_CONNECTING, CACHE_GREETING, CACHE_UP };

/* What the server has been asked and has not answered. */
enum asked { ASKED_LOGIN, ASKED_PROBE, ASKED_KEY };
struct question {
	enum asked what;
	struct audit_check *check; /* of ASKED_KEY */
	uint64_t sent_ns;
};

struct cache {
	struct cache_context ctx;
	char *name;
	char *address;	/* that it is connected by */
	char *tls_name; /* that its certificate must carry; "" for a socket */
	enum cache_state state;
	struct stream *stream;
	struct ages *ages;
	struct loop_timer pause, probe, watch;
	struct question *asked; /* a ring of `room`, which grows */
	size_t first, n, room;
	uint64_t watched_ns;
	bool said_away; /* one line per absence */
	char error[300];
	struct buf out;
	struct cache_metrics metrics;
};

static void cache_connect(void *arg);
static void cache_probe(void *arg);
static void cache_watch(void *arg);

static uint64_t
now_ns(const struct cache *c)
{
	return clock_mono_ns(loop_clock(c->ctx.loop));
}

struct cache *
cache_create(const struct server_options *opt, const struct cache_context *ctx)
{
	struct cache *c = MEM_NEW(struct cache);
	struct buf name = BUF_INIT;

	c->ctx = *ctx;
	buf_printf(&name, "%s:%u", opt->host, (unsigned)opt->port);
	c->name = span_dup(buf_span(&name));
	buf_clear(&name);
	topology_server_address(opt, &name);
	c->address = span_dup(buf_span(&name));
	buf_fini(&name);
	c->tls_name = server_security_name(opt);
	c->ages = ages_create((size_t)(ctx->history_ms / CACHE_PROBE_MS) + HISTORY_SPARE);
	loop_timer_init(&c->pause, ctx->loop, cache_connect, c);
	loop_timer_init(&c->probe, ctx->loop, cache_probe, c);
	loop_timer_init(&c->watch, ctx->loop, cache_watch, c);
	return c;
}

/* --- questions --------------------------------------------------------------------------------------------
 */

static void
put_question(struct cache *c, enum asked what, struct audit_check *check)
{
	if (c->n == c->room) {
		size_t room = c->room > 0 ? c->room * 2 : 16;
		struct question *asked = mem_alloc(room * sizeof(asked[0]));

		for (size_t i = 0; i < c->n; i++)
			asked[i] = c->asked[(c->first + i) % c->room];
		free(c->asked);
		c->asked = asked;
		c->room = room;
		c->first = 0;
	}
	c->asked[(c->first + c->n++) % c->room] = (struct question){what, check, now_ns(c)};
}

static struct question
take_question(struct cache *c)
{
	struct question q = c->asked[c->first];

	c->first = (c->first + 1) % c->room;
	c->n--;
	return q;
}

static void
drop_questions(struct cache *c)
{
	while (c->n > 0) {
		struct question q = take_question(c);

		if (q.what != ASKED_KEY)
			continue;
		metric_inc(&c->metrics.audit_no_answer);
		audit_answer(c->ctx.audit, q.check, c->ctx.index, AUDIT_UNASKED, 0);
	}
}

bool
cache_ask(struct cache *c, struct audit_check *check)
{
	if (c->state != CACHE_UP || mc_request_inspect(&c->out, audit_check_key(check)) != ERR_OK) {
		metric_inc(&c->metrics.audit_no_answer);
		return false;
	}
	metric_inc(&c->metrics.audit_questions);
	put_question(c, ASKED_KEY, check);
	return true;
}

void
cache_flush(struct cache *c)
{
	if (c->state == CACHE_UP && c->out.len > 0)
		stream_write(c->stream, &c->out);
}

/* Once a second.  A probe that has not been answered yet is enough. */
static void
cache_probe(void *arg)
{
	struct cache *c = arg;

	for (size_t i = 0; i < c->n; i++) {
		if (c->asked[(c->first + i) % c->room].what == ASKED_PROBE)
			return;
	}
	if (mc_request_put_empty(&c->out, c->ctx.probe_key, CACHE_PROBE_TTL_S) != ERR_OK)
		return; /* the key was checked when it was given */
	put_question(c, ASKED_PROBE, NULL);
	stream_write(c->stream, &c->out);
}

/* --- going away -------------------------------------------------------------------------------------------
 */

static void
forget(struct cache *c)
{
	if (ages_count(c->ages) > 0)
		metric_inc(&c->metrics.audit_forgotten);
	ages_forget(c->ages);
}

static void
cache_leave(struct cache *c, const char *reason)
{
	if (!c->said_away)
		log_warn(c->ctx.log, "server is away; it is not asked", F_STR("server", c->name),
			 F_STR("reason", reason));
	c->said_away = true;
	snprintf(c->error, sizeof(c->error), "%s", reason);
	stream_close(&c->stream);
	buf_clear(&c->out);
	loop_timer_stop(&c->probe);
	loop_timer_stop(&c->watch);
	c->state = CACHE_AWAY;
	metric_set(&c->metrics.audit_server_up, 0);
	forget(c);
	drop_questions(c);
	loop_timer_once(&c->pause, c->ctx.pause_ms);
}

static void
cache_watch(void *arg)
{
	struct cache *c = arg;
	uint64_t before_ns = c->watched_ns;
	char reason[80];

	c->watched_ns = now_ns(c);
	/* Where this program stood still, the answers may be here and not read yet. */
	if (c->watched_ns - before_ns > c->ctx.answer_timeout_ms * 1000000)
		return;
	if (c->n == 0 || now_ns(c) - c->asked[c->first].sent_ns < c->ctx.answer_timeout_ms * 1000000)
		return;
	snprintf(reason, sizeof(reason), "no answer for %llu ms",
		 (unsigned long long)c->ctx.answer_timeout_ms);
	cache_leave(c, reason);
}

/* --- answers ----------------------------------------------------------------------------------------------
 */

/* False: it cannot be audited. */
static bool
fit(struct cache *c, const struct mc_reply *reply, bool has_cas, uint64_t cas)
{
	char why[300];

	if (reply->kind == MC_REPLY_ERROR || (reply->kind == MC_REPLY_HD && !has_cas))
		snprintf(why, sizeof(why),
			 "%s does not tell CAS ids (ms with flag c); memcached 1.6.18 or later is needed to "
			 "audit it",
			 c->name);
	else if (has_cas && cas == 0)
		snprintf(why, sizeof(why),
			 "%s runs without CAS, so the age of its items cannot be known; start memcached "
			 "without -C to audit it",
			 c->name);
	else
		return true;
	c->ctx.on_unfit(c->ctx.arg, why);
	return false;
}

static err_t
probe_answered(struct cache *c, const struct mc_reply *reply, uint64_t sent_ns, struct err_detail *why)
{
	uint64_t cas = 0;
	bool has_cas = mc_reply_cas(reply, &cas);

	if (server_security_lacks(reply, why))
		return ERR_AUTH;
	if (!fit(c, reply, has_cas, cas))
		return err_set(why, ERR_CONFIG, "it cannot be audited");
	if (mc_reply_is_error(reply->kind) || reply->kind == MC_REPLY_NS) {
		metric_inc(&c->metrics.audit_probe_errors);
		log_warn(c->ctx.log, "the probe was not stored; it is tried again", F_STR("server", c->name),
			 F_STR("answer", mc_reply_name(reply->kind)),
			 F_SPAN("text", span_first(reply->text, 100)));
	} else if (reply->kind != MC_REPLY_HD) {
		return err_set(why, ERR_PROTOCOL, "%s answers a probe", mc_reply_name(reply->kind));
	} else {
		metric_inc(&c->metrics.audit_probes);
		if (!ages_add(c->ages, sent_ns, now_ns(c), cas)) {
			metric_inc(&c->metrics.audit_forgotten);
			log_warn(c->ctx.log,
				 "CAS ids went back: another server answers now; ages are learnt anew",
				 F_STR("server", c->name));
		}
	}
	if (c->state == CACHE_GREETING) {
		c->state = CACHE_UP;
		metric_set(&c->metrics.audit_server_up, 1);
		log_info(c->ctx.log, "server is up", F_STR("server", c->name));
		c->said_away = false;
	}
	return ERR_OK;
}

static enum audit_answer
judge(const struct cache *c, const struct audit_check *check, uint64_t cas)
{
	switch (ages_judge(c->ages, cas, audit_check_from_ns(check), audit_check_to_ns(check))) {
	case AGES_OLDER:
		return AUDIT_STALE;
	case AGES_NEAR:
		return AUDIT_NEAR;
	case AGES_NEWER:
		return AUDIT_REFILLED;
	case AGES_UNKNOWN:
		break;
	}
	return AUDIT_UNKNOWN;
}

static err_t
question_answered(struct cache *c, const struct mc_reply *reply, struct audit_check *check,
		  struct err_detail *why)
{
	enum audit_answer answer = AUDIT_UNKNOWN;
	uint64_t cas = 0, age = 0;
	err_t err = ERR_OK;

	if (reply->kind == MC_REPLY_EN) {
		answer = AUDIT_GONE;
	} else if (reply->kind == MC_REPLY_ME && mc_reply_cas(reply, &cas) && cas != 0) {
		answer = judge(c, check, cas);
		age = ages_least_age_ns(c->ages, cas, now_ns(c));
	} else if (mc_reply_is_error(reply->kind)) {
		metric_inc(&c->metrics.audit_question_errors);
		log_warn(c->ctx.log, "a key could not be asked for", F_STR("server", c->name),
			 F_SPAN("key", audit_check_key(check)), F_STR("answer", mc_reply_name(reply->kind)),
			 F_SPAN("text", span_first(reply->text, 100)));
	} else {
		err = err_set(why, ERR_PROTOCOL, "%s answers \"me\" without a CAS id",
			      mc_reply_name(reply->kind));
	}
	audit_answer(c->ctx.audit, check, c->ctx.index, answer, age);
	return err;
}

static size_t
on_bytes(void *arg, struct span bytes)
{
	struct cache *c = arg;
	struct err_detail why = {0};
	struct span in = bytes;

	for (;;) {
		struct mc_reply reply;
		struct question q;
		err_t err = mc_reply_parse(in, &reply, &why);

		if (err == ERR_OK && reply.kind == MC_REPLY_MORE)
			break;
		if (err == ERR_OK && c->n == 0)
			err = err_set(&why, ERR_PROTOCOL, "%s although nothing was asked",
				      mc_reply_name(reply.kind));
		if (err == ERR_OK) {
			q = take_question(c);
			err = q.what == ASKED_LOGIN   ? server_security_taken(&reply, &why)
			      : q.what == ASKED_PROBE ? probe_answered(c, &reply, q.sent_ns, &why)
						      : question_answered(c, &reply, q.check, &why);
		}
		if (err != ERR_OK) {
			cache_leave(c, err_why(&why));
			return bytes.len;
		}
		in = span_from(in, reply.used);
	}
	return bytes.len - in.len;
}

static void
on_close(void *arg, err_t err, const char *why)
{
	(void)err;
	cache_leave(arg, why);
}

static void
on_open(void *arg)
{
	struct cache *c = arg;
	struct span login = server_security_login(c->ctx.security);

	c->state = CACHE_GREETING;
	if (login.len > 0) {
		mc_request_login(&c->out, login);
		put_question(c, ASKED_LOGIN, NULL);
	}
	cache_probe(c);
	loop_timer_every(&c->probe, CACHE_PROBE_MS);
	c->watched_ns = now_ns(c);
	loop_timer_every(&c->watch, c->ctx.answer_timeout_ms / 4 + 1);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static void
cache_connect(void *arg)
{
	static const struct stream_ops ops = {.on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};
	struct cache *c = arg;
	struct stream_options opt = {.connect_timeout_ms = c->ctx.connect_timeout_ms,
				     .max_input = MAX_INPUT,
				     .tls = server_security_tls(c->ctx.security),
				     .tls_name = c->tls_name};
	struct err_detail why = {0};

	c->state = CACHE_CONNECTING;
	if (stream_connect(&c->stream, c->ctx.loop, c->address, &opt, &ops, c, &why) != ERR_OK)
		cache_leave(c, err_why(&why));
}

void
cache_start(struct cache *c)
{
	if (c->state == CACHE_AWAY && !loop_timer_is_set(&c->pause))
		loop_timer_once(&c->pause, 0);
}

void
cache_destroy(struct cache **cp)
{
	struct cache *c = *cp;

	if (c == NULL)
		return;
	loop_timer_stop(&c->pause);
	loop_timer_stop(&c->probe);
	loop_timer_stop(&c->watch);
	stream_close(&c->stream);
	drop_questions(c);
	ages_destroy(&c->ages);
	buf_fini(&c->out);
	free(c->asked);
	free(c->name);
	free(c->address);
	free(c->tls_name);
	free(c);
	*cp = NULL;
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

bool
cache_is_up(const struct cache *c)
{
	return c->state == CACHE_UP;
}

const char *
cache_error(const struct cache *c)
{
	return c->error;
}

const char *
cache_name(const struct cache *c)
{
	return c->name;
}

const struct cache_metrics *
cache_metrics(const struct cache *c)
{
	return &c->metrics;
}
