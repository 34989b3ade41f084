#include "cache-server/store/inside.h"
#include "cache-server/store/test/store_fixture.h"

static struct span
key_of(const char *prefix, unsigned k, char *out)
{
	return span_make(out, (size_t)snprintf(out, 64, "%s%u", prefix, k));
}

static void
values_of_all_lengths_around_the_limits_come_back(void **state)
{
	static const uint64_t around[] = {0, 16384, 16384 * 2, 65536, 200000, 16384 - 56, (16384 - 56) * 3};
	struct fixture f;
	struct store_view v;
	unsigned i;
	int d;

	(void)state;
	fixture_make(&f, 4 << 20, STORE_EVICT, 1);
	for (i = 0; i < sizeof around / sizeof around[0]; i++) {
		for (d = -60; d <= 60; d++) {
			uint64_t len = around[i] + (uint64_t)(around[i] || d > 0 ? d : 0);

			assert_int_equal(fixture_put(f.s, f.t, SPAN_LIT("key"), i, len, 0), ERR_OK);
			assert_true(fixture_find(&f, SPAN_LIT("key"), &v));
			assert_int_equal(v.len, len);
			assert_true(fixture_is(f.t, &v, i));
		}
	}
	assert_int_equal(metric_get(&store_metrics(f.s)->store_evicted), 0);
	fixture_unmake(&f);
}

static void
a_large_value_that_goes_takes_its_pieces_along(void **state)
{
	struct fixture f;

	(void)state;
	fixture_make(&f, 4 << 20, STORE_REFUSE, 1);
	assert_int_equal(fixture_put(f.s, f.t, SPAN_LIT("a"), 1, 1 << 20, 0), ERR_OK);
	assert_true(metric_get(&store_metrics(f.s)->store_items) > 60);
	assert_int_equal(fixture_put(f.s, f.t, SPAN_LIT("a"), 1, 1 << 20, 0), ERR_OK);
	assert_in_range(metric_get(&store_metrics(f.s)->store_items), 60, 70);
	assert_true(fixture_drop(f.s, f.t, SPAN_LIT("a")));
	assert_int_equal(metric_get(&store_metrics(f.s)->store_items), 0);
	assert_int_equal(metric_get(&store_metrics(f.s)->store_bytes), 0);
	fixture_unmake(&f);
}

static void
an_aborted_large_draft_leaves_nothing(void **state)
{
	struct fixture f;
	unsigned i;

	(void)state;
	fixture_make(&f, 4 << 20, STORE_REFUSE, 1);
	for (i = 0; i < 50; i++) {
		struct store_draft d = {.key = SPAN_LIT("a"), .value_len = 1 << 20};

		assert_int_equal(fixture_begin(f.s, f.t, &d, 1), ERR_OK);
		store_abort(f.t, &d);
	}
	assert_int_equal(metric_get(&store_metrics(f.s)->store_items), 0);
	fixture_unmake(&f);
}

static void
one_that_does_not_fit_any_more_is_refused_whole(void **state)
{
	struct fixture f;
	struct store_view v;
	unsigned i, n = 0;
	char text[64];

	(void)state;
	fixture_make(&f, 4 << 20, STORE_REFUSE, 1);
	for (i = 0; i < 10; i++)
		n += fixture_put(f.s, f.t, key_of("k", i, text), i, 1 << 20, 0) == ERR_OK;
	assert_int_equal(n, 3);
	for (i = 0; i < 3; i++) {
		assert_true(fixture_find(&f, key_of("k", i, text), &v));
		assert_true(fixture_is(f.t, &v, i));
	}
	/* What was reserved for the refused ones is free again. */
	assert_int_equal(fixture_put(f.s, f.t, SPAN_LIT("small"), 1, 300000, 0), ERR_OK);
	fixture_unmake(&f);
}

static void
a_large_value_survives_merges_of_its_pieces(void **state)
{
	struct fixture f;
	struct store_view v;
	unsigned i;
	char text[64];

	(void)state;
	fixture_make(&f, 4 << 20, STORE_REFUSE, 1);
	/* Small items in between, so that the pieces' segments are worth a merge once they die. */
	for (i = 0; i < 40; i++) {
		assert_int_equal(fixture_put(f.s, f.t, key_of("large", i, text), i, 40000, 0), ERR_OK);
		assert_int_equal(fixture_put(f.s, f.t, key_of("goes", i, text), i, 14000, 0), ERR_OK);
		assert_int_equal(fixture_put(f.s, f.t, key_of("goes too", i, text), i, 14000, 0), ERR_OK);
	}
	for (i = 0; i < 40; i++) {
		assert_true(fixture_drop(f.s, f.t, key_of("goes", i, text)));
		assert_true(fixture_drop(f.s, f.t, key_of("goes too", i, text)));
	}
	for (i = 0; i < 70; i++)
		assert_int_equal(fixture_put(f.s, f.t, key_of("new", i, text), i, 14000, 0), ERR_OK);
	assert_true(metric_get(&store_metrics(f.s)->store_moved) > 20);
	for (i = 0; i < 40; i++) {
		assert_true(fixture_find(&f, key_of("large", i, text), &v));
		assert_true(fixture_is(f.t, &v, i));
	}
	fixture_unmake(&f);
}

static void
eviction_drops_a_large_value_whole(void **state)
{
	struct fixture f;
	struct store_view v;
	unsigned i, there = 0;
	char text[64];

	(void)state;
	fixture_make(&f, 4 << 20, STORE_EVICT, 1);
	for (i = 0; i < 200; i++)
		assert_int_equal(fixture_put(f.s, f.t, key_of("k", i, text), i, 100000 + i * 1000, 0),
				 ERR_OK);
	for (i = 0; i < 200; i++) {
		if (fixture_find(&f, key_of("k", i, text), &v)) {
			there++;
			assert_true(fixture_is(f.t, &v, i));
		}
	}
	assert_in_range(there, 3, 20);
	fixture_unmake(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_of_all_lengths_around_the_limits_come_back),
	    cmocka_unit_test(a_large_value_that_goes_takes_its_pieces_along),
	    cmocka_unit_test(an_aborted_large_draft_leaves_nothing),
	    cmocka_unit_test(one_that_does_not_fit_any_more_is_refused_whole),
	    cmocka_unit_test(a_large_value_survives_merges_of_its_pieces),
	    cmocka_unit_test(eviction_drops_a_large_value_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
