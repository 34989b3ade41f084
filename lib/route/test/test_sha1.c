#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "lib/route/sha1.h"

static void
the_examples_of_fips_180_are_reproduced(void **state)
{
	(void)state;
	assert_int_equal(sha1_first(span_of("abc")), 0xa9993e36);
	assert_int_equal(sha1_first(span_of("")), 0xda39a3ee);
	assert_int_equal(sha1_first(span_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
			 0x84983e44);
}

static void
every_length_up_to_four_blocks_agrees_with_openssl(void **state)
{
	unsigned char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 29 + 3);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		unsigned char d[EVP_MAX_MD_SIZE];

		assert_int_equal(EVP_Digest(bytes, n, d, NULL, EVP_sha1(), NULL), 1);
		assert_int_equal(sha1_first(span_make(bytes, n)),
				 (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_examples_of_fips_180_are_reproduced),
	    cmocka_unit_test(every_length_up_to_four_blocks_agrees_with_openssl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
