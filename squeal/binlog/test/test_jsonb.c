#include "lib/core/test/test.h"

#include <stdlib.h>

#include "squeal/binlog/jsonb.h"

static void
assert_text(const char *bytes, size_t len, const char *want)
{
	struct buf out = BUF_INIT;

	buf_put_str(&out, "before ");
	for (size_t n = 1; n < len; n++) {
		char *exact = malloc(n);

		/* Cut anywhere it is refused, and nothing is appended. */
		memcpy(exact, bytes, n);
		assert_false(jsonb_text(span_make(exact, n), &out));
		assert_int_equal(out.len, 7);
		free(exact);
	}
	assert_true(jsonb_text(span_make(bytes, len), &out));
	buf_take(&out, 7);
	assert_string_equal(buf_str(&out), want);
	buf_fini(&out);
}

#define ASSERT_TEXT(bytes, want) assert_text(bytes, sizeof(bytes) - 1, want)

static void
scalars_are_printed_as_mysql_does(void **state)
{
	ASSERT_TEXT("\x04\x00", "null");
	ASSERT_TEXT("\x04\x01", "true");
	ASSERT_TEXT("\x05\xff\xff", "-1");
	ASSERT_TEXT("\x06\xff\xff", "65535");
	ASSERT_TEXT("\x07\x00\x00\x00\x80", "-2147483648");
	ASSERT_TEXT("\x08\xff\xff\xff\xff", "4294967295");
	ASSERT_TEXT("\x09\x00\x00\x00\x00\x00\x00\x00\x80", "-9223372036854775808");
	ASSERT_TEXT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615");
	ASSERT_TEXT("\x0b\x00\x00\x00\x00\x00\x00\xf0\x3f", "1.0");
	ASSERT_TEXT("\x0b\x9a\x99\x99\x99\x99\x99\xb9\x3f", "0.1");
	ASSERT_TEXT("\x0c\x07"
		    "a\"\\\n\x01\xc3\xa9",
		    "\"a\\\"\\\\\\n\\u0001\xc3\xa9\"");
}

static void
containers_nest(void **state)
{
	/* {"a": [1, "x"]} */
	ASSERT_TEXT("\x00\x01\x00\x19\x00"
		    "\x0b\x00\x01\x00"
		    "\x02\x0c\x00"
		    "a"
		    "\x02\x00\x0d\x00"
		    "\x05\x01\x00"
		    "\x0c\x0a\x00"
		    "\x02xy",
		    "{\"a\": [1, \"xy\"]}");
}

/* Each array holds the same array twice, from the same bytes: 2^100 values, were they printed. */
static void
offsets_that_lead_to_the_same_bytes_do_not_blow_up(void **state)
{
	static const char bomb[] = "\x02\x02\x00\x0a\x00\x02\x00\x00\x02\x00\x00";
	struct buf out = BUF_INIT;

	assert_false(jsonb_text(span_make(bomb, sizeof(bomb) - 1), &out));
	assert_int_equal(out.len, 0);
	assert_true(jsonb_text((struct span){"", 0}, &out));
	assert_string_equal(buf_str(&out), "null");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(scalars_are_printed_as_mysql_does),
	    cmocka_unit_test(containers_nest),
	    cmocka_unit_test(offsets_that_lead_to_the_same_bytes_do_not_blow_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
