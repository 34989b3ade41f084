#include "cache-server/store/test/store_fixture.h"

/*
 * Random operations on a store with very little memory, compared with a plain array.  A hit must hold exactly
 * what was written last; a store that refuses must have everything that it accepted.  STORE_MODEL_OPS sets
 * the number of operations of each run, STORE_MODEL_SEED where to begin.
 */

enum { KEYS = 3000 };

struct known {
	bool there;
	uint64_t number, len, cas;
	uint32_t expiry, flags;
};

struct model {
	struct fixture f;
	struct known known[KEYS];
	uint64_t random, numbers, max_len;
	uint32_t now;
	bool refuse;
	uint64_t hits, misses, lost;
};

static uint64_t
draw(struct model *m, uint64_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (m->random >> 11) % below;
}

static struct span
key_of(unsigned k, char *out)
{
	int n =
	    snprintf(out, 64, "%.*s%u", (int)(k % 40), "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", k);

	return span_make(out, (size_t)n);
}

static uint64_t
draw_len(struct model *m)
{
	switch (draw(m, 200)) {
	case 0:
		return draw(m, m->max_len); /* large */
	case 1:
	case 2:
		return 15000 + draw(m, 3000); /* around the limit of one piece */
	case 3 ... 20:
		return draw(m, 4000);
	default:
		return draw(m, 100);
	}
}

static uint32_t
draw_expiry(struct model *m)
{
	switch (draw(m, 8)) {
	case 0:
		return m->now + (uint32_t)draw(m, 20);
	case 1:
		return m->now + (uint32_t)draw(m, 5000);
	case 2:
		return m->now + (uint32_t)draw(m, 200000000);
	default:
		return 0;
	}
}

static bool
is_alive(const struct model *m, const struct known *k)
{
	return k->there && (k->expiry == 0 || k->expiry > m->now);
}

static void
check(struct model *m, unsigned i, bool locked)
{
	struct known *k = &m->known[i];
	struct store_view v;
	char text[64];
	struct span key = key_of(i, text);
	uint64_t h = store_hash(m->f.s, key);
	bool found = locked ? store_find_locked(m->f.t, key, h, &v) : store_find(m->f.t, key, h, &v);

	if (!is_alive(m, k)) {
		assert_false(found);
		k->there = false;
		return;
	}
	if (!found) {
		assert_false(m->refuse);
		k->there = false;
		m->lost++;
		return;
	}
	m->hits++;
	assert_int_equal(v.len, k->len);
	assert_int_equal(v.expiry, k->expiry);
	assert_int_equal(item_client_flags(v.item, v.state), k->flags);
	assert_true(item_cas(v.item, v.state) == k->cas);
	assert_true(fixture_is(m->f.t, &v, k->number));
	if (!locked && draw(m, 2))
		store_accessed(m->f.t, &v);
}

static void
set(struct model *m, unsigned i)
{
	struct known *k = &m->known[i];
	char text[64];
	struct store_draft d = {.key = key_of(i, text),
				.value_len = draw_len(m),
				.expiry = draw_expiry(m),
				.client_flags = draw(m, 3) ? 0 : (uint32_t)draw(m, 1000),
				.cas = draw(m, 20) ? 0 : 1 + draw(m, 1ull << 40)};
	struct store_draft in = d;
	uint64_t number = ++m->numbers, cas;

	if (draw(m, 10) == 0)
		d.epoch = (struct item_epoch){number, 1, 1};
	if (fixture_begin(m->f.s, m->f.t, &d, number) != ERR_OK) {
		assert_true(m->refuse);
		return;
	}
	if (draw(m, 50) == 0) {
		store_abort(m->f.t, &d);
		return;
	}
	if (draw(m, 3000) == 0) {
		store_flush(m->f.s);
		memset(m->known, 0, sizeof m->known);
	}
	store_lock(m->f.t, d.hash);
	check(m, i, true);
	cas = store_commit(m->f.t, &d, 0);
	store_unlock(m->f.t, d.hash);
	if (in.cas)
		assert_true(cas == in.cas);
	*k = (struct known){true, number, in.value_len, cas, in.expiry, in.client_flags};
}

static void
operate(struct model *m)
{
	unsigned i = (unsigned)(draw(m, 2) ? draw(m, KEYS) : draw(m, KEYS / 20));
	char text[64];
	struct span key = key_of(i, text);

	switch (draw(m, 100)) {
	case 0 ... 39:
		set(m, i);
		break;
	case 40 ... 84:
		check(m, i, false);
		break;
	case 85 ... 94:
		fixture_drop(m->f.s, m->f.t, key);
		m->known[i].there = false;
		break;
	case 95:
		if (draw(m, 20) == 0) {
			m->now += draw(m, 10) ? (uint32_t)draw(m, 10) : (uint32_t)draw(m, 3000);
			store_set_now(m->f.s, m->now);
		}
		break;
	case 96:
		if (draw(m, 400) == 0) {
			store_flush(m->f.s);
			memset(m->known, 0, sizeof m->known);
		}
		break;
	default:
		store_upkeep(m->f.s, m->f.qt);
		break;
	}
}

static void
run(uint64_t memory, enum store_policy policy, unsigned threads, uint64_t seed)
{
	struct model *m = calloc(1, sizeof *m);
	const char *ops = getenv("STORE_MODEL_OPS"), *first = getenv("STORE_MODEL_SEED");
	uint64_t n = ops ? strtoull(ops, NULL, 10) : 40000, i;
	const struct store_metrics *x;

	m->random = (seed + (first ? strtoull(first, NULL, 10) : 0) + 1) * 0x9E3779B97F4A7C15ull;
	m->now = 100;
	m->max_len = memory / 6;
	m->refuse = policy == STORE_REFUSE;
	fixture_make(&m->f, memory, policy, threads);
	for (i = 0; i < n; i++) {
		operate(m);
		quiesce_tick(m->f.q, m->f.qt);
	}
	for (i = 0; i < KEYS; i++)
		check(m, (unsigned)i, false);
	x = store_metrics(m->f.s);
	if (getenv("STORE_MODEL_OPS"))
		printf("hits %llu lost %llu merges %llu moved %llu refused %llu\n",
		       (unsigned long long)m->hits, (unsigned long long)m->lost,
		       (unsigned long long)metric_get(&x->store_merges),
		       (unsigned long long)metric_get(&x->store_moved),
		       (unsigned long long)metric_get(&x->store_refused));
	assert_true(m->hits > n / 50);
	assert_true(metric_get(&x->store_merges) > 0);
	assert_true(metric_get(&x->store_moved) > 0);
	if (m->refuse)
		assert_int_equal(metric_get(&x->store_evicted), 0);
	else
		assert_int_equal(metric_get(&x->store_refused), 0);
	/* Without items nothing is left over. */
	for (i = 0; i < KEYS; i++) {
		char text[64];

		fixture_drop(m->f.s, m->f.t, key_of((unsigned)i, text));
	}
	store_flush(m->f.s);
	while (store_upkeep(m->f.s, m->f.qt))
		;
	for (i = 0; i < 4; i++)
		store_upkeep(m->f.s, m->f.qt);
	x = store_metrics(m->f.s);
	assert_int_equal(metric_get(&x->store_items), 0);
	assert_int_equal(metric_get(&x->store_bytes), 0);
	assert_int_equal(metric_get(&x->store_segments_free), metric_get(&x->store_segments));
	fixture_unmake(&m->f);
	free(m);
}

static void
a_hit_is_what_was_written_last_with_eight_segments(void **state)
{
	(void)state;
	run(8 * 65536, STORE_EVICT, 1, 1);
}

static void
a_hit_is_what_was_written_last_with_some_segments(void **state)
{
	(void)state;
	run(20 * 65536, STORE_EVICT, 4, 2);
}

static void
nothing_that_was_accepted_is_missing_with_eight_segments(void **state)
{
	(void)state;
	run(8 * 65536, STORE_REFUSE, 1, 3);
}

static void
nothing_that_was_accepted_is_missing_with_some_segments(void **state)
{
	(void)state;
	run(20 * 65536, STORE_REFUSE, 2, 4);
}

static void
nothing_that_was_accepted_is_missing_with_many_ranges(void **state)
{
	(void)state;
	run(70 * 65536, STORE_REFUSE, 1, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_hit_is_what_was_written_last_with_eight_segments),
	    cmocka_unit_test(a_hit_is_what_was_written_last_with_some_segments),
	    cmocka_unit_test(nothing_that_was_accepted_is_missing_with_eight_segments),
	    cmocka_unit_test(nothing_that_was_accepted_is_missing_with_some_segments),
	    cmocka_unit_test(nothing_that_was_accepted_is_missing_with_many_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
