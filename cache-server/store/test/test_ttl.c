#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache-server/store/ttl.h"

static void
each_ttl_is_between_the_ends_of_its_range(void **state)
{
	unsigned shift, r;
	uint64_t ttl;

	(void)state;
	for (shift = 0; shift <= TTL_MAX_SHIFT; shift++) {
		for (ttl = 1; ttl <= UINT32_MAX; ttl += 1 + ttl / 100) {
			r = ttl_range((uint32_t)ttl, shift);
			assert_in_range(r, 1, TTL_RANGES - 1);
			assert_in_range(ttl, ttl_low(r), ttl_high(r, shift));
		}
	}
	assert_in_range(ttl_range(UINT32_MAX, 0), 1, TTL_RANGES - 1);
}

static void
ranges_follow_each_other_without_gaps(void **state)
{
	unsigned r;

	(void)state;
	for (r = 1; r + 1 < TTL_RANGES - 1; r++) {
		assert_int_equal(ttl_high(r, 0) + 1, ttl_low(r + 1));
		assert_int_equal(ttl_range(ttl_low(r), 0), r);
		assert_int_equal(ttl_range(ttl_high(r, 0), 0), r);
	}
}

static void
no_ttl_is_a_range_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(ttl_range(0, 0), 0);
	assert_int_equal(ttl_range(0, TTL_MAX_SHIFT), 0);
	assert_int_equal(ttl_range(1, TTL_MAX_SHIFT), 1);
	assert_int_equal(ttl_range(UINT32_MAX, TTL_MAX_SHIFT), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_ttl_is_between_the_ends_of_its_range),
	    cmocka_unit_test(ranges_follow_each_other_without_gaps),
	    cmocka_unit_test(no_ttl_is_a_range_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
