#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/spooky.h"

/* From folly's SpookyHashV2Test.cpp: Hash32 with seed 0 of as many of the bytes 128, 129, .. 255, 0, 1, .. */
static const struct {
	size_t length;
	uint32_t hash[4]; /* of this length and the next three */
} golden[] = {
    {0, {0x6bf50919, 0x70de1d26, 0xa2b37298, 0x35bc5fbf}},
    {4, {0x8223b279, 0x5bcb315e, 0x53fe88a1, 0xf9f1a233}},
    {8, {0xee193982, 0x54f86f29, 0xc8772d36, 0x9ed60886}},
    {12, {0x5f23d1da, 0x1ed9f474, 0xf2ef0c89, 0x83ec01f9}},
    {16, {0xf274736c, 0x7e9ac0df, 0xc7aed250, 0xb1015811}},
    {20, {0xe23470f5, 0x48ac20c4, 0xe2ab3cd5, 0x608f8363}},
    {24, {0xd0639e68, 0xc4e8e7ab, 0x863c7c5b, 0x4ea63579}},
    {28, {0x99ae8622, 0x170c658b, 0x149ba493, 0x027bca7c}},
    {32, {0xe5cfc8b6, 0xce01d9d7, 0x11103330, 0x5d1f5ed4}},
    {44, {0x9d7e55a5, 0xc68dd371, 0xfc1af2cc, 0x75728d0a}},
    {60, {0x1cd6a5a2, 0x197b402e, 0xc28d0d2b, 0x09c1afb4}},
    {188, {0xe715b13a, 0x0394c3b2, 0x11efbbae, 0xe13d9e19}},
    {192, {0x77e012bd, 0x2d05114c, 0xaecf2ddd, 0xb2a2b4aa}},
    {196, {0xb9429546, 0x55dce815, 0xc89138f8, 0x46dcae20}},
    {256, {0x38cebf03, 0x0cbc2e72, 0xbf03e704, 0x7b3e7a9a}},
    {320, {0xf1545450, 0xd41d5df5, 0x25a5060d, 0x77b368da}},
    {448, {0xad7baa23, 0xd181714a, 0x9bbdab78, 0x6c7d1577}},
    {508, {0x918fa7c9, 0xaf2e2cd9, 0x82046f8e, 0xcc1c8250}},
};

static void
lengths_on_both_sides_of_the_long_form_give_the_published_values(void **state)
{
	unsigned char bytes[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i + 128);
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		for (size_t d = 0; d < 4; d++)
			assert_int_equal(spooky32(span_make(bytes, golden[i].length + d), 0),
					 golden[i].hash[d]);
	}
}

static void
where_the_bytes_lie_means_nothing(void **state)
{
	char bytes[300];

	(void)state;
	for (size_t length = 0; length < 280; length++) {
		uint32_t first = 0;

		for (size_t from = 0; from < 8; from++) {
			memset(bytes, 'x', sizeof(bytes));
			for (size_t i = 0; i < length; i++)
				bytes[from + i] = (char)(i * 7);
			if (from == 0)
				first = spooky32(span_make(bytes, length), 1);
			assert_int_equal(spooky32(span_make(bytes + from, length), 1), first);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lengths_on_both_sides_of_the_long_form_give_the_published_values),
	    cmocka_unit_test(where_the_bytes_lie_means_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
