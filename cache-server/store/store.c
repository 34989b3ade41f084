#include "cache-server/store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cache-server/store/inside.h"
#include "lib/core/mem.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * Memory ordering.  An item's bytes are written before its place is stored to the index with release; readers
 * load the place with acquire.  An item dies in this order: the index forgets it (or leads to its successor),
 * then DEAD is set with release.  A reader loads `state` with acquire; when it sees DEAD it looks again from
 * the start, and then must see what the index held when DEAD was set.  So a key that is there all the time is
 * always found, although its item moves.  `now` and `flush` are loaded once per call, relaxed and acquire:
 * what was committed before store_flush() returned has a smaller epoch than what any thread then loads.
 */

#define XCAS_LIMIT (1ull << 55) /* CAS above it do not take part in the counters */

/* --- life ------------------------------------------------------------------------------------------------
 */

static unsigned
choose_shift(const struct store_options *opt)
{
	uint64_t want = opt->segment_size ? opt->segment_size : opt->memory / 512;
	unsigned shift = SEGMENT_MIN_SHIFT;

	while (shift < SEGMENT_MAX_SHIFT && (2ull << shift) <= want)
		shift++;
	return shift;
}

static void *
map_memory(size_t bytes)
{
	void *p =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Ordinary memory.  Addresses for eight times as much, so that the limit can be raised; used is what is used.
 */
static err_t
own_memory(struct store *s, uint64_t count, struct err_detail *why)
{
	struct segment_pool *p = &s->pool;
	uint64_t most = count * 8 < SEGMENT_MAX_ID ? count * 8 : SEGMENT_MAX_ID;

	for (;; most = count) {
		s->own_heads_size = (most + 1) * sizeof(struct segment);
		s->own_bytes_size = most << p->shift;
		s->own_heads = map_memory(s->own_heads_size);
		s->own_bytes = map_memory(s->own_bytes_size);
		if (s->own_heads && s->own_bytes)
			break;
		if (s->own_heads)
			munmap(s->own_heads, s->own_heads_size);
		if (s->own_bytes)
			munmap(s->own_bytes, s->own_bytes_size);
		s->own_heads = s->own_bytes = NULL;
		if (most == count)
			return err_set(why, ERR_SYS,
				       "the system has no %llu bytes for items (%s); make the memory smaller",
				       (unsigned long long)(count << p->shift), strerror(errno));
	}
	(void)madvise(s->own_bytes, s->own_bytes_size, MADV_HUGEPAGE);
	p->heads = s->own_heads;
	p->origin = (char *)s->own_bytes - (1ull << p->shift);
	p->count = (uint32_t)most;
	return ERR_OK;
}

/* What follows from the number of segments. */
static void
choose_sizes(struct store *s, uint32_t count)
{
	uint32_t size = segment_size(&s->pool);
	uint32_t share;

	s->nlanes = s->threads;
	if (count < 64 * s->nlanes)
		s->nlanes = count / 64 > 0 ? count / 64 : 1;
	share = count / s->nlanes;
	s->ttl_shift = 0;
	while (s->ttl_shift < TTL_MAX_SHIFT &&
	       ((uint32_t)TTL_RANGES >> s->ttl_shift) > share / (s->policy == STORE_REFUSE ? 8 : 4))
		s->ttl_shift++;
	if (count < 64)
		s->ttl_shift = TTL_MAX_SHIFT;
	s->max_open = count / 4;
	s->supply.keep = count < 64 ? 1 : 2;
	s->max_inline = size / 4;
	s->piece = size / 4 - (uint32_t)sizeof(struct item) - (uint32_t)sizeof(struct segment_piece) - 8;
}

err_t
store_create(struct store **out, const struct store_options *opt, struct err_detail *why)
{
	struct store *s = aligned_alloc(64, (sizeof *s + 63) & ~(size_t)63);
	uint64_t count, i, items;
	unsigned bits = INDEX_MIN_BITS;
	err_t err = ERR_OK;

	*out = NULL;
	if (!s)
		return err_set(why, ERR_SYS, "the system has no memory for a store; free some");
	memset(s, 0, sizeof *s);
	pthread_mutex_init(&s->merge_lock, NULL);
	pthread_mutex_init(&s->join_lock, NULL);
	s->pool.shift = choose_shift(opt);
	s->threads = opt->threads ? opt->threads : 1;
	s->policy = opt->policy;
	s->quiesce = opt->quiesce;
	s->seed = opt->seed;
	s->mapping = opt->mapping;
	s->boot = 1;
	s->max_value = opt->max_value ? opt->max_value : 1u << 20;
	atomic_store(&s->now, opt->now ? opt->now : 1);
	atomic_store(&s->caught_up, true);
	atomic_store(&s->merge_clock, 2);
	if (s->mapping)
		restart_attach(s);
	count = opt->memory >> s->pool.shift;
	if (count > SEGMENT_MAX_ID)
		count = SEGMENT_MAX_ID;
	if (count < 8) {
		err = err_set(why, ERR_CONFIG,
			      "%llu bytes are too few for a store with segments of %u; give it at least %u",
			      (unsigned long long)opt->memory, segment_size(&s->pool),
			      segment_size(&s->pool) * 8);
		goto done;
	}
	if (!s->mapping)
		err = own_memory(s, count, why);
	if (err != ERR_OK)
		goto done;
	if (count > s->pool.count)
		count = s->pool.count;
	s->pool.faces = mem_zalloc(s->pool.count + 1, sizeof *s->pool.faces);
	s->merged_clock = mem_zalloc(s->pool.count + 1, sizeof *s->merged_clock);
	supply_init(&s->supply, s->pool.count);
	s->supply.usable = (uint32_t)count;
	s->supply.withheld = s->mapping ? 0 : s->pool.count - (uint32_t)count;
	choose_sizes(s, (uint32_t)count);
	s->lanes = aligned_alloc(64, (s->nlanes + 1) * sizeof *s->lanes);
	if (!s->lanes) {
		err = err_set(why, ERR_SYS, "the system has no memory for a store; free some");
		goto done;
	}
	memset(s->lanes, 0, (s->nlanes + 1) * sizeof *s->lanes);
	items = restart_estimate(s);
	if (items < opt->first_items)
		items = opt->first_items;
	while (bits < INDEX_MAX_BITS && (uint64_t)INDEX_LOAD << bits < items)
		bits++;
	err = index_create(&s->index, bits, s->quiesce, why);
	if (err != ERR_OK)
		goto done;
	/* The first ones are used first. */
	for (i = s->pool.count; i > count && !s->mapping; i--)
		atomic_store_explicit(&s->pool.heads[i].state, SEGMENT_WITHHELD, memory_order_relaxed);
	for (i = count; i > 0 && !s->mapping; i--)
		supply_give_back(s, (uint32_t)i);
	if (s->mapping)
		restart_load(s);
	*out = s;
	s = NULL;
done:
	store_destroy(&s);
	return err;
}

void
store_destroy(struct store **s)
{
	struct store *x = *s;

	if (!x)
		return;
	index_destroy(&x->index);
	if (x->supply.free)
		supply_fini(&x->supply);
	free(x->lanes);
	free(x->pool.faces);
	free((void *)x->merged_clock);
	if (x->own_heads)
		munmap(x->own_heads, x->own_heads_size);
	if (x->own_bytes)
		munmap(x->own_bytes, x->own_bytes_size);
	pthread_mutex_destroy(&x->merge_lock);
	pthread_mutex_destroy(&x->join_lock);
	free(x);
	*s = NULL;
}

struct store_thread *
store_join(struct store *s, struct quiesce_thread *q)
{
	struct store_thread *t = NULL;
	unsigned i;

	pthread_mutex_lock(&s->join_lock);
	for (i = 0; i < STORE_SLOTS && s->slot[i].thread; i++)
		;
	if (i < STORE_SLOTS) {
		t = aligned_alloc(64, (sizeof *t + 63) & ~(size_t)63);
		if (t) {
			memset(t, 0, sizeof *t);
			t->s = s;
			t->q = q;
			t->number = i;
			t->lane = &s->lanes[i % s->nlanes];
			t->random = s->seed ^ (i + 1) * 0x9E3779B97F4A7C15ull;
			t->counter = s->slot[i].counter;
			if (t->counter < s->counter_floor)
				t->counter = s->counter_floor;
			s->slot[i].thread = t;
		}
	}
	pthread_mutex_unlock(&s->join_lock);
	return t;
}

void
store_leave(struct store_thread **t)
{
	struct store_thread *x = *t;

	if (!x)
		return;
	pthread_mutex_lock(&x->s->join_lock);
	x->s->slot[x->number] = (struct slot){NULL, x->counter};
	pthread_mutex_unlock(&x->s->join_lock);
	free(x);
	*t = NULL;
}

void
store_set_now(struct store *s, uint32_t now)
{
	uint32_t old = atomic_load_explicit(&s->now, memory_order_relaxed);

	while (now > old && !atomic_compare_exchange_weak_explicit(&s->now, &old, now, memory_order_relaxed,
								   memory_order_relaxed))
		;
}

uint32_t
store_now(const struct store *s)
{
	return atomic_load_explicit((_Atomic uint32_t *)&s->now, memory_order_relaxed);
}

uint64_t
store_segment_size(const struct store *s)
{
	return segment_size(&s->pool);
}

/* --- items ------------------------------------------------------------------------------------------------
 */

uint64_t
store_hash(const struct store *s, struct span key)
{
	return XXH3_64bits_withSeed(key.p, key.len, s->seed);
}

uint64_t
item_hash(const struct store *s, const struct item *it, uint64_t state)
{
	return XXH3_64bits_withSeed(item_key(it, state), item_klen(it), s->seed);
}

void
item_publish(struct store *s, struct item *it, uint64_t order, uint64_t bits)
{
	uint64_t state = item_state(it) & ~ITEM_DEAD;

	(void)s;
	/* The order matters to who finds the memory after a crash: segment.h, rule 2. */
	__atomic_store_n(&it->ident, (it->ident & ~ITEM_CAS_MASK) | order, __ATOMIC_RELEASE);
	atomic_store_explicit(&it->state, state | bits, memory_order_release);
}

void
item_kill(struct store *s, struct item *it)
{
	uint64_t state = atomic_fetch_or_explicit(&it->state, ITEM_DEAD, memory_order_release), live, sub;
	uint32_t id = segment_of(&s->pool, it);

	if (state & ITEM_DEAD)
		return;
	if (state & ITEM_LARGE)
		large_kill(s, it);
	sub = item_size(it, state) + SEGMENT_ONE_ITEM;
	if (s->policy == STORE_REFUSE)
		atomic_fetch_add_explicit(&s->killed, item_size(it, state), memory_order_relaxed);
	live = atomic_fetch_sub_explicit(&s->pool.heads[id].live, sub, memory_order_seq_cst) - sub;
	if (segment_live_items(live) == 0 && segment_writers(live) == 0)
		supply_check_empty(s, id);
}

void
item_count_gone(struct store *s, uint64_t state, enum store_gone gone)
{
	if (gone == STORE_EXPIRED) {
		metric_inc(&s->metrics.store_expired);
		if (!(state & ITEM_FETCHED))
			metric_inc(&s->metrics.store_expired_unfetched);
	} else if (gone == STORE_FLUSHED) {
		metric_inc(&s->metrics.store_flushed_items);
	}
}

/* --- reading ----------------------------------------------------------------------------------------------
 */

void
store_prefetch_bucket(const struct store *s, uint64_t hash)
{
	index_prefetch(s->index, hash);
}

void
store_prefetch_item(const struct store *s, uint64_t hash)
{
	struct index_cursor c = {0};
	uint64_t place;

	if (index_next(s->index, hash, &c, &place)) {
		const char *it = (const char *)segment_item(&s->pool, place);

		__builtin_prefetch(it);
		__builtin_prefetch(it + 64);
		__builtin_prefetch(&s->pool.faces[index_place_segment(place)]);
	}
}

/* The item of the key that the index leads to, whatever its condition; NULL: none. */
static inline struct item *
lookup(const struct store *s, struct span key, uint64_t hash, uint64_t *place, uint64_t *state)
{
	struct index_cursor c;
	struct item *it;
	uint64_t st;

again:
	c = (struct index_cursor){0};
	while (index_next(s->index, hash, &c, place)) {
		it = segment_item(&s->pool, *place);
		st = atomic_load_explicit(&it->state, memory_order_acquire);
		if (item_klen(it) != key.len || memcmp(item_key(it, st), key.p, key.len) != 0 ||
		    (st & ITEM_PIECE))
			continue;
		if (__builtin_expect((st & ITEM_DEAD) != 0, 0))
			goto again; /* it moved, was replaced or removed meanwhile */
		*state = st;
		return it;
	}
	return NULL;
}

static inline enum store_gone
is_gone(const struct store *s, const struct segment_face *f, uint32_t expiry)
{
	if (f->flush != atomic_load_explicit((_Atomic uint32_t *)&s->flush, memory_order_acquire))
		return STORE_FLUSHED;
	if (item_expired(expiry, atomic_load_explicit((_Atomic uint32_t *)&s->now, memory_order_relaxed)))
		return STORE_EXPIRED;
	return STORE_HERE;
}

static inline bool
view(const struct store *s, const struct item *it, uint64_t place, uint64_t state, struct store_view *out)
{
	uint32_t id = index_place_segment(place);
	const struct segment_face *f = &s->pool.faces[id];
	uint32_t expiry = segment_expiry(f, it, state);

	enum store_gone gone = is_gone(s, f, expiry);

	if (__builtin_expect(gone != STORE_HERE, 0)) {
		out->gone = gone;
		return false;
	}
	out->item = it;
	out->state = state;
	out->segment = id;
	out->expiry = expiry;
	out->unproven =
	    f->boot != s->boot && !atomic_load_explicit((_Atomic bool *)&s->caught_up, memory_order_relaxed);
	if (__builtin_expect((state & ITEM_LARGE) == 0, 1)) {
		out->value = item_value(it, state);
		out->len = item_vlen(state);
	} else {
		out->value = NULL;
		out->len = large_of(it, state)->len;
	}
	return true;
}

bool
store_find(struct store_thread *t, struct span key, uint64_t hash, struct store_view *out)
{
	const struct store *s = t->s;
	uint64_t place, state;
	const struct item *it = lookup(s, key, hash, &place, &state);

	if (!it) {
		out->gone = STORE_ABSENT;
		return false;
	}
	return view(s, it, place, state, out);
}

bool
store_find_locked(struct store_thread *t, struct span key, uint64_t hash, struct store_view *out)
{
	return store_find(t, key, hash, out);
}

void
store_accessed(struct store_thread *t, const struct store_view *v)
{
	const struct store *s = t->s;
	struct item *it = (struct item *)v->item;
	uint64_t old = item_state(it), seen, fresh, freq;
	uint32_t now = atomic_load_explicit((_Atomic uint32_t *)&s->now, memory_order_relaxed);

	seen = seen_encode(now - s->pool.faces[v->segment].start);
	if ((old & ITEM_FETCHED) && old >> ITEM_SEEN_SHIFT == seen)
		return;
	freq = item_freq(old);
	/* Smoothed: the more there are, the less likely is one more. */
	if (freq < 63) {
		t->random ^= t->random << 13;
		t->random ^= t->random >> 7;
		t->random ^= t->random << 17;
		if (freq < 16 || (uint32_t)t->random < UINT32_MAX / (uint32_t)freq)
			freq++;
	}
	fresh = (old & ~(ITEM_FREQ_MASK | 0xFFFull << ITEM_SEEN_SHIFT)) | ITEM_FETCHED |
		freq << ITEM_FREQ_SHIFT | seen << ITEM_SEEN_SHIFT;
	/* Another thread's change meanwhile wins. */
	(void)atomic_compare_exchange_strong_explicit(&it->state, &old, fresh, memory_order_relaxed,
						      memory_order_relaxed);
}

void
store_on_evicted(struct store *s, store_evicted_fn *fn, void *arg)
{
	s->evicted = fn;
	s->evicted_arg = arg;
}

uint32_t
store_idle(const struct store_thread *t, const struct store_view *v)
{
	uint32_t seen = t->s->pool.faces[v->segment].start + seen_decode(v->state >> ITEM_SEEN_SHIFT);
	uint32_t now = store_now(t->s);

	return now > seen ? now - seen : 0;
}

struct span
store_view_part(struct store_thread *t, const struct store_view *v, uint64_t at)
{
	const struct store *s = t->s;
	const struct item *it;
	uint64_t in;

	if (at >= v->len)
		return (struct span){NULL, 0};
	if (v->value)
		return (struct span){v->value + at, v->len - at};
	it = segment_item(&s->pool, atomic_load_explicit(&large_of(v->item, v->state)->place[at / s->piece],
							 memory_order_acquire));
	in = at % s->piece;
	return (struct span){segment_piece(it, item_state(it))->bytes + in,
			     item_vlen(item_state(it)) - sizeof(struct segment_piece) - in};
}

struct store_pin
store_pin(struct store_thread *t, struct span part)
{
	struct store_pin p = {t->s, segment_of(&t->s->pool, part.p)};

	/* supply_reap() looks at it after this thread has ticked, which orders the two. */
	atomic_fetch_add_explicit(&t->s->pool.heads[p.segment].pins, 1, memory_order_relaxed);
	return p;
}

void
store_unpin(struct store_pin *p)
{
	if (p->store)
		/* Release: the reuse comes after the reading. */
		atomic_fetch_sub_explicit(&p->store->pool.heads[p->segment].pins, 1, memory_order_release);
	p->store = NULL;
}

/* --- writing ----------------------------------------------------------------------------------------------
 */

static uint64_t
most(const struct store *s)
{
	uint64_t half = (uint64_t)s->supply.usable << s->pool.shift >> 1;
	uint64_t refs = (uint64_t)((s->max_inline - 512) / 8) * s->piece;
	uint64_t n = s->max_value;

	if (n > 1u << 30)
		n = 1u << 30;
	if (n > half)
		n = half;
	/* Of a tiny store several are open, or kept for merges. */
	if (n > (uint64_t)(s->supply.usable - 6) << s->pool.shift)
		n = (uint64_t)(s->supply.usable - 6) << s->pool.shift;
	return n < refs ? n : refs;
}

/* store_commit() will look at what the key has now, and count it off in its segment's header. */
static void
prefetch_change(const struct store *s, uint64_t hash)
{
	struct index_cursor c = {0};
	uint64_t place;

	if (index_next(s->index, hash, &c, &place)) {
		__builtin_prefetch(segment_item(&s->pool, place), 1);
		__builtin_prefetch(&s->pool.heads[index_place_segment(place)], 1);
	}
}

err_t
store_begin(struct store_thread *t, struct store_draft *d)
{
	struct store *s = t->s;
	struct lane_want w = {.klen = (unsigned)d->key.len, .expiry = d->expiry};
	uint32_t extra;
	uint64_t state;
	err_t err = ERR_OK;

	d->item = NULL;
	d->value = NULL;
	d->pieces = NULL;
	d->npieces = 0;
	if (d->key.len == 0 || d->key.len > STORE_MAX_KEY || d->value_len > most(s)) {
		metric_inc(&s->metrics.store_too_large);
		return ERR_TOO_LONG;
	}
	if (d->client_flags != 0)
		w.flags |= ITEM_FLAGS;
	if (d->cas != 0 || d->want_cas)
		w.flags |= ITEM_CAS;
	if (d->epoch.source != 0)
		w.flags |= ITEM_EPOCH;
	extra = item_extra(w.flags);
	index_prefetch(s->index, d->hash);
	if (!index_reserve(s->index)) {
		err = ERR_FULL;
		goto done;
	}
	if (sizeof(struct item) + extra + 8 + w.klen + d->value_len + 7 > s->max_inline) {
		w.flags |= ITEM_LARGE;
		w.vlen = large_vlen(s, extra, w.klen, d->value_len);
		err = large_begin(t, d, &w);
		if (err != ERR_OK)
			goto done;
	} else {
		w.vlen = (uint32_t)d->value_len;
	}
	while ((d->item = lane_reserve(t, &w, false)) == NULL) {
		err = evict_now(t);
		if (err != ERR_OK) {
			large_abort(t, d);
			goto done;
		}
	}
	state = item_state(d->item);
	d->place = segment_place(&s->pool, d->item);
	memcpy((char *)item_key(d->item, state), d->key.p, d->key.len);
	if (state & ITEM_EPOCH)
		memcpy(d->item->body + ((state & ITEM_FAR) ? 8 : 0) + ((state & ITEM_CAS) ? 8 : 0), &d->epoch,
		       sizeof d->epoch);
	if (state & ITEM_FLAGS)
		memcpy(d->item->body + item_extra(state) - 4, &d->client_flags, 4);
	if (!(state & ITEM_LARGE))
		d->value = (char *)item_value(d->item, state);
	prefetch_change(s, d->hash);
done:
	if (err != ERR_OK)
		metric_inc(&s->metrics.store_refused);
	return err;
}

size_t
store_draft_room(struct store_thread *t, struct store_draft *d, uint64_t at, char **where)
{
	if (d->npieces != 0)
		return large_room(t, d, at, where);
	if (at >= d->value_len)
		return 0;
	*where = d->value + at;
	return d->value_len - at;
}

void
store_abort(struct store_thread *t, struct store_draft *d)
{
	if (!d->item)
		return;
	lane_release(t->s, d->item, false);
	large_abort(t, d);
	d->item = NULL;
}

void
store_lock(struct store_thread *t, uint64_t hash)
{
	index_lock(t->s->index, hash);
}

void
store_unlock(struct store_thread *t, uint64_t hash)
{
	index_unlock(t->s->index, hash);
}

/* A number larger than the thread's and the old item's last ones; the low byte says whose it is. */
static uint64_t
next_counter(struct store_thread *t, const struct item *old, uint64_t old_state)
{
	uint64_t c = t->counter, o;

	if (old) {
		o = item_order(old->ident);
		if (o > c)
			c = o;
		if (old_state & ITEM_CAS) {
			o = item_cas(old, old_state);
			if (o > c && o < XCAS_LIMIT)
				c = o;
		}
	}
	return t->counter = ((c >> 8) + 1) << 8 | t->number;
}

/*
 * The store was flushed while the draft was being filled: its segment counts as flushed, too.  A copy goes to
 * a fresh segment; false: none is free at this moment, and waiting is not possible with a bucket locked.
 */
static bool
copy_draft(struct store_thread *t, struct store_draft *d)
{
	struct store *s = t->s;
	uint64_t state = item_state(d->item), fresh;
	uint32_t id = segment_of(&s->pool, d->item);
	struct lane_want w = {.klen = item_klen(d->item),
			      .vlen = item_vlen(state),
			      .flags = state & (ITEM_FLAGS | ITEM_CAS | ITEM_EPOCH | ITEM_LARGE),
			      .expiry = segment_expiry(&s->pool.faces[id], d->item, state)};
	struct item *to = lane_reserve(t, &w, true);
	unsigned skip = (state & ITEM_FAR) ? 8 : 0;

	if (!to)
		return false;
	fresh = item_state(to);
	if (state & ITEM_LARGE)
		memcpy(to->body + ((fresh & ITEM_FAR) ? 8 : 0), d->item->body + skip,
		       item_extra(state) - skip + w.klen);
	else
		memcpy(to->body + ((fresh & ITEM_FAR) ? 8 : 0), d->item->body + skip,
		       item_extra(state) - skip + w.klen + w.vlen);
	lane_release(s, d->item, false);
	d->item = to;
	d->place = segment_place(&s->pool, to);
	return true;
}

uint64_t
store_commit(struct store_thread *t, struct store_draft *d, uint64_t bits)
{
	struct store *s = t->s;
	const struct segment_face *f;
	uint64_t place, state, old_state = 0, order, cas, seen;
	struct item *old;
	struct span key;
	uint32_t i;

	f = &s->pool.faces[index_place_segment(d->place)];
	if (__builtin_expect(f->flush != atomic_load_explicit(&s->flush, memory_order_acquire), 0)) {
		/* No room is as if it had been evicted at once.  That takes a flush in the midst of a merge.
		 */
		if (!copy_draft(t, d))
			metric_inc(&s->metrics.store_evicted);
		f = &s->pool.faces[index_place_segment(d->place)];
	}
	state = item_state(d->item);
	key = span_make(item_key(d->item, state), item_klen(d->item));
	old = lookup(s, key, d->hash, &place, &old_state);
	if (old) {
		const struct segment_face *of = &s->pool.faces[index_place_segment(place)];
		enum store_gone gone = is_gone(s, of, segment_expiry(of, old, old_state));

		if (__builtin_expect(gone != STORE_HERE, 0))
			item_count_gone(s, old_state, gone);
	}
	order = cas = next_counter(t, old, old_state);
	if (state & ITEM_CAS) {
		if (d->cas != 0)
			cas = d->cas;
		else if (old && item_cas(old, old_state) >= XCAS_LIMIT &&
			 item_cas(old, old_state) != UINT64_MAX)
			cas = item_cas(old, old_state) + 1;
		memcpy(d->item->body + ((state & ITEM_FAR) ? 8 : 0), &cas, sizeof cas);
	}
	if (d->npieces)
		large_publish(t, d);
	seen = seen_encode(store_now(s) - f->start);
	item_publish(s, d->item, order, bits | seen << ITEM_SEEN_SHIFT);
	if (old) {
		if (index_replace(s->index, d->hash, place, d->place))
			item_kill(s, old);
		else
			index_insert(s->index, d->hash, d->place);
	} else {
		index_insert(s->index, d->hash, d->place);
	}
	for (i = 0; i < d->npieces; i++)
		lane_release(s, segment_item(&s->pool, d->pieces[i]), true);
	free(d->pieces);
	d->pieces = NULL;
	d->npieces = 0;
	lane_release(s, d->item, true);
	d->item = NULL;
	return cas;
}

void
store_mark(struct store_thread *t, struct store_view *v, uint64_t set, uint64_t clear)
{
	struct item *it = (struct item *)v->item;
	uint64_t old = item_state(it), fresh;

	(void)t;
	do
		fresh = (old & ~clear) | set;
	while (!atomic_compare_exchange_weak_explicit(&it->state, &old, fresh, memory_order_release,
						      memory_order_relaxed));
	v->state = fresh;
}

void
store_remove(struct store_thread *t, struct store_view *v)
{
	struct store *s = t->s;
	struct item *it = (struct item *)v->item;

	(void)index_remove(s->index, item_hash(s, it, v->state), segment_place(&s->pool, it));
	item_kill(s, it);
}

/* --- the whole store
 * ---------------------------------------------------------------------------------------- */

void
store_flush(struct store *s)
{
	if (s->mapping)
		restart_note_flush(s, atomic_load_explicit(&s->flush, memory_order_acquire) + 1);
	atomic_fetch_add_explicit(&s->flush, 1, memory_order_acq_rel);
	metric_inc(&s->metrics.store_flushed);
}
