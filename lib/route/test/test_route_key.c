#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/route_key.h"

static void
parts_are_as_in_mcrouter(void **state)
{
	static const struct {
		const char *key, *prefix, *region, *cluster, *hashed, *sent;
	} cases[] = {
	    {"user:42", "", "", "", "user:42", "user:42"},
	    {"/r/c/user:42", "/r/c/", "r", "c", "user:42", "user:42"},
	    {"/r/c/user:42|#|page", "/r/c/", "r", "c", "user:42", "user:42|#|page"},
	    {"user:42|#|page|#|2", "", "", "", "user:42", "user:42|#|page|#|2"},
	    {"user|42|x#|", "", "", "", "user|42|x#|", "user|42|x#|"},
	    {"user||#|x", "", "", "", "user|", "user||#|x"},
	    {"|#|x", "", "", "", "", "|#|x"},
	    {"/r/c/", "/r/c/", "r", "c", "", ""},
	    {"/r/c", "", "", "", "/r/c", "/r/c"},
	    {"/r", "", "", "", "/r", "/r"},
	    {"/", "", "", "", "/", "/"},
	    {"//", "", "", "", "//", "//"},
	    {"///x", "///", "", "", "x", "x"},
	    {"/r//x", "/r//", "r", "", "x", "x"},
	    {"/*/*/x", "/*/*/", "*", "*", "x", "x"},
	    {"/r/c/a/b/c", "/r/c/", "r", "c", "a/b/c", "a/b/c"},
	    /* The prefix is found first: a stop within it is a part of it. */
	    {"/r|#|/c/x", "/r|#|/c/", "r|#|", "c", "x", "x"},
	    {"x/r/c/k", "", "", "", "x/r/c/k", "x/r/c/k"},
	    {"", "", "", "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route_key k = route_key_split(span_of(cases[i].key));

		if (!span_is(k.prefix, cases[i].prefix) || !span_is(k.region, cases[i].region) ||
		    !span_is(k.cluster, cases[i].cluster) || !span_is(k.hashed, cases[i].hashed) ||
		    !span_is(k.sent, cases[i].sent))
			fail_msg("%s: prefix %.*s, hashed %.*s, sent %.*s", cases[i].key, SPAN_FMT(k.prefix),
				 SPAN_FMT(k.hashed), SPAN_FMT(k.sent));
	}
}

static bool
means(const char *key, const char *region, const char *cluster)
{
	struct route_key k = route_key_split(span_of(key));

	return route_key_means(&k, span_of(region), span_of(cluster));
}

static void
a_star_means_any_part_and_no_prefix_all(void **state)
{
	(void)state;
	assert_true(means("k", "east", "web"));
	assert_true(means("/east/web/k", "east", "web"));
	assert_false(means("/east/web/k", "east", "app"));
	assert_false(means("/east/web/k", "west", "web"));
	assert_true(means("/*/*/k", "east", "web"));
	assert_true(means("/*/web/k", "east", "web"));
	assert_false(means("/*/web/k", "east", "webs"));
	assert_true(means("/ea*/w*b/k", "east", "web"));
	assert_true(means("/ea*/w**b/k", "east", "wxbxb"));
	assert_false(means("/ea*/w*b/k", "east", "webs"));
	assert_true(means("/*s*/web/k", "east", "web"));
	assert_false(means("//web/k", "east", "web"));
}

static void
a_broadcast_is_one_prefix(void **state)
{
	struct route_key all = route_key_split(span_of("/*/*/k")), one = route_key_split(span_of("/*/c/k"));

	(void)state;
	assert_true(route_key_is_broadcast(&all));
	assert_false(route_key_is_broadcast(&one));
}

/* A pattern that makes a naive matcher try every way. */
static void
a_hostile_pattern_takes_no_longer_than_the_lengths_allow(void **state)
{
	char key[250] = "/", region[300];

	(void)state;
	for (size_t i = 1; i < 200; i++)
		key[i] = i % 2 ? '*' : 'a';
	strcpy(key + 200, "b/c/k");
	memset(region, 'a', sizeof(region) - 1);
	region[sizeof(region) - 1] = '\0';
	assert_false(means(key, region, "c"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_are_as_in_mcrouter),
	    cmocka_unit_test(a_star_means_any_part_and_no_prefix_all),
	    cmocka_unit_test(a_broadcast_is_one_prefix),
	    cmocka_unit_test(a_hostile_pattern_takes_no_longer_than_the_lengths_allow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
