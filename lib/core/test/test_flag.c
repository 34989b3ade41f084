#include "lib/core/flag.h"

#include <stdio.h>
#include <string.h>

#include "lib/core/test/test.h"

static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
				      {"start-time", required_argument, NULL, 256},
				      {"start-gtid", required_argument, NULL, 257},
				      {"json", no_argument, NULL, 258},
				      {NULL, 0, NULL, 0}};

/* The first refusal of `words`, which are separated by spaces. */
static void
refused(const char *words, const char *sentence)
{
	struct err_detail why = {0};
	char text[200], *argv[16] = {(char *)"program"};
	int argc = 1, c;

	snprintf(text, sizeof(text), "%s", words);
	for (char *rest, *w = strtok_r(text, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:v", longs, NULL)) != -1 && c != '?' && c != ':')
		;
	assert_int_not_equal(c, -1);
	assert_int_equal(flag_refused(argv, longs, c, &why), ERR_USAGE);
	assert_string_equal(err_why(&why), sentence);
}

static void
an_unknown_name_gets_the_nearest_one(void **state)
{
	refused("--confg x", "there is no option --confg; did you mean --config?");
	refused("--confg=x", "there is no option --confg; did you mean --config?");
	refused("--something-else", "there is no option --something-else");
	refused("-v --json --jsn", "there is no option --jsn; did you mean --json?");
}

static void
an_unknown_letter_is_named_where_it_stands_among_others(void **state)
{
	refused("-z", "there is no option -z");
	refused("--json -vzv", "there is no option -z");
	refused("--json -zv", "there is no option -z");
}

static void
a_value_that_lacks_or_is_too_much_is_said(void **state)
{
	refused("-c", "-c needs a value");
	refused("--config", "--config needs a value");
	refused("-v --conf", "--conf needs a value");
	refused("--json=1", "--json takes no value");
}

static void
a_beginning_of_several_names_is_to_be_written_out(void **state)
{
	refused("--start x", "--start may be --start-time or --start-gtid; write it out");
}

static void
a_very_long_name_is_cut(void **state)
{
	char words[160];

	memset(words, 'a', sizeof(words));
	memcpy(words, "--", 2);
	words[sizeof(words) - 1] = '\0';
	refused(words, "there is no option --aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_unknown_name_gets_the_nearest_one),
	    cmocka_unit_test(an_unknown_letter_is_named_where_it_stands_among_others),
	    cmocka_unit_test(a_value_that_lacks_or_is_too_much_is_said),
	    cmocka_unit_test(a_beginning_of_several_names_is_to_be_written_out),
	    cmocka_unit_test(a_very_long_name_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
