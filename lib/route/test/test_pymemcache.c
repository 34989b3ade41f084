#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/pymemcache.h"

static void
text_is(struct span key, bool bytes, const char *expected)
{
	char out[PYMEMCACHE_TEXT(64)];
	size_t n = pymemcache_text(key, bytes, out);

	if (!span_is(span_make(out, n), expected))
		fail_msg("got %.*s, not %s", (int)n, out, expected);
}

/* What CPython 3.11 prints for these. */
static void
bytes_are_hashed_as_python_prints_them(void **state)
{
	(void)state;
	text_is(span_of("user:42"), true, "b'user:42'");
	text_is(span_of("it's"), true, "b\"it's\"");
	text_is(span_of("a\"b"), true, "b'a\"b'");
	text_is(span_of("a\"b'c"), true, "b'a\"b\\'c'");
	text_is(span_of("back\\slash"), true, "b'back\\\\slash'");
	text_is(span_of("\x01\t\r\n\x7f\xff"), true, "b'\\x01\\t\\r\\n\\x7f\\xff'");
	text_is(span_of(""), true, "b''");
}

static void
of_a_str_the_lowest_byte_of_each_character_is_hashed(void **state)
{
	(void)state;
	text_is(span_of("user:42"), false, "user:42");
	text_is(span_of("\xc3\xbc"), false, "\xfc");	       /* U+00FC */
	text_is(span_of("\xe2\x82\xac!"), false, "\xac!");     /* U+20AC */
	text_is(span_of("x\xf0\x9f\x98\x81"), false, "x\x01"); /* U+1F601 */
}

static void
a_key_that_is_no_utf_8_must_have_been_bytes(void **state)
{
	(void)state;
	text_is(span_of("\xff"), false, "b'\\xff'");
	text_is(span_of("\xc3"), false, "b'\\xc3'");		       /* cut off */
	text_is(span_of("\xc0\xaf"), false, "b'\\xc0\\xaf'");	       /* overlong */
	text_is(span_of("\xed\xa0\x80"), false, "b'\\xed\\xa0\\x80'"); /* a surrogate */
	text_is(span_of("\xf4\x90\x80\x80"), false, "b'\\xf4\\x90\\x80\\x80'");
	text_is(span_of("\xc3\x28"), false, "b'\\xc3('");
}

static void
servers_that_pymemcache_3_5_2_chose_are_chosen(void **state)
{
	static const struct server_options servers[] = {
	    {.host = (char *)"10.0.0.1", .port = 11211},
	    {.host = (char *)"10.0.0.2", .port = 11211},
	    {.host = (char *)"cache3.example", .port = 11311},
	    {.host = (char *)"/run/mc.sock", .port = 0},
	};
	static const struct {
		const char *key;
		size_t str, bytes;
	} golden[] = {
	    {"a", 1, 1},
	    {"user:42", 2, 1},
	    {"user:43", 0, 2},
	    {"it's", 0, 3},
	    {"back\\slash", 0, 0},
	    {"k\303\274he", 3, 2},
	    {"\342\202\254:1", 2, 0},
	    {"\360\237\230\200", 2, 0},
	    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0, 0},
	    {"page:7|#|tail", 3, 2},
	    {"q\"'", 3, 3},
	    {"z", 2, 1},
	};
	struct pymemcache *str = pymemcache_create(servers, 4, false);
	struct pymemcache *bytes = pymemcache_create(servers, 4, true);

	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		assert_int_equal(pymemcache_route(str, span_of(golden[i].key)), golden[i].str);
		assert_int_equal(pymemcache_route(bytes, span_of(golden[i].key)), golden[i].bytes);
	}
	pymemcache_destroy(&str);
	pymemcache_destroy(&bytes);
}

static void
a_long_key_is_routed_too(void **state)
{
	static const struct server_options servers[] = {
	    {.host = (char *)"a", .port = 1},
	    {.host = (char *)"b", .port = 2},
	};
	struct pymemcache *p = pymemcache_create(servers, 2, true);
	char key[2000];

	(void)state;
	memset(key, 0xfe, sizeof(key));
	assert_true(pymemcache_route(p, span_make(key, sizeof(key))) < 2);
	pymemcache_destroy(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_are_hashed_as_python_prints_them),
	    cmocka_unit_test(of_a_str_the_lowest_byte_of_each_character_is_hashed),
	    cmocka_unit_test(a_key_that_is_no_utf_8_must_have_been_bytes),
	    cmocka_unit_test(servers_that_pymemcache_3_5_2_chose_are_chosen),
	    cmocka_unit_test(a_long_key_is_routed_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
