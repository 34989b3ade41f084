#include "cache-server/store/inside.h"
#include "cache-server/store/test/store_fixture.h"

static struct span
key_of(unsigned k, char *out)
{
	return span_make(out, (size_t)snprintf(out, 64, "key%u", k));
}

static void
what_is_read_more_and_takes_less_has_the_higher_score(void **state)
{
	(void)state;
	assert_int_equal(merge_score(0, 16), 0);
	assert_true(merge_score(1, 1u << 30) > 0);
	assert_true(merge_score(2, 100) > merge_score(1, 100));
	assert_true(merge_score(1, 100) > merge_score(1, 200));
	assert_true(merge_score(63, 16) < MERGE_SCORES);
}

static void
items_that_are_read_outlive_those_that_are_not(void **state)
{
	struct fixture f;
	struct store_view v;
	unsigned i, hot = 0, cold = 0;
	char text[64];
	uint32_t now = 100;

	(void)state;
	fixture_make(&f, 4 << 20, STORE_EVICT, 1);
	/* The first hundred are read again and again while four times the memory passes by. */
	for (i = 0; i < 100000; i++) {
		assert_int_equal(fixture_put(f.s, f.t, key_of(i, text), i, 150, 0), ERR_OK);
		if (i % 500 == 0) {
			store_set_now(f.s, ++now);
			for (unsigned k = 0; k < 100; k++) {
				if (fixture_find(&f, key_of(k, text), &v))
					store_accessed(f.t, &v);
			}
			store_upkeep(f.s, f.qt);
		}
	}
	for (i = 0; i < 200; i++) {
		bool there = fixture_find(&f, key_of(i, text), &v);

		if (there)
			assert_true(fixture_is(f.t, &v, i));
		hot += there && i < 100;
		cold += there && i >= 100;
	}
	assert_int_equal(hot, 100);
	assert_int_equal(cold, 0);
	fixture_unmake(&f);
}

static void
a_moved_item_keeps_everything_it_had(void **state)
{
	struct fixture f;
	struct store_draft d = {.key = SPAN_LIT("stays"),
				.client_flags = 7,
				.cas = 1ull << 60,
				.expiry = 300000,
				.epoch = {5, 6, 7},
				.value_len = 100};
	struct merge_rule all = {0, 0};
	struct store_view v, w;
	uint32_t id;

	(void)state;
	fixture_make(&f, 4 << 20, STORE_EVICT, 1);
	assert_int_equal(fixture_begin(f.s, f.t, &d, 9), ERR_OK);
	store_lock(f.t, d.hash);
	store_commit(f.t, &d, ITEM_STALE | ITEM_TOKEN);
	store_unlock(f.t, d.hash);
	store_set_now(f.s, 140);
	assert_true(fixture_find(&f, SPAN_LIT("stays"), &v));
	store_accessed(f.t, &v);
	store_set_now(f.s, 150);
	id = v.segment;
	pthread_mutex_lock(&f.s->merge_lock);
	lane_close_idle(f.s, true);
	assert_true(merge_segment(f.s, id, &all));
	pthread_mutex_unlock(&f.s->merge_lock);
	assert_true(fixture_find(&f, SPAN_LIT("stays"), &w));
	assert_int_not_equal(w.segment, id);
	assert_int_equal(w.expiry, 300000);
	assert_int_equal(item_client_flags(w.item, w.state), 7);
	assert_true(item_cas(w.item, w.state) == 1ull << 60);
	assert_int_equal(item_epoch(w.item, w.state).count, 5);
	assert_int_equal(w.state & (ITEM_STALE | ITEM_TOKEN | ITEM_FETCHED),
			 ITEM_STALE | ITEM_TOKEN | ITEM_FETCHED);
	assert_int_equal(store_idle(f.t, &w), 10);
	assert_true(fixture_is(f.t, &w, 9));
	/* Readers of the old copy may still be there; afterwards its segment is free, and the sums fit. */
	assert_true(fixture_is(f.t, &v, 9));
	merge_close_targets(f.s);
	assert_true(segment_sum_ok(&f.s->pool, w.segment));
	fixture_unmake(&f);
}

static void
sums_fit_whatever_was_done(void **state)
{
	struct fixture f;
	unsigned i;
	char text[64];
	uint32_t id;

	(void)state;
	fixture_make(&f, 2 << 20, STORE_EVICT, 1);
	for (i = 0; i < 20000; i++) {
		uint64_t len = i % 100 ? i % 300 : 30000;

		assert_int_equal(fixture_put(f.s, f.t, key_of(i % 7000, text), i, len, i % 3 * 1000), ERR_OK);
		if (i % 5 == 0)
			fixture_drop(f.s, f.t, key_of(i % 3000, text));
		if (i % 50 == 0)
			store_upkeep(f.s, f.qt);
	}
	assert_true(metric_get(&store_metrics(f.s)->store_moved) > 0);
	for (id = 1; id <= f.s->supply.usable; id++) {
		enum segment_state st = segment_state(&f.s->pool.heads[id]);

		if (st == SEGMENT_OPEN || st == SEGMENT_CLOSED)
			assert_true(segment_sum_ok(&f.s->pool, id));
	}
	fixture_unmake(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_read_more_and_takes_less_has_the_higher_score),
	    cmocka_unit_test(items_that_are_read_outlive_those_that_are_not),
	    cmocka_unit_test(a_moved_item_keeps_everything_it_had),
	    cmocka_unit_test(sums_fit_whatever_was_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
