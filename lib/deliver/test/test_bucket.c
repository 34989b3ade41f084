#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/deliver/bucket.h"

#define MS 1000000ull

static void
without_a_rate_there_is_no_end_of_tokens(void **state)
{
	struct bucket b = {0};

	(void)state;
	assert_true(bucket_tokens(&b, 5) == UINT64_MAX);
	bucket_take(&b, 1000);
	assert_int_equal(bucket_wait_ms(&b, 1000, 5), 0);
}

static void
tokens_gather_for_50_ms_and_at_least_one(void **state)
{
	struct bucket b = {0};

	(void)state;
	bucket_rate(&b, 1000, 7 * MS);
	assert_int_equal(bucket_tokens(&b, 7 * MS), 50); /* it begins full */
	bucket_take(&b, 50);
	assert_int_equal(bucket_tokens(&b, 17 * MS), 10);
	assert_int_equal(bucket_tokens(&b, 10000000 * MS), 50);
	bucket_rate(&b, 3, 10000000 * MS);
	assert_int_equal(bucket_tokens(&b, 10000000 * MS), 1);
}

static void
nothing_is_lost_to_rounding_however_often_it_is_asked(void **state)
{
	struct bucket b = {0};
	uint64_t taken = 0;

	(void)state;
	bucket_rate(&b, 7, 0);
	bucket_take(&b, bucket_tokens(&b, 0));
	for (uint64_t ns = 0; ns <= 100000 * MS; ns += 333333) {
		uint64_t n = bucket_tokens(&b, ns);

		bucket_take(&b, n);
		taken += n;
	}
	assert_in_range(taken, 699, 700);
}

static void
the_wait_is_long_enough_and_not_a_millisecond_longer(void **state)
{
	struct bucket b = {0};

	(void)state;
	bucket_rate(&b, 30, 0);
	bucket_take(&b, 1);
	assert_int_equal(bucket_wait_ms(&b, 1, 0), 34);
	assert_int_equal(bucket_tokens(&b, 33 * MS), 0);
	assert_int_equal(bucket_tokens(&b, 34 * MS), 1);
	assert_int_equal(bucket_wait_ms(&b, 1, 34 * MS), 0);
}

static void
a_lower_rate_takes_what_is_too_much(void **state)
{
	struct bucket b = {0};

	(void)state;
	bucket_rate(&b, 100000000, 0);
	assert_int_equal(bucket_tokens(&b, UINT64_MAX / 2), 5000000);
	bucket_rate(&b, 40, UINT64_MAX / 2);
	assert_int_equal(bucket_tokens(&b, UINT64_MAX / 2), 2);
	bucket_take(&b, 2);
	bucket_rate(&b, 0, UINT64_MAX / 2);
	bucket_rate(&b, 40, UINT64_MAX / 2);
	assert_int_equal(bucket_tokens(&b, UINT64_MAX / 2), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_rate_there_is_no_end_of_tokens),
	    cmocka_unit_test(tokens_gather_for_50_ms_and_at_least_one),
	    cmocka_unit_test(nothing_is_lost_to_rounding_however_often_it_is_asked),
	    cmocka_unit_test(the_wait_is_long_enough_and_not_a_millisecond_longer),
	    cmocka_unit_test(a_lower_rate_takes_what_is_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
