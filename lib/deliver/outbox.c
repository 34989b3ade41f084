#include "lib/deliver/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/deliver/outbox_inside.h"
#include "lib/wire/mc_request.h"

typedef struct outbox_metrics metric_owner;
const struct metric_row outbox_metric_rows[] = {METRIC_ROWS(OUTBOX_METRICS)};
const size_t outbox_metric_nrows = sizeof(outbox_metric_rows) / sizeof(outbox_metric_rows[0]);

enum { UNSENT_SLOTS = 4096 /* 32 KiB */ };

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

void
outbox_release_limited(struct outbox *o)
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
