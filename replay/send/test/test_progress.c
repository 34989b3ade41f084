#include "replay/send/progress.h"

#include "lib/core/test/test.h"

static const struct progress half = {
    .verb = "replaying",
    .unit = "keys",
    .done = 430000,
    .total = 1000000,
    .keys = 430000,
    .per_s = 9800.4,
    .guess = {.known = true, .ms = 58000, .soonest_ms = 52000, .latest_ms = 66000, .rate = 9800},
    .throttled = "",
    .waiting = "",
    .job = "j",
};

static void
check(const struct progress *p, enum progress_form form, unsigned width, const char *wanted)
{
	struct buf b = BUF_INIT;

	progress_put(p, form, width, &b);
	assert_string_equal(buf_str(&b), wanted);
	buf_fini(&b);
}

static void
a_pipe_gets_a_plain_line_with_the_reason_of_the_throttle(void **state)
{
	struct progress p = half;

	(void)state;
	check(&p, PROGRESS_LINE, 0,
	      "replaying 43 %, 430,000 of 1,000,000 keys, 9,800 deletes/s, 58 s left (52 s to 1 min 6 s)");
	p.throttled = "10.0.0.1:11211 acks 48 ms";
	p.waiting = "10.0.0.2:11211";
	p.guess.known = false;
	check(&p, PROGRESS_LINE, 0,
	      "replaying 43 %, 430,000 of 1,000,000 keys, 9,800 deletes/s; throttled: 10.0.0.1:11211 acks 48 "
	      "ms; "
	      "waiting: 10.0.0.2:11211");
}

static void
a_terminal_gets_a_bar_that_fits(void **state)
{
	struct progress p = half;

	(void)state;
	check(&half, PROGRESS_BAR, 200,
	      "[########>           ]  43 %  430,000 of 1,000,000 keys, 9,800 deletes/s, 58 s left (52 s to "
	      "1 min 6 s)");
	check(&half, PROGRESS_BAR, 40, "[########>           ]  43 %  430,000...");
	p.throttled = "10.0.0.1:11211 acks 48 ms";
	check(&p, PROGRESS_BAR, 79,
	      "[####>     ]  43 %  9,800/s, 58 s left; throttled: 10.0.0.1:11211 acks 48 ms");
}

static void
nothing_is_promised_where_the_total_or_the_end_is_not_known(void **state)
{
	struct progress p = half;

	(void)state;
	p.guess.latest_ms = 0;
	check(&p, PROGRESS_LINE, 0,
	      "replaying 43 %, 430,000 of 1,000,000 keys, 9,800 deletes/s, 58 s left (unsteady)");
	p = (struct progress){
	    .verb = "planning", .unit = "", .keys = 5, .per_s = -1, .throttled = "", .waiting = ""};
	check(&p, PROGRESS_LINE, 0, "planning 5 keys");
}

static void
json_has_everything_in_one_object(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	progress_put(&half, PROGRESS_JSON, 0, &b);
	assert_non_null(strstr(buf_str(&b), "\"event\":\"progress\""));
	assert_non_null(strstr(buf_str(&b), "\"left_latest_ms\":66000"));
	assert_int_equal(b.p[b.len - 1], '}');
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_pipe_gets_a_plain_line_with_the_reason_of_the_throttle),
	    cmocka_unit_test(a_terminal_gets_a_bar_that_fits),
	    cmocka_unit_test(nothing_is_promised_where_the_total_or_the_end_is_not_known),
	    cmocka_unit_test(json_has_everything_in_one_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
