#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/base64.h"

static void
round_trip(const char *bytes, const char *text)
{
	char to[64], back[64];
	size_t len = (size_t)(base64_put(to, span_of(bytes)) - to);

	assert_int_equal(len, strlen(text));
	assert_int_equal(len, BASE64_TEXT(strlen(bytes)));
	assert_memory_equal(to, text, len);
	assert_int_equal(base64_get(span_of(text), back), strlen(bytes));
	assert_memory_equal(back, bytes, strlen(bytes));
}

/* RFC 4648, section 10. */
static void
test_vectors_of_the_rfc(void **state)
{
	round_trip("f", "Zg==");
	round_trip("fo", "Zm8=");
	round_trip("foo", "Zm9v");
	round_trip("foob", "Zm9vYg==");
	round_trip("fooba", "Zm9vYmE=");
	round_trip("foobar", "Zm9vYmFy");
	round_trip("\xff\xfe\x01\x02", "//4BAg==");
}

static void
what_is_not_base64_is_refused(void **state)
{
	char out[64];

	assert_int_equal(base64_get(span_of(""), out), 0);
	assert_int_equal(base64_get(span_of("Zg="), out), 0);
	assert_int_equal(base64_get(span_of("Z==="), out), 0);
	assert_int_equal(base64_get(span_of("Zm9vY"), out), 0);
	assert_int_equal(base64_get(span_of("!!!!"), out), 0);
}

/* memcached passes over characters that it does not know, and stops at padding. */
static void
strange_characters_are_passed_over(void **state)
{
	char out[64];

	assert_int_equal(base64_get(span_of("Z!m-9v"), out), 3);
	assert_memory_equal(out, "foo", 3);
	assert_int_equal(base64_get(span_of("Zg==Zm9v"), out), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors_of_the_rfc),
	    cmocka_unit_test(what_is_not_base64_is_refused),
	    cmocka_unit_test(strange_characters_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
