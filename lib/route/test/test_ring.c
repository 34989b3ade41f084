#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/core/file.h"
#include "lib/core/mem.h"
#include "lib/route/crc.h"
#include "lib/route/furc.h"
#include "lib/route/rendezvous.h"
#include "lib/route/ring.h"
#include "lib/route/test/golden.h"
#include "lib/route/test/lists.h"

#define GOLDEN "lib/route/test/golden/libmemcached.txt"

static const struct test_list *
list_named(const char *name)
{
	for (size_t i = 0; i < test_nlists; i++) {
		if (strcmp(test_lists[i].name, name) == 0)
			return &test_lists[i];
	}
	fail_msg("no list %s", name);
	return NULL;
}

static void
every_golden_line_of_libmemcached_is_reproduced(void **state)
{
	struct err_detail why = {0};
	struct buf text = BUF_INIT;
	char *line, *save = NULL;
	size_t lines = 0;

	(void)state;
	assert_int_equal(file_read(GOLDEN, 1 << 20, &text, &why), ERR_OK);
	buf_putc(&text, '\0');
	for (line = strtok_r(text.p, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char list[32], distribution[32], hash[32], key[64];
		struct ring_spec spec;
		struct ring *ring;
		unsigned server;

		if (line[0] == '#')
			continue;
		assert_int_equal(
		    sscanf(line, "%31s %31s %31s %63s %u", list, distribution, hash, key, &server), 5);
		spec = test_spec(list_named(list), distribution, hash);
		assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
		if (ring_route(ring, span_of(key)) != server)
			fail_msg("%s: the ring says %zu", line, ring_route(ring, span_of(key)));
		ring_destroy(&ring);
		lines++;
	}
	assert_true(lines > 2000);
	buf_fini(&text);
}

static void
the_explanation_names_server_hash_and_point(void **state)
{
	struct cluster cluster = test_cluster(list_named("ports"), "ketama", "default");
	struct ring_spec spec = ring_spec_of_cluster(&cluster);
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct buf server = BUF_INIT;
	struct ring *ring;

	(void)state;
	cluster.opt.namespace = (char *)"app:";
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
	ring_explain_cluster(ring, &cluster, span_of("user:42"), &out);
	ring_server_name(&cluster.servers[ring_route(ring, span_of("user:42"))], &server);
	assert_non_null(strstr(buf_str(&out), buf_str(&server)));
	assert_non_null(strstr(buf_str(&out), "hash: default = "));
	assert_non_null(strstr(buf_str(&out), "point: "));
	assert_non_null(strstr(buf_str(&out), "sent as: app:user:42"));
	ring_destroy(&ring);
	buf_fini(&out);
	buf_fini(&server);
}

static void
a_weight_above_one_says_that_the_points_are_weighted(void **state)
{
	struct ring_spec spec = test_spec(list_named("weights"), "ketama", "default");
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct ring *ring;

	(void)state;
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
	ring_explain(ring, span_of("k"), &out);
	assert_non_null(strstr(buf_str(&out), "libmemcached switches"));
	ring_destroy(&ring);
	buf_fini(&out);
}

static void
unknown_words_are_errors_that_name_them(void **state)
{
	struct ring_spec spec = test_spec(list_named("two"), "ketamaa", "default");
	struct err_detail why = {0};
	struct ring *ring;

	(void)state;
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "ketamaa"));
	assert_null(ring);
	err_clear(&why);
	spec = test_spec(list_named("two"), "modula", "md6");
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "md6"));
}

static struct ring *
ring_of(const struct ring_spec *spec)
{
	struct err_detail why = {0};
	struct ring *ring;

	if (ring_create(&ring, spec, &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	return ring;
}

static void
every_algorithm_routes_explains_and_leaves_one_server_everything(void **state)
{
	const struct algorithm *all;
	size_t n;

	(void)state;
	all = algorithm_all(&n);
	for (size_t a = 0; a < n; a++) {
		struct ring_spec many = test_spec(list_named("twenty"), all[a].name, "default");
		struct ring_spec one = test_spec(list_named("one"), all[a].name, "default");
		struct ring *ring = ring_of(&many), *lone = ring_of(&one);
		struct buf out = BUF_INIT;
		bool used[20] = {false};
		char key[32];

		assert_int_equal(ring_nservers(ring), 20);
		for (int i = 0; i < 2000; i++) {
			size_t server;

			/* fnv1a_64 as twemproxy has it spreads keys that differ in their last digits badly.
			 */
			snprintf(key, sizeof(key), "user:%u", (unsigned)i * 2654435761u);
			server = ring_route(ring, span_of(key));
			assert_true(server < 20);
			used[server] = true;
			assert_int_equal(ring_route(lone, span_of(key)), 0);
		}
		for (size_t i = 0; i < 20; i++) {
			if (!used[i])
				fail_msg("%s: server %zu has none of 2000 keys", all[a].name, i);
		}
		ring_explain(ring, span_of("user:42"), &out);
		assert_non_null(strstr(buf_str(&out), all[a].name));
		assert_non_null(strstr(buf_str(&out), "key: user:42\nserver: c"));
		buf_clear(&out);
		ring_explain(lone, span_of("user:42"), &out);
		assert_non_null(strstr(buf_str(&out), "the only server has every key"));
		buf_fini(&out);
		ring_destroy(&ring);
		ring_destroy(&lone);
	}
}

/* mcrouter hashes the salt behind the key. */
static void
a_salt_is_hashed_behind_the_key_whatever_the_length(void **state)
{
	static const size_t lengths[] = {0, 1, 20, 250, 1018, 1020, 1030, 3000};
	char text[4000];
	double ones[3] = {1, 1, 1};

	(void)state;
	memset(text, 'k', sizeof(text));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct ring_spec spec = test_spec(list_named("weights"), "ch3", NULL);
		struct span key = span_make(text, lengths[i]), salted = span_make(text, lengths[i] + 4);
		uint64_t servers[3];
		struct ring *ring;

		memset(text, 'k', sizeof(text));
		memcpy(text + lengths[i], "salt", 4);
		spec.weights = ones;
		spec.salt = "salt";
		ring = ring_of(&spec);
		assert_int_equal(ring_route(ring, key), furc_of(salted, 3));
		ring_destroy(&ring);
		spec.algorithm = "wch3";
		ring = ring_of(&spec);
		assert_int_equal(ring_route(ring, key), furc_of(salted, 3));
		ring_destroy(&ring);
		spec.algorithm = "crc32";
		ring = ring_of(&spec);
		assert_int_equal(ring_route(ring, key), (crc32_of(salted) & 0x7fffffff) % 3);
		ring_destroy(&ring);
		spec.algorithm = "rendezvous";
		ring = ring_of(&spec);
		servers[0] = rendezvous_server(span_of("10.0.0.1:11211"));
		servers[1] = rendezvous_server(span_of("10.0.0.2:11211"));
		servers[2] = rendezvous_server(span_of("10.0.0.3:11311"));
		assert_int_equal(ring_route(ring, key), rendezvous_of(salted, servers, NULL, 3));
		ring_destroy(&ring);
	}
}

static void
names_are_hashed_instead_of_addresses(void **state)
{
	static const char *const names[] = {"a", NULL, ""};
	struct ring_spec spec = test_spec(list_named("weights"), "rendezvous", NULL);
	uint64_t servers[3];
	struct ring *ring;

	(void)state;
	spec.names = names;
	ring = ring_of(&spec);
	servers[0] = rendezvous_server(span_of("a"));
	servers[1] = rendezvous_server(span_of("10.0.0.2:11211"));
	servers[2] = rendezvous_server(span_of("10.0.0.3:11311"));
	for (int i = 0; i < 100; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(ring_route(ring, span_of(key)),
				 rendezvous_of(span_of(key), servers, NULL, 3));
	}
	ring_destroy(&ring);
}

/* One weight unit, one slot: 1, 3 and 7 of 11. */
static void
twemproxys_modula_gives_a_server_a_slot_per_unit_of_weight(void **state)
{
	struct ring_spec spec = test_spec(list_named("weights"), "twemproxy_modula", "crc32a");
	struct ring *ring;

	(void)state;
	spec.hash_tag = "{}";
	ring = ring_of(&spec);
	for (int i = 0; i < 1000; i++) {
		char key[32], tag[16];
		uint32_t slot;

		snprintf(tag, sizeof(tag), "%d", i);
		snprintf(key, sizeof(key), "x{%d}y", i);
		slot = crc32_of(span_of(tag)) % 11;
		assert_int_equal(ring_route(ring, span_of(key)), slot < 1 ? 0 : slot < 4 ? 1 : 2);
	}
	ring_destroy(&ring);
	/* Weights that would be gigabytes of slots. */
	spec.weights = (const double[]){2e9, 1, 2e9};
	ring = ring_of(&spec);
	for (int i = 0; i < 1000; i++) {
		char key[32];
		uint32_t slot;

		snprintf(key, sizeof(key), "k%d", i);
		slot = crc32_of(span_of(key)) % 4000000001u;
		assert_int_equal(ring_route(ring, span_of(key)), slot < 2000000000u    ? 0
								 : slot == 2000000000u ? 1
										       : 2);
	}
	ring_destroy(&ring);
}

static void
every_key_of_spymemcacheds_tests_is_where_they_want_it(void **state)
{
	struct server_options servers[8], local[4];
	struct ring_spec spec = {.algorithm = "spymemcached", .servers = servers, .nservers = 8};
	char hosts[8][16];
	struct golden g;
	struct ring *ring;
	size_t rows = 0;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		snprintf(hosts[i], sizeof(hosts[i]), "10.0.1.%zu", i + 1);
		servers[i] = (struct server_options){.host = hosts[i], .port = 11211, .weight = 1};
	}
	ring = ring_of(&spec);
	golden_open(&g, "spymemcached.tsv");
	while (golden_row(&g, "ketama", NULL)) {
		if (ring_route(ring, span_of(g.field[1])) + 1 != golden_number(&g, 2))
			fail_msg("%s is not on %s", g.field[1], g.field[2]);
		rows++;
	}
	assert_int_equal(rows, 711);
	golden_close(&g);
	ring_destroy(&ring);
	/* testLookups and ArrayModNodeLocatorTest.testPrimary */
	for (size_t i = 0; i < 4; i++)
		local[i] =
		    (struct server_options){.host = (char *)"127.0.0.1", .port = 10000 + i, .weight = 1};
	spec.servers = local;
	spec.nservers = 4;
	ring = ring_of(&spec);
	assert_int_equal(ring_route(ring, span_of("dustin")), 0);
	assert_int_equal(ring_route(ring, span_of("noelani")), 2);
	assert_int_equal(ring_route(ring, span_of("some other key")), 0);
	assert_int_equal(ring_route(ring, span_of("V5XS8C8N")), 3);
	ring_destroy(&ring);
	spec.algorithm = "spymemcached_modula";
	ring = ring_of(&spec);
	assert_int_equal(ring_route(ring, span_of("dustin")), 3);
	assert_int_equal(ring_route(ring, span_of("x")), 0);
	assert_int_equal(ring_route(ring, span_of("y")), 1);
	ring_destroy(&ring);
}

/* Dalli's namespace is a part of what it hashes; the others' is not. */
static void
a_hashed_namespace_stands_before_the_key(void **state)
{
	struct cluster cluster = test_cluster(list_named("ports"), "dalli", "default");
	struct ring_spec spec;
	struct ring *plain, *prefixed;
	struct buf out = BUF_INIT;

	(void)state;
	cluster.opt.namespace = (char *)"app:";
	spec = ring_spec_of_cluster(&cluster);
	assert_string_equal(spec.prefix, "app:");
	prefixed = ring_of(&spec);
	spec.prefix = NULL;
	plain = ring_of(&spec);
	for (int i = 0; i < 200; i++) {
		char key[32];

		snprintf(key, sizeof(key), "app:user:%d", i);
		assert_int_equal(ring_route(prefixed, span_of(key + 4)), ring_route(plain, span_of(key)));
	}
	ring_explain_cluster(prefixed, &cluster, span_of("k"), &out);
	assert_non_null(strstr(buf_str(&out), "sent as: app:k (the namespace is hashed)"));
	cluster.opt.distribution = (char *)"ketama";
	assert_null(ring_spec_of_cluster(&cluster).prefix);
	buf_fini(&out);
	ring_destroy(&plain);
	ring_destroy(&prefixed);
}

static void
refused(struct ring_spec spec, const char *word)
{
	struct err_detail why = {0};
	struct ring *ring;

	assert_int_equal(ring_create(&ring, &spec, &why), ERR_CONFIG);
	assert_null(ring);
	if (strstr(err_why(&why), word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err_why(&why), word);
}

static void
what_an_algorithm_does_not_take_is_refused(void **state)
{
	static const double halves[3] = {0.5, 0.5, 0.5}, zero[3] = {1, 0, 1}, much[3] = {1, 1, 4294967295.0},
			    negative[3] = {1, 1, -0.1};
	static const char *const names[3] = {NULL, NULL, "third"};
	const struct test_list *list = list_named("weights");
	double nan[3] = {1, 1, strtod("nan", NULL)};
	struct ring_spec spec;
	char longest[600];

	(void)state;
	spec = test_spec(list, "ch3", NULL), spec.hash = "md5";
	refused(spec, "no hash");
	spec = test_spec(list, "ch3", NULL), spec.hash_tag = "{}";
	refused(spec, "no hash tag");
	spec = test_spec(list, "twemproxy_ketama", NULL), spec.hash_tag = "{";
	refused(spec, "two characters");
	spec = test_spec(list, "ketama", NULL), spec.salt = "x";
	refused(spec, "no salt");
	spec = test_spec(list, "ketama", NULL), spec.names = names;
	refused(spec, "third");
	spec = test_spec(list, "ch3", NULL), spec.weights = halves;
	refused(spec, "mean nothing");
	spec = test_spec(list, "modula", NULL), spec.weights = NULL;
	refused(spec, "mean nothing");
	spec = test_spec(list, "ketama", NULL), spec.weights = halves;
	refused(spec, "whole number");
	spec = test_spec(list, "ketama", NULL), spec.weights = zero;
	refused(spec, "whole number");
	spec = test_spec(list, "ketama", NULL), spec.weights = much;
	refused(spec, "smaller");
	spec = test_spec(list, "wch3", NULL), spec.weights = negative;
	refused(spec, "0 to 1");
	spec = test_spec(list, "wch3", NULL), spec.weights = nan;
	refused(spec, "0 to 1");
	spec = test_spec(list, "weighted_rendezvous", NULL), spec.weights = NULL;
	refused(spec, "0 to 1");
	spec = test_spec(list, "ketama", NULL), spec.prefix = "app:";
	refused(spec, "namespace");
	spec = test_spec(list, "ketama", NULL), spec.nservers = 0;
	refused(spec, "servers");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	spec = test_spec(list, "ch3", NULL), spec.salt = longest;
	refused(spec, "too long");
	spec = test_spec(list, "rendezvous", NULL), spec.names = (const char *const[]){longest, NULL, NULL};
	refused(spec, "255");
}

static void
a_ring_keeps_nothing_of_its_description(void **state)
{
	struct server_options *servers = mem_zalloc(2, sizeof(servers[0]));
	char *host = mem_strdup("cache-a"), *salt = mem_strdup("s"), *name = mem_strdup("n");
	const char *names[2] = {name, NULL};
	struct ring_spec spec = {.algorithm = "rendezvous", .salt = salt, .servers = servers, .nservers = 2};
	struct buf out = BUF_INIT;
	struct ring *ring;

	(void)state;
	spec.names = names;
	servers[0] = servers[1] = (struct server_options){.host = host, .port = 11211, .weight = 1};
	servers[1].port = 11212;
	ring = ring_of(&spec);
	free(servers);
	free(host);
	free(salt);
	free(name);
	ring_explain(ring, span_of("k"), &out);
	assert_non_null(strstr(buf_str(&out), "cache-a:1121"));
	assert_non_null(strstr(buf_str(&out), "hashed behind the key: s"));
	buf_fini(&out);
	ring_destroy(&ring);
}

/* --- threads ----------------------------------------------------------------------------------------------
 */

struct shared {
	const struct ring *ring;
	const size_t *expected;
	size_t n;
};

static void *
route_all(void *arg)
{
	const struct shared *s = arg;
	size_t wrong = 0;

	for (size_t i = 0; i < s->n; i++) {
		char key[32];

		snprintf(key, sizeof(key), "user:%zu", i);
		wrong += ring_route(s->ring, span_of(key)) != s->expected[i];
	}
	return wrong == 0 ? NULL : arg;
}

static void
threads_share_a_ring(void **state)
{
	enum { N = 2000, THREADS = 4 };
	const struct algorithm *all;
	size_t n;

	(void)state;
	all = algorithm_all(&n);
	for (size_t a = 0; a < n; a++) {
		struct ring_spec spec = test_spec(list_named("twenty"), all[a].name, "default");
		struct ring *ring = ring_of(&spec);
		size_t expected[N];
		struct shared shared = {ring, expected, N};
		pthread_t threads[THREADS];

		for (size_t i = 0; i < N; i++) {
			char key[32];

			snprintf(key, sizeof(key), "user:%zu", i);
			expected[i] = ring_route(ring, span_of(key));
		}
		for (size_t t = 0; t < THREADS; t++)
			assert_int_equal(pthread_create(&threads[t], NULL, route_all, &shared), 0);
		for (size_t t = 0; t < THREADS; t++) {
			void *wrong;

			assert_int_equal(pthread_join(threads[t], &wrong), 0);
			assert_null(wrong);
		}
		ring_destroy(&ring);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_golden_line_of_libmemcached_is_reproduced),
	    cmocka_unit_test(the_explanation_names_server_hash_and_point),
	    cmocka_unit_test(a_weight_above_one_says_that_the_points_are_weighted),
	    cmocka_unit_test(unknown_words_are_errors_that_name_them),
	    cmocka_unit_test(every_algorithm_routes_explains_and_leaves_one_server_everything),
	    cmocka_unit_test(a_salt_is_hashed_behind_the_key_whatever_the_length),
	    cmocka_unit_test(names_are_hashed_instead_of_addresses),
	    cmocka_unit_test(twemproxys_modula_gives_a_server_a_slot_per_unit_of_weight),
	    cmocka_unit_test(every_key_of_spymemcacheds_tests_is_where_they_want_it),
	    cmocka_unit_test(a_hashed_namespace_stands_before_the_key),
	    cmocka_unit_test(what_an_algorithm_does_not_take_is_refused),
	    cmocka_unit_test(a_ring_keeps_nothing_of_its_description),
	    cmocka_unit_test(threads_share_a_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
