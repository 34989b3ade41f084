#include "squeal/keys/range.h"

#include "lib/core/test/test.h"

static struct range *
range_of(enum range_bound bound, const char *text)
{
	struct err_detail why = {0};
	struct range *r = range_create(NULL);

	if (range_set(r, bound, text, &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	return r;
}

static void
also(struct range *r, enum range_bound bound, const char *text)
{
	struct err_detail why = {0};

	assert_int_equal(range_set(r, bound, text, &why), ERR_OK);
}

/* A transaction of 100 bytes that begins at `at`. */
static bool
wants(struct range *r, const char *id, uint64_t at, uint64_t us)
{
	struct err_detail why = {0};
	struct gtid gtid = {0};
	bool skip;

	if (id != NULL)
		assert_int_equal(gtid_parse(span_of(id), &gtid, &why), ERR_OK);
	assert_int_equal(range_begin(r, &gtid, at, &skip, &why), ERR_OK);
	return range_commit(r, us, at + 100);
}

static void
assert_refused(enum range_bound bound, const char *text, const char *says)
{
	struct range *r = range_create(NULL);
	struct err_detail why = {0};

	assert_int_equal(range_set(r, bound, text, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, says));
	assert_true(range_is_all(r));
	range_destroy(&r);
}

static err_t
enter(struct range *r, const char *file)
{
	struct err_detail why = {0};
	size_t first, end;
	err_t err = range_files(r, &file, 1, &first, &end, &why);

	range_enter_file(r, file);
	return err;
}

static void
without_bounds_everything_is_wanted(void **state)
{
	struct range *r = range_create(NULL);
	struct err_detail why = {0};

	assert_true(range_is_all(r));
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_true(wants(r, NULL, 4, 0));
	assert_true(wants(r, "0-1-1", 104, 0));
	assert_int_equal(range_finish(r, &why), ERR_OK);
	assert_int_equal(range_taken(r), 2);
	range_destroy(&r);
}

static void
places_take_whole_transactions(void **state)
{
	struct range *r = range_of(RANGE_START, "dir/f:200");

	also(r, RANGE_STOP, "f:400");
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_false(wants(r, NULL, 100, 0));
	assert_false(wants(r, NULL, 199, 0));
	assert_true(wants(r, NULL, 200, 0));
	assert_true(wants(r, NULL, 300, 0));
	assert_false(range_is_over(r));
	assert_false(wants(r, NULL, 301, 0));
	assert_true(range_is_over(r));
	assert_int_equal(range_taken(r), 2);
	assert_int_equal(range_left_out(r), 3);
	range_destroy(&r);
}

static void
files_outside_of_the_places_are_not_read(void **state)
{
	static const char *const files[] = {"a", "b", "c", "d"};
	struct range *r = range_of(RANGE_START, "b:10");
	struct err_detail why = {0};
	size_t first, end;

	also(r, RANGE_STOP, "c");
	assert_int_equal(range_files(r, files, 4, &first, &end, &why), ERR_OK);
	assert_int_equal(first, 1);
	assert_int_equal(end, 3);
	assert_int_equal(range_files(r, files + 2, 2, &first, &end, &why), ERR_NOT_FOUND);
	range_destroy(&r);
	r = range_of(RANGE_START, "c");
	also(r, RANGE_STOP, "b");
	err_clear(&why);
	assert_int_equal(range_files(r, files, 4, &first, &end, &why), ERR_USAGE);
	range_destroy(&r);
}

static void
a_start_inside_of_an_event_or_behind_the_file_is_an_error(void **state)
{
	struct range *r = range_of(RANGE_START, "f:200");
	struct binlog_event ev = {.kind = BINLOG_QUERY, .end = 201};
	struct err_detail why = {0};

	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_int_equal(range_see(r, &ev, 200, &why), ERR_OK);
	assert_int_equal(range_see(r, &ev, 199, &why), ERR_NOT_FOUND);
	err_clear(&why);
	assert_int_equal(range_leave_file(r, 200, &why), ERR_OK);
	assert_int_equal(range_leave_file(r, 199, &why), ERR_NOT_FOUND);
	range_destroy(&r);
}

static void
a_mariadb_position_is_what_a_replica_has(void **state)
{
	struct range *r = range_of(RANGE_START_GTID, "0-1-10,1-1-5");
	struct err_detail why = {0};

	also(r, RANGE_STOP_GTID, "gtid:0-1-12,2-1-1");
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_false(wants(r, "0-1-10", 4, 0));
	assert_true(wants(r, "0-2-11", 4, 0)); /* after a failover */
	assert_false(wants(r, "1-1-6", 4, 0)); /* a domain that the stop does not have */
	assert_true(wants(r, "2-1-1", 4, 0));  /* one that the start does not have */
	assert_false(wants(r, "2-1-2", 4, 0));
	assert_false(range_is_over(r));
	assert_int_equal(range_finish(r, &why), ERR_NOT_FOUND);
	err_clear(&why);
	assert_true(wants(r, "0-1-12", 4, 0));
	assert_true(range_is_over(r));
	assert_int_equal(range_finish(r, &why), ERR_OK);
	range_destroy(&r);
}

static void
a_start_before_the_first_file_is_an_error(void **state)
{
	static const char list[] = "\0\0\0\0\x01\0\0\0\x32\0\0\0\0\0\0\0"
				   "\0\0\0\0\x02\0\0\0\x30\0\0\0\0\0\0\0";
	struct binlog_event ev = {.kind = BINLOG_GTID_LIST, .end = 300};
	struct range *r = range_of(RANGE_START_GTID, "0-1-50");
	struct err_detail why = {0};

	ev.u.gtid_list.n = 2;
	ev.u.gtid_list.ids = span_make(list, 32);
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_int_equal(range_see(r, &ev, 256, &why), ERR_OK);
	range_destroy(&r);
	r = range_of(RANGE_START_GTID, "0-1-49");
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_int_equal(range_see(r, &ev, 256, &why), ERR_NOT_FOUND);
	assert_non_null(strstr(why.text, "0-1-50"));
	range_destroy(&r);
}

#define UUID "3e11fa47-71ca-11e1-9e33-c80aa9429562"

static void
one_mysql_id_is_a_place_in_the_order_of_the_files(void **state)
{
	struct range *r = range_of(RANGE_START_GTID, UUID ":5");
	struct err_detail why = {0};

	also(r, RANGE_STOP_GTID, UUID ":7");
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_false(wants(r, UUID ":4", 4, 0));
	assert_false(wants(r, UUID ":6", 4, 0));
	assert_false(wants(r, UUID ":5", 4, 0));
	assert_true(wants(r, UUID ":8", 4, 0));
	assert_false(range_is_over(r));
	assert_true(wants(r, UUID ":7", 4, 0));
	assert_true(range_is_over(r));
	assert_false(wants(r, UUID ":9", 4, 0));
	assert_int_equal(range_finish(r, &why), ERR_OK);
	range_destroy(&r);
}

static void
mysql_sets_are_positions_and_filters(void **state)
{
	struct range *r = range_of(RANGE_START_GTID, UUID ":1-5");
	struct err_detail why = {0};

	also(r, RANGE_GTID, UUID ":1-20");
	also(r, RANGE_EXCLUDE_GTID, UUID ":8");
	assert_int_equal(enter(r, "f"), ERR_OK);
	for (uint64_t n = 1; n <= 5; n++) {
		struct buf id = BUF_INIT;

		buf_printf(&id, UUID ":%llu", (unsigned long long)n);
		assert_false(wants(r, buf_str(&id), 4, 0));
		buf_fini(&id);
	}
	assert_true(wants(r, UUID ":6", 4, 0));
	assert_false(wants(r, UUID ":8", 4, 0));
	assert_false(wants(r, UUID ":tag:6", 4, 0));
	assert_false(wants(r, UUID ":21", 4, 0));
	assert_int_equal(range_finish(r, &why), ERR_OK);
	range_destroy(&r);
}

static void
mysql_files_that_begin_behind_the_start_are_an_error(void **state)
{
	struct binlog_event ev = {.kind = BINLOG_GTID_SET, .end = 300};
	struct gtid_set before = {0};
	struct err_detail why = {0};
	struct buf bytes = BUF_INIT;
	static const struct {
		enum range_bound bound;
		const char *text;
		err_t err;
	} cases[] = {
	    {RANGE_START_GTID, UUID ":4", ERR_NOT_FOUND},   {RANGE_START_GTID, UUID ":6", ERR_OK},
	    {RANGE_START_GTID, UUID ":1-4", ERR_NOT_FOUND}, {RANGE_START_GTID, UUID ":1-5", ERR_OK},
	    {RANGE_STOP_GTID, UUID ":4", ERR_NOT_FOUND},    {RANGE_STOP_GTID, UUID ":9", ERR_OK},
	};

	assert_int_equal(gtid_set_parse(SPAN_LIT(UUID ":1-5"), &before, &why), ERR_OK);
	gtid_set_encode(&before, &bytes);
	ev.u.gtid_set = buf_span(&bytes);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range *r = range_of(cases[i].bound, cases[i].text);

		err_clear(&why);
		assert_int_equal(enter(r, "f"), ERR_OK);
		assert_int_equal(range_see(r, &ev, 200, &why), cases[i].err);
		range_destroy(&r);
	}
	gtid_set_fini(&before);
	buf_fini(&bytes);
}

static void
ids_of_the_other_server_or_none_at_all_are_an_error(void **state)
{
	struct range *r = range_of(RANGE_START_GTID, "0-1-5");
	struct gtid id = {.kind = GTID_MYSQL, .seq = 1};
	struct err_detail why = {0};
	bool skip;

	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_int_equal(range_begin(r, &id, 4, &skip, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "MySQL's"));
	err_clear(&why);
	id = (struct gtid){0};
	assert_int_equal(range_begin(r, &id, 4, &skip, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "no GTID"));
	range_destroy(&r);
	/* A list is not a place: what has no id is not on it. */
	r = range_of(RANGE_GTID, "0-1-5");
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_false(wants(r, NULL, 4, 0));
	assert_true(wants(r, "0-1-5", 4, 0));
	range_destroy(&r);
}

static void
times_hold_for_each_transaction_alone(void **state)
{
	struct range *r = range_of(RANGE_START_TIME, "1795210680000000");

	also(r, RANGE_STOP_TIME, "1795210690000000");
	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_false(wants(r, NULL, 4, UINT64_C(1795210679999999)));
	assert_true(wants(r, NULL, 4, UINT64_C(1795210680000000)));
	assert_false(wants(r, NULL, 4, UINT64_C(1795210690000000)));
	assert_false(range_is_over(r));
	assert_true(wants(r, NULL, 4, UINT64_C(1795210689999999)));
	range_destroy(&r);
}

static void
a_rolled_back_transaction_counts_as_read_only(void **state)
{
	struct range *r = range_of(RANGE_STOP_GTID, "0-1-5");
	struct gtid id = {.kind = GTID_MARIADB, .server = 1, .seq = 5};
	struct err_detail why = {0};
	bool skip;

	assert_int_equal(enter(r, "f"), ERR_OK);
	assert_int_equal(range_begin(r, &id, 4, &skip, &why), ERR_OK);
	range_rollback(r);
	assert_true(range_is_over(r));
	assert_int_equal(range_finish(r, &why), ERR_OK);
	assert_int_equal(range_taken(r), 0);
	range_destroy(&r);
}

static void
wrong_bounds_say_what_to_write(void **state)
{
	struct range *r = range_of(RANGE_START, "f:4");
	struct err_detail why = {0};

	assert_int_equal(range_set(r, RANGE_START, "f:4", &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "--start was given twice"));
	range_destroy(&r);
	assert_refused(RANGE_START, "4711", "mariadb-bin.000007:4711");
	assert_refused(RANGE_START, "f:", "write FILE:POS");
	assert_refused(RANGE_STOP, "f:1x", "write FILE:POS");
	assert_refused(RANGE_STOP, ":1", "names no file");
	assert_refused(RANGE_START_GTID, "", "--start-gtid: it has no id");
	assert_refused(RANGE_START_GTID, "0-1-1,0-1-2", "one id per domain");
	assert_refused(RANGE_GTID, "0-1", "--gtid");
	assert_refused(RANGE_EXCLUDE_GTID, UUID ":0", "--exclude-gtid");
	assert_refused(RANGE_STOP_TIME, "soon", "--stop-datetime");
}

static void
a_stream_begins_behind_what_came_before_it(void **state)
{
	struct err_detail why = {0};
	struct position at = {0};
	struct range *r;

	(void)state;
	/* The start is met although nothing up to it comes by. */
	assert_int_equal(position_parse(SPAN_LIT("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"), &at, &why),
			 ERR_OK);
	r = range_of(RANGE_START_GTID, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5");
	range_arrive(r, &at);
	assert_true(wants(r, "3e11fa47-71ca-11e1-9e33-c80aa9429562:6", 4, 1));
	assert_int_equal(range_finish(r, &why), ERR_OK);
	range_destroy(&r);
	assert_int_equal(position_parse(SPAN_LIT("0-1-100,7-1-3"), &at, &why), ERR_OK);
	r = range_of(RANGE_STOP_GTID, "0-1-101,7-1-3");
	range_arrive(r, &at);
	assert_false(range_is_over(r));
	assert_true(wants(r, "0-1-101", 4, 1));
	assert_true(range_is_over(r));
	range_destroy(&r);
	position_fini(&at);
}

static void
a_range_says_what_it_asks_for(void **state)
{
	struct range *r = range_of(RANGE_START_GTID, "0-1-100");

	(void)state;
	assert_true(range_has_ids(r) && !range_has_times(r) && !range_has_places(r) &&
		    !range_has_start_file(r));
	assert_string_equal(range_text(r, RANGE_START_GTID), "0-1-100");
	assert_null(range_text(r, RANGE_STOP_GTID));
	also(r, RANGE_START, "b.000007:100");
	also(r, RANGE_STOP, "b.000009");
	also(r, RANGE_STOP_TIME, "2026-01-01");
	assert_true(range_has_times(r) && range_has_places(r) && range_has_start_file(r));
	assert_true(range_starts_in(r, "b.000007") && !range_starts_in(r, "b.000009"));
	assert_true(range_stops_in(r, "b.000009") && !range_stops_in(r, "b.000007"));
	range_destroy(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_stream_begins_behind_what_came_before_it),
	    cmocka_unit_test(a_range_says_what_it_asks_for),
	    cmocka_unit_test(without_bounds_everything_is_wanted),
	    cmocka_unit_test(places_take_whole_transactions),
	    cmocka_unit_test(files_outside_of_the_places_are_not_read),
	    cmocka_unit_test(a_start_inside_of_an_event_or_behind_the_file_is_an_error),
	    cmocka_unit_test(a_mariadb_position_is_what_a_replica_has),
	    cmocka_unit_test(a_start_before_the_first_file_is_an_error),
	    cmocka_unit_test(one_mysql_id_is_a_place_in_the_order_of_the_files),
	    cmocka_unit_test(mysql_sets_are_positions_and_filters),
	    cmocka_unit_test(mysql_files_that_begin_behind_the_start_are_an_error),
	    cmocka_unit_test(ids_of_the_other_server_or_none_at_all_are_an_error),
	    cmocka_unit_test(times_hold_for_each_transaction_alone),
	    cmocka_unit_test(a_rolled_back_transaction_counts_as_read_only),
	    cmocka_unit_test(wrong_bounds_say_what_to_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
