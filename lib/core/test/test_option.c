#include "lib/core/option.h"

#include <stdio.h>

#include "lib/core/test/test.h"

/* clang-format off */
#define SAMPLE_OPTIONS(OPT)                                                                              \
	OPT(name,    STR,      "main",  0, 0,          "",         NO,  "a name")                        \
	OPT(keys,    UINT,     "500",   1, 10000,      "keys",     YES, "how many")                      \
	OPT(wait,    DURATION, "5ms",   0, 60000,      "ms",       YES, "how long")                      \
	OPT(keep,    DURATION, "24h",   60, 31536000,  "s",        NO,  "how long to keep")              \
	OPT(room,    SIZE,     "1MiB",  1024, 1 << 30, "bytes",    NO,  "how much")                      \
	OPT(strict,  BOOL,     "true",  0, 0,          "",         NO,  "or not")                        \
	OPT(weight,  DECIMAL,  "0.5",   0, 100,        "",         YES, "how heavy")                     \
	OPT(mode,    CHOICE,   "fast",  0, 0,          "fast|slow", NO, "which | way")
/* clang-format on */

struct sample {
	OPTION_FIELDS(SAMPLE_OPTIONS)
};

typedef struct sample option_owner;
static const struct option_row rows[] = {OPTION_ROWS(SAMPLE_OPTIONS)};
static const struct option_section section = {
    .name = "sample",
    .help = "a sample",
    .rows = rows,
    .nrows = sizeof(rows) / sizeof(rows[0]),
    .size = sizeof(struct sample),
};

static struct sample s;

static int
make(void **state)
{
	option_defaults(&section, &s);
	return 0;
}

static int
drop(void **state)
{
	option_fini(&section, &s);
	return 0;
}

static err_t
set(const char *name, const char *text, struct err_detail *why)
{
	const struct option_row *row = option_find(&section, span_of(name));

	assert_non_null(row);
	err_clear(why);
	return option_set(row, &s, span_of(text), why);
}

static void
defaults_come_from_the_rows(void **state)
{
	assert_string_equal(s.name, "main");
	assert_int_equal(s.keys, 500);
	assert_int_equal(s.wait, 5);
	assert_int_equal(s.keep, 86400);
	assert_int_equal(s.room, 1048576);
	assert_true(s.strict);
	assert_string_equal(s.mode, "fast");
}

static void
units_are_understood(void **state)
{
	struct err_detail why = {0};

	assert_int_equal(set("wait", "2s", &why), ERR_OK);
	assert_int_equal(s.wait, 2000);
	assert_int_equal(set("wait", "1 m", &why), ERR_OK);
	assert_int_equal(s.wait, 60000);
	assert_int_equal(set("wait", "7", &why), ERR_OK);
	assert_int_equal(s.wait, 7);
	assert_int_equal(set("keep", "7d", &why), ERR_OK);
	assert_int_equal(s.keep, 7 * 86400);
	assert_int_equal(set("keep", "90", &why), ERR_OK);
	assert_int_equal(s.keep, 90);
	assert_int_equal(set("room", "64KiB", &why), ERR_OK);
	assert_int_equal(s.room, 65536);
	assert_int_equal(set("room", "10MB", &why), ERR_OK);
	assert_int_equal(s.room, 10000000);
	assert_int_equal(set("strict", "Off", &why), ERR_OK);
	assert_false(s.strict);
	assert_int_equal(set("mode", "slow", &why), ERR_OK);
	assert_string_equal(s.mode, "slow");
}

static void
decimals_print_as_the_shortest_text_that_reads_the_same(void **state)
{
	static const char *const texts[][2] = {{"0", "0"},	 {"1", "1"},	  {"100", "100"},
					       {"0.25", "0.25"}, {"1.50", "1.5"}, {"33.333333", "33.333333"},
					       {"0.1", "0.1"},	 {"007.0", "7"},  {"0.000001", "0.000001"}};
	struct err_detail why = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct buf b = BUF_INIT;

		assert_int_equal(set("weight", texts[i][0], &why), ERR_OK);
		option_print(option_find(&section, SPAN_LIT("weight")), &s, &b);
		assert_string_equal(buf_str(&b), texts[i][1]);
		buf_fini(&b);
	}
}

static void
a_wrong_value_leaves_the_field_and_says_what_would_be_right(void **state)
{
	static const struct {
		const char *name, *text, *message;
	} bad[] = {
	    {"keys", "many", "keys: \"many\" is not a whole number"},
	    {"keys", "-1", "keys: \"-1\" is not a whole number"},
	    {"keys", "0", "keys: \"0\" is out of range: 1 to 10000"},
	    {"keys", "99999999999999999999", "keys: \"99999999999999999999\" is not a whole number"},
	    {"wait", "5parsecs", "wait: \"5parsecs\" is not a duration such as 500ms, 2s, 10m or 24h"},
	    {"wait", "2m", "wait: \"2m\" is out of range: 0ms to 1m"},
	    {"keep", "1500ms", "keep: \"1500ms\" is not a duration such as 500ms, 2s, 10m or 24h"},
	    {"room", "1", "room: \"1\" is out of range: 1KiB to 1GiB"},
	    {"room", "18446744073709551615GiB",
	     "room: \"18446744073709551615GiB\" is not a size such as 64KiB, 10MiB "
	     "or 1GiB"},
	    {"weight", "1e3", "weight: \"1e3\" is not a number such as 2 or 0.25"},
	    {"weight", "-1", "weight: \"-1\" is not a number such as 2 or 0.25"},
	    {"weight", ".5", "weight: \".5\" is not a number such as 2 or 0.25"},
	    {"weight", "1.", "weight: \"1.\" is not a number such as 2 or 0.25"},
	    {"weight", "0.1234567", "weight: \"0.1234567\" is not a number such as 2 or 0.25"},
	    {"weight", "nan", "weight: \"nan\" is not a number such as 2 or 0.25"},
	    {"weight", "100.000001", "weight: \"100.000001\" is out of range: 0 to 100"},
	    {"strict", "maybe", "strict: \"maybe\" is neither true nor false"},
	    {"mode", "fas", "mode: \"fas\" is not one of fast|slow"},
	    {"mode", "", "mode: \"\" is not one of fast|slow"},
	};
	struct err_detail why = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(set(bad[i].name, bad[i].text, &why), ERR_CONFIG);
		assert_string_equal(why.text, bad[i].message);
	}
	defaults_come_from_the_rows(state);
}

static void
a_mistyped_name_finds_its_neighbour(void **state)
{
	assert_null(option_find(&section, SPAN_LIT("kesy")));
	assert_string_equal(option_nearest(&section, SPAN_LIT("kesy")), "keys");
	assert_string_equal(option_nearest(&section, SPAN_LIT("strcit")), "strict");
	assert_null(option_nearest(&section, SPAN_LIT("completely_else")));
}

static void
values_print_as_they_are_written(void **state)
{
	static const char *const wanted[] = {"main", "500", "5ms", "24h", "1MiB", "true", "0.5", "fast"};

	for (size_t i = 0; i < section.nrows; i++) {
		struct buf b = BUF_INIT;

		option_print(&rows[i], &s, &b);
		assert_string_equal(buf_str(&b), wanted[i]);
		buf_fini(&b);
	}
}

static void
sameness_is_by_value(void **state)
{
	struct err_detail why = {0};
	struct sample other;

	option_defaults(&section, &other);
	for (size_t i = 0; i < section.nrows; i++)
		assert_true(option_same(&rows[i], &s, &other));
	assert_int_equal(set("name", "other", &why), ERR_OK);
	assert_int_equal(set("wait", "6ms", &why), ERR_OK);
	assert_int_equal(set("strict", "no", &why), ERR_OK);
	assert_false(option_same(&rows[0], &s, &other));
	assert_false(option_same(&rows[2], &s, &other));
	assert_false(option_same(&rows[5], &s, &other));
	option_fini(&section, &other);
}

static void
help_sample_and_markdown_name_every_row(void **state)
{
	struct buf b = BUF_INIT;

	option_help(&section, &b);
	option_sample(&section, 2, &b);
	option_markdown(&section, &b);
	for (size_t i = 0; i < section.nrows; i++) {
		char line[64];

		snprintf(line, sizeof(line), "\n  # %s: ", rows[i].name);
		assert_non_null(strstr(buf_str(&b), line));
		snprintf(line, sizeof(line), "| `%s` |", rows[i].name);
		assert_non_null(strstr(buf_str(&b), line));
	}
	assert_non_null(strstr(buf_str(&b), "which \\| way"));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(defaults_come_from_the_rows, make, drop),
	    cmocka_unit_test_setup_teardown(units_are_understood, make, drop),
	    cmocka_unit_test_setup_teardown(decimals_print_as_the_shortest_text_that_reads_the_same, make,
					    drop),
	    cmocka_unit_test_setup_teardown(a_wrong_value_leaves_the_field_and_says_what_would_be_right, make,
					    drop),
	    cmocka_unit_test_setup_teardown(a_mistyped_name_finds_its_neighbour, make, drop),
	    cmocka_unit_test_setup_teardown(values_print_as_they_are_written, make, drop),
	    cmocka_unit_test_setup_teardown(sameness_is_by_value, make, drop),
	    cmocka_unit_test_setup_teardown(help_sample_and_markdown_name_every_row, make, drop),
	};

	return cmocka_run_group_tests_name("option", tests, NULL, NULL);
}
