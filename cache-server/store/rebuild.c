#include "cache-server/store/rebuild.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/store/store.h"
#include "cache-server/store/ttl.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/core/thread.h"

enum { BATCH = 16, MAX_THREADS = 64 };

/* Places to come back to: of heads, of pieces, of expired items. */
struct places {
	uint64_t *p;
	size_t n, cap;
};

struct work {
	struct rebuild *r;
	uint64_t *was_live; /* `live` of each header as it was found */
	_Atomic uint32_t *next;
	pthread_t thread;
	bool started;
	uint64_t dropped, expired, flushed, replaced, bad_segments, max_order, max_seq;
	struct places heads, pieces, late;
};

static void
places_add(struct places *l, uint64_t place)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 1024;
		l->p = mem_realloc(l->p, l->cap * sizeof *l->p);
	}
	l->p[l->n++] = place;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t
hash_of(const struct rebuild *r, const struct item *it, uint64_t state)
{
	return hash_span(span_make(item_key(it, state), item_klen(it)), r->seed);
}

static uint64_t
weight(const struct item *it, uint64_t state)
{
	return item_size(it, state) + SEGMENT_ONE_ITEM;
}

static void
adopt(struct rebuild *r, const struct item *it)
{
	atomic_fetch_add_explicit(&r->pool.heads[segment_of(&r->pool, it)].live, weight(it, item_state(it)),
				  memory_order_relaxed);
}

/* It is dead from now on, for the next restart, too.  `adopted`: it was counted. */
static void
kill_item(struct rebuild *r, struct item *it, bool adopted)
{
	uint64_t state = atomic_fetch_or_explicit(&it->state, ITEM_DEAD, memory_order_relaxed);

	if (adopted)
		atomic_fetch_sub_explicit(&r->pool.heads[segment_of(&r->pool, it)].live, weight(it, state),
					  memory_order_relaxed);
}

static void
forget(struct rebuild *r, struct item *it, uint64_t hash)
{
	index_lock(r->index, hash);
	(void)index_remove(r->index, hash, segment_place(&r->pool, it));
	index_unlock(r->index, hash);
	kill_item(r, it, true);
}

/* --- one segment ------------------------------------------------------------------------------------------
 */

static bool
holds_items(const struct segment *g)
{
	enum segment_state s = segment_state(g);

	return s == SEGMENT_OPEN || s == SEGMENT_CLOSED || s == SEGMENT_DRAINING;
}

/* What lives, lengths, sum: true when all of it fits together. */
static bool
proven(struct work *w, uint32_t id)
{
	struct rebuild *r = w->r;
	struct segment *g = &r->pool.heads[id];
	uint64_t sum = 0, live = 0, was = w->was_live[id];
	uint32_t at = 0, write = atomic_load_explicit(&g->write, memory_order_relaxed);
	const struct item *it;
	bool whole = r->clean || segment_writers(was) == 0;

	if (g->id != id || g->range >= TTL_RANGES || (g->base == 0) != (g->range == 0) ||
	    write > segment_size(&r->pool) || g->boot >= r->boot || g->flush > r->flush)
		return false;
	while ((it = segment_walk(&r->pool, id, &at)) != NULL) {
		uint64_t state = item_state(it), order = item_order(item_ident(it));
		unsigned klen = item_klen(it);

		if (order == 0)
			continue;
		if ((state & ITEM_PIECE) ? klen != 0 || item_vlen(state) < sizeof(struct segment_piece)
					 : klen == 0 || klen > STORE_MAX_KEY)
			return false;
		sum += segment_item_sum(it);
		if (!(state & ITEM_DEAD))
			live += weight(it, state);
		if (order > w->max_order && !(state & ITEM_PIECE))
			w->max_order = order;
	}
	if (at != write)
		return false;
	if (whole && sum != atomic_load_explicit(&g->sum, memory_order_relaxed))
		return false;
	if (r->clean && live != was)
		return false;
	atomic_store_explicit(&g->sum, sum, memory_order_relaxed);
	return true;
}

/* The item of the same key that the index leads to, with the bucket locked. */
static struct item *
same_key(const struct rebuild *r, const struct item *it, uint64_t state, uint64_t hash, uint64_t *place)
{
	struct index_cursor c = {0};

	while (index_next(r->index, hash, &c, place)) {
		struct item *other = segment_item(&r->pool, *place);

		if (item_klen(other) == item_klen(it) &&
		    memcmp(item_key(other, item_state(other)), item_key(it, state), item_klen(it)) == 0)
			return other;
	}
	return NULL;
}

static void
take_over(struct work *w, struct item *it, uint64_t hash)
{
	struct rebuild *r = w->r;
	uint64_t state = item_state(it), place = segment_place(&r->pool, it), other_place;
	struct item *other;

	if (!index_reserve(r->index)) {
		kill_item(r, it, false);
		w->dropped++;
		return;
	}
	index_lock(r->index, hash);
	other = same_key(r, it, state, hash, &other_place);
	if (!other) {
		index_insert(r->index, hash, place);
		adopt(r, it);
	} else {
		w->replaced++;
		if (item_order(item_ident(it)) > item_order(item_ident(other))) {
			(void)index_replace(r->index, hash, other_place, place);
			adopt(r, it);
			kill_item(r, other, true);
		} else {
			kill_item(r, it, false);
		}
	}
	index_unlock(r->index, hash);
}

struct batch {
	struct item *it[BATCH];
	uint64_t hash[BATCH];
	unsigned n;
};

static void
batch_flush(struct work *w, struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		take_over(w, b->it[i], b->hash[i]);
	b->n = 0;
}

static void
take_segment(struct work *w, uint32_t id)
{
	struct rebuild *r = w->r;
	struct segment *g = &r->pool.heads[id];
	const struct segment_face *f = &r->pool.faces[id];
	struct batch b = {.n = 0};
	uint32_t at = 0;
	struct item *it;

	r->pool.faces[id] = (struct segment_face){g->base, g->start, g->flush, g->boot};
	if (g->seq > w->max_seq)
		w->max_seq = g->seq;
	if (!proven(w, id)) {
		w->bad_segments++;
		w->dropped += segment_live_items(w->was_live[id]);
		return;
	}
	if (g->flush != r->flush) {
		w->flushed++;
		return;
	}
	while ((it = segment_walk(&r->pool, id, &at)) != NULL) {
		uint64_t state = item_state(it);
		uint32_t expiry;

		if ((state & ITEM_DEAD) || item_order(item_ident(it)) == 0)
			continue;
		if (state & ITEM_PIECE) {
			places_add(&w->pieces, segment_place(&r->pool, it));
			continue;
		}
		expiry = segment_expiry(f, it, state);
		if (expiry != 0 && expiry <= r->now) {
			if (r->clean) { /* there is no second one of its key */
				kill_item(r, it, false);
				w->expired++;
				continue;
			}
			places_add(&w->late, segment_place(&r->pool, it));
		}
		if (state & ITEM_LARGE)
			places_add(&w->heads, segment_place(&r->pool, it));
		b.it[b.n] = it;
		b.hash[b.n] = hash_of(r, it, state);
		index_prefetch(r->index, b.hash[b.n]);
		if (++b.n == BATCH)
			batch_flush(w, &b);
	}
	batch_flush(w, &b);
}

static void *
work_run(void *arg)
{
	struct work *w = arg;
	struct rebuild *r = w->r;
	struct quiesce_thread *q = quiesce_join(r->quiesce);
	uint32_t id;

	if (!q)
		return NULL;
	quiesce_online(r->quiesce, q);
	while ((id = atomic_fetch_add_explicit(w->next, 1, memory_order_relaxed)) <= r->pool.count) {
		if (holds_items(&r->pool.heads[id]))
			take_segment(w, id);
		quiesce_tick(r->quiesce, q);
	}
	quiesce_leave(r->quiesce, &q);
	return NULL;
}

/* --- large values ------------------------------------------------------------------------------------------
 */

/* The pieces that were found, in order of their places; `used` by a head. */
struct found {
	uint64_t *place;
	bool *used;
	size_t n;
};

static size_t
found_at(const struct found *f, uint64_t place)
{
	uint64_t *at = f->n ? bsearch(&place, f->place, f->n, sizeof *f->place, by_number) : NULL;

	return at ? (size_t)(at - f->place) : SIZE_MAX;
}

/* Every piece is there, is this head's, has its number and length, and is no other head's. */
static bool
large_whole(struct rebuild *r, const struct item *head, uint64_t hash, struct found *f, bool mark)
{
	uint64_t state = item_state(head), len, place;
	const char *value = item_value(head, state), *words, *end = value + item_vlen(state);
	uint64_t count;

	words = (const char *)(((uintptr_t)value + 7) & ~(uintptr_t)7);
	if (words + 8 > end)
		return false;
	memcpy(&len, words, sizeof len);
	count = len / r->piece + (len % r->piece != 0);
	if (count == 0 || count > (uint64_t)(end - words) / 8 - 1)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t want = i + 1 < count ? r->piece : len - i * r->piece, piece_state;
		const struct segment_piece *p;
		const struct item *it;
		size_t at;

		memcpy(&place, words + 8 + i * 8, sizeof place);
		at = found_at(f, place);
		if (at == SIZE_MAX || (!mark && f->used[at]))
			return false;
		it = segment_item(&r->pool, place);
		piece_state = item_state(it);
		p = segment_piece(it, piece_state);
		if (p->owner != hash || p->number != i || item_vlen(piece_state) != want + sizeof *p)
			return false;
		if (mark) {
			f->used[at] = true;
			adopt(r, it);
		}
	}
	return true;
}

static void
join_places(struct places *to, struct places *from)
{
	for (size_t i = 0; i < from->n; i++)
		places_add(to, from->p[i]);
	free(from->p);
	*from = (struct places){0};
}

static void
finish_large(struct rebuild *r, struct places *heads, struct places *pieces)
{
	struct found f = {.place = pieces->p, .n = pieces->n};

	if (f.n)
		qsort(f.place, f.n, sizeof *f.place, by_number);
	f.used = mem_zalloc(f.n + 1, sizeof *f.used);
	for (size_t i = 0; i < heads->n; i++) {
		struct item *head = segment_item(&r->pool, heads->p[i]);
		uint64_t hash = hash_of(r, head, item_state(head));

		if (item_state(head) & ITEM_DEAD)
			continue;
		if (large_whole(r, head, hash, &f, false)) {
			(void)large_whole(r, head, hash, &f, true);
		} else {
			forget(r, head, hash);
			r->dropped++;
		}
	}
	for (size_t i = 0; i < f.n; i++)
		if (!f.used[i])
			kill_item(r, segment_item(&r->pool, f.place[i]), false);
	free(f.used);
}

/* --- all of it ---------------------------------------------------------------------------------------------
 */

uint64_t
rebuild_estimate(const struct segment_pool *pool)
{
	uint64_t n = 0;

	for (uint32_t id = 1; id <= pool->count; id++)
		if (holds_items(&pool->heads[id]))
			n += segment_live_items(segment_live(&pool->heads[id]));
	return n;
}

static void
sum_up(struct rebuild *r)
{
	struct index_figures fig;

	for (uint32_t id = 1; id <= r->pool.count; id++) {
		struct segment *g = &r->pool.heads[id];
		uint64_t live = segment_live(g) & ~SEGMENT_ALL_WRITERS;

		atomic_store_explicit(&g->live, live, memory_order_relaxed);
		atomic_store_explicit(&g->pins, 0, memory_order_relaxed);
		r->bytes += segment_live_bytes(live);
		atomic_store_explicit(&g->state, segment_live_items(live) ? SEGMENT_CLOSED : SEGMENT_FREE,
				      memory_order_release);
	}
	index_figures(r->index, &fig);
	r->items = fig.items;
}

void
rebuild(struct rebuild *r)
{
	unsigned n = r->threads < 1 ? 1 : r->threads > MAX_THREADS ? MAX_THREADS : r->threads;
	struct work *work = mem_zalloc(n, sizeof *work);
	struct quiesce_thread *q = quiesce_join(r->quiesce);
	uint64_t *was_live = mem_alloc((r->pool.count + 1) * sizeof *was_live);
	struct places heads = {0}, pieces = {0}, late = {0};
	_Atomic uint32_t next = 1;

	for (uint32_t id = 1; id <= r->pool.count; id++) {
		was_live[id] = segment_live(&r->pool.heads[id]);
		/* The writers stay until the end: the next start must know of them if this one is killed,
		 * too. */
		atomic_store_explicit(&r->pool.heads[id].live, was_live[id] & SEGMENT_ALL_WRITERS,
				      memory_order_relaxed);
	}
	for (unsigned i = 0; i < n; i++) {
		work[i].r = r;
		work[i].was_live = was_live;
		work[i].next = &next;
		if (i > 0) /* where no thread can be had the others do its work */
			work[i].started =
			    thread_start(&work[i].thread, "rebuild", work_run, &work[i], NULL) == ERR_OK;
	}
	(void)work_run(&work[0]);
	for (unsigned i = 0; i < n; i++) {
		struct work *w = &work[i];

		if (w->started)
			pthread_join(w->thread, NULL);
		r->dropped += w->dropped;
		r->expired += w->expired;
		r->flushed += w->flushed;
		r->replaced += w->replaced;
		r->bad_segments += w->bad_segments;
		r->max_order = w->max_order > r->max_order ? w->max_order : r->max_order;
		r->max_seq = w->max_seq > r->max_seq ? w->max_seq : r->max_seq;
		join_places(&heads, &w->heads);
		join_places(&pieces, &w->pieces);
		join_places(&late, &w->late);
	}

	/* Nobody could look at them: too many threads have joined. */
	for (uint32_t id = atomic_load(&next); id <= r->pool.count; id++)
		r->dropped += segment_live_items(was_live[id]);

	quiesce_online(r->quiesce, q);
	for (size_t i = 0; i < late.n; i++) {
		struct item *it = segment_item(&r->pool, late.p[i]);

		if (item_state(it) & ITEM_DEAD)
			continue;
		forget(r, it, hash_of(r, it, item_state(it)));
		r->expired++;
	}
	finish_large(r, &heads, &pieces);
	quiesce_leave(r->quiesce, &q);
	sum_up(r);
	free(heads.p);
	free(pieces.p);
	free(late.p);
	free(was_live);
	free(work);
}
