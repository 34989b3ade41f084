#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/utf8.h"

static void
characters_of_every_length_are_taken(void **state)
{
	struct span s = SPAN_LIT("a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\x7f");
	static const uint32_t expected[] = {'a', 0xfc, 0x20ac, 0x1f600, 0x10ffff, 0x7f};
	uint32_t c;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_true(utf8_take(&s, &c));
		assert_int_equal(c, expected[i]);
	}
	assert_int_equal(s.len, 0);
}

static void
what_is_no_character_is_left(void **state)
{
	static const char *const bad[] = {"\x80",
					  "\xc3",
					  "\xc0\xaf",
					  "\xe0\x80\xaf",
					  "\xed\xa0\x80",
					  "\xf4\x90\x80\x80",
					  "\xf8\x88\x80\x80",
					  "\xff",
					  "\xc3(",
					  "\xe2\x82",
					  "\xf0\x9f\x98",
					  "\xf0\x8f\xbf\xbf"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct span s = span_of(bad[i]);
		uint32_t c = 7;

		assert_false(utf8_take(&s, &c));
		assert_int_equal(s.len, strlen(bad[i]));
		assert_int_equal(c, 7);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(characters_of_every_length_are_taken),
	    cmocka_unit_test(what_is_no_character_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
