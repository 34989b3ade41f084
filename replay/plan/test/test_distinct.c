#include "replay/plan/distinct.h"

#include <stdio.h>

#include "lib/core/hash.h"
#include "lib/core/test/test.h"

static struct distinct_hash
hash_of(unsigned long n)
{
	char text[32];
	struct span s = {text, (size_t)snprintf(text, sizeof(text), "key:%lu", n)};

	return (struct distinct_hash){hash_span(s, 1), hash_span(s, 2)};
}

static void
up_to_the_limit_every_thing_is_counted_once(void **state)
{
	struct distinct *d = distinct_create(1000);

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (unsigned long n = 0; n < 1000; n++)
			assert_int_equal(distinct_add(d, hash_of(n)), round == 0);
	}
	assert_int_equal(distinct_count(d), 1000);
	assert_true(distinct_is_exact(d));
	distinct_destroy(&d);
}

static void
beyond_the_limit_nothing_new_is_called_old_and_the_number_is_near(void **state)
{
	struct distinct *d = distinct_create(1000);

	(void)state;
	for (unsigned long n = 0; n < 200000; n++)
		assert_true(distinct_add(d, hash_of(n)));
	assert_false(distinct_is_exact(d));
	/* Three times the usual error of 2^14 registers. */
	assert_true(distinct_count(d) > 195000 && distinct_count(d) < 205000);
	distinct_destroy(&d);
}

static void
without_a_set_things_that_come_again_count_once(void **state)
{
	struct distinct *d = distinct_create(0);

	(void)state;
	for (int round = 0; round < 5; round++) {
		for (unsigned long n = 0; n < 3000; n++)
			assert_true(distinct_add(d, hash_of(n)));
	}
	assert_true(distinct_count(d) > 2900 && distinct_count(d) < 3100);
	distinct_destroy(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(up_to_the_limit_every_thing_is_counted_once),
	    cmocka_unit_test(beyond_the_limit_nothing_new_is_called_old_and_the_number_is_near),
	    cmocka_unit_test(without_a_set_things_that_come_again_count_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
