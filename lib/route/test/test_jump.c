#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/jump.h"
#include "lib/route/keyhash.h"

/* Those of github.com/lithammer/go-jump-consistent-hash, jump_test.go. */
static void
vectors_of_another_implementation_are_reproduced(void **state)
{
	(void)state;
	assert_int_equal(jump_of(1, 1), 0);
	assert_int_equal(jump_of(42, 57), 43);
	assert_int_equal(jump_of(0xdead10cc, 1), 0);
	assert_int_equal(jump_of(0xdead10cc, 666), 361);
	assert_int_equal(jump_of(256, 1024), 520);
}

static void
its_vectors_of_texts_are_reproduced_with_its_hashes(void **state)
{
	static const struct {
		const char *key, *hash;
		uint32_t n, index;
	} golden[] = {
	    {"localhost", "crc32", 10, 9},
	    {"\xd1\x91\xd0\xbb\xd0\xba\xd0\xb0", "crc64", 10, 6},
	    {"\xd0\xb2\xd0\xb5\xd1\x82\xd0\xb5\xd1\x80", "fnv1_64", 10, 3},
	    {"\xe4\xb8\xad\xe5\x9b\xbd", "fnv1a_64", 10, 5},
	    {"\xe6\x97\xa5\xe6\x9c\xac", "crc64", 10, 6},
	    {"127.0.0.1", "crc64", 8, 7},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		const struct keyhash *h = keyhash_find(KEYHASH_JUMP, golden[i].hash);

		assert_int_equal(jump_of(h->of(span_of(golden[i].key)), golden[i].n), golden[i].index);
	}
}

static void
a_server_added_at_the_end_takes_its_share_and_no_other_key_moves(void **state)
{
	unsigned moved = 0;

	(void)state;
	for (uint64_t key = 0; key < 20000; key++) {
		uint64_t hash = key * 0x9e3779b97f4a7c15u;
		uint32_t before = jump_of(hash, 9), after = jump_of(hash, 10);

		assert_true(after == before || after == 9);
		moved += after == 9;
	}
	assert_in_range(moved, 1800, 2200);
}

static void
all_numbers_of_servers_have_an_answer(void **state)
{
	static const uint32_t n[] = {2, 3, 1000, 8388608, UINT32_MAX};

	(void)state;
	assert_int_equal(jump_of(77, 0), 0);
	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		assert_true(jump_of(0, n[i]) < n[i]);
		assert_true(jump_of(UINT64_MAX, n[i]) < n[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vectors_of_another_implementation_are_reproduced),
	    cmocka_unit_test(its_vectors_of_texts_are_reproduced_with_its_hashes),
	    cmocka_unit_test(a_server_added_at_the_end_takes_its_share_and_no_other_key_moves),
	    cmocka_unit_test(all_numbers_of_servers_have_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
