#include "router/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
without_a_live_record_slices_follow_each_other(void **state)
{
	struct turns t = {0};

	(void)state;
	assert_int_equal(turns_wait(&t, 1000), 0);
	assert_int_equal(turns_slice_us(&t, 1000), TURNS_SLICE_US);
	turns_took(&t, 1000, 1250);
	assert_int_equal(turns_wait(&t, 1250), 0);
	assert_int_equal(turns_again(&t, 1250), 0);
}

static void
beside_live_records_a_slice_is_short_and_has_a_pause_behind_it(void **state)
{
	struct turns t = {0};

	(void)state;
	turns_live(&t, 1000);
	assert_int_equal(turns_slice_us(&t, 1100), TURNS_SLICE_BESIDE_LIVE_US);
	turns_took(&t, 1100, 1160);
	assert_int_equal(turns_wait(&t, 1160), TURNS_PAUSES * 60);
	assert_true(turns_again(&t, 1160) > turns_wait(&t, 1161));
	assert_int_equal(turns_wait(&t, 1160 + TURNS_PAUSES * 60 - 1), 1);
	assert_int_equal(turns_wait(&t, 1160 + TURNS_PAUSES * 60), 0);
	assert_int_equal(turns_wait(&t, 999999), 0);
}

static void
when_the_live_feed_has_been_still_slices_are_long_again(void **state)
{
	struct turns t = {0};
	uint64_t later = 1000 + TURNS_LIVE_US;

	(void)state;
	turns_live(&t, 1000);
	assert_int_equal(turns_slice_us(&t, later - 1), TURNS_SLICE_BESIDE_LIVE_US);
	assert_int_equal(turns_slice_us(&t, later), TURNS_SLICE_US);
	turns_took(&t, later, later + 250);
	assert_int_equal(turns_wait(&t, later + 250), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_live_record_slices_follow_each_other),
	    cmocka_unit_test(beside_live_records_a_slice_is_short_and_has_a_pause_behind_it),
	    cmocka_unit_test(when_the_live_feed_has_been_still_slices_are_long_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
