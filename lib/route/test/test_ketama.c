#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/route/ketama.h"
#include "lib/route/md5.h"
#include "lib/route/test/golden.h"
#include "lib/route/test/lists.h"

static void
circle_of(struct ketama *k, const struct test_list *list, bool weighted)
{
	struct ketama_server servers[TEST_LIST_MAX];
	uint64_t total = 0;

	for (size_t i = 0; i < list->n; i++)
		total += list->servers[i].weight;
	for (size_t i = 0; i < list->n; i++) {
		servers[i].name = span_of(list->servers[i].host);
		servers[i].texts = weighted ? ketama_share(list->servers[i].weight, total, list->n) : 100;
	}
	ketama_init(k, weighted ? KETAMA_MD5 : KETAMA_HASH, servers, list->n,
		    keyhash_find(KEYHASH_LIBMEMCACHED, "default"));
}

/* 1264 points is what libmemcached makes of these eight weights: 160 x 8 less what rounding down takes. */
static void
weights_share_the_points_with_the_originals_rounding(void **state)
{
	static const struct test_list list = {
	    "fixture",
	    8,
	    {TEST_SERVER("10.0.1.1", 11211, 600), TEST_SERVER("10.0.1.2", 11211, 300),
	     TEST_SERVER("10.0.1.3", 11211, 200), TEST_SERVER("10.0.1.4", 11211, 350),
	     TEST_SERVER("10.0.1.5", 11211, 1000), TEST_SERVER("10.0.1.6", 11211, 800),
	     TEST_SERVER("10.0.1.7", 11211, 950), TEST_SERVER("10.0.1.8", 11211, 100)}};
	struct ketama k;

	(void)state;
	circle_of(&k, &list, true);
	assert_int_equal(k.n, 1264);
	ketama_fini(&k);
}

/* 2 of 25 parts among five servers are 16 digests on paper and 15 in libmemcached. */
static void
shares_are_computed_in_single_precision(void **state)
{
	static const struct test_list list = {"float",
					      5,
					      {TEST_SERVER("g1", 11211, 2), TEST_SERVER("g2", 11211, 5),
					       TEST_SERVER("g3", 11211, 6), TEST_SERVER("g4", 11211, 6),
					       TEST_SERVER("g5", 11211, 6)}};
	struct ketama k;
	size_t first = 0;

	(void)state;
	circle_of(&k, &list, true);
	for (size_t i = 0; i < k.n; i++)
		first += k.points[i].server == 0;
	assert_int_equal(first, 15 * 4);
	ketama_fini(&k);
}

static void
an_unweighted_server_has_a_hundred_points(void **state)
{
	struct ketama k;

	(void)state;
	circle_of(&k, &test_lists[0], false);
	assert_int_equal(k.n, 200);
	for (size_t i = 1; i < k.n; i++)
		assert_true(k.points[i - 1].at <= k.points[i].at);
	ketama_fini(&k);
}

/* libmemcached's own tests: the hash of each key, the point it belongs to and that point's server. */
static size_t
fixture(const char *algorithm, const char *name_format)
{
	static const uint32_t weights[8] = {600, 300, 200, 350, 1000, 800, 950, 100};
	struct ketama_server servers[8];
	char names[8][32];
	struct ketama k;
	struct golden g;
	size_t rows = 0;

	for (size_t i = 0; i < 8; i++) {
		snprintf(names[i], sizeof(names[i]), name_format, (unsigned)i + 1);
		servers[i] = (struct ketama_server){span_of(names[i]), ketama_share(weights[i], 4300, 8)};
	}
	ketama_init(&k, KETAMA_MD5, servers, 8, NULL);
	assert_int_equal(k.n, 1264);
	golden_open(&g, "ketama.tsv");
	while (golden_row(&g, algorithm, NULL)) {
		const struct ketama_point *p = ketama_find(&k, golden_number(&g, 2));

		assert_int_equal(md5_of(span_of(g.field[1])).word[0], golden_number(&g, 2));
		/* The table's points of the second algorithm are those of the first: only its servers count.
		 */
		if (strcmp(algorithm, "ketama_weighted") == 0)
			assert_int_equal(p->at, golden_number(&g, 3));
		assert_int_equal(p->server + 1, strtoul(g.field[4] + strlen("10.0.1."), NULL, 10));
		rows++;
	}
	golden_close(&g);
	/* Behind the last point comes the first. */
	assert_int_equal(md5_of(span_of("VDEAAAAA")).word[0], 0xfffcd1b5);
	assert_ptr_equal(ketama_find(&k, 0xfffcd1b5), &k.points[0]);
	ketama_fini(&k);
	return rows;
}

static void
both_tables_of_libmemcacheds_tests_are_reproduced(void **state)
{
	(void)state;
	assert_int_equal(fixture("ketama_weighted", "10.0.1.%u"), 99);
	assert_int_equal(fixture("ketama_spy", "/10.0.1.%u:11211"), 99);
}

/* From twemproxy's src/test_all.c: words 0 and 3 of the digest of "server1-8". */
static void
points_of_twemproxys_tests_are_reproduced(void **state)
{
	struct ketama_server server = {SPAN_LIT("server1"), 9};
	struct ketama k;
	unsigned found = 0;

	(void)state;
	ketama_init(&k, KETAMA_MD5, &server, 1, NULL);
	for (uint32_t i = 0; i < k.n; i++)
		found += k.points[i].at == 3853726576u || k.points[i].at == 2667054752u;
	assert_int_equal(found, 2);
	ketama_fini(&k);
}

/* Every point's own hash and its neighbours', against a search that looks at all points. */
static void
a_hash_belongs_to_the_point_at_or_after_it(void **state)
{
	static const char *const hashes[] = {"default", "md5", "crc", "murmur"};

	(void)state;
	for (size_t h = 0; h < sizeof(hashes) / sizeof(hashes[0]); h++) {
		struct ketama_server servers[] = {
		    {SPAN_LIT("a"), 100}, {SPAN_LIT("b"), 7}, {SPAN_LIT("c"), 40}};
		struct ketama k;

		ketama_init(&k, KETAMA_HASH, servers, 3, keyhash_find(KEYHASH_LIBMEMCACHED, hashes[h]));
		for (uint32_t i = 0; i < k.n; i++) {
			for (uint32_t d = 0; d < 3; d++) {
				uint32_t hash = k.points[i].at + d - 1, p = 0;

				while (p < k.n && k.points[p].at < hash)
					p++;
				assert_ptr_equal(ketama_find(&k, hash), &k.points[p == k.n ? 0 : p]);
			}
		}
		assert_ptr_equal(ketama_find(&k, 0), &k.points[0]);
		assert_ptr_equal(ketama_find(&k, UINT32_MAX), &k.points[0]);
		ketama_fini(&k);
	}
}

/* Two servers of one name have the same points; the first one of the list has the keys. */
static void
of_equal_points_the_first_server_has_the_key(void **state)
{
	struct ketama_server servers[] = {{SPAN_LIT("x"), 40}, {SPAN_LIT("x"), 40}};
	struct ketama k;

	(void)state;
	ketama_init(&k, KETAMA_MD5, servers, 2, NULL);
	assert_int_equal(k.n, 320);
	for (uint32_t hash = 1; hash < UINT32_MAX / 2; hash = hash * 3 + 1)
		assert_int_equal(ketama_find(&k, hash)->server, 0);
	ketama_fini(&k);
}

static void
in_a_map_the_last_server_has_the_key(void **state)
{
	struct ketama_server servers[] = {{SPAN_LIT("x"), 40}, {SPAN_LIT("y"), 40}, {SPAN_LIT("x"), 40}};
	struct ketama k;

	(void)state;
	ketama_init(&k, KETAMA_MD5_LAST, servers, 3, NULL);
	for (uint32_t hash = 1; hash < UINT32_MAX / 2; hash = hash * 3 + 1)
		assert_int_not_equal(ketama_find(&k, hash)->server, 0);
	ketama_fini(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(weights_share_the_points_with_the_originals_rounding),
	    cmocka_unit_test(shares_are_computed_in_single_precision),
	    cmocka_unit_test(an_unweighted_server_has_a_hundred_points),
	    cmocka_unit_test(a_hash_belongs_to_the_point_at_or_after_it),
	    cmocka_unit_test(both_tables_of_libmemcacheds_tests_are_reproduced),
	    cmocka_unit_test(points_of_twemproxys_tests_are_reproduced),
	    cmocka_unit_test(of_equal_points_the_first_server_has_the_key),
	    cmocka_unit_test(in_a_map_the_last_server_has_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
