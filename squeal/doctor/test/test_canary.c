#include "squeal/doctor/canary.h"

#include "lib/core/test/test.h"

static void
the_canarys_statements_end_where_clients_read_to(void **state)
{
	struct buf out = BUF_INIT;

	assert_true(canary_statement(NULL, "77", "/*c*/", &out));
	assert_non_null(strstr(buf_str(&out),
			       "INSERT INTO squeal_canary_77 VALUES (1, 'squeal canary row 77') /*c*/;\n"));
	buf_clear(&out);
	assert_true(canary_statement("UPDATE t SET n={token} {comment}", "77", "/*c*/", &out));
	assert_string_equal(buf_str(&out), "UPDATE t SET n=77 /*c*/;\n");
	buf_clear(&out);
	assert_true(canary_statement("/*a*/ {comment} UPDATE t SET n=1;  ", "77", "/*c*/", &out));
	assert_string_equal(buf_str(&out), "/*a*/ /*c*/ UPDATE t SET n=1;  \n");
	buf_clear(&out);
	assert_false(canary_statement("UPDATE t SET n=1", "77", "/*c*/", &out));
	buf_fini(&out);
}

static void
a_statement_without_its_comment_is_known_by_the_longer_side(void **state)
{
	assert_true(
	    span_is(canary_mark("SELECT 1; UPDATE t SET n=1 {comment}; SELECT 2"), "UPDATE t SET n=1"));
	assert_true(span_is(canary_mark("BEGIN; {comment} UPDATE t SET n=1; COMMIT"), "UPDATE t SET n=1"));
	assert_true(span_is(canary_mark("{comment}"), ""));
	assert_true(span_is(canary_mark("UPDATE"), ""));
}

static void
the_answer_is_found_in_whatever_a_client_prints_around_it(void **state)
{
	struct canary_path path;

	assert_true(canary_path_parse(SPAN_LIT("CONCAT('squeal-path ', @@server_id, ' ', @@port)\n"
					       "squeal-path 7 3306 db1 ON gone end\n"),
				      &path));
	assert_string_equal(path.server, "server_id 7, port 3306, host db1");
	assert_true(path.logged);
	assert_false(path.kept);
	assert_true(canary_path_parse(SPAN_LIT("| squeal-path 7 3306 db1 OFF kept end |"), &path));
	assert_false(path.logged);
	assert_true(path.kept);
	assert_true(canary_path_parse(SPAN_LIT("squeal-path 7 3306 db1 1 kept end"), &path));
	assert_true(path.logged);
}

static void
what_is_no_answer_is_not_taken_for_one(void **state)
{
	static const char *const texts[] = {"", "squeal-path ", "squeal-path 7 3306 db1 1 kept",
					    "squeal-path 7 end", "CONCAT('squeal-path ', 1)"};
	struct canary_path path;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(canary_path_parse(span_of(texts[i]), &path));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_canarys_statements_end_where_clients_read_to),
	    cmocka_unit_test(a_statement_without_its_comment_is_known_by_the_longer_side),
	    cmocka_unit_test(the_answer_is_found_in_whatever_a_client_prints_around_it),
	    cmocka_unit_test(what_is_no_answer_is_not_taken_for_one),
	};

	return cmocka_run_group_tests_name("canary", tests, NULL, NULL);
}
