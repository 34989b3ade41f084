#include "cache-server/cache/token.h"

#include "lib/core/test/test.h"

static void
tokens_are_in_range_and_differ(void **state)
{
	struct token_batch b = {.left = 0};
	uint64_t seen[1000], bits = 0;
	unsigned i, j;

	for (i = 0; i < 1000; i++) {
		seen[i] = token_next(&b);
		assert_true(seen[i] > 1 && seen[i] <= INT64_MAX);
		bits |= seen[i];
		for (j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
	}
	assert_true(bits == INT64_MAX);
}

static void
a_token_that_was_handed_out_is_wiped(void **state)
{
	struct token_batch b = {.left = 0};
	uint64_t token = token_next(&b);
	unsigned i;

	for (i = 0; i < TOKEN_BATCH; i++)
		assert_true((b.numbers[i] & INT64_MAX) != token);
}

static void
only_the_same_token_is_the_same(void **state)
{
	unsigned i;

	assert_true(token_same(4711, 4711));
	assert_true(token_same(INT64_MAX, INT64_MAX));
	for (i = 0; i < 64; i++)
		assert_false(token_same(4711, 4711 ^ (1ull << i)));
	assert_false(token_same(0, 0));
	assert_false(token_same(1, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tokens_are_in_range_and_differ),
	    cmocka_unit_test(a_token_that_was_handed_out_is_wiped),
	    cmocka_unit_test(only_the_same_token_is_the_same),
	};

	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
