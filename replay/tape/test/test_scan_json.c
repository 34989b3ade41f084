#include "replay/tape/scan_json.h"

#include "lib/core/test/test.h"

static void
check_text(const char *json, enum scan_json_text kind, const char *wanted)
{
	struct scan_json s = scan_json_of(span_of(json));
	struct buf out = BUF_INIT;
	bool ok = scan_json_string(&s, kind, &out) && scan_json_end(&s);

	assert_int_equal(ok, wanted != NULL);
	if (wanted != NULL)
		assert_string_equal(buf_str(&out), wanted);
	buf_fini(&out);
}

static void
texts_are_taken_with_their_escapes(void **state)
{
	(void)state;
	check_text("\"plain\"", SCAN_JSON_CHARACTERS, "plain");
	check_text(" \"\" ", SCAN_JSON_CHARACTERS, "");
	check_text("\"a\\n\\t\\\"\\\\\\/\\b\\f\\r\"", SCAN_JSON_CHARACTERS, "a\n\t\"\\/\b\f\r");
	check_text("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", SCAN_JSON_CHARACTERS,
		   "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}

static void
bytes_that_lib_core_json_escaped_come_back(void **state)
{
	(void)state;
	check_text("\"\\u00ff\\u007f\"", SCAN_JSON_BYTES, "\xff\x7f");
}

static void
texts_that_make_no_sense_are_refused(void **state)
{
	static const char *const bad[] = {"\"",		 "\"abc",	"\"\\",
					  "\"\\x\"",	 "\"\\u12\"",	"\"\\u12g4\"",
					  "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
					  "abc",	 "\"a\nb\"",	""};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_text(bad[i], SCAN_JSON_CHARACTERS, NULL);
}

static void
numbers_of_seconds_become_microseconds(void **state)
{
	static const struct {
		const char *text;
		uint64_t us; /* UINT64_MAX: refused */
	} cases[] = {{"1289416829.836", 1289416829836000},
		     {"5", 5000000},
		     {"0.1234567", 123456},
		     {"1.", UINT64_MAX},
		     {"-1", UINT64_MAX},
		     {"1e9", UINT64_MAX},
		     {"99999999999999999999", UINT64_MAX},
		     {"18446744073709551615", UINT64_MAX}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scan_json s = scan_json_of(span_of(cases[i].text));
		uint64_t us = 0;
		bool ok = scan_json_seconds(&s, &us);

		assert_int_equal(ok, cases[i].us != UINT64_MAX);
		if (ok)
			assert_int_equal(us, cases[i].us);
	}
}

static bool
is_skipped(const char *text)
{
	struct scan_json s = scan_json_of(span_of(text));

	return scan_json_skip(&s) && scan_json_end(&s);
}

static void
any_value_can_be_passed_over_and_what_is_none_is_refused(void **state)
{
	static const char *const good[] = {"1",
					   "-2.5e3",
					   "\"x\"",
					   "true",
					   "false",
					   "null",
					   "[]",
					   "{}",
					   "[1, [2], {\"a\": [null]}]",
					   "{\"a\":1,\"b\":{\"c\":\"}\"}}"};
	static const char *const bad[] = {"",	   "[",	    "{",   "[1,]",     "{\"a\"}",
					  "{1:2}", "[1 2]", "tru", "{\"a\":}", ","};
	char deep[200];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(is_skipped(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(is_skipped(bad[i]));
	memset(deep, '[', 99);
	memset(deep + 99, ']', 99);
	deep[198] = '\0';
	assert_false(is_skipped(deep));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts_are_taken_with_their_escapes),
	    cmocka_unit_test(bytes_that_lib_core_json_escaped_come_back),
	    cmocka_unit_test(texts_that_make_no_sense_are_refused),
	    cmocka_unit_test(numbers_of_seconds_become_microseconds),
	    cmocka_unit_test(any_value_can_be_passed_over_and_what_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
