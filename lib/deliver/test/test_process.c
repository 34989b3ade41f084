#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/deliver/process.h"

enum { HOUR_MS = 3600000 };

/* A memcached that began at `born_ms` of our monotonic clock, asked at `now_ms`; its wall clock is ours. */
static struct process
memcached(uint64_t pid, uint64_t born_ms, uint64_t now_ms, uint64_t connections)
{
	struct process p = {.met = true};
	uint64_t up = (now_ms - born_ms) / 1000 + 2; /* as memcached counts */
	uint64_t wall = 1700000000 + born_ms / 1000 + up;
	char line[80];

	snprintf(line, sizeof(line), "pid %llu", (unsigned long long)pid);
	process_stat(&p, span_of(line));
	snprintf(line, sizeof(line), "uptime %llu", (unsigned long long)up);
	process_stat(&p, span_of(line));
	snprintf(line, sizeof(line), "time %llu", (unsigned long long)wall);
	process_stat(&p, span_of(line));
	process_stat(&p, SPAN_LIT("version 1.6.18"));
	process_stat(&p, SPAN_LIT("pid_file pid"));
	snprintf(line, sizeof(line), "total_connections %llu", (unsigned long long)connections);
	process_stat(&p, span_of(line));
	process_asked(&p, now_ms, now_ms);
	assert_true(p.known);
	return p;
}

static void
the_first_is_the_same_whoever_it_is(void **state)
{
	struct process none = {0}, now = memcached(1, 5000, HOUR_MS, 10);

	(void)state;
	assert_int_equal(process_compare(&none, &now, 0), SERVER_SAME);
}

static void
the_same_process_is_known_by_pid_birth_and_connections(void **state)
{
	struct process a = memcached(17, 5000, HOUR_MS, 10), b = memcached(17, 5900, 2 * HOUR_MS, 11);

	(void)state;
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 500), SERVER_SAME);
	b.pid = 18;
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 500), SERVER_OTHER);
}

/* While it is stopped neither its uptime nor its time goes on. */
static void
a_process_that_was_stopped_for_long_is_the_same(void **state)
{
	struct process a = memcached(17, 5000, HOUR_MS, 10), b = memcached(17, 5000, HOUR_MS, 11);

	(void)state;
	process_asked(&b, 2 * HOUR_MS, 2 * HOUR_MS);
	assert_int_equal(process_compare(&a, &b, HOUR_MS), SERVER_SAME);
}

static void
one_that_began_after_we_last_heard_of_the_former_is_a_restart(void **state)
{
	struct process a = memcached(17, 5000, HOUR_MS, 10),
		       b = memcached(19, 2 * HOUR_MS, 2 * HOUR_MS + 9000, 1);

	(void)state;
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 5000), SERVER_RESTARTED);
}

/* A quick restart of memcached, whose birth is known to whole seconds only. */
static void
one_that_never_held_anything_is_a_restart_whoever_it_is(void **state)
{
	struct process a = memcached(17, 5000, HOUR_MS, 10),
		       b = memcached(19, 2 * HOUR_MS - 900, 2 * HOUR_MS + 100, 1);

	(void)state;
	process_stat(&b, SPAN_LIT("curr_items 0"));
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 1000), SERVER_OTHER);
	process_stat(&b, SPAN_LIT("total_items 1"));
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 1000), SERVER_OTHER);
	process_stat(&b, SPAN_LIT("total_items 0"));
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 1000), SERVER_RESTARTED);
	process_stat(&b, SPAN_LIT("curr_items 1"));
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 1000), SERVER_OTHER);
}

static void
one_that_may_have_run_before_we_lost_the_former_is_another(void **state)
{
	struct process a = memcached(17, 5000, HOUR_MS, 10);
	struct process ran = memcached(19, HOUR_MS, 2 * HOUR_MS, 500);
	struct process maybe = memcached(19, 2 * HOUR_MS, 2 * HOUR_MS, 1);

	(void)state;
	assert_int_equal(process_compare(&a, &ran, 2 * HOUR_MS - 5000), SERVER_OTHER);
	/* Begun a second after: its uptime cannot tell, so it is not trusted. */
	assert_int_equal(process_compare(&a, &maybe, 2 * HOUR_MS - 1000), SERVER_OTHER);
}

/* Containers: the pid is always 1. */
static void
with_the_same_pid_and_birth_the_count_of_connections_tells(void **state)
{
	struct process a = memcached(1, 5000, HOUR_MS, 10), b = memcached(1, 5000, HOUR_MS + 5000, 10);
	struct process later = memcached(1, HOUR_MS, HOUR_MS + 5000, 90);

	(void)state;
	assert_int_equal(process_compare(&a, &b, HOUR_MS), SERVER_OTHER);
	assert_int_equal(process_compare(&a, &later, HOUR_MS + 4000), SERVER_OTHER);
}

static void
squeal_cache_says_to_the_millisecond_when_it_began(void **state)
{
	struct process a = memcached(1, 5000, HOUR_MS, 10),
		       b = memcached(1, 2 * HOUR_MS, 2 * HOUR_MS + 300, 1);

	(void)state;
	process_stat(&a, SPAN_LIT("started_us 1700000005000000"));
	process_stat(&a, SPAN_LIT("age_us 3595000000"));
	process_stat(&b, SPAN_LIT("started_us 1700007200000000"));
	process_stat(&b, SPAN_LIT("age_us 300000"));
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS - 5), SERVER_RESTARTED);
	assert_int_equal(process_compare(&a, &b, 2 * HOUR_MS + 5), SERVER_OTHER);
	assert_int_equal(process_compare(&b, &b, 2 * HOUR_MS + 5), SERVER_SAME);
}

static void
one_that_never_says_who_it_is_is_the_same_and_one_that_stops_saying_is_not(void **state)
{
	struct process proxy = {.met = true}, a = memcached(17, 5000, HOUR_MS, 10);

	(void)state;
	assert_int_equal(process_compare(&proxy, &proxy, HOUR_MS), SERVER_SAME);
	assert_int_equal(process_compare(&a, &proxy, HOUR_MS), SERVER_OTHER);
	assert_int_equal(process_compare(&proxy, &a, HOUR_MS), SERVER_OTHER);
	process_stat(&proxy, SPAN_LIT("pid x"));
	process_stat(&proxy, SPAN_LIT("uptime"));
	process_stat(&proxy, SPAN_LIT(""));
	process_asked(&proxy, 1, 1);
	assert_false(proxy.known);
}

/* As after a restart of ours: what was kept compares as the process itself would. */
static void
one_that_was_kept_and_recalled_is_told_from_others(void **state)
{
	struct process a = memcached(17, 5000, HOUR_MS, 10), none = {0}, former;
	struct process again = memcached(17, 5000, 2 * HOUR_MS, 11);
	struct process old = memcached(18, 4000, 2 * HOUR_MS, 90);
	struct process young = memcached(18, 2 * HOUR_MS - 60000, 2 * HOUR_MS, 9);
	struct server_past past;

	(void)state;
	assert_false(process_past(&none, 0, &past));
	assert_true(process_past(&a, HOUR_MS, &past));
	process_recall(&former, &past);
	assert_int_equal(process_compare(&former, &again, past.heard_ms), SERVER_SAME);
	assert_int_equal(process_compare(&former, &old, past.heard_ms), SERVER_OTHER);
	assert_int_equal(process_compare(&former, &young, past.heard_ms), SERVER_RESTARTED);
}

/* Our machine began after both: the clock's zero is no limit. */
static void
times_before_the_clocks_zero_are_told_apart(void **state)
{
	struct process a = memcached(17, 5000, HOUR_MS, 10), former, now = {.met = true};
	struct server_past past;

	(void)state;
	process_stat(&now, SPAN_LIT("pid 18"));
	process_stat(&now, SPAN_LIT("uptime 600"));
	process_stat(&now, SPAN_LIT("time 1700009999"));
	process_stat(&now, SPAN_LIT("total_connections 5"));
	process_asked(&now, 1000, 1000);
	assert_true(process_past(&a, -900000, &past));
	process_recall(&former, &past);
	assert_int_equal(process_compare(&former, &now, past.heard_ms), SERVER_RESTARTED);
	assert_int_equal(process_compare(&former, &now, -300000), SERVER_OTHER);
}

static void
the_start_is_told_by_our_wall_clock_and_never_later_than_it_was(void **state)
{
	struct process a = memcached(17, 100000, HOUR_MS, 10);
	uint64_t real = 1800000000000000;
	uint64_t began = real - (HOUR_MS - 100000) * 1000ull;

	(void)state;
	assert_in_range(process_started_us(&a, real, HOUR_MS), began - 7000000, began);
	a.known = false;
	assert_int_equal(process_started_us(&a, real, HOUR_MS), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_is_the_same_whoever_it_is),
	    cmocka_unit_test(the_same_process_is_known_by_pid_birth_and_connections),
	    cmocka_unit_test(a_process_that_was_stopped_for_long_is_the_same),
	    cmocka_unit_test(one_that_began_after_we_last_heard_of_the_former_is_a_restart),
	    cmocka_unit_test(one_that_never_held_anything_is_a_restart_whoever_it_is),
	    cmocka_unit_test(one_that_may_have_run_before_we_lost_the_former_is_another),
	    cmocka_unit_test(with_the_same_pid_and_birth_the_count_of_connections_tells),
	    cmocka_unit_test(squeal_cache_says_to_the_millisecond_when_it_began),
	    cmocka_unit_test(one_that_never_says_who_it_is_is_the_same_and_one_that_stops_saying_is_not),
	    cmocka_unit_test(one_that_was_kept_and_recalled_is_told_from_others),
	    cmocka_unit_test(times_before_the_clocks_zero_are_told_apart),
	    cmocka_unit_test(the_start_is_told_by_our_wall_clock_and_never_later_than_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
