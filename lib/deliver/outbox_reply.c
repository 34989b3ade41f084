#include <stdio.h>
#include <string.h>

#include "lib/deliver/outbox_inside.h"

enum { FIRST_PAUSE_MS = 20, FAILURES_BEFORE_SINGLE = 2 };

/* --- the connection ---------------------------------------------------------------------------------------
 */

void
outbox_abilities(struct outbox *o, unsigned can)
{
	o->can = can;
}

void
outbox_connected(struct outbox *o, bool meta)
{
	o->connected = true;
	o->connections++;
	o->meta = meta;
	o->last_answer_ms = clock_mono_ms(o->ctx.clock);
}

void
outbox_disconnected(struct outbox *o)
{
	o->connected = false;
	o->can = 0;
	o->flight0 = o->nflights = 0;
	for (size_t i = 0; i < o->nwindows; i++) {
		struct window *w = &o->windows[o->first + i];

		if (w->state == WINDOW_FLIES)
			w->state = WINDOW_WAITS;
		if (w->state != WINDOW_SINGLE)
			continue;
		for (size_t at = 0; at < w->bytes;) {
			char *entry = entry_at(o, w->start + at);

			if (entry[0] == ENTRY_KEY && entry[1] == KEY_IN_FLIGHT)
				entry[1] = KEY_WAITS;
			at += entry_bytes(entry);
		}
		w->scan = 0;
		w->outstanding = 0;
		w->single_failed = false;
	}
}

static uint64_t
pause_ms(const struct outbox *o, unsigned failures)
{
	uint64_t ms = (uint64_t)FIRST_PAUSE_MS << (failures < 16 ? failures : 16);

	return ms < o->ctx.opt->backoff_max ? ms : o->ctx.opt->backoff_max;
}

static void
log_error_reply(struct outbox *o, const struct flight *f)
{
	log_warn(o->ctx.log, "the server answered deletes with an error; they are sent again",
		 F_STR("server", o->ctx.server), F_STR("reply", f->error));
}

/* The end mark of a whole window was answered. */
static err_t
window_answered(struct outbox *o, struct window *w, const struct flight *f, struct err_detail *why)
{
	bool failed = f->client_errors + f->server_errors > 0 || (f->wants_ok && !f->ok);

	if (!failed && (!o->meta || w->sampled) && f->answers != f->keys)
		return err_set(why, ERR_PROTOCOL, "%zu answers to %zu deletes", f->answers, f->keys);
	if (!failed) {
		w->state = WINDOW_ACKED;
		metric_inc(&o->ctx.metrics->router_windows_acked);
		return ERR_OK;
	}
	w->failures++;
	w->state = WINDOW_WAITS;
	if (w->is_caught_up) {
		w->retry_at_ms = clock_mono_ms(o->ctx.clock) + pause_ms(o, w->failures);
		log_error_reply(o, f);
		return ERR_OK;
	}
	if (w->is_flush) {
		w->retry_at_ms = clock_mono_ms(o->ctx.clock) + pause_ms(o, w->failures);
		log_error(o->ctx.log,
			  "the server refuses flush_all, so values that missed their delete may stay; start "
			  "it without -F "
			  "or restart it",
			  F_STR("server", o->ctx.server), F_STR("reply", f->error));
		return ERR_OK;
	}
	log_error_reply(o, f);
	if (f->server_errors > 0)
		w->retry_at_ms = clock_mono_ms(o->ctx.clock) + pause_ms(o, w->failures);
	if (w->failures >= FAILURES_BEFORE_SINGLE)
		w->state = WINDOW_SINGLE;
	return ERR_OK;
}

/* After a round of single keys: the next round, or done. */
static void
single_round_end(struct outbox *o, struct window *w)
{
	if (w->scan < w->bytes || w->outstanding > 0)
		return;
	w->scan = 0;
	if (!w->single_failed)
		w->state = WINDOW_ACKED;
	w->single_failed = false;
	if (w->state == WINDOW_ACKED)
		metric_inc(&o->ctx.metrics->router_windows_acked);
}

/* The end mark of a single key was answered. */
static err_t
single_answered(struct outbox *o, struct window *w, const struct flight *f, struct err_detail *why)
{
	char *entry = entry_at(o, w->start + f->at);

	w->outstanding--;
	if (f->server_errors > 0) {
		entry[1] = KEY_WAITS;
		if (!w->single_failed)
			w->failures++;
		w->single_failed = true;
		w->retry_at_ms = clock_mono_ms(o->ctx.clock) + pause_ms(o, w->failures);
		log_error_reply(o, f);
	} else if (f->client_errors > 0) {
		entry[1] = KEY_GIVEN_UP;
		metric_inc(&o->ctx.metrics->router_deletes_given_up);
		log_warn(o->ctx.log, "the server refuses this key; its delete is given up",
			 F_STR("server", o->ctx.server), F_SPAN("key", entry_key_sent(entry)),
			 F_STR("reply", f->error));
	} else if (!o->meta && f->answers != 1) {
		return err_set(why, ERR_PROTOCOL, "%zu answers to one delete", f->answers);
	} else {
		entry[1] = KEY_DONE;
	}
	single_round_end(o, w);
	return ERR_OK;
}

static err_t
end_mark_answered(struct outbox *o, struct err_detail *why)
{
	struct flight f = *flight_at(o, 0);
	struct window *w = window_numbered(o, f.window);
	err_t err;

	o->flight0 = (o->flight0 + 1) % FLIGHTS_MAX;
	o->nflights--;
	o->last_answer_ms = clock_mono_ms(o->ctx.clock);
	err = w->state == WINDOW_SINGLE ? single_answered(o, w, &f, why) : window_answered(o, w, &f, why);
	if (err == ERR_OK)
		outbox_finish_windows(o);
	return err;
}

/* Where every delete is answered, the answers come in their order. */
static void
note_hit(struct outbox *o, struct flight *f, enum mc_reply_kind kind)
{
	struct window *w = window_numbered(o, f->window);
	bool hit = kind == MC_REPLY_HD || kind == MC_REPLY_DELETED;
	char *entry;

	if (o->meta && !(w->sampled && w->state == WINDOW_FLIES))
		return;
	while (f->at < w->bytes && entry_at(o, w->start + f->at)[0] != ENTRY_KEY)
		f->at += entry_bytes(entry_at(o, w->start + f->at));
	entry = entry_at(o, w->start + f->at);
	entry[offsetof(struct entry_key, hit)] = hit ? OUTBOX_HIT : OUTBOX_MISS;
	if (w->state == WINDOW_FLIES)
		f->at += entry_bytes(entry);
}

err_t
outbox_reply(struct outbox *o, const struct mc_reply *reply, struct err_detail *why)
{
	struct flight *f = flight_at(o, 0);
	bool is_mark;

	if (!o->connected || o->nflights == 0)
		return err_set(why, ERR_PROTOCOL, "%s although nothing was asked",
			       mc_reply_name(reply->kind));
	is_mark = window_is_mark(window_numbered(o, f->window));
	if (reply->kind == (o->meta ? MC_REPLY_MN : MC_REPLY_VERSION))
		return end_mark_answered(o, why);
	if (mc_reply_is_error(reply->kind)) {
		if (reply->kind == MC_REPLY_CLIENT_ERROR) {
			f->client_errors++;
			metric_inc(&o->ctx.metrics->router_client_errors);
		} else {
			f->server_errors++;
			metric_inc(&o->ctx.metrics->router_server_errors);
		}
		if (f->error[0] == '\0')
			snprintf(f->error, sizeof(f->error), "%s %.*s", mc_reply_name(reply->kind),
				 SPAN_FMT(reply->text));
		return ERR_OK;
	}
	if (is_mark && reply->kind == MC_REPLY_OK && !f->ok) {
		f->ok = true;
		return ERR_OK;
	}
	if (!is_mark && (o->meta ? reply->kind == MC_REPLY_HD || reply->kind == MC_REPLY_NF
				 : reply->kind == MC_REPLY_DELETED || reply->kind == MC_REPLY_NOT_FOUND)) {
		if (++f->answers > f->keys)
			return err_set(why, ERR_PROTOCOL, "more answers than deletes");
		note_hit(o, f, reply->kind);
		return ERR_OK;
	}
	return err_set(why, ERR_PROTOCOL, "%s does not answer a delete", mc_reply_name(reply->kind));
}
