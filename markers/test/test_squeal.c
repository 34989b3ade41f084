#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "markers/squeal.h"

static const struct squeal_bytes two_keys[] = {SQUEAL_BYTES("user:42"), SQUEAL_BYTES("50%,off")};
static const struct squeal_keys two = {.keys = two_keys, .nkeys = 2};

static void
embed_returns_a_c_string_of_its_own(void **state)
{
	char *sql = NULL;
	size_t len = 0;

	assert_int_equal(squeal_embed("UPDATE t SET a=1;", 17, &two, NULL, &sql, &len), SQUEAL_OK);
	assert_string_equal(sql, "UPDATE t SET a=1 /*inv='user%3A42%2C50%2525%252Coff'*/;");
	assert_int_equal(len, strlen(sql));
	squeal_free(sql);
	squeal_free(NULL);
}

static void
options_choose_tag_and_position(void **state)
{
	struct squeal_options options = {.tag = "purge", .leading = 1};
	char *sql = NULL;
	size_t len = 0;

	assert_int_equal(squeal_embed("SELECT 1", 8, &two, &options, &sql, &len), SQUEAL_OK);
	assert_string_equal(sql, "/*purge='user%3A42%2C50%2525%252Coff'*/ SELECT 1");
	squeal_free(sql);
	options.tag = "no tag";
	assert_int_equal(squeal_embed("SELECT 1", 8, &two, &options, &sql, &len), SQUEAL_E_TAG);
	assert_null(sql);
	assert_int_equal(len, 0);
}

static void
a_bad_key_is_refused_with_a_reason(void **state)
{
	static const struct squeal_bytes bad[] = {SQUEAL_BYTES("a\r\nflush_all")};
	struct squeal_keys keys = {.keys = bad, .nkeys = 1};
	char *sql = (char *)"untouched";
	size_t len = 1;
	int err = squeal_embed("SELECT 1", 8, &keys, NULL, &sql, &len);

	assert_int_equal(err, SQUEAL_E_KEY_CONTROL);
	assert_non_null(strstr(squeal_strerror(err), "control character"));
	assert_null(sql);
	assert_int_equal(len, 0);
	assert_int_equal(squeal_check_key("user:42", 7), SQUEAL_OK);
	assert_int_equal(squeal_check_key("", 0), SQUEAL_E_KEY_EMPTY);
	assert_int_equal(squeal_check_key(NULL, 3), SQUEAL_E_ARGUMENT);
}

static void
missing_arguments_are_told_and_not_followed(void **state)
{
	struct squeal_found *found;
	char *sql;
	size_t len;

	assert_int_equal(squeal_embed(NULL, 0, &two, NULL, &sql, &len), SQUEAL_E_ARGUMENT);
	assert_int_equal(squeal_embed("S", 1, NULL, NULL, &sql, &len), SQUEAL_E_ARGUMENT);
	assert_int_equal(squeal_embed("S", 1, &two, NULL, NULL, &len), SQUEAL_E_ARGUMENT);
	assert_int_equal(squeal_embed("S", 1, &two, NULL, &sql, NULL), SQUEAL_E_ARGUMENT);
	assert_int_equal(squeal_extract(NULL, 1, NULL, &found), SQUEAL_E_ARGUMENT);
	assert_int_equal(squeal_extract("S", 1, NULL, NULL), SQUEAL_E_ARGUMENT);
}

static void
every_error_has_a_sentence(void **state)
{
	for (int err = SQUEAL_E_ARGUMENT; err <= SQUEAL_OK; err++) {
		assert_true(strlen(squeal_strerror(err)) > 1);
		assert_null(strstr(squeal_strerror(err), "unknown error"));
	}
	assert_non_null(strstr(squeal_strerror(-1000), "unknown error"));
	assert_non_null(strstr(squeal_strerror(1), "unknown error"));
}

static void
extract_reads_what_embed_wrote(void **state)
{
	static const struct squeal_bytes markers[] = {SQUEAL_BYTES("r:1")};
	struct squeal_keys all = two;
	struct squeal_found *found = NULL;
	char *sql = NULL;
	size_t len = 0;

	all.markers = markers;
	all.nmarkers = 1;
	all.pool = (struct squeal_bytes)SQUEAL_BYTES("eu");
	all.holdoff_ms = 2000;
	assert_int_equal(squeal_embed("SELECT 1", 8, &all, NULL, &sql, &len), SQUEAL_OK);
	assert_int_equal(squeal_extract(sql, len, NULL, &found), SQUEAL_OK);
	squeal_free(sql);
	assert_int_equal(found->nkeys, 2);
	assert_string_equal(found->keys[0].p, "user:42");
	assert_string_equal(found->keys[1].p, "50%,off");
	assert_int_equal(found->keys[1].len, 7);
	assert_int_equal(found->nmarkers, 1);
	assert_string_equal(found->markers[0].p, "r:1");
	assert_string_equal(found->pool.p, "eu");
	assert_int_equal(found->holdoff_ms, 2000);
	assert_int_equal(found->nproblems, 0);
	squeal_found_free(found);
	squeal_found_free(NULL);
}

static void
extract_tells_the_problems_and_keeps_the_good_keys(void **state)
{
	static const char sql[] = "SELECT 1 /*inv='a,b c,,d',inv_h='soon'*/";
	struct squeal_found *found = NULL;

	assert_int_equal(squeal_extract(sql, sizeof(sql) - 1, NULL, &found), SQUEAL_OK);
	assert_int_equal(found->nkeys, 2);
	assert_int_equal(found->nproblems, 3);
	assert_non_null(strstr(found->problems[0], "hold-off"));
	squeal_found_free(found);
}

static void
extract_looks_into_the_statement_only_when_asked(void **state)
{
	static const char sql[] = "SELECT /*inv='a'*/ 1";
	struct squeal_options options = {.anywhere = 1};
	struct squeal_found *found = NULL;

	assert_int_equal(squeal_extract(sql, sizeof(sql) - 1, NULL, &found), SQUEAL_OK);
	assert_int_equal(found->nkeys, 0);
	squeal_found_free(found);
	assert_int_equal(squeal_extract(sql, sizeof(sql) - 1, &options, &found), SQUEAL_OK);
	assert_int_equal(found->nkeys, 1);
	squeal_found_free(found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(embed_returns_a_c_string_of_its_own),
	    cmocka_unit_test(options_choose_tag_and_position),
	    cmocka_unit_test(a_bad_key_is_refused_with_a_reason),
	    cmocka_unit_test(missing_arguments_are_told_and_not_followed),
	    cmocka_unit_test(every_error_has_a_sentence),
	    cmocka_unit_test(extract_reads_what_embed_wrote),
	    cmocka_unit_test(extract_tells_the_problems_and_keeps_the_good_keys),
	    cmocka_unit_test(extract_looks_into_the_statement_only_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
