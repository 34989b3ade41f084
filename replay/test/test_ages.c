#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay/ages.h"

enum { CAPACITY = 4 };

static int
setup(void **state)
{
	*state = ages_create(CAPACITY);
	return 0;
}

static int
teardown(void **state)
{
	ages_destroy((struct ages **)state);
	return 0;
}

static void
without_probes_nothing_is_known(void **state)
{
	assert_int_equal(ages_judge(*state, 1, 10, 10), AGES_UNKNOWN);
	assert_int_equal(ages_least_age_ns(*state, 1, 10), 0);
}

static void
an_item_below_a_probe_of_before_is_older_and_one_above_a_probe_of_afterwards_is_newer(void **state)
{
	struct ages *a = *state;

	assert_true(ages_add(a, 100, 110, 50));
	assert_true(ages_add(a, 200, 210, 60));
	assert_int_equal(ages_judge(a, 49, 150, 160), AGES_OLDER);
	assert_int_equal(ages_judge(a, 61, 150, 160), AGES_NEWER);
	assert_int_equal(ages_judge(a, 51, 150, 160), AGES_NEAR);
	/* The later of two probes that are both before it says more. */
	assert_int_equal(ages_judge(a, 55, 250, 260), AGES_OLDER);
	assert_int_equal(ages_judge(a, 61, 250, 260), AGES_NEAR);
}

static void
an_item_with_the_probes_own_id_is_neither_older_nor_newer(void **state)
{
	struct ages *a = *state;

	ages_add(a, 100, 110, 50);
	ages_add(a, 200, 210, 60);
	assert_int_equal(ages_judge(a, 50, 150, 160), AGES_NEAR);
	assert_int_equal(ages_judge(a, 60, 150, 160), AGES_NEAR);
}

static void
a_probe_counts_from_its_answer_for_older_and_from_its_sending_for_newer(void **state)
{
	struct ages *a = *state;

	ages_add(a, 100, 200, 50);
	assert_int_equal(ages_judge(a, 49, 199, 300), AGES_UNKNOWN);
	assert_int_equal(ages_judge(a, 49, 200, 300), AGES_OLDER);
	assert_int_equal(ages_judge(a, 51, 0, 101), AGES_UNKNOWN);
	assert_int_equal(ages_judge(a, 51, 0, 100), AGES_NEWER);
}

static void
without_a_probe_of_before_an_old_item_is_unknown_and_a_new_one_is_newer(void **state)
{
	struct ages *a = *state;

	ages_add(a, 200, 210, 60);
	assert_int_equal(ages_judge(a, 5, 100, 110), AGES_UNKNOWN);
	assert_int_equal(ages_judge(a, 61, 100, 110), AGES_NEWER);
}

static void
a_restarted_server_counts_anew_and_its_low_ids_are_no_old_items(void **state)
{
	struct ages *a = *state;

	ages_add(a, 100, 110, 5000);
	assert_int_equal(ages_judge(a, 3, 150, 160), AGES_OLDER);
	assert_false(ages_add(a, 300, 310, 2));
	assert_int_equal(ages_count(a), 1);
	assert_int_equal(ages_judge(a, 1, 150, 160), AGES_UNKNOWN);
	assert_int_equal(ages_judge(a, 3, 150, 160), AGES_NEWER);
	/* The same id again cannot be the same counter either. */
	assert_false(ages_add(a, 400, 410, 2));
}

static void
a_lost_connection_leaves_nothing_to_judge_by(void **state)
{
	struct ages *a = *state;

	ages_add(a, 100, 110, 50);
	ages_forget(a);
	assert_int_equal(ages_count(a), 0);
	assert_int_equal(ages_judge(a, 3, 150, 160), AGES_UNKNOWN);
}

static void
only_the_last_probes_are_kept(void **state)
{
	struct ages *a = *state;

	for (uint64_t i = 1; i <= 10; i++)
		assert_true(ages_add(a, i * 100, i * 100 + 10, i * 10));
	assert_int_equal(ages_count(a), CAPACITY);
	assert_int_equal(ages_judge(a, 5, 650, 660), AGES_UNKNOWN);
	assert_int_equal(ages_judge(a, 5, 750, 760), AGES_OLDER);
	assert_int_equal(ages_judge(a, 101, 950, 960), AGES_NEWER);
}

static void
the_least_age_is_that_of_the_first_probe_above_it(void **state)
{
	struct ages *a = *state;

	ages_add(a, 100, 110, 50);
	ages_add(a, 200, 210, 60);
	assert_int_equal(ages_least_age_ns(a, 7, 1000), 890);
	assert_int_equal(ages_least_age_ns(a, 55, 1000), 790);
	assert_int_equal(ages_least_age_ns(a, 61, 1000), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(without_probes_nothing_is_known),
	    TEST(an_item_below_a_probe_of_before_is_older_and_one_above_a_probe_of_afterwards_is_newer),
	    TEST(an_item_with_the_probes_own_id_is_neither_older_nor_newer),
	    TEST(a_probe_counts_from_its_answer_for_older_and_from_its_sending_for_newer),
	    TEST(without_a_probe_of_before_an_old_item_is_unknown_and_a_new_one_is_newer),
	    TEST(a_restarted_server_counts_anew_and_its_low_ids_are_no_old_items),
	    TEST(a_lost_connection_leaves_nothing_to_judge_by),
	    TEST(only_the_last_probes_are_kept),
	    TEST(the_least_age_is_that_of_the_first_probe_above_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
