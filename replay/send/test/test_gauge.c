#include "replay/send/gauge.h"

#include "lib/core/test/test.h"

struct world {
	struct clock_fake clock;
	struct loop *loop;
	struct gauge *gauge;
};

static void
take(struct world *w, const char *text, size_t taken)
{
	assert_int_equal(gauge_take(w->gauge, span_of(text)), taken);
}

static void
misses_per_second_are_the_difference_of_two_answers(void **state)
{
	struct world *w = *state;
	uint64_t per_s;

	take(w, "STAT pid 1\r\nSTAT get_misses 1000\r\nEND\r\n", 39);
	assert_false(gauge_misses(w->gauge, &per_s));
	clock_fake_advance_ms(&w->clock, 2000);
	/* An answer comes in pieces, and only whole lines are taken. */
	take(w, "STAT get_mis", 0);
	take(w, "STAT get_misses 1500\r\nSTA", 22);
	take(w, "END\r\n", 5);
	assert_true(gauge_misses(w->gauge, &per_s));
	assert_int_equal(per_s, 250);
}

static void
a_server_that_was_restarted_says_nothing_until_the_next_answer(void **state)
{
	struct world *w = *state;
	uint64_t per_s;

	take(w, "STAT get_misses 1000\r\nEND\r\n", 27);
	clock_fake_advance_ms(&w->clock, 1000);
	take(w, "STAT get_misses 5\r\nEND\r\n", 24);
	assert_false(gauge_misses(w->gauge, &per_s));
	clock_fake_advance_ms(&w->clock, 1000);
	take(w, "STAT get_misses 12\r\nEND\r\n", 25);
	assert_true(gauge_misses(w->gauge, &per_s));
	assert_int_equal(per_s, 7);
}

static int
make(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));
	struct err_detail why = {0};

	clock_fake_init(&w->clock);
	clock_fake_advance_ms(&w->clock, 1000);
	if (loop_create(&w->loop, &w->clock.clock, &why) != ERR_OK)
		fail_msg("%s", why.text);
	w->gauge = gauge_create(w->loop, "127.0.0.1:1", "", NULL);
	*state = w;
	return 0;
}

static int
clean(void **state)
{
	struct world *w = *state;

	gauge_destroy(&w->gauge);
	loop_destroy(&w->loop);
	test_free(w);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(misses_per_second_are_the_difference_of_two_answers, make, clean),
	    cmocka_unit_test_setup_teardown(a_server_that_was_restarted_says_nothing_until_the_next_answer,
					    make, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
