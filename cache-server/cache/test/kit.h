/* kit - a container with a clock that tests move, one thread joined, and short forms of the calls. */
#ifndef SQUEAL_CACHE_SERVER_CACHE_TEST_KIT_H
#define SQUEAL_CACHE_SERVER_CACHE_TEST_KIT_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache-server/cache/cache_internal.h"
#include "cache-server/cache/marker.h"
#include "lib/core/test/test.h"

struct kit_clock { /* may be moved while other threads read it */
	struct clock clock;
	_Atomic uint64_t ms;
};

static inline uint64_t
kit_mono(const struct clock *c)
{
	return atomic_load(&((struct kit_clock *)(uintptr_t)c)->ms) * 1000000;
}

static inline uint64_t
kit_real(const struct clock *c)
{
	return 1700000000000000ull + kit_mono(c) / 1000;
}

struct kit {
	struct kit_clock clock;
	struct quiesce *q;
	struct quiesce_thread *qt;
	struct cache *c;
	struct cache_thread *t;
};

/* With a file: as a process that starts with it, at `ms` of the monotonic clock. */
static inline void
kit_open_file(struct kit *k, enum cache_policy policy, uint32_t stale_s, const char *file, uint64_t ms)
{
	struct err_detail why = {0};
	struct cache_options opt = {
	    .policy = policy,
	    .memory = 16u << 20,
	    .max_value = 1u << 20,
	    .stale_s = stale_s,
	    .file = file,
	    .threads = 8,
	    .clock = &k->clock.clock,
	};

	memset(k, 0, sizeof *k);
	k->clock.clock = (struct clock){kit_mono, kit_real};
	atomic_store(&k->clock.ms, ms);
	assert_int_equal(quiesce_create(&k->q, &why), ERR_OK);
	opt.quiesce = k->q;
	if (cache_create(&k->c, &opt, &why))
		fail_msg("%s", err_why(&why));
	k->qt = quiesce_join(k->q);
	k->t = cache_join(k->c, k->qt);
	assert_non_null(k->t);
	quiesce_online(k->q, k->qt);
}

static inline void
kit_open(struct kit *k, enum cache_policy policy, uint32_t stale_s)
{
	kit_open_file(k, policy, stale_s, NULL, 1000);
}

/* Not graceful: what is in the file is what a killed process leaves. */
static inline void
kit_end(struct kit *k, bool graceful)
{
	quiesce_offline(k->qt);
	cache_leave(&k->t);
	quiesce_leave(k->q, &k->qt);
	cache_destroy(&k->c, graceful);
	quiesce_destroy(&k->q);
}

static inline void
kit_close(struct kit *k)
{
	kit_end(k, true);
}

/* What a worker does between batches. */
static inline void
kit_tick(struct kit *k)
{
	quiesce_tick(k->q, k->qt);
	cache_tick(k->t);
}

static inline void
kit_pass(struct kit *k, uint64_t ms)
{
	atomic_fetch_add(&k->clock.ms, ms);
	cache_second(k->c);
	kit_tick(k);
}

static inline uint64_t
kit_hash(struct cache_thread *t, const char *key)
{
	return store_hash(cache_store(cache_of(t)), span_of(key));
}

#define KIT_KEY(t, text) .key = span_of(text), .hash = kit_hash((t), (text))

static inline enum cache_result
kit_store(struct kit *k, enum cache_mode mode, const char *key, const char *value)
{
	struct cache_set s = {KIT_KEY(k->t, key), .mode = mode, .value = span_of(value)};

	return cache_set(k->t, &s);
}

static inline enum cache_result
kit_set(struct kit *k, const char *key, const char *value)
{
	return kit_store(k, CACHE_SET, key, value);
}

static inline enum cache_result
kit_delete(struct kit *k, const char *key)
{
	struct cache_delete d = {KIT_KEY(k->t, key)};

	return cache_delete(k->t, &d);
}

static inline enum cache_result
kit_hold(struct kit *k, const char *key, uint32_t ms)
{
	struct cache_delete d = {KIT_KEY(k->t, key), .holdoff_ms = ms};

	return cache_delete(k->t, &d);
}

/* The value as text, NULL on a miss; valid until the next call. */
static inline const char *
kit_get(struct kit *k, const char *key)
{
	static char text[256];
	struct store_view v;

	if (!cache_get(k->t, span_of(key), kit_hash(k->t, key), &v))
		return NULL;
	snprintf(text, sizeof text, "%.*s", (int)v.len, v.len ? v.value : "");
	cache_used(k->t, &v);
	return text;
}

static inline struct cache_lease
kit_lease(struct kit *k, const char *key)
{
	struct cache_lease l = {KIT_KEY(k->t, key)};

	cache_lease_get(k->t, &l);
	return l;
}

static inline enum cache_result
kit_fill(struct kit *k, const char *key, uint64_t token, const char *value)
{
	struct cache_set s = {KIT_KEY(k->t, key), .is_lease = true, .token = token, .value = span_of(value)};

	return cache_set(k->t, &s);
}

static inline struct epoch
kit_epoch(const char *text)
{
	struct epoch e;

	assert_true(epoch_parse(span_of(text), &e));
	return e;
}

static inline enum cache_result
kit_fenced(struct kit *k, const char *key, const char *epoch, const char *value)
{
	struct epoch e = kit_epoch(epoch);
	struct cache_set s = {KIT_KEY(k->t, key), .epoch = &e, .value = span_of(value)};

	return cache_set(k->t, &s);
}

static inline enum cache_result
kit_invalidate(struct kit *k, const char *key, const char *epoch)
{
	struct epoch e = kit_epoch(epoch);
	struct cache_delete d = {KIT_KEY(k->t, key), .epoch = &e};

	return cache_delete(k->t, &d);
}

static inline void
kit_watermark(struct kit *k, const char *epoch)
{
	struct epoch e = kit_epoch(epoch);

	assert_true(cache_watermark(k->t, &e));
	kit_tick(k);
}

/* Counted so far. */
#define KIT_COUNTED(k, name)                                                                                 \
	({                                                                                                   \
		struct cache_counters kit_sum;                                                               \
		cache_counters((k)->c, &kit_sum);                                                            \
		metric_get(&kit_sum.name);                                                                   \
	})

#endif
