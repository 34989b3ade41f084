#include <sys/mman.h>

#include "cache-server/store/inside.h"

/* What people and monitoring ask: figures, rows, visits, and the limit of memory. */

const struct store_metrics *
store_metrics(struct store *s)
{
	struct index_figures f;
	uint64_t items = 0, bytes = 0, live;
	uint32_t id;

	for (id = 1; id <= s->pool.count; id++) {
		enum segment_state st = segment_state(&s->pool.heads[id]);

		if (st != SEGMENT_OPEN && st != SEGMENT_CLOSED && st != SEGMENT_DRAINING)
			continue;
		live = segment_live(&s->pool.heads[id]);
		items += segment_live_items(live);
		bytes += segment_live_bytes(live);
	}
	metric_set(&s->metrics.store_items, items);
	metric_set(&s->metrics.store_bytes, bytes);
	pthread_mutex_lock(&s->supply.lock);
	metric_set(&s->metrics.store_segments, s->pool.count - s->supply.withheld);
	metric_set(&s->metrics.store_segments_free, supply_free(s));
	pthread_mutex_unlock(&s->supply.lock);
	index_figures(s->index, &f);
	metric_set(&s->metrics.store_index_buckets, f.buckets + f.chained);
	metric_set(&s->metrics.store_index_growing, f.growing);
	metric_set(&s->metrics.store_index_grown, f.grown);
	return &s->metrics;
}

bool
store_set_memory(struct store *s, uint64_t bytes)
{
	struct supply *p = &s->supply;
	uint64_t count = bytes >> s->pool.shift;
	uint32_t id, n;
	bool ok = false;

	pthread_mutex_lock(&p->lock);
	if (count < 8 || count > s->pool.count)
		goto done;
	p->usable = (uint32_t)count;
	for (id = 1; id <= s->pool.count && s->pool.count - p->withheld < p->usable; id++) {
		if (segment_state(&s->pool.heads[id]) != SEGMENT_WITHHELD)
			continue;
		if (s->mapping && !mapping_provide(s->mapping, id))
			break;
		atomic_store_explicit(&s->pool.heads[id].state, SEGMENT_FREE, memory_order_release);
		p->withheld--;
		n = atomic_load_explicit(&p->nfree, memory_order_relaxed);
		p->free[n] = id;
		atomic_store_explicit(&p->nfree, n + 1, memory_order_relaxed);
	}
	while (s->pool.count - p->withheld > p->usable &&
	       (n = atomic_load_explicit(&p->nfree, memory_order_relaxed)) > p->keep) {
		id = p->free[n - 1];
		atomic_store_explicit(&p->nfree, n - 1, memory_order_relaxed);
		atomic_store_explicit(&s->pool.heads[id].state, SEGMENT_WITHHELD, memory_order_release);
		p->withheld++;
		if (s->own_bytes)
			(void)madvise(segment_bytes(&s->pool, id), segment_size(&s->pool), MADV_DONTNEED);
		else if (s->mapping)
			mapping_withhold(s->mapping, id);
	}
	ok = true;
done:
	pthread_mutex_unlock(&p->lock);
	return ok;
}

/*
 * The cursor: bit 63 is set in the rounds that follow the first one.  They visit the segments that a merge
 * has written to since the round before began (20 bits of merge_clock), for an item may have moved from a
 * segment in front to one behind.  A round begins with another 20 bits, and the last 23 are the segment.
 */
enum { CLOCK_MASK = (1 << 20) - 1 };

static void
visit_segment(struct store *s, uint32_t id, store_visit_fn *fn, void *arg)
{
	const struct segment_face *f = &s->pool.faces[id];
	enum segment_state st = segment_state(&s->pool.heads[id]);
	uint32_t at = 0;
	struct item *it;
	uint64_t state;

	if (st != SEGMENT_OPEN && st != SEGMENT_CLOSED && st != SEGMENT_DRAINING)
		return;
	if (f->flush != atomic_load_explicit(&s->flush, memory_order_acquire))
		return;
	while ((it = segment_walk(&s->pool, id, &at)) != NULL) {
		struct store_view v = {.item = it, .segment = id};

		if (item_order(item_ident(it)) == 0)
			continue;
		state = atomic_load_explicit(&it->state, memory_order_acquire);
		if (state & (ITEM_DEAD | ITEM_PIECE))
			continue;
		v.state = state;
		v.expiry = segment_expiry(f, it, state);
		if (item_expired(v.expiry, store_now(s)))
			continue;
		v.value = (state & ITEM_LARGE) ? NULL : item_value(it, state);
		v.len = (state & ITEM_LARGE) ? large_of(it, state)->len : item_vlen(state);
		v.unproven = f->boot != s->boot && !store_is_caught_up(s);
		fn(arg, &v, span_make(item_key(it, state), item_klen(it)));
	}
}

static bool
is_since(uint32_t clock, uint32_t since)
{
	return clock != 0 && ((clock - since) & CLOCK_MASK) < CLOCK_MASK / 2 && (clock & CLOCK_MASK) != since;
}

void
store_visit(struct store_thread *t, uint64_t *cursor, unsigned segments, store_visit_fn *fn, void *arg)
{
	struct store *s = t->s;
	uint32_t clock = (uint32_t)atomic_load_explicit(&s->merge_clock, memory_order_acquire) & CLOCK_MASK;
	uint32_t id, since, began;
	bool again;

	if (*cursor == 0)
		*cursor = (uint64_t)clock << 23 | 1;
	again = *cursor >> 63;
	since = (uint32_t)(*cursor >> 43) & CLOCK_MASK;
	began = (uint32_t)(*cursor >> 23) & CLOCK_MASK;
	id = (uint32_t)*cursor & SEGMENT_MAX_ID;
	for (; segments > 0 && id <= s->pool.count; id++) {
		if (again &&
		    !is_since(atomic_load_explicit(&s->merged_clock[id], memory_order_acquire), since))
			continue;
		visit_segment(s, id, fn, arg);
		segments--;
	}
	if (id > s->pool.count) {
		/* Without a merge since this round began (odd: one is going on), nothing can have slipped
		 * past. */
		if (clock == began && clock % 2 == 0 &&
		    clock == ((uint32_t)atomic_load_explicit(&s->merge_clock, memory_order_acquire) &
			      CLOCK_MASK)) {
			*cursor = 0;
			return;
		}
		again = true;
		since = began;
		began = clock;
		id = 1;
	}
	*cursor = (uint64_t)again << 63 | (uint64_t)since << 43 | (uint64_t)began << 23 | id;
}

size_t
store_ttl_rows(struct store *s, struct store_ttl_row *rows, size_t max)
{
	struct store_ttl_row all[TTL_RANGES] = {{0}};
	bool used[TTL_RANGES] = {false};
	uint32_t id, now = store_now(s), age;
	size_t n = 0, r;

	for (id = 1; id <= s->pool.count; id++) {
		const struct segment *g = &s->pool.heads[id];
		enum segment_state st = segment_state(g);
		uint64_t live = segment_live(g);
		struct store_ttl_row *row;

		if (st != SEGMENT_OPEN && st != SEGMENT_CLOSED && st != SEGMENT_DRAINING)
			continue;
		r = g->range < TTL_RANGES ? g->range : 0;
		row = &all[r];
		used[r] = true;
		age = now - s->pool.faces[id].start;
		row->segments++;
		row->items += segment_live_items(live);
		row->live_bytes += segment_live_bytes(live);
		row->bytes += atomic_load_explicit(&g->write, memory_order_relaxed);
		if (age > row->oldest)
			row->oldest = age;
	}
	for (r = 0; r < TTL_RANGES && n < max; r++) {
		if (!used[r])
			continue;
		rows[n] = all[r];
		rows[n].ttl_from = ttl_low((unsigned)r);
		rows[n].ttl_to = ttl_high((unsigned)r, s->ttl_shift);
		n++;
	}
	return n;
}
