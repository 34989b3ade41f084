#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "router/age.h"

static void
nothing_is_old_where_nothing_was_read(void **state)
{
	struct age a = {0};

	(void)state;
	assert_int_equal(age_oldest_us(&a), 0);
	age_forget(&a, 100);
	assert_int_equal(age_oldest_us(&a), 0);
}

static void
the_oldest_is_that_of_the_first_record_that_is_left(void **state)
{
	struct age a = {0};

	(void)state;
	for (uint64_t i = 10; i < 20; i++)
		age_note(&a, i, i * 1000);
	assert_int_equal(age_oldest_us(&a), 10000);
	age_forget(&a, 15);
	assert_int_equal(age_oldest_us(&a), 15000);
	/* All are acknowledged: the last one is remembered. */
	age_forget(&a, 1000);
	assert_int_equal(age_oldest_us(&a), 19000);
	age_clear(&a);
	assert_int_equal(age_oldest_us(&a), 0);
}

/* Against a list of everything: never a later record, and one not far before. */
static void
many_records_keep_few_samples_and_none_is_too_young(void **state)
{
	enum { MANY = 100000 };
	struct age a = {0};
	uint64_t done = 0, most = 0; /* records read and not done */

	(void)state;
	srand(7);
	for (uint64_t i = 0; i < MANY; i++) {
		age_note(&a, i, 1 + i);
		assert_true(a.n <= AGE_SAMPLES);
		if (rand() % 50 == 0) {
			uint64_t oldest;

			most = i - done + 1 > most ? i - done + 1 : most;
			done += (uint64_t)rand() % (i - done + 1);
			age_forget(&a, done);
			oldest = age_oldest_us(&a);
			assert_true(oldest <= 1 + done);
			assert_true(1 + done - oldest <= 2 * most / (AGE_SAMPLES / 2) + 1);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_old_where_nothing_was_read),
	    cmocka_unit_test(the_oldest_is_that_of_the_first_record_that_is_left),
	    cmocka_unit_test(many_records_keep_few_samples_and_none_is_too_young),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
