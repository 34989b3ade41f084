#include "squeal/binlog/event_body.h"

#include <string.h>

#include "squeal/binlog/test/make_event.h"

static void
a_query_is_taken_apart(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev = decode(s, make_query(s, "update t set a=1 /*inv='k'*/"));

	assert_int_equal(ev.kind, BINLOG_QUERY);
	assert_true(span_is(ev.u.query.sql, "update t set a=1 /*inv='k'*/"));
	assert_true(span_is(ev.u.query.db, "db"));
	assert_int_equal(ev.u.query.thread, 77);
	assert_int_equal(ev.u.query.seconds, 3);
	assert_int_equal(ev.u.query.error, 1062);
	assert_int_equal(ev.timestamp, 1700000000);
}

static void
microseconds_are_found_behind_other_status_variables(void **state)
{
	struct stream *s = *state;
	/* flags2, sql_mode, catalog, auto_increment, charset, time zone, MariaDB's HRNOW */
	static const char vars[] = "\x00"
				   "1234"
				   "\x01"
				   "12345678"
				   "\x06\x03std"
				   "\x03"
				   "1234"
				   "\x04"
				   "123456"
				   "\x05\x03UTC"
				   "\x80"
				   "\x40\xe2\x01";
	struct binlog_event ev = decode(
	    s, make_query_typed(s, BINLOG_TYPE_QUERY, span_make(vars, sizeof(vars) - 1), span_of("x")));

	assert_int_equal(ev.u.query.micros, 123456);
	ev =
	    decode(s, make_query_typed(s, BINLOG_TYPE_QUERY, span_make("\xfe\x01\x02\x03", 4), span_of("x")));
	assert_int_equal(ev.u.query.micros, 0);
	assert_true(span_is(ev.u.query.sql, "x"));
}

static void
rows_query_hides_a_length_byte_that_may_be_wrong(void **state)
{
	struct stream *s = *state;

	assert_true(
	    span_is(decode(s, make_event(s, BINLOG_TYPE_ROWS_QUERY, "\x01insert 1", 9)).u.text, "insert 1"));
	assert_true(
	    span_is(decode(s, make_event(s, BINLOG_TYPE_ANNOTATE_ROWS, "insert 1", 8)).u.text, "insert 1"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, stream_setup, stream_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_query_is_taken_apart),
	    T(microseconds_are_found_behind_other_status_variables),
	    T(rows_query_hides_a_length_byte_that_may_be_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
