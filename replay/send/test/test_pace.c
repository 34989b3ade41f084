#include "replay/send/pace.h"

#include "lib/core/test/test.h"

enum { MS = 1000000 };

static void
the_rate_that_was_asked_for_is_kept(void **state)
{
	const struct pace_options opt = {.rate = 1000};
	struct pace p;
	uint64_t sent = 0;

	(void)state;
	pace_init(&p, &opt, 0);
	for (uint64_t ms = 1; ms <= 10000; ms++) {
		uint64_t n = pace_now(&p, ms * MS);

		assert_true(n <= 50);
		sent += n;
		pace_spend(&p, n);
	}
	assert_in_range(sent, 9990, 10000);
}

static void
a_pause_is_not_made_up_for(void **state)
{
	const struct pace_options opt = {.rate = 1000};
	struct pace p;

	(void)state;
	pace_init(&p, &opt, 0);
	assert_int_equal(pace_now(&p, 60000ull * MS), 50);
}

static void
without_a_rate_everything_may_go(void **state)
{
	const struct pace_options opt = {0};
	struct pace p;

	(void)state;
	pace_init(&p, &opt, 0);
	assert_true(pace_now(&p, 1) == UINT64_MAX);
}

static void
a_slow_server_takes_the_rate_down_and_a_quick_one_up_again(void **state)
{
	const struct pace_options opt = {.rate = 1000, .max_ack_us = 20000};
	struct pace_look slow = {.ack_us = 48000, .slowest = "10.0.0.1:11211", .sent = 1000};
	struct pace_look good = {.ack_us = 900, .slowest = "10.0.0.1:11211", .sent = 300};
	struct pace p;

	(void)state;
	pace_init(&p, &opt, 0);
	pace_see(&p, &slow);
	assert_true(p.limit == 700);
	assert_string_equal(p.reason, "10.0.0.1:11211 acks 48 ms");
	slow.sent = 700;
	pace_see(&p, &slow);
	assert_true(p.limit > 480 && p.limit < 500);
	for (int i = 0; i < 40; i++)
		pace_see(&p, &slow);
	assert_true(p.limit == PACE_LEAST);
	pace_see(&p, &good);
	assert_string_equal(p.reason, "");
	assert_true(p.is_throttled && p.limit > PACE_LEAST);
	for (int i = 0; i < 60; i++)
		pace_see(&p, &good);
	assert_true(p.limit == 1000 && !p.is_throttled);
}

static void
readers_that_miss_and_a_busy_database_count_too(void **state)
{
	const struct pace_options opt = {.max_misses = 100, .max_threads = 8};
	struct pace_look look = {.slowest = "", .misses = 101, .missing = "east", .sent = 500};
	struct pace p;

	(void)state;
	pace_init(&p, &opt, 0);
	pace_see(&p, &look);
	assert_string_equal(p.reason, "readers of east miss 101 keys a second");
	assert_true(p.limit == 350);
	look.misses = 100;
	look.threads = 9;
	pace_see(&p, &look);
	assert_string_equal(p.reason, "9 threads run in the database");
	/* Without a rate the bound goes when it binds nothing. */
	look.threads = 8;
	look.sent = 0;
	for (int i = 0; i < 60; i++)
		pace_see(&p, &look);
	assert_true(p.limit == 0 && !p.is_throttled);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_rate_that_was_asked_for_is_kept),
	    cmocka_unit_test(a_pause_is_not_made_up_for),
	    cmocka_unit_test(without_a_rate_everything_may_go),
	    cmocka_unit_test(a_slow_server_takes_the_rate_down_and_a_quick_one_up_again),
	    cmocka_unit_test(readers_that_miss_and_a_busy_database_count_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
