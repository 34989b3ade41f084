#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/murmur.h"

/* Vectors of the functions' author and of SMHasher's users; the last one is of pymemcache's tests. */
static void
murmur3_gives_its_published_values(void **state)
{
	(void)state;
	assert_int_equal(murmur3(span_of(""), 0), 0);
	assert_int_equal(murmur3(span_of(""), 1), 0x514e28b7);
	assert_int_equal(murmur3(span_of("test"), 0), 0xba6bd213);
	assert_int_equal(murmur3(span_of("Hello, world!"), 0x9747b28c), 0x24884cba);
	assert_int_equal(murmur3(span_of("The quick brown fox jumps over the lazy dog"), 0), 0x2e4ff723);
	assert_int_equal(murmur3(span_of("6666"), 0), 1361238019);
	assert_int_equal(murmur3(span_of("6666"), 10), 2981722772);
}

static void
murmur3_in_pieces_is_murmur3(void **state)
{
	static const char text[] = "cache-a.example:11211-user:42:profile";

	(void)state;
	for (size_t a = 0; a < sizeof(text); a++) {
		for (size_t b = a; b < sizeof(text); b++) {
			struct murmur3 m = murmur3_start(7);

			murmur3_add(&m, span_make(text, a));
			murmur3_add(&m, span_make(text + a, b - a));
			murmur3_add(&m, span_make(text + b, sizeof(text) - b));
			assert_int_equal(murmur3_end(&m), murmur3(span_make(text, sizeof(text)), 7));
		}
	}
}

static void
a_word_is_the_hash_of_its_eight_bytes(void **state)
{
	static const char bytes[] = "\x01\x02\x03\x04\xf5\x06\x07\x08";

	(void)state;
	assert_true(murmur64a_word(0x080706f504030201, 4193360111u) ==
		    murmur64a(span_make(bytes, 8), 4193360111u));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(murmur3_gives_its_published_values),
	    cmocka_unit_test(murmur3_in_pieces_is_murmur3),
	    cmocka_unit_test(a_word_is_the_hash_of_its_eight_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
