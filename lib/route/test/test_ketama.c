#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/route/ketama.h"
#include "lib/route/test/lists.h"

static void
circle_of(struct ketama *k, const struct test_list *list, bool weighted)
{
	struct err_detail why = {0};
	struct keyhash *h;

	assert_int_equal(keyhash_create(&h, "default", &why), ERR_OK);
	ketama_init(k, list->servers, list->n, weighted, h);
	keyhash_destroy(&h);
}

/* 1264 points is what libmemcached makes of these eight weights: 160 x 8 less what rounding down takes. */
static void
weights_share_the_points_with_the_originals_rounding(void **state)
{
	static const struct test_list list = {
	    "fixture",
	    8,
	    {TEST_SERVER("10.0.1.1", 11211, 600), TEST_SERVER("10.0.1.2", 11211, 300),
	     TEST_SERVER("10.0.1.3", 11211, 200), TEST_SERVER("10.0.1.4", 11211, 350),
	     TEST_SERVER("10.0.1.5", 11211, 1000), TEST_SERVER("10.0.1.6", 11211, 800),
	     TEST_SERVER("10.0.1.7", 11211, 950), TEST_SERVER("10.0.1.8", 11211, 100)}};
	struct ketama k;

	(void)state;
	circle_of(&k, &list, true);
	assert_int_equal(k.n, 1264);
	ketama_fini(&k);
}

/* 2 of 25 parts among five servers are 16 digests on paper and 15 in libmemcached. */
static void
shares_are_computed_in_single_precision(void **state)
{
	static const struct test_list list = {"float",
					      5,
					      {TEST_SERVER("g1", 11211, 2), TEST_SERVER("g2", 11211, 5),
					       TEST_SERVER("g3", 11211, 6), TEST_SERVER("g4", 11211, 6),
					       TEST_SERVER("g5", 11211, 6)}};
	struct ketama k;
	size_t first = 0;

	(void)state;
	circle_of(&k, &list, true);
	for (size_t i = 0; i < k.n; i++)
		first += k.points[i].server == 0;
	assert_int_equal(first, 15 * 4);
	ketama_fini(&k);
}

static void
an_unweighted_server_has_a_hundred_points(void **state)
{
	struct ketama k;

	(void)state;
	circle_of(&k, &test_lists[0], false);
	assert_int_equal(k.n, 200);
	for (size_t i = 1; i < k.n; i++)
		assert_true(k.points[i - 1].at <= k.points[i].at);
	ketama_fini(&k);
}

static void
a_hash_belongs_to_the_point_at_or_after_it(void **state)
{
	struct ketama_point points[] = {{10, 1}, {20, 0}, {20, 2}, {30, 2}};
	struct ketama k = {points, 4};

	(void)state;
	assert_ptr_equal(ketama_find(&k, 0), &points[0]);
	assert_ptr_equal(ketama_find(&k, 10), &points[0]);
	assert_ptr_equal(ketama_find(&k, 11), &points[1]);
	assert_ptr_equal(ketama_find(&k, 20), &points[1]);
	assert_ptr_equal(ketama_find(&k, 30), &points[3]);
	assert_ptr_equal(ketama_find(&k, 31), &points[0]);
	k.n = 0;
	assert_null(ketama_find(&k, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(weights_share_the_points_with_the_originals_rounding),
	    cmocka_unit_test(shares_are_computed_in_single_precision),
	    cmocka_unit_test(an_unweighted_server_has_a_hundred_points),
	    cmocka_unit_test(a_hash_belongs_to_the_point_at_or_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
