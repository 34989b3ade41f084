#include "replay/plan/filter.h"

#include "lib/core/test/test.h"

static void
add(struct patterns *p, enum pattern_kind kind, const char *text)
{
	struct err_detail why = {0};

	assert_int_equal(patterns_add(p, kind, text, &why), ERR_OK);
}

static void
globs_match_all_of_a_text_and_expressions_a_part(void **state)
{
	struct patterns p = {0};

	(void)state;
	assert_false(patterns_match(&p, SPAN_LIT("x")));
	add(&p, PATTERN_GLOB, "user:*");
	assert_true(patterns_match(&p, SPAN_LIT("user:/1")));
	assert_false(patterns_match(&p, SPAN_LIT("a user:1")));
	add(&p, PATTERN_REGEX, "[0-9]{3}$");
	assert_true(patterns_match(&p, SPAN_LIT("feed:123")));
	assert_false(patterns_match(&p, SPAN_LIT("feed:12")));
	patterns_fini(&p);
}

static void
patterns_that_are_none_are_refused_with_a_sentence(void **state)
{
	struct patterns p = {0};
	struct err_detail why = {0};

	(void)state;
	assert_int_equal(patterns_add(&p, PATTERN_REGEX, "(", &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "\"(\""));
	err_clear(&why);
	assert_int_equal(patterns_add(&p, PATTERN_GLOB, "", &why), ERR_USAGE);
	patterns_fini(&p);
}

static void
keys_pass_that_match_one_and_no_exception(void **state)
{
	struct filter f = {0};

	(void)state;
	assert_true(filter_key(&f, SPAN_LIT("anything")));
	add(&f.keys, PATTERN_GLOB, "user:*");
	add(&f.except, PATTERN_GLOB, "*:7");
	assert_true(filter_key(&f, SPAN_LIT("user:1")));
	assert_false(filter_key(&f, SPAN_LIT("user:7")));
	assert_false(filter_key(&f, SPAN_LIT("feed:1")));
	assert_int_equal(f.keys_dropped, 2);
	filter_fini(&f);
}

static void
a_transaction_passes_by_one_of_its_tables_or_when_they_are_not_known(void **state)
{
	const struct span tables[] = {SPAN_LIT("shop.words"), SPAN_LIT("shop.users")};
	struct filter f = {0};
	struct tape_txn t = {
	    .source = SPAN_LIT("main"), .tables = tables, .ntables = 2, .knows_tables = true};

	(void)state;
	add(&f.tables, PATTERN_GLOB, "shop.users");
	assert_true(filter_txn(&f, &t));
	t.ntables = 1;
	assert_false(filter_txn(&f, &t));
	t.knows_tables = false;
	assert_true(filter_txn(&f, &t));
	assert_int_equal(f.tables_unknown, 1);
	add(&f.sources, PATTERN_GLOB, "other");
	assert_false(filter_txn(&f, &t));
	assert_int_equal(f.txns_dropped, 2);
	filter_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(globs_match_all_of_a_text_and_expressions_a_part),
	    cmocka_unit_test(patterns_that_are_none_are_refused_with_a_sentence),
	    cmocka_unit_test(keys_pass_that_match_one_and_no_exception),
	    cmocka_unit_test(a_transaction_passes_by_one_of_its_tables_or_when_they_are_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
