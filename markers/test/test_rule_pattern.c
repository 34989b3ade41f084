#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "markers/rule_pattern.h"

/* Mistakes are in markers/test/rules/bad.table_*.yaml. */

static bool
matches(const char *pattern, const char *name, bool exact)
{
	struct err_detail why = {0};
	struct rule_pattern p;
	const char *dot = strchr(name, '|');

	if (rule_pattern_parse(&p, span_of(pattern), exact, &why) != ERR_OK)
		fail_msg("%s: %s", pattern, why.text);
	return rule_pattern_matches(&p, span_make(name, (size_t)(dot - name)), span_of(dot + 1));
}

static void
patterns_match_whole_names(void **state)
{
	/* database and table with | between them, since a dot may be in a name */
	static const struct {
		const char *pattern, *name;
		bool matches;
	} rows[] = {
	    {"shop.users", "shop|users", true},
	    {"shop.users", "shop|users2", false},
	    {"shop.users", "shop|user", false},
	    {"shop.users", "shop2|users", false},
	    {"shop.*", "shop|users", true},
	    {"shop.*", "shop|", true},
	    {"shop.*", "shopx|users", false},
	    {"*.users", "anything|users", true},
	    {"*.users", "a.b|users", true},
	    {"*.*", "a|b", true},
	    {"shop.user?", "shop|users", true},
	    {"shop.user?", "shop|user", false},
	    {"shop.user?", "shop|user\xc3\xa9", true},
	    {"shop.user??", "shop|user\xc3\xa9", false},
	    {"shop.*_log", "shop|a_log_log", true},
	    {"shop.*_log", "shop|a_log_", false},
	    {"shop.a*b*c", "shop|abbbcbc", true},
	    {"shop.a*b*c", "shop|abbbcb", false},
	    {"shard_[0-9]*.users", "shard_1|users", true},
	    {"shard_[0-9]*.users", "shard_12|users", true},
	    {"shard_[0-9]*.users", "shard_1_old|users", true},
	    {"shard_[0-9]*.users", "shard_x|users", false},
	    {"shard_[0-9].users", "shard_12|users", false},
	    {"s.[!_]*", "s|_tmp", false},
	    {"s.[!_]*", "s|tmp", true},
	    {"s.[!_]*", "s|\xc3\xa9", true},
	    {"s.[a-cx]", "s|x", true},
	    {"s.[a-cx]", "s|d", false},
	    {"s.[a-]", "s|-", true},
	    {"s.[]a]", "s|]", true},
	    {"s.[!]a]", "s|]", false},
	    {"s.[a-z-9]", "s|-", true},
	    {"s.[a-z-9]", "s|9", true},
	    {"s.[a-z-9]", "s|5", false},
	    {"s.[.]", "s|.", true},
	    {"a\\.b.c", "a.b|c", true},
	    {"a\\.b.c", "axb|c", false},
	    {"s.\\*", "s|*", true},
	    {"s.\\*", "s|x", false},
	    {"s.\\\\", "s|\\", true},
	    {"s.\xc3\xa9t\xc3\xa9", "s|\xc3\xa9t\xc3\xa9", true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int exact = 0; exact < 2; exact++) {
			if (matches(rows[i].pattern, rows[i].name, exact != 0) != rows[i].matches)
				fail_msg("%s and %s", rows[i].pattern, rows[i].name);
		}
	}
}

static void
case_of_ascii_letters_matters_only_when_it_is_to_be_exact(void **state)
{
	static const char *const rows[][2] = {{"Shop.Users", "shop|users"},
					      {"shop.users", "SHOP|Users"},
					      {"s.[a-c]", "s|B"},
					      {"s.[A-C]", "s|b"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(matches(rows[i][0], rows[i][1], false));
		assert_false(matches(rows[i][0], rows[i][1], true));
	}
	assert_false(matches("s.[!a]", "s|A", false));
	assert_true(matches("s.[!a]", "s|A", true));
	assert_false(matches("s.\xc3\xa4", "s|\xc3\x84", false)); /* only ASCII */
}

static void
many_stars_cost_no_more_than_their_product(void **state)
{
	char pattern[203] = "s.", name[2003] = "s|";

	for (size_t i = 2; i < sizeof(pattern) - 1; i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(name + 2, 'a', sizeof(name) - 3);
	assert_true(matches(pattern, name, false));
	name[sizeof(name) - 2] = 'b';
	assert_false(matches(pattern, name, false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(patterns_match_whole_names),
	    cmocka_unit_test(case_of_ascii_letters_matters_only_when_it_is_to_be_exact),
	    cmocka_unit_test(many_stars_cost_no_more_than_their_product),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
