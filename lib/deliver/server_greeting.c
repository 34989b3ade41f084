#include "lib/deliver/server_inside.h"

#include <stdio.h>
#include <string.h>

#include "lib/wire/mc_request.h"

enum {
	HANGUPS_BELIEVED =
	    2, /* at "stats", in a row: the server is not asked any more until one greeting worked */
};

static void
ask_version(struct server *s)
{
	s->step = STEP_VERSION;
	mc_request_version(&s->out);
	if (!s->no_probe)
		mc_request_fence(&s->out);
	stream_write(s->stream, &s->out);
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
	uint64_t now = server_now_ms(s);

	s->identity.changed = process_compare(&s->process, &s->fresh, s->heard_at_ms);
	s->identity.known = s->fresh.known;
	s->identity.pid = s->fresh.pid;
	s->identity.started_us = process_started_us(&s->fresh, clock_real_us(loop_clock(s->ctx.loop)), now);
	s->process = s->fresh;
	s->process.met = true;
	s->heard_at_ms = (int64_t)now;
	s->stats_hangups = 0;
	s->state = SERVER_UP;
	s->up_at_ms = now;
	if (s->was_up)
		metric_inc(&s->metrics.router_reconnects);
	say_up(s);
	s->said_away = false;
	s->was_up = true;
	metric_set(&s->metrics.router_server_up, 1);
	server_count_stream(s);
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
	s->asked_at_ms = server_now_ms(s);
	mc_request_stats(&s->out, "");
	stream_write(s->stream, &s->out);
}

static err_t
login_reply(struct server *s, const struct mc_reply *reply, struct err_detail *why)
{
	err_t err = server_security_taken(reply, why);

	if (err == ERR_OK)
		ask_version(s);
	return err;
}

static err_t
version_reply(struct server *s, const struct mc_reply *reply, struct err_detail *why)
{
	if (server_security_lacks(reply, why))
		return ERR_AUTH;
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
		process_asked(&s->fresh, s->asked_at_ms, server_now_ms(s));
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

err_t
server_greeting_reply(struct server *s, const struct mc_reply *reply, struct err_detail *why)
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

void
server_greet(struct server *s)
{
	struct span login = server_security_login(s->ctx.security);

	s->state = SERVER_GREETING;
	s->greeting_at_ms = server_now_ms(s);
	if (login.len > 0) {
		s->step = STEP_LOGIN;
		mc_request_login(&s->out, login);
		stream_write(s->stream, &s->out);
	} else {
		ask_version(s);
	}
}
