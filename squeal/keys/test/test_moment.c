#include "squeal/keys/moment.h"

#include <stdlib.h>
#include <time.h>

#include "lib/core/test/test.h"

static uint64_t
at(const char *text, enum moment_choice choice)
{
	struct err_detail why = {0};
	uint64_t us = 0;

	if (moment_parse(span_of(text), choice, &us, &why) != ERR_OK)
		fail_msg("%s: %s", text, err_why(&why));
	return us;
}

static void
assert_refused(const char *text, const char *says)
{
	struct err_detail why = {0};
	uint64_t us = 42;

	assert_int_equal(moment_parse(span_of(text), MOMENT_FIRST, &us, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, says));
	assert_int_equal(us, 42);
}

static void
in_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void
times_with_a_zone_are_the_same_everywhere(void **state)
{
	in_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	assert_int_equal(at("1970-01-01T00:00:00Z", MOMENT_FIRST), 0);
	assert_int_equal(at("2026-11-20T21:38:00Z", MOMENT_FIRST), UINT64_C(1795210680000000));
	assert_int_equal(at("2026-11-20t22:38:00+01:00", MOMENT_FIRST), UINT64_C(1795210680000000));
	assert_int_equal(at("2026-11-20 16:08:00 -0530", MOMENT_FIRST), UINT64_C(1795210680000000));
	assert_int_equal(at("2026-11-20T22:38+01", MOMENT_FIRST), UINT64_C(1795210680000000));
	assert_int_equal(at("2026-11-20T21:38:00.25Z", MOMENT_FIRST), UINT64_C(1795210680250000));
	assert_int_equal(at("2026-11-20T21:38:00.1234567Z", MOMENT_FIRST), UINT64_C(1795210680123456));
}

static void
times_without_one_are_local(void **state)
{
	in_zone("XXX-3");
	assert_int_equal(at("2026-11-21 00:38:00", MOMENT_FIRST), UINT64_C(1795210680000000));
	assert_int_equal(at("2026-11-21", MOMENT_FIRST),
			 UINT64_C(1795210680000000) - UINT64_C(38 * 60000000));
	assert_int_equal(at(" 2026-11-21T00:38 ", MOMENT_FIRST), UINT64_C(1795210680000000));
}

static void
an_hour_that_comes_twice_is_the_first_or_the_last_of_them(void **state)
{
	in_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	assert_int_equal(at("2026-10-25 02:30:00", MOMENT_FIRST), at("2026-10-25T00:30:00Z", MOMENT_FIRST));
	assert_int_equal(at("2026-10-25 02:30:00", MOMENT_LAST), at("2026-10-25T01:30:00Z", MOMENT_FIRST));
	assert_int_equal(at("2026-10-25 04:30:00", MOMENT_LAST), at("2026-10-25T03:30:00Z", MOMENT_FIRST));
}

static void
an_hour_that_never_was_is_refused(void **state)
{
	in_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	assert_refused("2026-03-29 02:30:00", "does not exist in the local time zone");
}

static void
microseconds_are_taken_and_seconds_are_not_taken_for_them(void **state)
{
	assert_int_equal(at("1795210680123456", MOMENT_FIRST), UINT64_C(1795210680123456));
	assert_refused("1795210680", "six more zeros");
	assert_refused("1795210680123", "six more zeros");
}

static void
what_is_no_time_is_refused_with_one_that_is(void **state)
{
	in_zone("UTC0");
	assert_refused("", "is no time; write");
	assert_refused("yesterday", "is no time; write");
	assert_refused("2026-11-20 21", "is no time; write");
	assert_refused("2026-13-20", "is no time; write");
	assert_refused("2026-11-20T24:00:00", "is no time; write");
	assert_refused("2026-11-20T21:38:00.", "is no time; write");
	assert_refused("2026-11-20T21:38:00Zulu", "is no time; write");
	assert_refused("2026-11-20T21:38:00+1", "is no time; write");
	assert_refused("2026-02-29", "no such day");
	assert_refused("1970-01-01T00:00:00+01:00", "before 1970");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(times_with_a_zone_are_the_same_everywhere),
	    cmocka_unit_test(times_without_one_are_local),
	    cmocka_unit_test(an_hour_that_comes_twice_is_the_first_or_the_last_of_them),
	    cmocka_unit_test(an_hour_that_never_was_is_refused),
	    cmocka_unit_test(microseconds_are_taken_and_seconds_are_not_taken_for_them),
	    cmocka_unit_test(what_is_no_time_is_refused_with_one_that_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
