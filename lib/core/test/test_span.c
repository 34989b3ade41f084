#include "lib/core/span.h"

#include <stdlib.h>

#include "lib/core/test/test.h"

static void
numbers_are_digits_only_and_do_not_overflow(void **state)
{
	uint64_t v = 7;

	assert_true(span_u64(SPAN_LIT("18446744073709551615"), &v));
	assert_int_equal(v, UINT64_MAX);
	assert_false(span_u64(SPAN_LIT("18446744073709551616"), &v));
	assert_false(span_u64(SPAN_LIT(""), &v));
	assert_false(span_u64(SPAN_LIT("-1"), &v));
	assert_false(span_u64(SPAN_LIT(" 1"), &v));
	assert_false(span_u64(SPAN_LIT("1x"), &v));
	assert_int_equal(v, UINT64_MAX);
}

static void
trimming_takes_white_space_from_both_ends(void **state)
{
	assert_true(span_is(span_trim(SPAN_LIT(" \t a b\r\n")), "a b"));
	assert_int_equal(span_trim(SPAN_LIT("  ")).len, 0);
}

static void
finding_works_on_any_byte(void **state)
{
	assert_int_equal(span_find(SPAN_LIT("a\0bc"), SPAN_LIT("\0b")), 1);
	assert_int_equal(span_find(SPAN_LIT("abc"), SPAN_LIT("abcd")), -1);
	assert_int_equal(span_find(SPAN_LIT("abc"), SPAN_LIT("")), 0);
	assert_int_equal(span_find(SPAN_LIT(""), SPAN_LIT("x")), -1);
}

static void
comparing_ignores_case_of_ascii_only(void **state)
{
	assert_true(span_ieq(SPAN_LIT("Commit"), SPAN_LIT("cOMMIT")));
	assert_false(span_ieq(SPAN_LIT("\xc4"), SPAN_LIT("\xe4")));
	assert_false(span_ieq(SPAN_LIT("a"), SPAN_LIT("ab")));
	assert_true(span_eq((struct span){NULL, 0}, SPAN_LIT("")));
}

static void
parts_never_reach_beyond_the_span(void **state)
{
	assert_int_equal(span_from(SPAN_LIT("abc"), 9).len, 0);
	assert_true(span_is(span_from(SPAN_LIT("abc"), 1), "bc"));
	assert_true(span_is(span_first(SPAN_LIT("abc"), 9), "abc"));
	assert_true(span_starts(SPAN_LIT("abc"), SPAN_LIT("ab")));
	assert_false(span_starts(SPAN_LIT("a"), SPAN_LIT("ab")));
}

static void
cutting_takes_the_stop_with_it(void **state)
{
	struct span rest = SPAN_LIT("a::b");

	assert_true(span_is(span_cut(&rest, ':'), "a"));
	assert_true(span_is(span_cut(&rest, ':'), ""));
	assert_true(span_is(span_cut(&rest, ':'), "b"));
	assert_int_equal(rest.len, 0);
	assert_int_equal(span_cut(&rest, ':').len, 0);
}

static void
a_copy_ends_with_nul(void **state)
{
	char *s = span_dup(span_make("abcd", 2));

	assert_string_equal(s, "ab");
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_digits_only_and_do_not_overflow),
	    cmocka_unit_test(trimming_takes_white_space_from_both_ends),
	    cmocka_unit_test(finding_works_on_any_byte),
	    cmocka_unit_test(comparing_ignores_case_of_ascii_only),
	    cmocka_unit_test(parts_never_reach_beyond_the_span),
	    cmocka_unit_test(cutting_takes_the_stop_with_it),
	    cmocka_unit_test(a_copy_ends_with_nul),
	};

	return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
