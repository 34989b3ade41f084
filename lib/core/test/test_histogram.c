#include "lib/core/histogram.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/test/test.h"

static int
make(void **state)
{
	*state = calloc(2, sizeof(struct histogram));
	return *state == NULL;
}

static int
drop(void **state)
{
	free(*state);
	return 0;
}

static void
an_empty_histogram_says_zero(void **state)
{
	struct histogram *h = *state;

	assert_int_equal(histogram_percentile(h, 0.99), 0);
	assert_int_equal(histogram_count(h), 0);
}

static void
percentiles_are_within_one_thirty_second(void **state)
{
	struct histogram *h = *state;

	memset(h, 0, sizeof(*h));
	for (uint64_t v = 1; v <= 100000; v++)
		histogram_record(h, v);
	for (int p = 1; p <= 99; p++) {
		double exact = 1000.0 * p;
		double said = (double)histogram_percentile(h, p / 100.0);

		assert_true(said >= exact * (1 - 1.0 / HISTOGRAM_SUB));
		assert_true(said <= exact * (1 + 1.0 / HISTOGRAM_SUB));
	}
	assert_int_equal(histogram_percentile(h, 1.0), 100000);
	assert_int_equal(histogram_max(h), 100000);
	assert_int_equal(histogram_count(h), 100000);
}

static void
small_values_are_exact(void **state)
{
	struct histogram *h = *state;

	memset(h, 0, sizeof(*h));
	for (uint64_t v = 0; v < HISTOGRAM_SUB; v++)
		histogram_record(h, v);
	assert_int_equal(histogram_percentile(h, 0.5), HISTOGRAM_SUB / 2 - 1);
	assert_int_equal(histogram_percentile(h, 0.0), 0);
}

static void
huge_values_do_not_leave_the_table(void **state)
{
	struct histogram *h = *state;

	memset(h, 0, sizeof(*h));
	histogram_record(h, UINT64_MAX);
	histogram_record(h, UINT64_C(1) << 36);
	histogram_record(h, (UINT64_C(1) << 36) - 1);
	assert_true(histogram_percentile(h, 1.0) == UINT64_MAX);
	assert_int_equal(histogram_count(h), 3);
}

static void
merging_adds_everything(void **state)
{
	struct histogram *h = *state;

	memset(h, 0, 2 * sizeof(*h));
	histogram_record(&h[0], 10);
	histogram_record(&h[1], 1000);
	histogram_record(&h[1], 2000);
	histogram_merge(&h[0], &h[1]);
	assert_int_equal(histogram_count(&h[0]), 3);
	assert_int_equal(histogram_sum(&h[0]), 3010);
	assert_int_equal(histogram_max(&h[0]), 2000);
	assert_int_equal(histogram_percentile(&h[0], 0.3), 10);
}

static void
bumping_does_what_recording_does(void **state)
{
	static const uint64_t values[] = {0, 1, 31, 32, 1000, 123456789, UINT64_C(1) << 40, 7};
	static struct histogram a, b;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		histogram_record(&a, values[i]);
		histogram_bump(&b, values[i]);
	}
	assert_memory_equal(&a, &b, sizeof(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_histogram_says_zero),
	    cmocka_unit_test(percentiles_are_within_one_thirty_second),
	    cmocka_unit_test(small_values_are_exact),
	    cmocka_unit_test(huge_values_do_not_leave_the_table),
	    cmocka_unit_test(merging_adds_everything),
	    cmocka_unit_test(bumping_does_what_recording_does),
	};

	return cmocka_run_group_tests_name("histogram", tests, make, drop);
}
