#include <stdlib.h>
#include <sys/mman.h>

#include "cache-server/store/inside.h"
#include "lib/core/mem.h"

bool
supply_init(struct supply *p, uint32_t count)
{
	pthread_mutex_init(&p->lock, NULL);
	p->free = mem_zalloc(count + 1, sizeof *p->free);
	p->limbo = mem_zalloc(count + 1, sizeof *p->limbo);
	p->next = mem_zalloc(count + 1, sizeof *p->next);
	p->prev = mem_zalloc(count + 1, sizeof *p->prev);
	p->veteran = mem_zalloc(count + 1, sizeof *p->veteran);
	return true;
}

void
supply_fini(struct supply *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p->free);
	free(p->limbo);
	free(p->next);
	free(p->prev);
	free(p->veteran);
}

static void
set_state(struct segment *g, enum segment_state state)
{
	/* Sequentially consistent for the sake of supply_check_empty(): either who closes a segment sees that
	 * the last item has gone, or who takes the last item sees that it is closed. */
	atomic_store_explicit(&g->state, (uint16_t)state, memory_order_seq_cst);
}

static void
list_append(struct supply *p, unsigned range, uint32_t id)
{
	p->closed[p->veteran[id]]++;
	range += p->veteran[id] ? TTL_RANGES : 0;
	p->next[id] = 0;
	p->prev[id] = p->last[range];
	if (p->last[range])
		p->next[p->last[range]] = id;
	else
		p->first[range] = id;
	p->last[range] = id;
}

static void
list_remove(struct supply *p, unsigned range, uint32_t id)
{
	p->closed[p->veteran[id]]--;
	range += p->veteran[id] ? TTL_RANGES : 0;
	if (p->prev[id])
		p->next[p->prev[id]] = p->next[id];
	else
		p->first[range] = p->next[id];
	if (p->next[id])
		p->prev[p->next[id]] = p->prev[id];
	else
		p->last[range] = p->prev[id];
	p->next[id] = p->prev[id] = 0;
}

/* With the lock. */
static void
put_free(struct store *s, uint32_t id)
{
	struct supply *p = &s->supply;
	uint32_t n = atomic_load_explicit(&p->nfree, memory_order_relaxed);

	if (s->pool.count - p->withheld > p->usable) {
		set_state(&s->pool.heads[id], SEGMENT_WITHHELD);
		p->withheld++;
		if (s->own_bytes)
			(void)madvise(segment_bytes(&s->pool, id), segment_size(&s->pool), MADV_DONTNEED);
		else if (s->mapping)
			mapping_withhold(s->mapping, id);
		return;
	}
	set_state(&s->pool.heads[id], SEGMENT_FREE);
	p->free[n] = id;
	atomic_store_explicit(&p->nfree, n + 1, memory_order_relaxed);
}

uint32_t
supply_open(struct store *s, unsigned range, uint32_t boot, bool merge)
{
	struct supply *p = &s->supply;
	struct segment *g;
	struct segment_face *f;
	uint32_t n, id = 0, now = atomic_load_explicit(&s->now, memory_order_relaxed);

	if (supply_free(s) <= (merge ? 0 : p->keep))
		return 0;
	pthread_mutex_lock(&p->lock);
	n = atomic_load_explicit(&p->nfree, memory_order_relaxed);
	if (n > (merge ? 0 : p->keep)) {
		id = p->free[n - 1];
		atomic_store_explicit(&p->nfree, n - 1, memory_order_relaxed);
		g = &s->pool.heads[id];
		f = &s->pool.faces[id];
		g->id = id;
		g->seq = ++p->seq;
		g->range = (uint16_t)range;
		p->veteran[id] = merge;
		g->start = now;
		g->base = range == 0 ? 0 : now + ttl_low(range);
		g->boot = boot;
		g->flush = atomic_load_explicit(&s->flush, memory_order_acquire);
		atomic_store_explicit(&g->live, 0, memory_order_relaxed);
		atomic_store_explicit(&g->sum, 0, memory_order_relaxed);
		atomic_store_explicit(&g->items, 0, memory_order_relaxed);
		atomic_store_explicit(&g->max_expiry, 0, memory_order_relaxed);
		atomic_store_explicit(&g->write, 0, memory_order_release);
		*f = (struct segment_face){g->base, g->start, g->flush, g->boot};
		set_state(g, SEGMENT_OPEN);
	}
	pthread_mutex_unlock(&p->lock);
	return id;
}

void
supply_give_back(struct store *s, uint32_t id)
{
	pthread_mutex_lock(&s->supply.lock);
	put_free(s, id);
	pthread_mutex_unlock(&s->supply.lock);
}

/* With the lock: it waits until nobody can see it. */
static void
retire(struct store *s, uint32_t id)
{
	struct supply *p = &s->supply;
	uint32_t n = atomic_load_explicit(&p->nlimbo, memory_order_relaxed);

	set_state(&s->pool.heads[id], SEGMENT_RETIRED);
	p->limbo[(p->limbo_first + n) % (s->pool.count + 1)] =
	    (struct supply_waiting){quiesce_stamp(s->quiesce), id};
	atomic_store_explicit(&p->nlimbo, n + 1, memory_order_relaxed);
	metric_inc(&s->metrics.store_segments_freed);
}

static bool
nothing_lives(const struct segment *g)
{
	uint64_t live = atomic_load_explicit((_Atomic uint64_t *)&g->live, memory_order_seq_cst);

	return segment_live_items(live) == 0 && segment_writers(live) == 0;
}

void
supply_close(struct store *s, uint32_t id)
{
	struct supply *p = &s->supply;
	struct segment *g = &s->pool.heads[id];

	pthread_mutex_lock(&p->lock);
	set_state(g, SEGMENT_CLOSED);
	list_append(p, g->range, id);
	if (nothing_lives(g)) {
		list_remove(p, g->range, id);
		retire(s, id);
	}
	pthread_mutex_unlock(&p->lock);
}

void
supply_check_empty(struct store *s, uint32_t id)
{
	struct supply *p = &s->supply;
	struct segment *g = &s->pool.heads[id];

	if (atomic_load_explicit(&g->state, memory_order_seq_cst) != SEGMENT_CLOSED)
		return;
	pthread_mutex_lock(&p->lock);
	if (segment_state(g) == SEGMENT_CLOSED && nothing_lives(g)) {
		list_remove(p, g->range, id);
		retire(s, id);
	}
	pthread_mutex_unlock(&p->lock);
}

bool
supply_drain(struct store *s, uint32_t id)
{
	struct supply *p = &s->supply;
	struct segment *g = &s->pool.heads[id];
	bool ok;

	pthread_mutex_lock(&p->lock);
	ok = segment_state(g) == SEGMENT_CLOSED && segment_writers(segment_live(g)) == 0;
	if (ok) {
		list_remove(p, g->range, id);
		set_state(g, SEGMENT_DRAINING);
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

void
supply_retire(struct store *s, uint32_t id)
{
	pthread_mutex_lock(&s->supply.lock);
	retire(s, id);
	pthread_mutex_unlock(&s->supply.lock);
}

void
supply_undrain(struct store *s, uint32_t id)
{
	supply_close(s, id);
}

void
supply_reap(struct store *s)
{
	struct supply *p = &s->supply;
	uint32_t n, i, ring = s->pool.count + 1, pinned = 0;

	if (atomic_load_explicit(&p->nlimbo, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&p->lock);
	n = atomic_load_explicit(&p->nlimbo, memory_order_relaxed);
	for (i = n; i > 0; i--) {
		struct supply_waiting w = p->limbo[p->limbo_first];

		if (!quiesce_passed(s->quiesce, w.stamp))
			break;
		p->limbo_first = (p->limbo_first + 1) % ring;
		n--;
		/* Whoever pinned it did so while online, so its pin is seen now. */
		if (atomic_load_explicit(&s->pool.heads[w.id].pins, memory_order_acquire) != 0) {
			p->limbo[(p->limbo_first + n) % ring] = w;
			n++;
			pinned++;
			continue;
		}
		put_free(s, w.id);
	}
	atomic_store_explicit(&p->nlimbo, n, memory_order_relaxed);
	atomic_store_explicit(&p->npinned, pinned, memory_order_relaxed);
	pthread_mutex_unlock(&p->lock);
}

uint32_t
supply_oldest(struct store *s, unsigned range)
{
	uint32_t id;

	pthread_mutex_lock(&s->supply.lock);
	id = s->supply.first[range];
	pthread_mutex_unlock(&s->supply.lock);
	return id;
}

uint32_t
supply_next(struct store *s, uint32_t id)
{
	uint32_t next;

	pthread_mutex_lock(&s->supply.lock);
	next = segment_state(&s->pool.heads[id]) == SEGMENT_CLOSED ? s->supply.next[id] : 0;
	pthread_mutex_unlock(&s->supply.lock);
	return next;
}
