#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/furc.h"
#include "lib/route/test/golden.h"

static void
every_value_of_mcrouters_table_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "one", "ch3")) {
		uint32_t got = furc_of(golden_key(&g, 4), golden_number(&g, 3));

		if (got != golden_number(&g, 5))
			fail_msg("\"%s\" among %s: %u, not %s", g.field[4], g.field[3], got, g.field[5]);
		rows++;
	}
	assert_int_equal(rows, 264 + 11 + 8);
	golden_close(&g);
}

static void
every_sum_of_mcrouters_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "sum", "ch3")) {
		char room[200];
		uint32_t sum = 0;

		for (unsigned i = 0; i < golden_number(&g, 5); i++)
			sum = sum * 31 + furc_of(golden_series(g.field[4], i, room), golden_number(&g, 3));
		assert_int_equal(sum, golden_number(&g, 6));
		rows++;
	}
	assert_int_equal(rows, 19);
	golden_close(&g);
}

static void
every_count_of_mcrouters_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "counts", "ch3")) {
		double expected[GOLDEN_WEIGHTS];
		uint32_t counts[GOLDEN_WEIGHTS] = {0};
		uint32_t n = golden_number(&g, 2);
		char room[200];

		for (unsigned i = 0; i < golden_number(&g, 4); i++)
			counts[furc_of(golden_series(g.field[3], i, room), n)]++;
		assert_int_equal(golden_list(&g, 5, expected), n);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(counts[i], (uint32_t)expected[i]);
		rows++;
	}
	assert_int_equal(rows, 2);
	golden_close(&g);
}

static void
a_server_added_at_the_end_takes_keys_and_no_other_key_moves(void **state)
{
	(void)state;
	for (uint32_t n = 1; n < 70; n++) {
		for (unsigned i = 0; i < 300; i++) {
			char room[200];
			struct span key = golden_series("cons_", i, room);
			uint32_t before = furc_of(key, n), after = furc_of(key, n + 1);

			assert_true(before < n);
			assert_true(after == before || after == n);
		}
	}
}

static void
no_server_and_one_server_are_the_first(void **state)
{
	(void)state;
	assert_int_equal(furc_of(span_of("key"), 0), 0);
	assert_int_equal(furc_of(span_of("key"), 1), 0);
	assert_int_equal(furc_of(span_make(NULL, 0), 1000000), 407687);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_value_of_mcrouters_table_is_reproduced),
	    cmocka_unit_test(every_sum_of_mcrouters_is_reproduced),
	    cmocka_unit_test(every_count_of_mcrouters_is_reproduced),
	    cmocka_unit_test(a_server_added_at_the_end_takes_keys_and_no_other_key_moves),
	    cmocka_unit_test(no_server_and_one_server_are_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
