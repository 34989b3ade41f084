#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "lib/deliver/outbox_inside.h"
#include "lib/wire/mc_request.h"

/* --- windows ----------------------------------------------------------------------------------------------
 */

/* Makes a window of what waits: up to max_keys keys, or one flush_all or caught_up, with the ENDs right
 * behind. */
static struct window *
window_form(struct outbox *o, size_t max_keys)
{
	struct window w = {.start = o->unsent_at};
	uint64_t at = o->unsent_at;

	while (at < queue_end(o)) {
		const char *entry = entry_at(o, at);

		if (entry[0] == ENTRY_FLUSH || entry[0] == ENTRY_CAUGHT_UP) {
			if (w.keys > 0 || window_is_mark(&w))
				break;
			w.is_flush = entry[0] == ENTRY_FLUSH;
			w.is_caught_up = entry[0] == ENTRY_CAUGHT_UP;
		} else if (entry[0] != ENTRY_END && (w.keys >= max_keys || window_is_mark(&w))) {
			break;
		}
		if (entry[0] == ENTRY_KEY)
			w.keys++;
		at += entry_bytes(entry);
	}
	w.bytes = (size_t)(at - w.start);
	o->unsent_at = at;
	o->unsent_keys -= w.keys + (window_is_mark(&w) ? 1 : 0);
	if (o->last_end != UINT64_MAX && o->last_end < at)
		o->last_end = UINT64_MAX;
	if (o->first > 0 && o->first + o->nwindows == o->capacity) {
		memmove(o->windows, o->windows + o->first, o->nwindows * sizeof(w));
		o->first = 0;
	}
	if (o->nwindows == o->capacity) {
		o->capacity = o->capacity > 0 ? o->capacity * 2 : 16;
		o->windows = mem_realloc(o->windows, o->capacity * sizeof(w));
	}
	o->windows[o->first + o->nwindows] = w;
	return &o->windows[o->first + o->nwindows++];
}

/* One end of latency: the last delete of the transaction at the front is acknowledged. */
static void
txn_close(struct outbox *o, uint64_t now_us)
{
	const struct entry_txn *t = &o->txn;

	if (!o->txn_open)
		return;
	o->txn_open = false;
	if (t->late)
		return;
	if (t->seen_us != 0)
		histogram_bump(&o->ctx.metrics->router_seen_to_ack,
			       now_us > t->seen_us ? now_us - t->seen_us : 0);
	if (t->commit_us != 0)
		histogram_bump(&o->ctx.metrics->router_commit_to_ack,
			       now_us > t->commit_us ? now_us - t->commit_us : 0);
}

static void
tell_acked(struct outbox *o, const struct entry_key *e, struct span sent, uint64_t sent_us, uint64_t now_us)
{
	struct outbox_ack ack = {.offset = e->offset,
				 .ref = e->ref,
				 .seen_us = o->txn.seen_us,
				 .commit_us = o->txn.commit_us,
				 .queued_us = o->txn.queued_us,
				 .sent_us = sent_us,
				 .acked_us = now_us,
				 .key = span_from(sent, e->prefix),
				 .hit = (enum outbox_hit)e->hit};

	o->ctx.on_acked(o->ctx.arg, &ack);
}

static void
key_finish(struct outbox *o, const char *entry, uint64_t sent_us, uint64_t now_us)
{
	ENTRY_LOAD(entry_key, e, entry);

	if (e.limit > 0)
		limiter_acked(&o->limiter, e.limit - 1u);
	if (e.state == KEY_GIVEN_UP)
		return;
	metric_bump(&o->ctx.metrics->router_deletes_acked, 1);
	if (e.hit != OUTBOX_HIT_UNKNOWN)
		metric_bump(e.hit == OUTBOX_HIT ? &o->ctx.metrics->router_delete_hits
						: &o->ctx.metrics->router_delete_misses,
			    1);
	if (o->ctx.on_acked != NULL)
		tell_acked(o, &e, entry_key_sent(entry), sent_us, now_us);
}

/* Takes the entry at the queue's front, which is acknowledged; returns its size. */
static size_t
entry_finish(struct outbox *o, const char *entry, uint64_t sent_us, uint64_t now_us)
{
	switch ((enum entry_kind)entry[0]) {
	case ENTRY_TXN:
		txn_close(o, now_us);
		o->txn_open = true;
		memcpy(&o->txn, entry, sizeof(o->txn));
		break;
	case ENTRY_KEY:
		key_finish(o, entry, sent_us, now_us);
		break;
	case ENTRY_END: {
		ENTRY_LOAD(entry_end, end, entry);
		txn_close(o, now_us);
		o->acked = end.next;
		break;
	}
	case ENTRY_FLUSH:
		o->flushes--;
		metric_inc(&o->ctx.metrics->router_flushes);
		break;
	case ENTRY_CAUGHT_UP:
		break;
	}
	return entry_bytes(entry);
}

void
outbox_finish_windows(struct outbox *o)
{
	uint64_t now_us = clock_real_us(o->ctx.clock);
	size_t taken = 0;

	while (o->nwindows > 0 && o->windows[o->first].state == WINDOW_ACKED) {
		const struct window *w = &o->windows[o->first];
		size_t end = taken + w->bytes;

		while (taken < end)
			taken += entry_finish(o, o->queue.p + taken, w->sent_us, now_us);
		o->first++;
		o->first_number++;
		o->nwindows--;
	}
	if (o->nwindows == 0) {
		o->first = 0;
		while (taken < o->queue.len && o->queue.p[taken] == ENTRY_END)
			taken += entry_finish(o, o->queue.p + taken, 0, now_us);
	}
	buf_take(&o->queue, taken);
	o->base += taken;
	if (o->unsent_at < o->base)
		o->unsent_at = o->base;
	queue_changed(o);
}
/* --- sending ----------------------------------------------------------------------------------------------
 */

static struct flight *
flight_add(struct outbox *o, const struct window *w)
{
	struct flight *f = flight_at(o, o->nflights++);

	memset(f, 0, sizeof(*f));
	f->window = o->first_number + (uint64_t)(w - &o->windows[o->first]);
	f->sent_ms = clock_mono_ms(o->ctx.clock);
	return f;
}

static void
put_end_mark(struct outbox *o, struct buf *out)
{
	if (o->meta)
		mc_request_fence(out);
	else
		mc_request_version(out);
}

/* What is not to be had of this server is left out, and counted. */
static struct mc_delete
delete_of(struct outbox *o, const struct entry_key *e)
{
	struct mc_delete d = {0};

	if (e->action == OUTBOX_STALE && o->meta) {
		d.stale_s = (e->stale_ms + 999) / 1000;
		d.stale_s += d.stale_s == 0; /* T0 would be for ever */
		metric_bump(&o->ctx.metrics->router_stales_sent, 1);
	} else if (e->action == OUTBOX_STALE) {
		metric_bump(&o->ctx.metrics->router_stale_unsupported, 1);
	}
	if (e->holdoff_ms > 0 && o->meta && (o->can & OUTBOX_HOLDOFF)) {
		d.holdoff_ms = e->holdoff_ms;
		metric_bump(&o->ctx.metrics->router_holdoffs_sent, 1);
	} else if (e->holdoff_ms > 0) {
		metric_bump(&o->ctx.metrics->router_holdoff_unsupported, 1);
	}
	return d;
}

static void
put_delete(struct outbox *o, const char *entry, bool quiet, struct buf *out)
{
	struct span sent = entry_key_sent(entry);
	ENTRY_LOAD(entry_key, e, entry);
	err_t err;

	if (e.action != OUTBOX_DELETE || e.holdoff_ms > 0) {
		struct mc_delete d = delete_of(o, &e);

		d.quiet = quiet;
		err = o->meta ? mc_request_delete(out, sent, &d) : mc_request_delete_classic(out, sent);
	} else if (o->meta) {
		err = quiet ? mc_request_delete_quiet(out, sent) : mc_request_delete_meta(out, sent);
	} else {
		err = mc_request_delete_classic(out, sent);
	}
	if (err != ERR_OK)
		abort(); /* outbox_put() has let it in */
	metric_bump(&o->ctx.metrics->router_deletes_sent, 1);
}

static bool
put_flush_all(struct buf *out)
{
	mc_request_flush_all(out);
	return true;
}

/* A server that went away meanwhile has missed more since: then the entry is out of date, and another will
 * follow. */
static bool
put_caught_up(struct outbox *o, const char *entry, struct buf *out)
{
	ENTRY_LOAD(entry_caught_up, e, entry);

	if (!(o->can & (o->parts > 1 ? OUTBOX_CAUGHT_UP_PART : OUTBOX_CAUGHT_UP)) ||
	    e.connection != o->connections)
		return false;
	mc_request_caught_up(out, o->part, o->parts);
	metric_inc(&o->ctx.metrics->router_caught_up);
	return true;
}

/* One window in sample_hits.  A classic server always says what it had. */
static bool
window_is_sample(struct outbox *o, const struct window *w)
{
	uint64_t every = o->ctx.opt->sample_hits;

	return every > 0 && w->keys > 0 && ++o->windows_made % every == 0;
}

static void
window_send(struct outbox *o, struct window *w, struct buf *out)
{
	struct flight *f = flight_add(o, w);

	f->keys = w->keys;
	w->sampled = !w->was_sent && window_is_sample(o, w);
	w->sent_us = clock_real_us(o->ctx.clock);
	for (size_t at = 0; at < w->bytes;) {
		char *entry = entry_at(o, w->start + at);

		if (entry[0] == ENTRY_KEY) {
			entry[offsetof(struct entry_key, hit)] = OUTBOX_HIT_UNKNOWN;
			put_delete(o, entry, !w->sampled, out);
		} else if (entry[0] == ENTRY_FLUSH) {
			f->wants_ok = put_flush_all(out);
		} else if (entry[0] == ENTRY_CAUGHT_UP) {
			f->wants_ok = put_caught_up(o, entry, out);
		}
		at += entry_bytes(entry);
	}
	put_end_mark(o, out);
	if (w->was_sent)
		metric_inc(&o->ctx.metrics->router_retries);
	w->was_sent = true;
	w->state = WINDOW_FLIES;
}

/* Moves on to the next key that has to be sent in this round, or to the window's end. */
static void
single_skip(struct outbox *o, struct window *w)
{
	while (w->scan < w->bytes) {
		const char *entry = entry_at(o, w->start + w->scan);

		if (entry[0] == ENTRY_KEY && entry[1] == KEY_WAITS)
			return;
		w->scan += entry_bytes(entry);
	}
}

/* Sends the next key of this round; false when all are out. */
static bool
single_send(struct outbox *o, struct window *w, struct buf *out)
{
	struct flight *f;
	char *entry;

	single_skip(o, w);
	if (w->scan == w->bytes)
		return false;
	entry = entry_at(o, w->start + w->scan);
	f = flight_add(o, w);
	f->at = w->scan;
	f->keys = 1;
	entry[1] = KEY_IN_FLIGHT;
	w->outstanding++;
	w->scan += entry_bytes(entry);
	single_skip(o, w); /* so that scan tells whether this was the round's last key */
	put_delete(o, entry, true, out);
	put_end_mark(o, out);
	w->sent_us = clock_real_us(o->ctx.clock);
	metric_inc(&o->ctx.metrics->router_retries);
	return true;
}

/* How many keys the next window may have; 0: the rate does not allow one now. */
static size_t
window_room(struct outbox *o)
{
	uint64_t want = o->unsent_keys, tokens;

	if (want > o->ctx.opt->window_keys)
		want = o->ctx.opt->window_keys;
	if (o->rate.per_s == 0)
		return (size_t)o->ctx.opt->window_keys;
	if (want > bucket_burst(&o->rate))
		want = bucket_burst(&o->rate);
	tokens = bucket_tokens(&o->rate, clock_mono_ns(o->ctx.clock));
	o->rate_wants = tokens < want ? want : 0;
	return o->rate_wants > 0 ? 0 : (size_t)want;
}

bool
outbox_send(struct outbox *o, struct buf *out)
{
	uint64_t now = clock_mono_ms(o->ctx.clock);
	size_t limit = o->ctx.opt->windows < FLIGHTS_MAX ? (size_t)o->ctx.opt->windows : FLIGHTS_MAX;
	size_t before = out->len;

	o->rate_wants = 0;
	if (!o->connected || o->paused)
		return false;
	outbox_release_limited(o);
	for (size_t i = 0; i < o->nwindows && o->nflights < limit; i++) {
		struct window *w = &o->windows[o->first + i];

		if (w->retry_at_ms > now)
			continue;
		if (w->state == WINDOW_WAITS)
			window_send(o, w, out);
		else if (w->state == WINDOW_SINGLE)
			while (o->nflights < limit && single_send(o, w, out))
				;
	}
	while (o->nflights < limit && o->unsent_keys > 0 &&
	       (o->nflights == 0 || o->unsent_keys >= o->ctx.opt->window_keys)) {
		size_t room = window_room(o);
		struct window *w;

		if (room == 0)
			break;
		w = window_form(o, room);
		bucket_take(&o->rate, w->keys);
		window_send(o, w, out);
	}
	return out->len > before;
}
