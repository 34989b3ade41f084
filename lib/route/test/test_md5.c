#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "lib/route/md5.h"

/* The digest as RFC 1321 prints it. */
static void
hex(struct span bytes, char out[33])
{
	struct md5 md5 = md5_of(bytes);

	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", md5.word[i / 4] >> (8 * (i % 4)) & 0xff);
}

static void
the_test_suite_of_rfc_1321_passes(void **state)
{
	static const char *const suite[][2] = {
	    {"", "d41d8cd98f00b204e9800998ecf8427e"},
	    {"a", "0cc175b9c0f1b6a831c399e269772661"},
	    {"abc", "900150983cd24fb0d6963f7d28e17f72"},
	    {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
	    {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
	    {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
	     "d174ab98d277d9f5a5611c2c9f419d9f"},
	    {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
	     "57edf4a22be3c955ac49da2e2107b67a"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(suite) / sizeof(suite[0]); i++) {
		char got[33];

		hex(span_of(suite[i][0]), got);
		assert_string_equal(got, suite[i][1]);
	}
}

static void
every_length_up_to_four_blocks_agrees_with_openssl(void **state)
{
	unsigned char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 31 + 7);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		unsigned char theirs[EVP_MAX_MD_SIZE];
		struct md5 ours = md5_of(span_make(bytes, n));

		assert_int_equal(EVP_Digest(bytes, n, theirs, NULL, EVP_md5(), NULL), 1);
		for (size_t i = 0; i < 16; i++)
			assert_int_equal(ours.word[i / 4] >> (8 * (i % 4)) & 0xff, theirs[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_test_suite_of_rfc_1321_passes),
	    cmocka_unit_test(every_length_up_to_four_blocks_agrees_with_openssl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
