#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/core/mem.h"
#include "lib/route/furc.h"
#include "lib/route/test/golden.h"
#include "lib/route/wch3.h"

static uint32_t
among(struct span key, const uint32_t *shares, uint32_t n)
{
	char room[300];

	assert_true(key.len + WCH3_DIGITS <= sizeof(room));
	if (key.len > 0)
		memcpy(room, key.p, key.len);
	return wch3_of(room, key.len, shares, n);
}

/* Shares of `n` servers from a field that has one weight for all or one for each. */
static uint32_t *
shares_of(const struct golden *g, size_t field, uint32_t n)
{
	uint32_t *shares = mem_alloc((n + 1) * sizeof(shares[0]));
	double weights[GOLDEN_WEIGHTS];
	size_t nweights = golden_list(g, field, weights);

	for (uint32_t i = 0; i < n; i++)
		shares[i] = wch3_share(weights[nweights == 1 ? 0 : i]);
	return shares;
}

static void
every_value_of_mcrouters_tests_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "one", "wch3")) {
		uint32_t *shares = shares_of(&g, 2, golden_number(&g, 3));

		assert_int_equal(among(golden_key(&g, 4), shares, golden_number(&g, 3)),
				 golden_number(&g, 5));
		free(shares);
		rows++;
	}
	assert_int_equal(rows, 12);
	golden_close(&g);
}

static void
every_sum_of_mcrouters_tests_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "sum", "wch3")) {
		uint32_t *shares = shares_of(&g, 2, golden_number(&g, 3));
		char room[200];
		uint32_t sum = 0;

		for (unsigned i = 0; i < golden_number(&g, 5); i++)
			sum = sum * 31 +
			      among(golden_series(g.field[4], i, room), shares, golden_number(&g, 3));
		if (sum != golden_number(&g, 6))
			fail_msg("weight %s, %s servers, keys %s", g.field[2], g.field[3], g.field[4]);
		free(shares);
		rows++;
	}
	assert_int_equal(rows, 9 + 5 + 4 + 4 + 3 + 1);
	golden_close(&g);
}

static void
every_count_of_mcrouters_tests_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "counts", "wch3")) {
		double expected[GOLDEN_WEIGHTS];
		uint32_t counts[GOLDEN_WEIGHTS] = {0};
		uint32_t n = (uint32_t)golden_list(&g, 5, expected);
		uint32_t *shares = shares_of(&g, 2, n);
		char room[200];

		for (unsigned i = 0; i < golden_number(&g, 4); i++)
			counts[among(golden_series(g.field[3], i, room), shares, n)]++;
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(counts[i], (uint32_t)expected[i]);
		free(shares);
		rows++;
	}
	assert_int_equal(rows, 2);
	golden_close(&g);
}

static void
a_weight_below_one_only_moves_keys_away_from_its_server(void **state)
{
	uint32_t shares[20];
	unsigned moved = 0, of = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		shares[i] = wch3_share(i == 7 ? 0.3 : 1);
	for (unsigned i = 0; i < 4000; i++) {
		char room[200];
		struct span key = golden_series("cons_", i, room);
		uint32_t plain = furc_of(key, 20), got = among(key, shares, 20);

		if (plain != 7)
			assert_int_equal(got, plain);
		of += plain == 7;
		moved += plain == 7 && got != 7;
	}
	assert_in_range(moved, of / 2, of);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_value_of_mcrouters_tests_is_reproduced),
	    cmocka_unit_test(every_sum_of_mcrouters_tests_is_reproduced),
	    cmocka_unit_test(every_count_of_mcrouters_tests_is_reproduced),
	    cmocka_unit_test(a_weight_below_one_only_moves_keys_away_from_its_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
