#include "cache-server/cache/cache_internal.h"

#include <stdlib.h>
#include <sys/random.h>

#include "cache-server/cache/marker_table.h"
#include "cache-server/store/restart.h"

/* The store of a container of markers holds nothing; this is the least that a store can be. */
#define MARKER_STORE_BYTES ((uint64_t)1 << 20)
#define SWEEP_BUCKETS	   4096
#define RELATIVE_MAX	   (60 * 60 * 24 * 30)
#define FIRST_SECOND	   2

enum { COUNTERS = sizeof(struct cache_counters) / sizeof(metric_t) };

/* --- time ----------------------------------------------------------------------------------------------- */

uint64_t
cache_now_ms(const struct cache *c)
{
	int64_t shift = atomic_load_explicit((_Atomic int64_t *)&c->shift_s, memory_order_relaxed);
	uint64_t mono = atomic_load_explicit((_Atomic uint64_t *)&c->paused_ms, memory_order_relaxed);
	int64_t now;

	if (__builtin_expect(mono == 0, 1))
		mono = clock_mono_ms(c->opt.clock);
	mono -= atomic_load_explicit((_Atomic uint64_t *)&c->held_ms, memory_order_relaxed);
	now = (int64_t)(c->base_ms + mono - c->base_mono_ms) + shift * 1000;

	return now < FIRST_SECOND * 1000 ? FIRST_SECOND * 1000 : (uint64_t)now;
}

static void
set_wall(struct cache *c, uint64_t now_ms)
{
	int64_t real = (int64_t)(clock_real_us(c->opt.clock) / 1000000);
	int64_t shift = atomic_load_explicit(&c->shift_s, memory_order_relaxed);

	atomic_store_explicit(&c->wall_s, real - ((int64_t)(now_ms / 1000) - shift), memory_order_relaxed);
}

static void
flush_now(struct cache *c)
{
	guard_void_all(c->guard);
	source_flush(c->guard->sources);
	store_flush(c->store);
	if (c->markers)
		metric_add(&c->shared.marker_expired, marker_table_clear(c->markers));
}

void
cache_second(struct cache *c)
{
	uint64_t now_ms = cache_now_ms(c);
	uint32_t now = (uint32_t)(now_ms / 1000);
	uint32_t at = atomic_load_explicit(&c->flush_at, memory_order_relaxed);

	if (c->mapping)
		(void)mapping_now(c->mapping); /* notes the second in the file */
	store_set_now(c->store, now);
	set_wall(c, now_ms);
	if (at && now >= at &&
	    atomic_compare_exchange_strong_explicit(&c->flush_at, &at, 0, memory_order_relaxed,
						    memory_order_relaxed))
		flush_now(c);
	guard_sweep(c->guard, &c->sweep,
		    c->guard->nbuckets < SWEEP_BUCKETS ? c->guard->nbuckets : SWEEP_BUCKETS, now_ms);
	if (c->markers)
		metric_add(&c->shared.marker_expired, marker_table_sweep(c->markers, now));
}

void
cache_shift_time(struct cache *c, int64_t seconds)
{
	atomic_fetch_add_explicit(&c->shift_s, seconds, memory_order_relaxed);
	cache_second(c);
}

void
cache_pause_time(struct cache *c, bool paused)
{
	uint64_t since = atomic_load_explicit(&c->paused_ms, memory_order_relaxed);
	uint64_t mono = clock_mono_ms(c->opt.clock);

	if (paused && since == 0)
		atomic_store_explicit(&c->paused_ms, mono ? mono : 1, memory_order_relaxed);
	if (!paused && since != 0) {
		atomic_fetch_add_explicit(&c->held_ms, mono - since, memory_order_relaxed);
		atomic_store_explicit(&c->paused_ms, 0, memory_order_relaxed);
	}
}

static void
read_marks(struct cache_thread *t, uint64_t marked)
{
	struct source_table *s = t->guard->sources;
	uint32_t i, n = atomic_load_explicit(&s->n, memory_order_acquire);

	for (i = 1; i <= n && i <= SOURCE_MAX; i++)
		t->heard[i] = source_mark(s, i, &t->marks[i]);
	t->marked = marked;
}

void
cache_tick(struct cache_thread *t)
{
	/* Acquire: what was delivered before a watermark is seen by every look after this. */
	uint64_t marked = atomic_load_explicit(&t->guard->sources->marked, memory_order_acquire);

	t->now_ms = cache_now_ms(t->cache);
	if (marked != t->marked)
		read_marks(t, marked);
}

uint32_t
cache_expiry(const struct cache_thread *t, int64_t exptime)
{
	const struct cache *c = t->cache;
	int64_t now = store_now(c->store), cap = c->opt.max_ttl_s, at;

	if (exptime < 0)
		return CACHE_PAST;
	if (exptime == 0)
		return cap ? (uint32_t)(now + cap) : CACHE_NEVER;
	if (exptime <= RELATIVE_MAX)
		at = now + exptime;
	else
		at = exptime - atomic_load_explicit((_Atomic int64_t *)&c->wall_s, memory_order_relaxed);
	if (at <= CACHE_PAST)
		return CACHE_PAST;
	if (cap && at > now + cap)
		at = now + cap;
	return at > UINT32_MAX ? UINT32_MAX : (uint32_t)at;
}

int64_t
cache_ttl(const struct cache_thread *t, uint32_t expiry)
{
	uint32_t now = store_now(t->cache->store);

	if (expiry == CACHE_NEVER)
		return -1;
	return expiry > now ? expiry - now : 0;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static uint64_t
guard_bytes(const struct cache_options *opt)
{
	uint64_t bytes = opt->guard_memory;

	if (bytes == 0 && opt->policy != CACHE_MARKER)
		bytes = opt->memory / 64 < (1u << 20) ? 1u << 20 : opt->memory / 64;
	if (bytes < GUARD_MIN_BYTES)
		bytes = GUARD_MIN_BYTES;
	/* Markers lie in the guard's region: it is what survives, and it is never evicted. */
	if (opt->policy == CACHE_MARKER)
		bytes += opt->memory;
	return (bytes + 4095) / 4096 * 4096;
}

static err_t
open_parts(struct cache *c, struct err_detail *why)
{
	const struct cache_options *opt = &c->opt;
	uint64_t bytes = guard_bytes(opt), region_bytes = bytes;
	uint64_t memory = opt->policy == CACHE_MARKER ? MARKER_STORE_BYTES : opt->memory;
	uint64_t extra = opt->policy == CACHE_MARKER ? opt->memory : 0;
	struct store_options store = {
	    .memory = memory,
	    .max_value = opt->max_value,
	    .threads = opt->threads,
	    .policy = opt->policy == CACHE_EVICT ? STORE_EVICT : STORE_REFUSE,
	    .first_items = opt->first_items,
	    .quiesce = opt->quiesce,
	    .now = FIRST_SECOND,
	};
	struct mapping_layout layout;
	void *region = NULL;
	bool trust = false;
	err_t err;

	/* A seed that can be guessed would let clients fill one bucket. */
	if (getrandom(&store.seed, sizeof store.seed, GRND_NONBLOCK) != sizeof store.seed)
		store.seed = clock_mono_ns(opt->clock) ^ (uint64_t)(uintptr_t)c;
	if (c->file) {
		struct mapping_options mapping = {
		    .path = c->file,
		    .memory = memory,
		    .guard_bytes = bytes,
		    .clock = opt->clock,
		    .log = opt->log,
		};

		if ((err = mapping_open(&c->mapping, &mapping, why)))
			return err;
		trust = mapping_state(c->mapping) == MAPPING_CLEAN ||
			mapping_state(c->mapping) == MAPPING_CRASHED;
		mapping_layout(c->mapping, &layout);
		store.seed = layout.seed;
		region = mapping_guard(c->mapping, &region_bytes);
		store.now = mapping_now(c->mapping);
		if (store.now < FIRST_SECOND)
			store.now = FIRST_SECOND;
		store.mapping = c->mapping;
	}
	c->base_ms = (uint64_t)store.now * 1000;
	if (c->mapping && mapping_now_ms(c->mapping) > c->base_ms)
		c->base_ms = mapping_now_ms(c->mapping);
	c->base_mono_ms = clock_mono_ms(opt->clock);
	if ((err = guard_create(&c->guard, region, region_bytes, extra, trust, c->base_ms, why)))
		return err;
	if (trust && c->guard->fresh && opt->log)
		log_notice(opt->log,
			   "the guard of a warm memory file is new: fenced fills wait for the next watermark",
			   F_STR("file", c->file));
	if (opt->lease_ms)
		c->guard->lease_ms = opt->lease_ms;
	if (extra && (err = marker_table_create(&c->markers, c->guard->extra, c->guard->extra_bytes,
						!c->guard->fresh, why)))
		return err;
	return store_create(&c->store, &store, why);
}

err_t
cache_create(struct cache **out, const struct cache_options *opt, struct err_detail *why)
{
	struct cache *c;
	err_t err;

	*out = NULL;
	if (!(c = calloc(1, sizeof *c)))
		return err_set(why, ERR_SYS, "no memory for a container; free some and start again");
	pthread_mutex_init(&c->threads_lock, NULL);
	c->opt = *opt;
	c->name = strdup(opt->name ? opt->name : "default");
	c->file = opt->file ? strdup(opt->file) : NULL;
	c->opt.name = c->name;
	c->opt.file = c->file;
	if (!c->name || (opt->file && !c->file)) {
		err = err_set(why, ERR_SYS, "no memory for a container; free some and start again");
		goto done;
	}
	if ((err = open_parts(c, why))) {
		err_wrap(why, "container %s", c->name);
		goto done;
	}
	set_wall(c, c->base_ms);
	if (opt->serve_immediately && (err = store_caught_up_since(c->store, 0, why)) != ERR_OK)
		goto done;
	*out = c;
	c = NULL;
done:
	cache_destroy(&c, false);
	return err;
}

void
cache_destroy(struct cache **cp, bool graceful)
{
	struct cache *c = *cp;
	struct err_detail why = {0};

	if (!c)
		return;
	if (c->store && c->mapping)
		store_close(&c->store);
	else if (c->store)
		store_destroy(&c->store);
	marker_table_destroy(&c->markers);
	guard_destroy(&c->guard);
	if (c->mapping && mapping_close(&c->mapping, graceful, &why) && c->opt.log)
		log_error(c->opt.log, "the memory file was not closed in order", F_STR("file", c->file),
			  F_STR("why", err_why(&why)));
	pthread_mutex_destroy(&c->threads_lock);
	free(c->name);
	free(c->file);
	free(c);
	*cp = NULL;
}

const char *
cache_name(const struct cache *c)
{
	return c->name;
}

enum cache_policy
cache_policy(const struct cache *c)
{
	return c->opt.policy;
}

struct store *
cache_store(struct cache *c)
{
	return c->store;
}

const struct cache_options *
cache_options(const struct cache *c)
{
	return &c->opt;
}

/* --- threads and counters ------------------------------------------------------------------------------- */

static void
counters_add(struct cache_counters *to, const struct cache_counters *from)
{
	metric_t *a = (metric_t *)to;
	const metric_t *b = (const metric_t *)from;
	size_t i;

	for (i = 0; i < COUNTERS; i++)
		metric_add(&a[i], metric_get(&b[i]));
}

static void
counters_sum(struct cache *c, struct cache_counters *out)
{
	struct cache_thread *t;

	memset(out, 0, sizeof *out);
	pthread_mutex_lock(&c->threads_lock);
	counters_add(out, &c->shared);
	for (t = c->threads; t; t = t->next)
		counters_add(out, &t->counters);
	pthread_mutex_unlock(&c->threads_lock);
}

void
cache_counters(struct cache *c, struct cache_counters *out)
{
	metric_t *sum = (metric_t *)out, *base = (metric_t *)&c->baseline;
	size_t i;

	counters_sum(c, out);
	metric_add(&out->guard_overflow, atomic_load_explicit(&c->guard->overflows, memory_order_relaxed));
	for (i = 0; i < COUNTERS; i++)
		metric_set(&sum[i], metric_get(&sum[i]) - metric_get(&base[i]));
}

void
cache_counters_reset(struct cache *c)
{
	struct cache_counters sum;
	metric_t *from = (metric_t *)&sum, *base = (metric_t *)&c->baseline;
	size_t i;

	counters_sum(c, &sum);
	metric_add(&sum.guard_overflow, atomic_load_explicit(&c->guard->overflows, memory_order_relaxed));
	for (i = 0; i < COUNTERS; i++)
		metric_set(&base[i], metric_get(&from[i]));
}

void
cache_guard_row(struct cache *c, struct cache_guard_row *out)
{
	struct guard_figures f;

	guard_figures(c->guard, cache_now_ms(c), &f);
	*out = (struct cache_guard_row){
	    .slots = f.slots,
	    .leases = f.leases,
	    .holdoffs = f.holdoffs,
	    .epochs = f.epochs,
	    .floors = f.floors,
	    .overflows = f.overflows,
	};
	if (c->markers)
		marker_table_count(c->markers, &out->markers, &out->marker_tokens);
}

struct cache_thread *
cache_join(struct cache *c, struct quiesce_thread *q)
{
	struct cache_thread *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->cache = c;
	t->guard = c->guard;
	if (!(t->store = store_join(c->store, q))) {
		free(t);
		return NULL;
	}
	t->marked = UINT64_MAX;
	cache_tick(t);
	pthread_mutex_lock(&c->threads_lock);
	t->next = c->threads;
	c->threads = t;
	pthread_mutex_unlock(&c->threads_lock);
	return t;
}

void
cache_leave(struct cache_thread **tp)
{
	struct cache_thread *t = *tp, **at;

	if (!t)
		return;
	pthread_mutex_lock(&t->cache->threads_lock);
	for (at = &t->cache->threads; *at && *at != t; at = &(*at)->next)
		;
	if (*at)
		*at = t->next;
	counters_add(&t->cache->shared, &t->counters);
	pthread_mutex_unlock(&t->cache->threads_lock);
	store_leave(&t->store);
	free(t);
	*tp = NULL;
}

struct cache *
cache_of(const struct cache_thread *t)
{
	return t->cache;
}

struct store_thread *
cache_store_thread(struct cache_thread *t)
{
	return t->store;
}

struct cache_counters *
cache_thread_counters(struct cache_thread *t)
{
	return &t->counters;
}

/* --- shared by the commands ----------------------------------------------------------------------------- */

bool
cache_epoch_counts(const struct cache_thread *t, const struct store_view *v)
{
	struct item_epoch e = item_epoch(v->item, v->state);
	uint32_t number = source_number(t->guard->sources, e.source);

	return number != 0 && source_counts(t->guard->sources, number, (struct source_time){e.count, e.term});
}

static inline enum cache_kind
kind_of(const struct cache_thread *t, struct store_view *v, bool found)
{
	enum cache_kind kind;

	if (!found)
		return CACHE_NONE;
	kind = cache_kind(t, v);
	if (__builtin_expect(kind == CACHE_NONE, 0))
		v->gone = STORE_ABSENT; /* of a term that is over */
	return kind;
}

enum cache_kind
cache_look(struct cache_thread *t, struct span key, uint64_t hash, struct store_view *v)
{
	return kind_of(t, v, store_find(t->store, key, hash, v));
}

enum cache_kind
cache_look_locked(struct cache_thread *t, struct span key, uint64_t hash, struct store_view *v)
{
	return kind_of(t, v, store_find_locked(t->store, key, hash, v));
}

void
cache_count_gone(struct cache_thread *t, enum store_gone gone)
{
	if (gone == STORE_EXPIRED)
		CACHE_COUNT(t, get_expired);
	else if (gone == STORE_FLUSHED)
		CACHE_COUNT(t, get_flushed);
}

bool
cache_epoch_of(const struct cache_thread *t, const struct epoch *e, uint32_t *source,
	       struct source_time *time)
{
	*time = (struct source_time){e->count, e->term};
	*source = source_find(t->guard->sources, e->source);
	return *source != 0;
}

enum cache_result
cache_begin(struct cache_thread *t, struct store_draft *d)
{
	switch (store_begin(t->store, d)) {
	case ERR_OK:
		return CACHE_OK;
	case ERR_TOO_LONG:
		CACHE_COUNT(t, store_too_large);
		return CACHE_TOO_LARGE;
	default:
		CACHE_COUNT(t, store_no_memory);
		return CACHE_NO_MEMORY;
	}
}

void
cache_put_span(struct cache_thread *t, struct store_draft *d, uint64_t at, struct span s)
{
	while (s.len > 0) {
		char *where;
		size_t n = store_draft_room(t->store, d, at, &where);

		if (n == 0)
			return;
		if (n > s.len)
			n = s.len;
		memcpy(where, s.p, n);
		s = span_from(s, n);
		at += n;
	}
}

void
cache_put_view(struct cache_thread *t, struct store_draft *d, uint64_t at, const struct store_view *v)
{
	uint64_t from = 0;

	for (;;) {
		struct span part = store_view_part(t->store, v, from);

		if (part.len == 0)
			return;
		cache_put_span(t, d, at + from, part);
		from += part.len;
	}
}

void
cache_put_draft(struct cache_thread *t, struct store_draft *d, uint64_t at, struct store_draft *from)
{
	uint64_t done = 0;

	for (;;) {
		char *where;
		size_t n = store_draft_room(t->store, from, done, &where);

		if (n == 0)
			return;
		cache_put_span(t, d, at + done, span_make(where, n));
		done += n;
	}
}

static void
copy_shape(const struct store_view *v, const struct cache_copy *how, struct store_draft *d)
{
	d->value_len = v->len + how->extra_len;
	d->expiry = how->new_expiry ? how->expiry : v->expiry;
	if (how->no_later && (d->expiry == CACHE_NEVER || d->expiry > how->no_later))
		d->expiry = how->no_later;
	d->client_flags = item_client_flags(v->item, v->state);
	d->cas = how->keep_cas ? cache_view_cas(v) : how->cas;
	d->epoch = how->no_epoch ? (struct item_epoch){0, 0, 0} : item_epoch(v->item, v->state);
}

static bool
same_shape(const struct store_draft *a, const struct store_draft *b)
{
	return a->value_len == b->value_len && a->expiry == b->expiry && a->client_flags == b->client_flags &&
	       a->cas == b->cas && a->epoch.source == b->epoch.source && a->epoch.term == b->epoch.term &&
	       a->epoch.count == b->epoch.count;
}

enum cache_result
cache_copy(struct cache_thread *t, struct span key, uint64_t hash, const struct cache_copy *how,
	   struct store_draft *d, struct store_view *from)
{
	for (;;) {
		struct store_draft again = {0};
		enum cache_result r;

		*d = (struct store_draft){.key = key, .hash = hash};
		if (!store_find(t->store, key, hash, from))
			return CACHE_NOT_FOUND;
		copy_shape(from, how, d);
		if ((r = cache_begin(t, d)) != CACHE_OK)
			return r;
		/* Views of before store_begin() are void: look again, it may be another item. */
		if (store_find(t->store, key, hash, from)) {
			copy_shape(from, how, &again);
			if (same_shape(&again, d)) {
				cache_put_view(t, d, how->prepend ? how->extra_len : 0, from);
				return CACHE_OK;
			}
		}
		store_abort(t->store, d);
	}
}

/* --- the whole container -------------------------------------------------------------------------------- */

void
cache_flush(struct cache_thread *t, uint32_t at)
{
	CACHE_COUNT(t, cmd_flush);
	atomic_store_explicit(&t->cache->flush_at, at, memory_order_relaxed);
	if (at == 0)
		flush_now(t->cache);
}

bool
cache_watermark(struct cache_thread *t, const struct epoch *w)
{
	uint32_t source = source_intern(t->guard->sources, w->source);

	if (source == 0)
		return false;
	source_watermark(t->guard->sources, source, (struct source_time){w->count, w->term});
	return true;
}

bool
cache_new_term(struct cache_thread *t, const struct epoch *survived, uint32_t term)
{
	uint32_t source = source_intern(t->guard->sources, survived->source);

	if (source == 0)
		return false;
	source_new_term(t->guard->sources, source, (struct source_time){survived->count, survived->term},
			term);
	return true;
}

bool
cache_bound(struct cache_thread *t, const struct store_view *v, struct epoch *out)
{
	struct item_epoch e;
	struct source_time bound;
	uint32_t number;

	if (!(v->state & ITEM_EPOCH) || cache_kind(t, v) != CACHE_LIVE)
		return false;
	e = item_epoch(v->item, v->state);
	if ((number = source_number(t->guard->sources, e.source)) == 0)
		return false;
	bound = (struct source_time){e.count, e.term};
	/* The watermark as of the thread's tick, which was before the item was found: it was still there. */
	if (t->heard[number] && source_newer(t->marks[number], bound))
		bound = t->marks[number];
	*out = (struct epoch){source_name(t->guard->sources, number), bound.term, bound.count};
	return true;
}

void
cache_caught_up(struct cache_thread *t)
{
	store_caught_up(t->cache->store);
}
