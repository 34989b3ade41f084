#include "lib/deliver/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/deliver/bucket.h"
#include "lib/deliver/entry.h"
#include "lib/deliver/limiter.h"
#include "lib/deliver/unsent.h"
#include "lib/wire/mc_request.h"

typedef struct outbox_metrics metric_owner;
const struct metric_row outbox_metric_rows[] = {METRIC_ROWS(OUTBOX_METRICS)};
const size_t outbox_metric_nrows = sizeof(outbox_metric_rows) / sizeof(outbox_metric_rows[0]);

enum {
	FLIGHTS_MAX = 64, /* the range of router.windows */
	FIRST_PAUSE_MS = 20,
	FAILURES_BEFORE_SINGLE = 2,
	UNSENT_SLOTS = 4096, /* 32 KiB */
};

enum window_state {
	WINDOW_WAITS,  /* to be sent, not before retry_at_ms */
	WINDOW_FLIES,  /* all of it is in flight */
	WINDOW_SINGLE, /* its keys are sent one by one, not before retry_at_ms */
	WINDOW_ACKED,
};

struct window {
	uint64_t start; /* queue position of its first entry */
	size_t bytes;
	size_t keys;
	enum window_state state;
	bool is_flush;	   /* nothing but a FLUSH */
	bool is_caught_up; /* nothing but a CAUGHT_UP */
	bool was_sent;
	bool sampled;	    /* sent without q: its answers say what was there */
	bool single_failed; /* a key of this round has to be sent again */
	unsigned failures;
	unsigned outstanding; /* single keys in flight */
	size_t scan;	      /* WINDOW_SINGLE: bytes already gone through in this round */
	uint64_t retry_at_ms;
	uint64_t sent_us; /* by the wall clock, the last time */
};

/* Something in flight up to and including an end mark. */
struct flight {
	uint64_t window; /* number of the window */
	size_t at; /* the key that is answered next, in bytes from the window's start; WINDOW_SINGLE: the only
		      one */
	size_t keys;
	size_t answers;
	unsigned client_errors, server_errors;
	bool wants_ok; /* flush_all or caught_up is in it */
	bool ok;
	uint64_t sent_ms;
	char error[120];
};

struct outbox {
	struct outbox_context ctx;
	struct buf queue;    /* entries */
	uint64_t base;	     /* position of the queue's first byte */
	uint64_t unsent_at;  /* position of the first entry that is in no window */
	size_t unsent_keys;  /* keys and flushes from there on */
	uint64_t last_end;   /* position of the last entry when that is an END, else UINT64_MAX */
	uint64_t last_flush; /* position of the newest FLUSH, UINT64_MAX before the first */
	struct window *windows;
	size_t first, nwindows, capacity; /* windows[first .. first+nwindows) */
	uint64_t first_number;		  /* number of windows[first] */
	struct flight flights[FLIGHTS_MAX];
	size_t flight0, nflights;
	size_t flushes;
	bool connected, meta;
	uint32_t part, parts; /* of the log */
	uint64_t connections; /* so far */
	unsigned can;	      /* enum outbox_ability of the server that is connected */
	uint64_t last_answer_ms;
	uint64_t acked;
	/* the transaction of the entry at the queue's front, and of the next delete to come in */
	bool txn_open;
	struct entry_txn txn;
	bool in_open;	 /* its record is not at its end */
	bool in_pending; /* it is not in the queue yet */
	struct entry_txn in;
	struct unsent unsent; /* the keys that are in no window */
	struct limiter limiter;
	bool caught_up_pending;		/* behind what waits for a limit */
	uint64_t caught_up_pending_for; /* number of the connection */
	struct bucket rate;
	uint64_t rate_wants; /* keys of a window that could be sent but for the rate; 0: there is none */
	bool paused;
	uint64_t windows_made;
};

struct outbox *
outbox_create(const struct outbox_context *ctx, uint64_t acked)
{
	struct outbox *o = MEM_NEW(struct outbox);

	o->ctx = *ctx;
	o->acked = acked;
	o->last_end = o->last_flush = UINT64_MAX;
	unsent_init(&o->unsent, hash_seed(), UNSENT_SLOTS);
	limiter_init(&o->limiter, o->unsent.seed);
	return o;
}

void
outbox_destroy(struct outbox **o)
{
	if (*o == NULL)
		return;
	buf_fini(&(*o)->queue);
	unsent_fini(&(*o)->unsent);
	limiter_fini(&(*o)->limiter);
	free((*o)->windows);
	free(*o);
	*o = NULL;
}

/* --- entries ----------------------------------------------------------------------------------------------
 */

static char *
entry_at(const struct outbox *o, uint64_t position)
{
	return o->queue.p + (position - o->base);
}

static uint64_t
queue_end(const struct outbox *o)
{
	return o->base + o->queue.len;
}

static void
queue_changed(struct outbox *o)
{
	metric_set(&o->ctx.metrics->router_queue_bytes, outbox_bytes(o));
	metric_set(&o->ctx.metrics->router_limited_waiting, o->limiter.waiting);
}

/* --- filling ----------------------------------------------------------------------------------------------
 */

void
outbox_txn(struct outbox *o, uint64_t offset, uint64_t seen_us, uint64_t commit_us)
{
	/* One look at the clock for each record. */
	uint64_t now_us =
	    o->in_open && o->in.offset == offset ? o->in.queued_us : clock_real_us(o->ctx.clock);

	o->in_pending = o->in_open = true;
	o->in = (struct entry_txn){.kind = ENTRY_TXN,
				   .offset = offset,
				   .seen_us = seen_us,
				   .commit_us = commit_us,
				   .queued_us = now_us};
}

/* The entry that waits becomes what does for both. */
static void
entry_strengthen(char *entry, const struct outbox_key *k)
{
	ENTRY_LOAD(entry_key, e, entry);

	if (e.action == OUTBOX_STALE && k->action == OUTBOX_STALE && k->stale_ms < e.stale_ms)
		e.stale_ms = k->stale_ms;
	if (k->action < e.action)
		e.action = (uint8_t)k->action;
	if (k->holdoff_ms > e.holdoff_ms)
		e.holdoff_ms = k->holdoff_ms;
	memcpy(entry, &e, sizeof(e));
}

static err_t
coalesce(struct outbox *o, char *entry, const struct outbox_key *k)
{
	metric_bump(&o->ctx.metrics->router_deletes_coalesced, 1);
	entry_strengthen(entry, k);
	if (o->ctx.on_coalesced != NULL) {
		ENTRY_LOAD(entry_key, e, entry);
		o->ctx.on_coalesced(o->ctx.arg, k->ref, e.offset);
	}
	return ERR_OK;
}

static void
queue_key(struct outbox *o, const struct entry_key *e, struct span sent)
{
	char *p = buf_room(&o->queue, sizeof(*e) + sent.len);

	memcpy(p, e, sizeof(*e));
	memcpy(p + sizeof(*e), sent.p, sent.len);
	buf_added(&o->queue, sizeof(*e) + sent.len);
	o->unsent_keys++;
	o->last_end = UINT64_MAX;
}

static struct span
with_prefix(const struct outbox_key *k, char room[MC_KEY_MAX])
{
	if (k->prefix.len == 0)
		return k->key;
	memcpy(room, k->prefix.p, k->prefix.len);
	memcpy(room + k->prefix.len, k->key.p, k->key.len);
	return span_make(room, k->prefix.len + k->key.len);
}

static struct entry_key
entry_of(const struct outbox *o, const struct outbox_key *k)
{
	return (struct entry_key){.kind = ENTRY_KEY,
				  .action = (uint8_t)k->action,
				  .prefix = (uint8_t)k->prefix.len,
				  .len = (uint8_t)(k->prefix.len + k->key.len),
				  .holdoff_ms = k->holdoff_ms,
				  .stale_ms = k->stale_ms,
				  .ref = k->ref,
				  .offset = o->in.offset};
}

/* Lets a key wait for its limit; false when it may go at once. */
static bool
put_aside(struct outbox *o, const struct outbox_key *k, struct span sent)
{
	size_t limit = k->limit - 1;
	struct entry_key e;

	if (limiter_pass(&o->limiter, limit, clock_mono_ns(o->ctx.clock)))
		return false;
	e = entry_of(o, k);
	e.limit = (uint16_t)k->limit;
	limiter_put(&o->limiter, limit, &o->in, &e, sent);
	metric_bump(&o->ctx.metrics->router_deletes_limited, 1);
	queue_changed(o);
	return true;
}

err_t
outbox_put(struct outbox *o, const struct outbox_key *k)
{
	struct unsent_queue q = {&o->queue, o->base, o->unsent_at};
	bool limited = k->limit > 0 && k->limit <= o->limiter.n;
	char room[MC_KEY_MAX];
	struct entry_key e;
	struct span sent;
	char *waits;

	if (k->key.len > MC_KEY_MAX || k->prefix.len > MC_KEY_MAX - k->key.len)
		return ERR_BAD_KEY;
	sent = with_prefix(k, room);
	if (!mc_request_key_ok(sent))
		return ERR_BAD_KEY;
	waits = limited ? limiter_find(&o->limiter, k->limit - 1, sent) : NULL;
	if (waits == NULL)
		waits = unsent_find(&o->unsent, &q, sent);
	if (waits != NULL)
		return coalesce(o, waits, k);
	if (limited && put_aside(o, k, sent))
		return ERR_OK;
	if (o->in_pending) {
		buf_put(&o->queue, &o->in, sizeof(o->in));
		o->in_pending = false;
	}
	unsent_add(&o->unsent, queue_end(o));
	e = entry_of(o, k);
	queue_key(o, &e, sent);
	return ERR_OK;
}

void
outbox_record_end(struct outbox *o, uint64_t next)
{
	struct entry_end end = {.kind = ENTRY_END, .next = next};

	o->in_pending = o->in_open = false;
	if (o->queue.len == 0) {
		o->acked = next;
		return;
	}
	if (o->last_end != UINT64_MAX && o->last_end >= o->base) {
		memcpy(entry_at(o, o->last_end), &end, sizeof(end));
		return;
	}
	o->last_end = queue_end(o);
	buf_put(&o->queue, &end, sizeof(end));
	queue_changed(o);
}

/* The newest FLUSH is in no window yet, and nothing but an END stands behind it. */
static bool
flush_waits_at_end(const struct outbox *o)
{
	uint64_t behind = o->last_flush + ENTRY_FLUSH_BYTES;

	if (o->last_flush == UINT64_MAX || o->last_flush < o->unsent_at)
		return false;
	return behind == queue_end(o) || behind == o->last_end;
}

void
outbox_flush_all(struct outbox *o)
{
	if (flush_waits_at_end(o))
		return;
	o->last_flush = queue_end(o);
	buf_putc(&o->queue, ENTRY_FLUSH);
	o->unsent_keys++;
	o->flushes++;
	o->last_end = UINT64_MAX;
	queue_changed(o);
}

static void
queue_caught_up(struct outbox *o, uint64_t connection)
{
	struct entry_caught_up entry = {.kind = ENTRY_CAUGHT_UP, .connection = connection};

	buf_put(&o->queue, &entry, sizeof(entry));
	o->unsent_keys++;
	o->last_end = UINT64_MAX;
	queue_changed(o);
}

void
outbox_part(struct outbox *o, uint32_t part, uint32_t parts)
{
	o->part = part;
	o->parts = parts;
}

void
outbox_caught_up(struct outbox *o)
{
	if (o->limiter.waiting == 0) {
		queue_caught_up(o, o->connections);
		return;
	}
	limiter_mark(&o->limiter);
	o->caught_up_pending = true;
	o->caught_up_pending_for = o->connections;
}

/* What waits for a limit and may go now goes to the queue's end. */
static void
limited_release(struct outbox *o)
{
	uint64_t now;

	if (o->limiter.waiting == 0 && !o->caught_up_pending)
		return;
	now = clock_mono_ns(o->ctx.clock);
	for (;;) {
		struct span entries = limiter_next(&o->limiter, now);

		if (entries.len == 0)
			break;
		ENTRY_LOAD(entry_txn, txn, entries.p);
		ENTRY_LOAD(entry_key, key, entries.p + sizeof(txn));
		txn.late = 1;
		buf_put(&o->queue, &txn, sizeof(txn));
		queue_key(o, &key, entry_key_sent(entries.p + sizeof(txn)));
		/* A record that is not at its end goes on behind this. */
		o->in_pending = o->in_open;
	}
	if (o->caught_up_pending && limiter_passed(&o->limiter)) {
		o->caught_up_pending = false;
		queue_caught_up(o, o->caught_up_pending_for);
	}
	queue_changed(o);
}

void
outbox_restart(struct outbox *o, uint64_t acked)
{
	if (o->nflights > 0)
		outbox_disconnected(o);
	buf_clear(&o->queue);
	o->base = o->unsent_at = 0;
	o->unsent_keys = 0;
	o->last_end = o->last_flush = UINT64_MAX;
	o->first = o->nwindows = 0;
	o->flushes = 0;
	o->in_pending = o->in_open = o->txn_open = false;
	o->caught_up_pending = false;
	unsent_clear(&o->unsent);
	limiter_clear(&o->limiter);
	o->acked = acked;
	queue_changed(o);
}

/* --- windows ----------------------------------------------------------------------------------------------
 */

static bool
window_is_mark(const struct window *w)
{
	return w->is_flush || w->is_caught_up;
}

static struct window *
window_numbered(struct outbox *o, uint64_t number)
{
	return &o->windows[o->first + (size_t)(number - o->first_number)];
}

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

/* Takes finished windows from the front, and the ENDs behind them that nothing stands before any more. */
static void
windows_finish(struct outbox *o)
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
flight_at(struct outbox *o, size_t i)
{
	return &o->flights[(o->flight0 + i) % FLIGHTS_MAX];
}

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
	limited_release(o);
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

/* --- pace -------------------------------------------------------------------------------------------------
 */

void
outbox_rate(struct outbox *o, uint64_t keys_per_s)
{
	bucket_rate(&o->rate, keys_per_s, clock_mono_ns(o->ctx.clock));
	o->rate_wants = 0;
}

void
outbox_limits(struct outbox *o, const struct outbox_limit *limits, size_t n)
{
	uint64_t now = clock_mono_ns(o->ctx.clock);

	for (size_t i = 0; i < n; i++)
		limiter_rate(&o->limiter, i, limits[i].keys_per_s, now);
	for (size_t i = n; i < o->limiter.n; i++)
		limiter_rate(&o->limiter, i, 0, now);
}

void
outbox_pause(struct outbox *o, bool pause)
{
	o->paused = pause;
}

bool
outbox_is_paused(const struct outbox *o)
{
	return o->paused;
}

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
		windows_finish(o);
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

/* --- looking ----------------------------------------------------------------------------------------------
 */

uint64_t
outbox_acked(const struct outbox *o)
{
	return limiter_first(&o->limiter, o->acked);
}

size_t
outbox_bytes(const struct outbox *o)
{
	return o->queue.len + o->limiter.bytes;
}

bool
outbox_is_empty(const struct outbox *o)
{
	return o->queue.len == 0 && o->limiter.bytes == 0;
}

size_t
outbox_flushes_pending(const struct outbox *o)
{
	return o->flushes;
}

size_t
outbox_in_flight(const struct outbox *o)
{
	return o->nflights;
}

uint64_t
outbox_waiting_since_ms(const struct outbox *o)
{
	uint64_t sent;

	if (o->nflights == 0)
		return 0;
	sent = o->flights[o->flight0].sent_ms;
	return sent > o->last_answer_ms ? sent : o->last_answer_ms;
}

uint64_t
outbox_retry_at_ms(struct outbox *o)
{
	uint64_t at = 0, now_ns, wait_ms;

	if (o->paused)
		return 0;
	for (size_t i = 0; i < o->nwindows; i++) {
		const struct window *w = &o->windows[o->first + i];

		if ((w->state == WINDOW_WAITS || w->state == WINDOW_SINGLE) && w->retry_at_ms > 0 &&
		    (at == 0 || w->retry_at_ms < at))
			at = w->retry_at_ms;
	}
	if (o->rate_wants == 0 && o->limiter.waiting == 0)
		return at;
	now_ns = clock_mono_ns(o->ctx.clock);
	wait_ms = o->limiter.waiting > 0 ? limiter_wait_ms(&o->limiter, now_ns) : UINT64_MAX;
	if (o->rate_wants > 0) {
		uint64_t ms = bucket_wait_ms(&o->rate, o->rate_wants, now_ns);

		if (ms < wait_ms)
			wait_ms = ms;
	}
	if (at == 0 || now_ns / 1000000 + wait_ms < at)
		at = now_ns / 1000000 + wait_ms;
	return at;
}
