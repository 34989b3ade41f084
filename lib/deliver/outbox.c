#include "lib/deliver/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "lib/wire/mc_request.h"

typedef struct outbox_metrics metric_owner;
const struct metric_row outbox_metric_rows[] = {METRIC_ROWS(OUTBOX_METRICS)};
const size_t outbox_metric_nrows = sizeof(outbox_metric_rows) / sizeof(outbox_metric_rows[0]);

enum {
	FLIGHTS_MAX = 64, /* the range of router.windows */
	FIRST_PAUSE_MS = 20,
	FAILURES_BEFORE_SINGLE = 2,
};

/*
 * The queue is one run of entries.  An entry starts with its kind:
 *
 *     TXN    kind, offset, seen_us, commit_us (8 bytes each)
 *     KEY    kind, state, length (2 bytes), hold-off in ms (4 bytes), the key
 *     END    kind, next (8 bytes)
 *     FLUSH  kind
 *     CAUGHT_UP  kind, number of the connection that it is for (8 bytes)
 */
enum entry_kind { ENTRY_TXN = 1, ENTRY_KEY, ENTRY_END, ENTRY_FLUSH, ENTRY_CAUGHT_UP };
enum key_state { KEY_WAITS, KEY_IN_FLIGHT, KEY_DONE, KEY_GIVEN_UP };
enum { TXN_BYTES = 25, KEY_BYTES = 8, END_BYTES = 9, FLUSH_BYTES = 1, CAUGHT_UP_BYTES = 9 };

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
	bool single_failed; /* a key of this round has to be sent again */
	unsigned failures;
	unsigned outstanding; /* single keys in flight */
	size_t scan;	      /* WINDOW_SINGLE: bytes already gone through in this round */
	uint64_t retry_at_ms;
};

/* Something in flight up to and including an end mark. */
struct flight {
	uint64_t window; /* number of the window */
	size_t at;	 /* WINDOW_SINGLE: the key's entry, in bytes from the window's start */
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
	struct buf queue;
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
	uint64_t connections; /* so far */
	unsigned can;	      /* enum outbox_ability of the server that is connected */
	uint64_t last_answer_ms;
	uint64_t acked;
	/* the transaction of the entry at the queue's front, and of the next delete to come in */
	bool txn_open;
	uint64_t txn_offset, txn_seen_us, txn_commit_us;
	bool in_pending;
	uint64_t in_offset, in_seen_us, in_commit_us;
	struct buf scratch;
};

struct outbox *
outbox_create(const struct outbox_context *ctx, uint64_t acked)
{
	struct outbox *o = MEM_NEW(struct outbox);

	o->ctx = *ctx;
	o->acked = acked;
	o->last_end = o->last_flush = UINT64_MAX;
	return o;
}

void
outbox_destroy(struct outbox **o)
{
	if (*o == NULL)
		return;
	buf_fini(&(*o)->queue);
	buf_fini(&(*o)->scratch);
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

static uint64_t
load_u64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t
load_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static struct span
key_of(const char *entry)
{
	uint16_t n;

	memcpy(&n, entry + 2, sizeof(n));
	return span_make(entry + KEY_BYTES, n);
}

static size_t
entry_bytes(const char *entry)
{
	switch ((enum entry_kind)entry[0]) {
	case ENTRY_TXN:
		return TXN_BYTES;
	case ENTRY_KEY:
		return KEY_BYTES + key_of(entry).len;
	case ENTRY_END:
		return END_BYTES;
	case ENTRY_CAUGHT_UP:
		return CAUGHT_UP_BYTES;
	case ENTRY_FLUSH:
		break;
	}
	return FLUSH_BYTES;
}

static void
queue_changed(struct outbox *o)
{
	metric_set(&o->ctx.metrics->router_queue_bytes, o->queue.len);
}

/* --- filling ----------------------------------------------------------------------------------------------
 */

void
outbox_txn(struct outbox *o, uint64_t offset, uint64_t seen_us, uint64_t commit_us)
{
	o->in_pending = true;
	o->in_offset = offset;
	o->in_seen_us = seen_us;
	o->in_commit_us = commit_us;
}

static struct span
sent_key(struct outbox *o, struct span key)
{
	if (o->ctx.namespace[0] == '\0')
		return key;
	buf_clear(&o->scratch);
	buf_put_str(&o->scratch, o->ctx.namespace);
	buf_put_span(&o->scratch, key);
	return buf_span(&o->scratch);
}

err_t
outbox_delete(struct outbox *o, struct span key)
{
	return outbox_delete_holdoff(o, key, 0);
}

err_t
outbox_delete_holdoff(struct outbox *o, struct span key, uint32_t holdoff_ms)
{
	uint16_t n = (uint16_t)key.len;
	char head[KEY_BYTES] = {ENTRY_KEY, KEY_WAITS};

	if (key.len > MC_KEY_MAX || !mc_request_key_ok(sent_key(o, key)))
		return ERR_BAD_KEY;
	if (o->in_pending) {
		char *p = buf_room(&o->queue, TXN_BYTES);

		p[0] = ENTRY_TXN;
		memcpy(p + 1, &o->in_offset, 8);
		memcpy(p + 9, &o->in_seen_us, 8);
		memcpy(p + 17, &o->in_commit_us, 8);
		buf_added(&o->queue, TXN_BYTES);
		o->in_pending = false;
	}
	memcpy(head + 2, &n, sizeof(n));
	memcpy(head + 4, &holdoff_ms, sizeof(holdoff_ms));
	buf_put(&o->queue, head, sizeof(head));
	buf_put_span(&o->queue, key);
	o->unsent_keys++;
	o->last_end = UINT64_MAX;
	queue_changed(o);
	return ERR_OK;
}

void
outbox_record_end(struct outbox *o, uint64_t next)
{
	char entry[END_BYTES] = {ENTRY_END};

	o->in_pending = false;
	if (o->queue.len == 0) {
		o->acked = next;
		return;
	}
	if (o->last_end != UINT64_MAX && o->last_end >= o->base) {
		memcpy(entry_at(o, o->last_end) + 1, &next, sizeof(next));
		return;
	}
	o->last_end = queue_end(o);
	memcpy(entry + 1, &next, sizeof(next));
	buf_put(&o->queue, entry, sizeof(entry));
	queue_changed(o);
}

/* The newest FLUSH is in no window yet, and nothing but an END stands behind it. */
static bool
flush_waits_at_end(const struct outbox *o)
{
	uint64_t behind = o->last_flush + FLUSH_BYTES;

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

void
outbox_caught_up(struct outbox *o)
{
	char entry[CAUGHT_UP_BYTES] = {ENTRY_CAUGHT_UP};

	memcpy(entry + 1, &o->connections, sizeof(o->connections));
	buf_put(&o->queue, entry, sizeof(entry));
	o->unsent_keys++;
	o->last_end = UINT64_MAX;
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
	o->in_pending = o->txn_open = false;
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

/* Makes a window of what waits: up to window_keys keys, or one flush_all or caught_up, with the ENDs right
 * behind. */
static struct window *
window_form(struct outbox *o)
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
		} else if (entry[0] != ENTRY_END &&
			   (w.keys >= o->ctx.opt->window_keys || window_is_mark(&w))) {
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
	if (!o->txn_open)
		return;
	o->txn_open = false;
	if (o->txn_seen_us != 0)
		histogram_record(&o->ctx.metrics->router_seen_to_ack,
				 now_us > o->txn_seen_us ? now_us - o->txn_seen_us : 0);
	if (o->txn_commit_us != 0)
		histogram_record(&o->ctx.metrics->router_commit_to_ack,
				 now_us > o->txn_commit_us ? now_us - o->txn_commit_us : 0);
}

/* Takes the entry at the queue's front, which is acknowledged; returns its size. */
static size_t
entry_finish(struct outbox *o, const char *entry, uint64_t now_us)
{
	switch ((enum entry_kind)entry[0]) {
	case ENTRY_TXN:
		txn_close(o, now_us);
		o->txn_open = true;
		o->txn_offset = load_u64(entry + 1);
		o->txn_seen_us = load_u64(entry + 9);
		o->txn_commit_us = load_u64(entry + 17);
		break;
	case ENTRY_KEY:
		if (entry[1] == KEY_GIVEN_UP)
			break;
		metric_inc(&o->ctx.metrics->router_deletes_acked);
		if (o->ctx.on_acked != NULL)
			o->ctx.on_acked(o->ctx.arg, o->txn_offset, key_of(entry));
		break;
	case ENTRY_END:
		txn_close(o, now_us);
		o->acked = load_u64(entry + 1);
		break;
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
		size_t end = taken + o->windows[o->first].bytes;

		while (taken < end)
			taken += entry_finish(o, o->queue.p + taken, now_us);
		o->first++;
		o->first_number++;
		o->nwindows--;
	}
	if (o->nwindows == 0) {
		o->first = 0;
		while (taken < o->queue.len && o->queue.p[taken] == ENTRY_END)
			taken += entry_finish(o, o->queue.p + taken, now_us);
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

/* A server that knows no hold-off gets a plain delete: it is better than none, and it is counted. */
static void
put_delete(struct outbox *o, const char *entry, struct buf *out)
{
	struct span sent = sent_key(o, key_of(entry));
	uint32_t holdoff_ms = load_u32(entry + 4);
	err_t err;

	if (holdoff_ms > 0 && o->meta && (o->can & OUTBOX_HOLDOFF)) {
		err = mc_request_delete_holdoff(out, sent, holdoff_ms);
		metric_inc(&o->ctx.metrics->router_holdoffs_sent);
	} else {
		err = o->meta ? mc_request_delete_quiet(out, sent) : mc_request_delete_classic(out, sent);
		if (holdoff_ms > 0)
			metric_inc(&o->ctx.metrics->router_holdoff_unsupported);
	}

	if (err != ERR_OK)
		abort(); /* outbox_delete() has let it in */
	metric_inc(&o->ctx.metrics->router_deletes_sent);
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
	if (!(o->can & OUTBOX_CAUGHT_UP) || load_u64(entry + 1) != o->connections)
		return false;
	mc_request_caught_up(out);
	metric_inc(&o->ctx.metrics->router_caught_up);
	return true;
}

static void
window_send(struct outbox *o, struct window *w, struct buf *out)
{
	struct flight *f = flight_add(o, w);

	f->keys = w->keys;
	for (size_t at = 0; at < w->bytes;) {
		const char *entry = entry_at(o, w->start + at);

		if (entry[0] == ENTRY_KEY)
			put_delete(o, entry, out);
		else if (entry[0] == ENTRY_FLUSH)
			f->wants_ok = put_flush_all(out);
		else if (entry[0] == ENTRY_CAUGHT_UP)
			f->wants_ok = put_caught_up(o, entry, out);
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
	put_delete(o, entry, out);
	put_end_mark(o, out);
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

bool
outbox_send(struct outbox *o, struct buf *out)
{
	uint64_t now = clock_mono_ms(o->ctx.clock);
	size_t limit = o->ctx.opt->windows < FLIGHTS_MAX ? (size_t)o->ctx.opt->windows : FLIGHTS_MAX;
	size_t before = out->len;

	if (!o->connected)
		return false;
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
	       (o->nflights == 0 || o->unsent_keys >= o->ctx.opt->window_keys))
		window_send(o, window_form(o), out);
	return out->len > before;
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

	if (!failed && !o->meta && f->answers != f->keys)
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
			 F_STR("server", o->ctx.server), F_SPAN("key", key_of(entry)),
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
		return ERR_OK;
	}
	return err_set(why, ERR_PROTOCOL, "%s does not answer a delete", mc_reply_name(reply->kind));
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

uint64_t
outbox_acked(const struct outbox *o)
{
	return o->acked;
}

size_t
outbox_bytes(const struct outbox *o)
{
	return o->queue.len;
}

bool
outbox_is_empty(const struct outbox *o)
{
	return o->queue.len == 0;
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
outbox_retry_at_ms(const struct outbox *o)
{
	uint64_t at = 0;

	for (size_t i = 0; i < o->nwindows; i++) {
		const struct window *w = &o->windows[o->first + i];

		if ((w->state == WINDOW_WAITS || w->state == WINDOW_SINGLE) && w->retry_at_ms > 0 &&
		    (at == 0 || w->retry_at_ms < at))
			at = w->retry_at_ms;
	}
	return at;
}
