#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/core/buf.h"
#include "markers/comment.h"
#include "markers/key.h"

/* Most of the grammar is tested by test_vectors.c; here is what the vectors cannot say. */

struct seen {
	struct buf text; /* pool|holdoff|key lines */
	const char *sql;
	size_t sql_len;
	bool in_place;	     /* every key pointed into the statement */
	struct span excerpt; /* of the last issue */
	enum comment_reason reason;
	err_t answer; /* what key() and marker() return from the second call on */
	size_t calls;
};

static err_t
see(struct seen *seen, char kind, struct span key, const struct comment_group *group)
{
	buf_printf(&seen->text, "%c %.*s %u %.*s\n", kind, SPAN_FMT(group->pool), group->holdoff_ms,
		   SPAN_FMT(key));
	seen->in_place = seen->in_place && key.p >= seen->sql && key.p + key.len <= seen->sql + seen->sql_len;
	return seen->calls++ > 0 ? seen->answer : ERR_OK;
}

static err_t
see_key(void *arg, struct span key, const struct comment_group *group)
{
	return see(arg, 'k', key, group);
}

static err_t
see_marker(void *arg, struct span key, const struct comment_group *group)
{
	return see(arg, 'm', key, group);
}

static void
see_issue(void *arg, const struct comment_issue *issue)
{
	struct seen *seen = arg;

	seen->reason = issue->reason;
	seen->excerpt = issue->excerpt;
}

static const struct comment_ops ops = {see_key, see_marker, see_issue};

static err_t
parse(struct span sql, struct seen *seen, struct comment_counts *counts)
{
	struct comment_parser parser;

	assert_int_equal(comment_parser_init(&parser, SPAN_LIT("inv"), false, NULL), ERR_OK);
	seen->text = BUF_INIT;
	seen->sql = sql.p;
	seen->sql_len = sql.len;
	seen->in_place = true;
	return comment_parse(&parser, sql, SQLLEX_DEFAULT, &ops, seen, counts);
}

static void
pool_and_holdoff_go_with_the_keys_of_their_own_comment(void **state)
{
	struct seen seen = {0};

	assert_int_equal(
	    parse(SPAN_LIT("/*inv='a',inv_p='eu'*/ UPDATE t SET a=1 /*inv='b',inv_h='5',inv_m='m'*/"), &seen,
		  NULL),
	    ERR_OK);
	assert_string_equal(buf_str(&seen.text), "k eu 0 a\nk  5 b\nm  5 m\n");
	buf_fini(&seen.text);
}

static void
keys_that_need_no_decoding_point_into_the_statement(void **state)
{
	struct seen seen = {0};

	assert_int_equal(parse(SPAN_LIT("UPDATE t SET a=1 /*inv='user:42,feed:42'*/"), &seen, NULL), ERR_OK);
	assert_int_equal(seen.calls, 2);
	assert_true(seen.in_place);
	buf_fini(&seen.text);
}

static void
an_error_of_a_callback_ends_the_parse_and_comes_back(void **state)
{
	struct seen seen = {.answer = ERR_FULL};
	struct comment_counts counts;

	assert_int_equal(parse(SPAN_LIT("/*inv='a,b,c'*/ UPDATE t SET a=1 /*inv='d'*/"), &seen, &counts),
			 ERR_FULL);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(counts.keys, 1);
	buf_fini(&seen.text);
}

static void
an_issue_shows_the_first_offending_bytes(void **state)
{
	char sql[400];
	struct seen seen = {0};
	struct comment_counts counts;
	int n = snprintf(sql, sizeof(sql), "UPDATE t SET a=1 /*inv='good,%0300d,b c'*/", 7);

	assert_int_equal(parse(span_make(sql, (size_t)n), &seen, &counts), ERR_OK);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(counts.issues, 2);
	assert_int_equal(seen.reason, COMMENT_KEY_CONTROL);
	assert_true(span_is(seen.excerpt, "b c"));
	buf_fini(&seen.text);
	n = snprintf(sql, sizeof(sql), "UPDATE t SET a=1 /*inv='%0300d'*/", 7);
	assert_int_equal(parse(span_make(sql, (size_t)n), &seen, &counts), ERR_OK);
	assert_int_equal(seen.reason, COMMENT_KEY_LONG);
	assert_int_equal(seen.excerpt.len, COMMENT_SHOWN);
	buf_fini(&seen.text);
}

static void
every_reason_has_a_label_a_text_and_an_error(void **state)
{
	for (int i = 0; i < COMMENT_NREASONS; i++) {
		assert_true(strlen(comment_reason_label((enum comment_reason)i)) > 0);
		assert_true(strlen(comment_reason_text((enum comment_reason)i)) > 0);
		assert_int_equal(err_action(comment_reason_err((enum comment_reason)i)), ERR_DO_SKIP);
	}
	assert_true(comment_reason_lost(COMMENT_MALFORMED));
	assert_false(comment_reason_lost(COMMENT_MANY));
	assert_int_equal(comment_reason_err(COMMENT_TOO_LONG), ERR_TOO_LONG);
}

static void
a_tag_that_is_none_is_a_configuration_error(void **state)
{
	struct comment_parser parser;
	struct err_detail why = {0};

	assert_int_equal(comment_parser_init(&parser, SPAN_LIT("in v"), false, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "choose another"));
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
time_of(struct span sql, int rounds)
{
	double start = seconds();

	for (int i = 0; i < rounds; i++) {
		struct seen seen = {0};

		assert_int_equal(parse(sql, &seen, NULL), ERR_OK);
		assert_int_equal(seen.calls, 1);
		buf_fini(&seen.text);
	}
	return seconds() - start;
}

/* 16 MB of statement against 1 kB: looking at all of it even once would be a hundred times slower. */
static void
the_size_of_the_statement_does_not_matter(void **state)
{
	static const char tail[] = "') /*inv='user:42'*/";
	size_t big = 16 << 20;
	char *sql = malloc(big);
	double small_s, big_s;

	assert_non_null(sql);
	memset(sql, 'x', big);
	memcpy(sql, "INSERT INTO t VALUES ('", 23);
	memcpy(sql + 1000, tail, sizeof(tail) - 1);
	small_s = time_of(span_make(sql, 1000 + sizeof(tail) - 1), 2000);
	memset(sql + 1000, 'x', sizeof(tail));
	memcpy(sql + big - sizeof(tail) + 1, tail, sizeof(tail) - 1);
	big_s = time_of(span_make(sql, big), 2000);
	assert_true(big_s < 20 * small_s + 0.01);
	free(sql);
}

/* Poison that is meant to make a parser slow: each of these takes milliseconds, not minutes. */
static void
hostile_comments_take_linear_time(void **state)
{
	static const char *const poison[] = {
	    "'", "''",	"',",	      "inv='",	     "inv='a',",       "x=' ",	   ",",
	    "%", "%%2", "inv_p='a',", "\\'",	     "inv:",	       "inv=",	   "*",
	    "/", "*/",	"/*",	      "/*inv='a'*/", "/*inv='a' b*/;", "/*!inv*/", "x='inv='"};
	size_t size = 1 << 20;
	char *sql = malloc(size);

	assert_non_null(sql);
	for (size_t i = 0; i < sizeof(poison) / sizeof(poison[0]); i++) {
		size_t n = strlen(poison[i]);
		struct comment_parser parser;
		double start = seconds();

		/* As much as one comment may hold, then as much as a statement may. */
		for (size_t len = 65000; len <= size; len += size - 65000) {
			for (int anywhere = 0; anywhere < 2; anywhere++) {
				struct seen seen = {.sql = sql};

				for (size_t at = 2; at < len - 2; at++)
					sql[at] = poison[i][at % n];
				memcpy(sql, "/*", 2);
				memcpy(sql + len - 2, "*/", 2);
				assert_int_equal(
				    comment_parser_init(&parser, SPAN_LIT("inv"), anywhere, NULL), ERR_OK);
				assert_int_equal(
				    comment_parse(&parser, span_make(sql, len), 0, &ops, &seen, NULL),
				    ERR_OK);
				buf_fini(&seen.text);
				/* The same at the end of a statement. */
				memcpy(sql, "x ", 2);
				assert_int_equal(
				    comment_parse(&parser, span_make(sql, len), 0, &ops, &seen, NULL),
				    ERR_OK);
				buf_fini(&seen.text);
			}
		}
		if (seconds() - start > 10)
			fail_msg("%s repeated takes %.1f s", poison[i], seconds() - start);
	}
	free(sql);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pool_and_holdoff_go_with_the_keys_of_their_own_comment),
	    cmocka_unit_test(keys_that_need_no_decoding_point_into_the_statement),
	    cmocka_unit_test(an_error_of_a_callback_ends_the_parse_and_comes_back),
	    cmocka_unit_test(an_issue_shows_the_first_offending_bytes),
	    cmocka_unit_test(every_reason_has_a_label_a_text_and_an_error),
	    cmocka_unit_test(a_tag_that_is_none_is_a_configuration_error),
	    cmocka_unit_test(the_size_of_the_statement_does_not_matter),
	    cmocka_unit_test(hostile_comments_take_linear_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
