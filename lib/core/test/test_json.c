#include "lib/core/json.h"

#include <math.h>

#include "lib/core/test/test.h"

static void
commas_stand_between_values_only(void **state)
{
	struct buf b = BUF_INIT;
	struct json j;

	json_init(&j, &b);
	json_object(&j);
	json_kv_u64(&j, "a", 1);
	json_name(&j, "b");
	json_array(&j);
	json_i64(&j, -2);
	json_object(&j);
	json_object_end(&j);
	json_null(&j);
	json_array_end(&j);
	json_kv_bool(&j, "c", true);
	json_kv_str(&j, "d", NULL);
	json_name(&j, "e");
	json_double(&j, 1.5);
	json_name(&j, "f");
	json_double(&j, NAN);
	json_object_end(&j);
	assert_string_equal(buf_str(&b),
			    "{\"a\":1,\"b\":[-2,{},null],\"c\":true,\"d\":null,\"e\":1.500,\"f\":null}");
	buf_fini(&b);
}

static void
any_byte_makes_valid_json(void **state)
{
	struct buf b = BUF_INIT;
	struct json j;

	json_init(&j, &b);
	json_span(&j, SPAN_LIT("a\"\\\n\0\x1f\x7f z"));
	assert_string_equal(buf_str(&b), "\"a\\\"\\\\\\n\\u0000\\u001f\\u007f z\"");
	buf_fini(&b);
}

static void
valid_utf8_passes_and_invalid_becomes_an_escape(void **state)
{
	static const struct {
		struct span in;
		const char *out;
	} rows[] = {
	    {SPAN_LIT("\xc3\xa4"), "\"\xc3\xa4\""},
	    {SPAN_LIT("\xe2\x82\xac"), "\"\xe2\x82\xac\""},
	    {SPAN_LIT("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
	    {SPAN_LIT("\xc3"), "\"\\u00c3\""},
	    {SPAN_LIT("\xc0\x80"), "\"\\u00c0\\u0080\""},
	    {SPAN_LIT("\xe0\x80\x80"), "\"\\u00e0\\u0080\\u0080\""},
	    {SPAN_LIT("\xed\xa0\x80"), "\"\\u00ed\\u00a0\\u0080\""},
	    {SPAN_LIT("\xf5\x80\x80\x80"), "\"\\u00f5\\u0080\\u0080\\u0080\""},
	    {SPAN_LIT("\xff"
		      "a"),
	     "\"\\u00ffa\""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT;
		struct json j;

		json_init(&j, &b);
		json_span(&j, rows[i].in);
		assert_string_equal(buf_str(&b), rows[i].out);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(commas_stand_between_values_only),
	    cmocka_unit_test(any_byte_makes_valid_json),
	    cmocka_unit_test(valid_utf8_passes_and_invalid_becomes_an_escape),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
