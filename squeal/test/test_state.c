#include "squeal/state.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/test/test.h"

struct fixture {
	struct clock_fake clock;
	struct state_metrics metrics;
	struct state *s;
	struct buf reasons;
};

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return 1;
	clock_fake_init(&f->clock);
	f->s = state_create("main", &f->clock.clock, &f->metrics);
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	state_destroy(&f->s);
	buf_fini(&f->reasons);
	free(f);
	return 0;
}

static void
keep(void *arg, const char *sentence)
{
	buf_printf(arg, "%s;", sentence);
}

static const char *
reasons(struct fixture *f)
{
	buf_clear(&f->reasons);
	state_reasons(f->s, 10000, keep, &f->reasons);
	return buf_str(&f->reasons);
}

static void
readiness_needs_a_stream_and_a_stored_checkpoint(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(reasons(f),
			    "not connected to the source: just started;no checkpoint was stored yet;");
	state_streaming(f->s, SPAN_LIT("10.11"), SPAN_LIT("gtid:0-1-1"));
	assert_string_equal(reasons(f), "no checkpoint was stored yet;");
	state_acknowledged(f->s, SPAN_LIT("gtid:0-1-2"), 1, 3);
	assert_string_equal(reasons(f), "");
	assert_int_equal(f->metrics.source_up, 1);
}

/* "Alive but not consuming" is what people complain about most. */
static void
a_silent_source_makes_it_unready(void **state)
{
	struct fixture *f = *state;

	state_streaming(f->s, SPAN_LIT("10.11"), SPAN_LIT(""));
	state_acknowledged(f->s, SPAN_LIT("gtid:"), 0, 0);
	clock_fake_advance_ms(&f->clock, 12000);
	assert_string_equal(reasons(f), "nothing was heard from the source for 12 s;");
	state_heard(f->s);
	state_refresh(f->s, 0, false);
	assert_string_equal(reasons(f), "");
	clock_fake_advance_ms(&f->clock, 11000);
	state_refresh(f->s, 0, false);
	assert_string_equal(reasons(f), "nothing was heard from the source for 11 s;");
}

static void
a_gap_is_said_with_its_reason_and_counted(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	err_set(&why, ERR_GAP, "0-1-5 was purged");
	state_acknowledged(f->s, SPAN_LIT("gtid:0-1-5"), 0, 0);
	state_source(f->s, STATE_GAP, &why);
	assert_string_equal(reasons(f), "GAP: 0-1-5 was purged;");
	assert_int_equal(f->metrics.source_gap, 1);
	assert_int_equal(f->metrics.source_up, 0);
	assert_int_equal(f->metrics.source_error_other, 1);
}

static void
each_kind_of_error_has_its_counter(void **state)
{
	struct fixture *f = *state;

	state_source(f->s, STATE_CONNECTING, &(struct err_detail){.code = ERR_AUTH});
	state_source(f->s, STATE_CONNECTING, &(struct err_detail){.code = ERR_PRIVILEGE});
	state_source(f->s, STATE_CONNECTING, &(struct err_detail){.code = ERR_SOURCE_SETUP});
	state_source(f->s, STATE_CONNECTING, &(struct err_detail){.code = ERR_CONN});
	state_source(f->s, STATE_CONNECTING, &(struct err_detail){.code = ERR_TIMEOUT});
	assert_int_equal(f->metrics.source_error_auth, 1);
	assert_int_equal(f->metrics.source_error_privilege, 1);
	assert_int_equal(f->metrics.source_error_setup, 1);
	assert_int_equal(f->metrics.source_error_conn, 1);
	assert_int_equal(f->metrics.source_error_timeout, 1);
	assert_int_equal(f->metrics.source_error_other, 0);
}

static void
a_log_that_recovers_is_ready_again(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	state_streaming(f->s, SPAN_LIT("10.11"), SPAN_LIT(""));
	state_acknowledged(f->s, SPAN_LIT("gtid:0-1-1"), 1, 1);
	err_set(&why, ERR_FULL, "no room on the disk");
	state_log(f->s, STATE_LOG_BLOCKED, &why);
	assert_string_equal(reasons(f), "the log takes no records: no room on the disk;");
	assert_int_equal(f->metrics.log_up, 0);
	state_acknowledged(f->s, SPAN_LIT(""), 1, 1);
	assert_string_equal(reasons(f), "");
	assert_int_equal(f->metrics.log_up, 1);
}

static void
status_tells_source_log_and_totals(void **state)
{
	struct fixture *f = *state;
	struct buf out = BUF_INIT;
	struct json j;
	char line[200];

	state_streaming(f->s, SPAN_LIT("10.11.6-MariaDB"), SPAN_LIT("gtid:0-1-1"));
	state_read(f->s, SPAN_LIT("mariadb-bin.000002"), 4711);
	state_acknowledged(f->s, SPAN_LIT("gtid:0-1-9"), 4, 7);
	json_init(&j, &out);
	json_object(&j);
	state_json(f->s, &j);
	json_object_end(&j);
	assert_non_null(strstr(buf_str(&out), "\"state\":\"streaming\""));
	assert_non_null(strstr(buf_str(&out), "\"file\":\"mariadb-bin.000002\",\"pos\":4711"));
	assert_non_null(strstr(buf_str(&out), "\"checkpoint\":\"gtid:0-1-9\""));
	assert_non_null(strstr(buf_str(&out), "\"transactions\":4,\"keys\":7"));
	state_line(f->s, line, sizeof(line));
	assert_string_equal(line, "source streaming, log ok, 4 transactions, checkpoint gtid:0-1-9");
	buf_fini(&out);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    EACH(readiness_needs_a_stream_and_a_stored_checkpoint),
	    EACH(a_silent_source_makes_it_unready),
	    EACH(a_gap_is_said_with_its_reason_and_counted),
	    EACH(each_kind_of_error_has_its_counter),
	    EACH(a_log_that_recovers_is_ready_again),
	    EACH(status_tells_source_log_and_totals),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
