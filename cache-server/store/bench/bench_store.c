/*
 * bench_store - what the store costs per call, and how many misses its eviction makes.  Not part of check.
 *
 *     bench_store speed [items] [memory in MiB]     ns per find and per set, one and two threads
 *     bench_store misses [keys] [skew in percent]   Zipf trace: misses against an ideal LRU of equal bytes
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache-server/store/store.h"

enum { BATCH = 16, KEY = 16, VALUE = 64 };

struct bench {
	struct quiesce *q;
	struct store *s;
	uint64_t items, ops;
	int mode; /* 0 find, 1 find in batches with prefetching, 2 set */
};

struct job {
	struct bench *b;
	unsigned number;
	double ns;
};

/* Of this thread's own time, so that other work of the machine does not count. */
static double
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint64_t
draw(uint64_t *r)
{
	*r ^= *r << 13;
	*r ^= *r >> 7;
	*r ^= *r << 17;
	return *r >> 8;
}

/* 16 bytes that follow from a number. */
static void
key_of(uint64_t n, char *key)
{
	static const char hex[] = "0123456789abcdef";
	unsigned i;

	for (i = 0; i < KEY; i++, n >>= 4)
		key[i] = hex[n & 15];
}

static void
put(struct store *s, struct store_thread *t, const char *key, size_t len)
{
	struct store_draft d = {.key = {key, KEY}, .value_len = len};

	d.hash = store_hash(s, d.key);
	store_prefetch_bucket(s, d.hash);
	if (store_begin(t, &d) != ERR_OK)
		abort();
	memset(d.value, key[0], len);
	store_lock(t, d.hash);
	store_commit(t, &d, 0);
	store_unlock(t, d.hash);
}

static void *
run_job(void *arg)
{
	struct job *j = arg;
	struct bench *b = j->b;
	struct quiesce_thread *qt = quiesce_join(b->q);
	struct store_thread *t = store_join(b->s, qt);
	uint64_t r = (j->number + 1) * 0x9E3779B97F4A7C15ull, i, hits = 0, h[BATCH];
	char key[BATCH][KEY];
	struct store_view v;
	unsigned k;
	double from;

	quiesce_online(b->q, qt);
	from = now_ns();
	for (i = 0; i < b->ops; i += BATCH) {
		for (k = 0; k < BATCH; k++)
			key_of(draw(&r) % b->items, key[k]);
		if (b->mode == 1) {
			for (k = 0; k < BATCH; k++) {
				h[k] = store_hash(b->s, (struct span){key[k], KEY});
				store_prefetch_bucket(b->s, h[k]);
			}
			for (k = 0; k < BATCH; k++)
				store_prefetch_item(b->s, h[k]);
		}
		for (k = 0; k < BATCH; k++) {
			struct span s = {key[k], KEY};

			if (b->mode == 2) {
				put(b->s, t, key[k], VALUE);
			} else if (store_find(t, s, b->mode == 1 ? h[k] : store_hash(b->s, s), &v)) {
				hits += v.value[0] == key[k][0];
				store_accessed(t, &v);
			}
		}
		quiesce_tick(b->q, qt);
	}
	j->ns = now_ns() - from;
	quiesce_offline(qt);
	if (b->mode != 2 && hits == 0)
		abort();
	store_leave(&t);
	quiesce_leave(b->q, &qt);
	return NULL;
}

static struct bench
make(uint64_t memory, unsigned threads, uint64_t first)
{
	struct bench b = {0};
	struct store_options opt = {
	    .memory = memory, .threads = threads, .seed = 1, .now = 100, .first_items = first};

	if (quiesce_create(&b.q, NULL) != ERR_OK)
		abort();
	opt.quiesce = b.q;
	if (store_create(&b.s, &opt, NULL) != ERR_OK)
		abort();
	return b;
}

static double
measure(struct bench *b, int mode, unsigned threads, uint64_t ops)
{
	struct job j[8];
	pthread_t id[8];
	unsigned i;
	double sum = 0;

	b->mode = mode;
	b->ops = ops;
	for (i = 0; i < threads; i++) {
		j[i] = (struct job){b, i, 0};
		pthread_create(&id[i], NULL, run_job, &j[i]);
	}
	for (i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	for (i = 0; i < threads; i++)
		sum += j[i].ns;
	return sum / (double)ops / threads;
}

static void
speed(uint64_t items, uint64_t memory)
{
	static const char *const name[] = {"find", "find, in batches of 16", "set"};
	struct bench b = make(memory << 20, 2, items);
	struct quiesce_thread *qt = quiesce_join(b.q);
	struct store_thread *t = store_join(b.s, qt);
	const struct store_metrics *m;
	char key[KEY];
	uint64_t i;
	int mode;

	quiesce_online(b.q, qt);
	for (i = 0; i < items; i++) {
		key_of(i, key);
		put(b.s, t, key, VALUE);
		if (i % 1000 == 0)
			store_upkeep(b.s, qt);
	}
	/* All memory is touched once, or clearing fresh pages is what would be measured. */
	for (; i * 96 < memory << 20; i++) {
		key_of(i % items, key);
		put(b.s, t, key, VALUE);
		if (i % 1000 == 0)
			store_upkeep(b.s, qt);
	}
	while (store_upkeep(b.s, qt))
		;
	m = store_metrics(b.s);
	printf("%llu items, %.1f bytes each, %.1f with the index\n",
	       (unsigned long long)metric_get(&m->store_items),
	       (double)metric_get(&m->store_bytes) / (double)metric_get(&m->store_items),
	       (double)(metric_get(&m->store_bytes) + 64 * metric_get(&m->store_index_buckets)) /
		   (double)metric_get(&m->store_items));
	store_leave(&t);
	quiesce_offline(qt);
	b.items = items;
	for (mode = 0; mode < 3; mode++) {
		double one = measure(&b, mode, 1, 4000000), two = measure(&b, mode, 2, 4000000);

		printf("%-24s %6.1f ns with one thread, %6.1f in each of two (%.2f times as many)\n",
		       name[mode], one, two, 2 * one / two);
	}
	printf("evicted %llu, merges %llu of them inline %llu\n",
	       (unsigned long long)metric_get(&store_metrics(b.s)->store_evicted),
	       (unsigned long long)metric_get(&store_metrics(b.s)->store_merges),
	       (unsigned long long)metric_get(&store_metrics(b.s)->store_inline_merges));
	quiesce_leave(b.q, &qt);
	store_destroy(&b.s);
	quiesce_destroy(&b.q);
}

/* --- misses -----------------------------------------------------------------------------------------------
 */

/* An LRU that wastes nothing: a list by number of key, bounded by the bytes of what it holds. */
struct lru {
	uint32_t *next, *prev;
	bool *there;
	uint32_t first, last;
	uint64_t bytes, max;
};

static void
lru_unlink(struct lru *l, uint32_t k)
{
	if (l->prev[k])
		l->next[l->prev[k]] = l->next[k];
	else
		l->first = l->next[k];
	if (l->next[k])
		l->prev[l->next[k]] = l->prev[k];
	else
		l->last = l->prev[k];
}

static uint32_t
size_of(uint64_t k, int sizes)
{
	if (!sizes)
		return 64;
	k *= 0x9E3779B97F4A7C15ull;
	return 16u << (k >> 61) << (k >> 60 & 1); /* 16 to 4096 bytes */
}

static bool
lru_get(struct lru *l, uint32_t k, uint32_t bytes)
{
	bool hit = l->there[k];

	if (hit) {
		lru_unlink(l, k);
	} else {
		l->there[k] = true;
		l->bytes += bytes;
	}
	l->prev[k] = 0;
	l->next[k] = l->first;
	if (l->first)
		l->prev[l->first] = k;
	else
		l->last = k;
	l->first = k;
	return hit;
}

static void
misses(uint64_t keys, double skew, double share, int sizes, double drift)
{
	double *sum = malloc((keys + 1) * sizeof *sum), total = 0;
	struct lru l = {0};
	uint64_t r = 88172645463325252ull, i, n = keys * 10, hits = 0, lru_hits = 0, counted = 0, whole = 0,
		 lo, hi;
	struct bench b;
	struct quiesce_thread *qt;
	struct store_thread *t;
	struct store_view v;
	uint32_t now = 100, *index = malloc((1 << 20) * sizeof *index);
	char key[KEY];

	sum[0] = 0;
	for (i = 1; i <= keys; i++)
		sum[i] = total += 1 / pow((double)i, skew);
	for (i = 0, lo = 1; i < 1 << 20; i++) {
		while (sum[lo] / total < (double)i / (1 << 20))
			lo++;
		index[i] = (uint32_t)lo;
	}
	for (i = 1; i <= keys; i++)
		whole += (16 + KEY + size_of(i, sizes) + 7) & ~7u;
	b = make((uint64_t)((double)whole * share), 1, keys);
	qt = quiesce_join(b.q);
	t = store_join(b.s, qt);
	quiesce_online(b.q, qt);
	l.next = calloc(keys + 1, 4);
	l.prev = calloc(keys + 1, 4);
	l.there = calloc(keys + 1, 1);
	l.max = (uint64_t)((double)whole * share);
	for (i = 0; i < n; i++) {
		uint64_t x = draw(&r);
		double u = (double)(x & ((1ull << 50) - 1)) / (double)(1ull << 50);
		uint32_t k, bytes;
		struct span s = {key, KEY};

		lo = index[(size_t)(u * (1 << 20))];
		hi = keys;
		while (lo < hi && sum[lo] / total < u)
			lo++;
		/* Drift: what is popular changes in the course of the trace. */
		k = (uint32_t)((lo - 1 + (uint64_t)((double)i * drift)) % keys + 1);
		bytes = (16 + KEY + size_of(k, sizes) + 7) & ~7u;
		key_of(k * 0x9E3779B97F4A7C15ull, key);
		if (i == n / 2)
			hits = lru_hits = counted = 0;
		counted++;
		if (store_find(t, s, store_hash(b.s, s), &v)) {
			hits++;
			store_accessed(t, &v);
		} else {
			put(b.s, t, key, size_of(k, sizes));
		}
		lru_hits += lru_get(&l, k, bytes);
		while (l.bytes > l.max) {
			uint32_t out = l.last;

			lru_unlink(&l, out);
			l.there[out] = false;
			l.bytes -= (16 + KEY + size_of(out, sizes) + 7) & ~7u;
		}
		if (i % 64 == 0)
			store_upkeep(b.s, qt);
		if (i % (n / 3000) == 0)
			store_set_now(b.s, ++now);
	}
	printf(
	    "skew %.2f, %4.1f %% of the data, %s, drift %.3f: misses %6.3f %%, LRU without overhead %6.3f %% "
	    "(%.3f times)\n",
	    skew, share * 100, sizes ? "16-4096 bytes" : "64 bytes", drift,
	    100 - 100 * (double)hits / (double)counted, 100 - 100 * (double)lru_hits / (double)counted,
	    (double)(counted - hits) / (double)(counted - lru_hits));
	store_leave(&t);
	quiesce_offline(qt);
	quiesce_leave(b.q, &qt);
	store_destroy(&b.s);
	quiesce_destroy(&b.q);
	free(l.next);
	free(l.prev);
	free(l.there);
	free(sum);
	free(index);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "speed") == 0) {
		speed(argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000,
		      argc > 3 ? strtoull(argv[3], NULL, 10) : 1024);
	} else if (argc > 1 && strcmp(argv[1], "misses") == 0) {
		uint64_t keys = argc > 2 ? strtoull(argv[2], NULL, 10) : 400000;
		double skew = argc > 3 ? strtod(argv[3], NULL) / 100 : 1.0;

		misses(keys, skew, 0.1, 0, 0);
		misses(keys, skew, 0.3, 0, 0);
		misses(keys, skew, 0.1, 1, 0);
		misses(keys, skew, 0.1, 0, 0.02);
	} else {
		fprintf(stderr, "usage: bench_store speed [items] [MiB] | misses [keys] [skew in percent]\n");
		return 2;
	}
	return 0;
}
