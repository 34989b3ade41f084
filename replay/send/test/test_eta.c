#include "replay/send/eta.h"

#include "lib/core/test/test.h"

static void
nothing_is_guessed_from_the_first_seconds(void **state)
{
	struct eta e = {0};

	(void)state;
	for (uint64_t s = 0; s < 3; s++) {
		eta_see(&e, 1000 * s, 100 * s);
		assert_false(eta_guess(&e, 1000).known);
	}
}

static void
a_steady_rate_gives_one_answer(void **state)
{
	struct eta e = {0};
	struct eta_guess g;

	(void)state;
	/* More often than once a second makes no difference. */
	for (uint64_t ms = 0; ms <= 20000; ms += 100)
		eta_see(&e, ms, ms / 1000 * 500);
	g = eta_guess(&e, 5000);
	assert_true(g.known && g.ms == 10000 && g.soonest_ms == 10000 && g.latest_ms == 10000);
}

static void
an_unsteady_rate_gives_a_range_that_has_the_mean_in_it(void **state)
{
	struct eta e = {0};
	struct eta_guess g;
	uint64_t done = 0;

	(void)state;
	for (uint64_t s = 0; s <= 30; s++) {
		done += s % 2 == 0 ? 800 : 200;
		eta_see(&e, 1000 * s, done);
	}
	g = eta_guess(&e, 5000);
	assert_in_range(g.ms, 9500, 10500);
	assert_true(g.soonest_ms < g.ms && g.ms < g.latest_ms);
	assert_true(g.latest_ms < 14000);
}

static void
a_job_that_stands_still_has_no_end_in_sight(void **state)
{
	struct eta e = {0};

	(void)state;
	for (uint64_t s = 0; s < 10; s++)
		eta_see(&e, 1000 * s, 7);
	assert_false(eta_guess(&e, 100).known);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_guessed_from_the_first_seconds),
	    cmocka_unit_test(a_steady_rate_gives_one_answer),
	    cmocka_unit_test(an_unsteady_rate_gives_a_range_that_has_the_mean_in_it),
	    cmocka_unit_test(a_job_that_stands_still_has_no_end_in_sight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
