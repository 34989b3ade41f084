#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/core/mem.h"
#include "lib/route/rendezvous.h"
#include "lib/route/test/golden.h"

enum { SERVERS_MAX = 499 };

/* The servers of mcrouter's tests, one left out if `without` is below `n`. */
static size_t
servers_of(uint64_t servers[SERVERS_MAX], size_t n, size_t without)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		char tag[32];

		snprintf(tag, sizeof(tag), "xxx.%zu.yy", i);
		if (i != without)
			servers[at++] = rendezvous_server(span_of(tag));
	}
	return at;
}

static void
ones(double weights[SERVERS_MAX])
{
	for (size_t i = 0; i < SERVERS_MAX; i++)
		weights[i] = 1;
}

static size_t
values(const char *algorithm, const double *weights)
{
	struct golden g;
	size_t rows = 0;

	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "one", algorithm)) {
		uint64_t servers[SERVERS_MAX];
		size_t n = servers_of(servers, golden_number(&g, 3), SIZE_MAX);

		assert_int_equal(rendezvous_of(golden_key(&g, 4), servers, weights, n), golden_number(&g, 5));
		rows++;
	}
	golden_close(&g);
	return rows;
}

static void
every_value_of_mcrouters_tests_is_reproduced(void **state)
{
	double weights[SERVERS_MAX];

	(void)state;
	ones(weights);
	assert_int_equal(values("rendezvous", NULL), 8);
	assert_int_equal(values("weighted_rendezvous", weights), 8);
}

static size_t
counts(const char *algorithm, bool weighted)
{
	struct golden g;
	size_t rows = 0;

	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "counts", algorithm)) {
		double expected[GOLDEN_WEIGHTS], weights[GOLDEN_WEIGHTS];
		uint32_t got[GOLDEN_WEIGHTS] = {0};
		uint64_t servers[SERVERS_MAX];
		size_t n = golden_list(&g, 5, expected);
		char room[200];

		golden_list(&g, 2, weights);
		servers_of(servers, n, SIZE_MAX);
		for (unsigned i = 0; i < golden_number(&g, 4); i++)
			got[rendezvous_of(golden_series(g.field[3], i, room), servers,
					  weighted ? weights : NULL, n)]++;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(got[i], (uint32_t)expected[i]);
		rows++;
	}
	golden_close(&g);
	return rows;
}

static void
every_count_of_mcrouters_tests_is_reproduced(void **state)
{
	(void)state;
	assert_int_equal(counts("rendezvous", false), 2);
	assert_int_equal(counts("weighted_rendezvous", true), 4);
}

static size_t
moves(const char *algorithm, const double *weights)
{
	struct golden g;
	size_t rows = 0;

	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "moved", algorithm)) {
		uint64_t all[SERVERS_MAX], fewer[SERVERS_MAX];
		size_t n = servers_of(all, golden_number(&g, 2), SIZE_MAX);
		size_t moved = 0;
		char room[200];

		servers_of(fewer, n, golden_number(&g, 3));
		for (unsigned i = 0; i < 10000; i++) {
			struct span key = golden_series("mykey:", i, room);

			moved += all[rendezvous_of(key, all, weights, n)] !=
				 fewer[rendezvous_of(key, fewer, weights, n - 1)];
		}
		assert_int_equal(moved, golden_number(&g, 4));
		rows++;
	}
	golden_close(&g);
	return rows;
}

static void
a_server_taken_away_moves_as_many_keys_as_in_mcrouters_tests(void **state)
{
	double weights[SERVERS_MAX];

	(void)state;
	ones(weights);
	assert_int_equal(moves("rendezvous", NULL), 3);
	assert_int_equal(moves("weighted_rendezvous", weights), 3);
}

static void
when_all_weights_are_zero_the_first_server_has_the_key(void **state)
{
	double weights[3] = {0};
	uint64_t servers[SERVERS_MAX];

	(void)state;
	servers_of(servers, 3, SIZE_MAX);
	assert_int_equal(rendezvous_of(span_of("x"), servers, weights, 3), 0);
}

static void
of_equal_scores_the_later_server_wins_without_weights_and_the_earlier_one_with(void **state)
{
	double weights[2] = {1, 1};
	uint64_t servers[2];

	(void)state;
	servers[0] = servers[1] = rendezvous_server(span_of("twin"));
	assert_int_equal(rendezvous_of(span_of("x"), servers, NULL, 2), 1);
	assert_int_equal(rendezvous_of(span_of("x"), servers, weights, 2), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_value_of_mcrouters_tests_is_reproduced),
	    cmocka_unit_test(every_count_of_mcrouters_tests_is_reproduced),
	    cmocka_unit_test(a_server_taken_away_moves_as_many_keys_as_in_mcrouters_tests),
	    cmocka_unit_test(when_all_weights_are_zero_the_first_server_has_the_key),
	    cmocka_unit_test(of_equal_scores_the_later_server_wins_without_weights_and_the_earlier_one_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
