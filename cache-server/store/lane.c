#include <sched.h>
#include <string.h>

#include "cache-server/store/inside.h"

/* A few instructions long, so it spins; a holder that was put to sleep is waited for by giving way. */
static void
lane_lock(struct lane *l)
{
	unsigned tries = 0;

	while (atomic_exchange_explicit(&l->lock, 1, memory_order_acquire)) {
		while (atomic_load_explicit(&l->lock, memory_order_relaxed)) {
			if (++tries % 64 == 0)
				sched_yield();
		}
	}
}

static void
lane_unlock(struct lane *l)
{
	atomic_store_explicit(&l->lock, 0, memory_order_release);
}

static size_t
wanted(const struct lane_want *w, uint64_t flags)
{
	return (sizeof(struct item) + item_extra(flags) + w->klen + w->vlen + 7) & ~(size_t)7;
}

struct item *
lane_append(struct store *s, uint32_t id, const struct lane_want *w)
{
	struct segment *g = &s->pool.heads[id];
	uint32_t write = atomic_load_explicit(&g->write, memory_order_relaxed);
	uint64_t flags = w->flags, due = 0, far = w->expiry;
	struct item *it;
	size_t n;

	if (w->expiry != 0) {
		if (g->base == 0 || w->expiry < g->base || w->expiry - g->base > ITEM_MAX_DUE)
			flags |= ITEM_FAR;
		else
			due = w->expiry - g->base;
	}
	n = wanted(w, flags);
	if (n > segment_size(&s->pool) - write)
		return NULL;
	it = (struct item *)(segment_bytes(&s->pool, id) + write);
	__atomic_store_n(&it->ident, (uint64_t)w->klen << 56, __ATOMIC_RELAXED);
	atomic_store_explicit(&it->state, w->vlen | due << 20 | flags | ITEM_DEAD, memory_order_relaxed);
	if (flags & ITEM_FAR)
		memcpy(it->body, &far, sizeof far);
	atomic_fetch_add_explicit(&g->live, SEGMENT_ONE_WRITER, memory_order_relaxed);
	atomic_store_explicit(&g->items, atomic_load_explicit(&g->items, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (w->expiry > atomic_load_explicit(&g->max_expiry, memory_order_relaxed))
		atomic_store_explicit(&g->max_expiry, w->expiry, memory_order_relaxed);
	/* Release: who walks up to here finds lengths (segment.h, rule 1). */
	atomic_store_explicit(&g->write, write + (uint32_t)n, memory_order_release);
	return it;
}

static void
close_open(struct store *s, struct lane *l, unsigned range)
{
	supply_close(s, l->open[range]);
	l->open[range] = 0;
	atomic_fetch_sub_explicit(&s->nopen, 1, memory_order_relaxed);
}

/* Too many are open: this lane closes one of its own other ones. */
static void
close_another(struct store *s, struct lane *l, unsigned but)
{
	unsigned i;

	for (i = 0; i < TTL_RANGES; i++) {
		l->hand = (l->hand + 1) % TTL_RANGES;
		if (l->open[l->hand] && l->hand != but) {
			close_open(s, l, l->hand);
			return;
		}
	}
}

struct item *
lane_reserve(struct store_thread *t, const struct lane_want *w, bool last)
{
	struct store *s = t->s;
	struct lane *l = t->lane;
	uint32_t now = atomic_load_explicit(&s->now, memory_order_relaxed), id = 0;
	unsigned range = 0;
	struct item *it = NULL;

	if (w->expiry != 0)
		range = ttl_range(w->expiry > now ? w->expiry - now : 1, s->ttl_shift);
	lane_lock(l);
	id = l->open[range];
	if (id != 0 && s->pool.heads[id].flush == atomic_load_explicit(&s->flush, memory_order_acquire))
		it = lane_append(s, id, w);
	if (!it) {
		if (id != 0)
			close_open(s, l, range);
		if (atomic_load_explicit(&s->nopen, memory_order_relaxed) >= s->max_open)
			close_another(s, l, range);
		/* The lane stays locked: it is one thread's own, or memory is too small for that. */
		/* What is restored must not share a segment with anything that is proven. */
		id = supply_open(s, range, l == &s->lanes[s->nlanes] ? 0 : s->boot, last);
		if (id != 0) {
			l->open[range] = id;
			atomic_fetch_add_explicit(&s->nopen, 1, memory_order_relaxed);
			it = lane_append(s, id, w);
		}
	}
	lane_unlock(l);
	return it;
}

void
lane_release(struct store *s, struct item *it, bool lives)
{
	uint32_t id = segment_of(&s->pool, it);
	struct segment *g = &s->pool.heads[id];
	uint64_t live, add = 0;

	if (lives) {
		add = item_size(it, item_state(it)) + SEGMENT_ONE_ITEM;
		atomic_fetch_add_explicit(&g->sum, segment_item_sum(it), memory_order_relaxed);
	}
	/* Release: a merge that sees no writers sees what they wrote. */
	live = atomic_fetch_add_explicit(&g->live, add - SEGMENT_ONE_WRITER, memory_order_seq_cst) + add -
	       SEGMENT_ONE_WRITER;
	if (segment_live_items(live) == 0 && segment_writers(live) == 0)
		supply_check_empty(s, id);
}

void
lane_close_idle(struct store *s, bool all)
{
	uint32_t now = atomic_load_explicit(&s->now, memory_order_relaxed);
	uint32_t flush = atomic_load_explicit(&s->flush, memory_order_acquire), id, expiry;
	uint64_t seq;
	unsigned i, r;

	pthread_mutex_lock(&s->supply.lock);
	seq = s->supply.seq;
	pthread_mutex_unlock(&s->supply.lock);
	for (i = 0; i <= s->nlanes; i++) {
		struct lane *l = &s->lanes[i];

		lane_lock(l);
		for (r = 0; r < TTL_RANGES; r++) {
			id = l->open[r];
			if (id == 0)
				continue;
			expiry = atomic_load_explicit(&s->pool.heads[id].max_expiry, memory_order_relaxed);
			/* Idle: all of the memory has been opened once since. */
			if (all || s->pool.heads[id].flush != flush || item_expired(expiry, now) ||
			    seq - s->pool.heads[id].seq > s->supply.usable)
				close_open(s, l, r);
		}
		lane_unlock(l);
	}
}
