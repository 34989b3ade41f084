#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "markers/pair.h"

static struct pair_tag
tag_named(const char *name)
{
	struct pair_tag tag;

	assert_true(pair_tag_init(&tag, span_of(name)));
	return tag;
}

struct want {
	enum pair_kind kind;
	const char *value; /* NULL: not looked at */
	bool loose;
};

static void
assert_pairs(const char *body, bool strict, const struct want *want, size_t n)
{
	struct pair_tag tag = tag_named("inv");
	struct pairs it = pairs_of(&tag, span_of(body));
	struct pair pair;

	for (size_t i = 0; i < n; i++) {
		if (!pair_next(&it, &pair))
			fail_msg("%s: only %zu pairs", body, i);
		if (pair.kind != want[i].kind || pair.loose != want[i].loose ||
		    (want[i].value != NULL && !span_is(pair.value, want[i].value)))
			fail_msg("%s: pair %zu: kind %d, value \"%.*s\", loose %d", body, i, (int)pair.kind,
				 SPAN_FMT(pair.value), pair.loose);
	}
	if (pair_next(&it, &pair))
		fail_msg("%s: one pair too many: \"%.*s\"", body, SPAN_FMT(pair.text));
	assert_int_equal(it.strict, strict);
}

#define ASSERT_PAIRS(body, strict, ...)                                                                      \
	assert_pairs(body, strict, (const struct want[]){__VA_ARGS__},                                       \
		     sizeof((const struct want[]){__VA_ARGS__}) / sizeof(struct want))

static void
tags_tell_the_kinds(void **state)
{
	ASSERT_PAIRS("inv='a',inv_m='b',inv_p='c',inv_h='1',inv_x='d',x='e',invoice='f',INV='g',INV_P='h'",
		     true, {PAIR_KEYS, "a", false}, {PAIR_MARKERS, "b", false}, {PAIR_POOL, "c", false},
		     {PAIR_HOLDOFF, "1", false}, {PAIR_UNKNOWN, "d", false}, {PAIR_FOREIGN, "e", false},
		     {PAIR_FOREIGN, "f", false}, {PAIR_UNKNOWN, "g", false}, {PAIR_UNKNOWN, "h", false});
}

static void
quotes_in_values_are_understood_in_every_dialect(void **state)
{
	ASSERT_PAIRS("x='it\\'s',inv='a'", true, {PAIR_FOREIGN, "it\\'s", false}, {PAIR_KEYS, "a", false});
	ASSERT_PAIRS("x='it''s',inv='a'", true, {PAIR_FOREIGN, "it''s", false}, {PAIR_KEYS, "a", false});
	ASSERT_PAIRS("x='it's',inv='a'", false, {PAIR_FOREIGN, "it's", true}, {PAIR_KEYS, "a", false});
	ASSERT_PAIRS("inv=''", true, {PAIR_KEYS, "", false});
	ASSERT_PAIRS("inv='',x=''", true, {PAIR_KEYS, "", false}, {PAIR_FOREIGN, "", false});
	ASSERT_PAIRS("inv=''''", true, {PAIR_KEYS, "''", false});
	ASSERT_PAIRS("inv='a''", false, {PAIR_KEYS, "a'", true});
	ASSERT_PAIRS("inv='a\\'", false, {PAIR_KEYS, "a\\", true});
}

static void
an_open_value_of_others_does_not_swallow_ours(void **state)
{
	ASSERT_PAIRS("x='it, inv='a'", false, {PAIR_FOREIGN, "it", true}, {PAIR_KEYS, "a", false});
	ASSERT_PAIRS("x='it,inv_p = 'a'", false, {PAIR_FOREIGN, "it", true}, {PAIR_POOL, "a", false});
	ASSERT_PAIRS("x='it inv='a'", false, {PAIR_MALFORMED, NULL, true});
	ASSERT_PAIRS("x='it,y='a'", false, {PAIR_FOREIGN, "it,y='a", true});
}

static void
what_is_no_pair_is_passed_over(void **state)
{
	ASSERT_PAIRS("hello, world", false, {PAIR_FOREIGN, NULL, false}, {PAIR_FOREIGN, NULL, false});
	ASSERT_PAIRS("hello,inv='a'", false, {PAIR_FOREIGN, NULL, false}, {PAIR_KEYS, "a", false});
	ASSERT_PAIRS("inv='a',", false, {PAIR_KEYS, "a", false});
	ASSERT_PAIRS("inv=a", false, {PAIR_MALFORMED, NULL, false});
	ASSERT_PAIRS("inv='a", false, {PAIR_MALFORMED, NULL, false});
	ASSERT_PAIRS("see inv: 7", false, {PAIR_MALFORMED, NULL, false});
	ASSERT_PAIRS("see inv 7", false, {PAIR_FOREIGN, NULL, false});
	ASSERT_PAIRS("inv", false, {PAIR_FOREIGN, NULL, false});
	ASSERT_PAIRS("='a'", false, {PAIR_FOREIGN, NULL, false});
}

static void
an_empty_body_has_no_pairs(void **state)
{
	assert_pairs("", false, NULL, 0);
	assert_pairs(" \n", false, NULL, 0);
}

static void
a_tag_is_found_as_a_word_only(void **state)
{
	struct pair_tag tag = tag_named("inv");

	assert_true(pair_tag_named(&tag, SPAN_LIT("an inv = 'x'")));
	assert_true(pair_tag_named(&tag, SPAN_LIT("INV_P:x")));
	assert_true(pair_tag_named(&tag, SPAN_LIT("ginv inv=")));
	assert_false(pair_tag_named(&tag, SPAN_LIT("ginv=1 invoice=2 inv")));
	assert_false(pair_tag_named(&tag, SPAN_LIT("")));
	assert_true(pair_tag_in(&tag, SPAN_LIT("ginv")));
	assert_false(pair_tag_in(&tag, SPAN_LIT("in")));
}

static void
a_tag_has_1_to_64_of_the_allowed_characters(void **state)
{
	struct pair_tag tag;
	char name[PAIR_TAG_MAX + 1];

	memset(name, 'a', sizeof(name));
	assert_true(pair_tag_init(&tag, span_make(name, PAIR_TAG_MAX)));
	assert_false(pair_tag_init(&tag, span_make(name, PAIR_TAG_MAX + 1)));
	assert_false(pair_tag_init(&tag, SPAN_LIT("")));
	assert_false(pair_tag_init(&tag, SPAN_LIT("a b")));
	assert_false(pair_tag_init(&tag, SPAN_LIT("a'")));
	assert_true(pair_tag_init(&tag, SPAN_LIT("A-z_0.9")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tags_tell_the_kinds),
	    cmocka_unit_test(quotes_in_values_are_understood_in_every_dialect),
	    cmocka_unit_test(an_open_value_of_others_does_not_swallow_ours),
	    cmocka_unit_test(what_is_no_pair_is_passed_over),
	    cmocka_unit_test(an_empty_body_has_no_pairs),
	    cmocka_unit_test(a_tag_is_found_as_a_word_only),
	    cmocka_unit_test(a_tag_has_1_to_64_of_the_allowed_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
