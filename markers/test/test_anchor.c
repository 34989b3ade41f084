#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "markers/anchor.h"

static void
assert_parts(const char *sql, const char *lead, const char *middle, const char *trail)
{
	struct anchor a;

	anchor_find(span_of(sql), &a);
	if (!span_is(a.lead, lead) || !span_is(a.middle, middle) || !span_is(a.trail, trail))
		fail_msg("%s: got \"%.*s\" \"%.*s\" \"%.*s\"", sql, SPAN_FMT(a.lead), SPAN_FMT(a.middle),
			 SPAN_FMT(a.trail));
}

static void
comments_at_both_ends_are_set_apart(void **state)
{
	assert_parts("SELECT 1", "", "SELECT 1", "");
	assert_parts("/*a*/ SELECT 1", "/*a*/", " SELECT 1", "");
	assert_parts("SELECT 1 /*a*/", "", "SELECT 1 ", "/*a*/");
	assert_parts(" ;/*a*/;/*b*/ SELECT /*m*/ 1;/*c*/ /*d*/; ", " ;/*a*/;/*b*/", " SELECT /*m*/ 1;",
		     "/*c*/ /*d*/; ");
	assert_parts("/*a*//*b*/", "/*a*//*b*/", "", "");
	assert_parts("", "", "", "");
	assert_parts(" ; ", "", " ; ", "");
}

static void
openers_and_terminators_do_not_share_a_star(void **state)
{
	assert_parts("/*/", "", "/*/", "");
	assert_parts("x/*/", "", "x/*/", "");
	assert_parts("x/*a/*/", "", "x", "/*a/*/");
	assert_parts("x/**/", "", "x", "/**/");
	assert_parts("x/***/", "", "x", "/***/");
	assert_parts("x/*a**/", "", "x", "/*a**/");
	assert_parts("*/", "", "*/", "");
	assert_parts("x*/", "", "x*/", "");
}

static void
executed_comments_are_code(void **state)
{
	assert_parts("/*!a*/ /*b*/ x /*c*/ /*!d*/", "", "/*!a*/ /*b*/ x /*c*/ /*!d*/", "");
	assert_parts("/*M!a*/ x", "", "/*M!a*/ x", "");
	assert_parts("/*Ma*/ x", "/*Ma*/", " x", "");
	assert_parts("x /*M!a*/ /*b*/", "", "x /*M!a*/ ", "/*b*/");
	assert_parts("/*! x '/*a*/' */", "", "/*! x '/*a*/' */", "");
}

static void
a_comment_that_is_never_closed_is_told(void **state)
{
	struct anchor a;

	anchor_find(SPAN_LIT(" /*a*/ /* b"), &a);
	assert_true(a.open);
	assert_true(span_is(a.lead, " /*a*/"));
	anchor_find(SPAN_LIT("x /* b"), &a);
	assert_false(a.open);
}

static void
comments_come_one_by_one(void **state)
{
	struct span rest = SPAN_LIT(" ; /*a*/;/*b*/ x /*c*/");
	struct span comment;

	assert_true(anchor_next(&rest, &comment));
	assert_true(span_is(comment, "/*a*/"));
	assert_true(anchor_next(&rest, &comment));
	assert_true(span_is(comment, "/*b*/"));
	assert_false(anchor_next(&rest, &comment));
}

/* Random text over the few characters that matter: the parts are the statement, and hold what they promise.
 */
static void
parts_always_add_up_to_the_statement(void **state)
{
	static const char alphabet[] = "/*;! M'a";
	unsigned seed = 7;

	for (int round = 0; round < 200000; round++) {
		char sql[24];
		size_t n = (size_t)rand_r(&seed) % sizeof(sql);
		struct span rest, comment;
		struct anchor a;

		for (size_t i = 0; i < n; i++)
			sql[i] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		anchor_find(span_make(sql, n), &a);
		assert_ptr_equal(a.lead.p, sql);
		assert_ptr_equal(a.middle.p, sql + a.lead.len);
		assert_ptr_equal(a.trail.p, sql + a.lead.len + a.middle.len);
		assert_int_equal(a.lead.len + a.middle.len + a.trail.len, n);
		for (rest = a.trail; anchor_next(&rest, &comment);)
			assert_false(anchor_executable(comment));
		assert_int_equal(anchor_code_end(rest), 0);
		for (rest = a.lead; anchor_next(&rest, &comment);)
			assert_false(anchor_executable(comment));
		assert_int_equal(rest.len, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comments_at_both_ends_are_set_apart),
	    cmocka_unit_test(openers_and_terminators_do_not_share_a_star),
	    cmocka_unit_test(executed_comments_are_code),
	    cmocka_unit_test(a_comment_that_is_never_closed_is_told),
	    cmocka_unit_test(comments_come_one_by_one),
	    cmocka_unit_test(parts_always_add_up_to_the_statement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
