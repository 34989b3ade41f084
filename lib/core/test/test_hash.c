#include "lib/core/hash.h"

#include "lib/core/test/test.h"

static void
the_seed_and_every_byte_matter(void **state)
{
	assert_true(hash_span(SPAN_LIT("user:1"), 1) == hash_span(SPAN_LIT("user:1"), 1));
	assert_true(hash_span(SPAN_LIT("user:1"), 1) != hash_span(SPAN_LIT("user:1"), 2));
	assert_true(hash_span(SPAN_LIT("user:1"), 1) != hash_span(SPAN_LIT("user:2"), 1));
	hash_span((struct span){NULL, 0}, 1);
}

static void
seeds_differ(void **state)
{
	assert_true(hash_seed() != hash_seed());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_seed_and_every_byte_matter),
	    cmocka_unit_test(seeds_differ),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
