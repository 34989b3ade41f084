#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "markers/sqllex.h"

/* The comments of `sql`, each followed by '|'. */
static void
assert_comments(const char *sql, unsigned mode, const char *want)
{
	struct sqllex lx = sqllex_of(span_of(sql), mode);
	struct span comment;
	char got[256];
	size_t n = 0;

	while (sqllex_comment(&lx, &comment)) {
		assert_true(n + comment.len + 1 < sizeof(got));
		memcpy(got + n, comment.p, comment.len);
		n += comment.len;
		got[n++] = '|';
	}
	got[n] = '\0';
	if (strcmp(got, want) != 0)
		fail_msg("%s: got %s, want %s", sql, got, want);
	assert_false(sqllex_comment(&lx, &comment));
}

static void
comments_in_code_are_found(void **state)
{
	assert_comments("", 0, "");
	assert_comments("SELECT 1", 0, "");
	assert_comments("/*a*/SELECT/*b*/1/*c*/", 0, "/*a*/|/*b*/|/*c*/|");
	assert_comments("a/**/b", 0, "/**/|");
	assert_comments("2*/*c*/3", 0, "/*c*/|");
	assert_comments("a /*/ b */ c", 0, "/*/ b */|");
	assert_comments("a /* /* b */ c */ d", 0, "/* /* b */|");
}

static void
literals_and_identifiers_hide_comments(void **state)
{
	assert_comments("'/*a*/'", 0, "");
	assert_comments("\"/*a*/\"", 0, "");
	assert_comments("`/*a*/`", 0, "");
	assert_comments("'a''/*b*/'/*c*/", 0, "/*c*/|");
	assert_comments("`a``/*b*/`/*c*/", 0, "/*c*/|");
	assert_comments("\"a'/*b*/\"/*c*/", 0, "/*c*/|");
	assert_comments("'/*a*/", 0, "");
	assert_comments("'a\\", 0, "");
}

static void
backslashes_escape_as_the_mode_says(void **state)
{
	assert_comments("'\\'/*a*/'/*b*/", 0, "/*b*/|");
	assert_comments("'\\'/*a*/", SQLLEX_NO_BACKSLASH_ESCAPES, "/*a*/|");
	assert_comments("'\\\\'/*a*/", 0, "/*a*/|");
	assert_comments("\"\\\"/*a*/\"/*b*/", 0, "/*b*/|");
	assert_comments("\"\\\"/*a*/", SQLLEX_NO_BACKSLASH_ESCAPES, "/*a*/|");
	assert_comments("\"\\\"/*a*/", SQLLEX_ANSI_QUOTES, "/*a*/|");
	assert_comments("'\\'/*a*/'/*b*/", SQLLEX_ANSI_QUOTES, "/*b*/|");
	assert_comments("`\\`/*a*/", 0, "/*a*/|");
}

static void
line_comments_hide_comments_up_to_the_newline(void **state)
{
	assert_comments("1 # /*a*/\n/*b*/", 0, "/*b*/|");
	assert_comments("1 -- /*a*/\n/*b*/", 0, "/*b*/|");
	assert_comments("1 --\t/*a*/\n/*b*/", 0, "/*b*/|");
	assert_comments("1 --\n/*b*/", 0, "/*b*/|");
	assert_comments("1--/*a*/1", 0, "/*a*/|");
	assert_comments("1 --", 0, "");
	assert_comments("1 -- it's\n/*b*/", 0, "/*b*/|");
	assert_comments("1 -- /*a\n*/", 0, "");
}

static void
the_content_of_executed_comments_is_code(void **state)
{
	assert_comments("/*!50000 a */", 0, "");
	assert_comments("/*!50000 a /*b*/ c */ /*d*/", 0, "/*b*/|/*d*/|");
	assert_comments("/*M!100000 '/*a*/' */ /*d*/", 0, "/*d*/|");
	assert_comments("/*! '*/' /*b*/ */ '/*c*/'", 0, "/*b*/|");
	assert_comments("/*!", 0, "");
	assert_comments("/*M!", 0, "");
}

static void
a_comment_never_closed_is_none(void **state)
{
	assert_comments("a /* b", 0, "");
	assert_comments("a /*", 0, "");
	assert_comments("/", 0, "");
	assert_comments("-", 0, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comments_in_code_are_found),
	    cmocka_unit_test(literals_and_identifiers_hide_comments),
	    cmocka_unit_test(backslashes_escape_as_the_mode_says),
	    cmocka_unit_test(line_comments_hide_comments_up_to_the_newline),
	    cmocka_unit_test(the_content_of_executed_comments_is_code),
	    cmocka_unit_test(a_comment_never_closed_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
