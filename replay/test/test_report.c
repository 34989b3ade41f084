#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replay/report.h"

static const struct audit_finding stale = {.key = {"user 4\n2", 8},
					   .gtid = {"0-1-7", 5},
					   .offset = 12,
					   .after_ms = 1000,
					   .least_age_ns = 12340000000};

static void
a_finding_is_one_line_whatever_its_key_holds(void **state)
{
	struct audit_finding other = stale;
	struct buf out = BUF_INIT;

	report_finding(&stale, "10.0.0.1:11211", false, &out);
	assert_string_equal(
	    buf_str(&out),
	    "stale key=\"user 4\\x0a2\" server=10.0.0.1:11211 gtid=0-1-7 offset=12 after=1s age=12.3s\n");
	buf_clear(&out);
	other.partition = 3;
	report_finding(&other, "s", false, &out);
	assert_non_null(strstr(buf_str(&out), " partition=3 offset=12 "));
	buf_clear(&out);
	report_finding(&stale, "10.0.0.1:11211", true, &out);
	assert_string_equal(
	    buf_str(&out),
	    "{\"finding\":\"stale\",\"key\":\"user 4\\n2\",\"server\":\"10.0.0.1:11211\","
	    "\"gtid\":\"0-1-7\",\"partition\":0,\"offset\":12,\"after\":\"1s\",\"age_ms\":12340}\n");
	buf_fini(&out);
}

static void
durations_are_written_as_they_are_read(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} rows[] = {{1, "1ms"},	   {1000, "1s"},   {1500, "1500ms"},
		    {60000, "1m"}, {90000, "90s"}, {3600000, "60m"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = BUF_INIT;

		report_duration(rows[i].ms, &out);
		assert_string_equal(buf_str(&out), rows[i].text);
		buf_fini(&out);
	}
}

static void
a_summary_has_a_line_for_each_delay_and_one_for_the_log(void **state)
{
	struct clock_fake clock;
	struct audit_options opt = {
	    .sample = 1, .delays_ms = {1000, 60000}, .ndelays = 2, .nservers = 1, .max_pending = 1};
	struct follow_metrics log = {0};
	struct buf out = BUF_INIT;
	struct audit *a;

	clock_fake_init(&clock);
	a = audit_create(&opt, &clock.clock, NULL, NULL);
	metric_add(&log.audit_records, 3);
	report_summary(a, &opt, &log, false, &out);
	assert_string_equal(
	    buf_str(&out),
	    "summary after=1s asked=0 gone=0 refilled=0 near=0 unasked=0 unknown=0 stale=0 misrouted=0\n"
	    "summary after=1m asked=0 gone=0 refilled=0 near=0 unasked=0 unknown=0 stale=0 misrouted=0\n"
	    "summary log records=3 bad_records=0 log_gaps=0 log_errors=0 keys=0 sampled=0 dropped=0 "
	    "invalid=0 "
	    "pending=0\n");
	audit_destroy(&a);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_finding_is_one_line_whatever_its_key_holds),
	    cmocka_unit_test(durations_are_written_as_they_are_read),
	    cmocka_unit_test(a_summary_has_a_line_for_each_delay_and_one_for_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
