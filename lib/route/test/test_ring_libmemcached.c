/*
 * Asks the installed libmemcached for its choice, key by key, and wants the ring to agree.
 *
 * With the word "golden" as its argument it writes the table of lib/route/test/golden/libmemcached.txt
 * instead: "list distribution hash key server-index" lines that come from libmemcached alone, so that the
 * ring stays checked where libmemcached is not installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libmemcached/memcached.h>

#include "lib/route/ring.h"
#include "lib/route/test/lists.h"

enum { KEYS = 10000, KEY_BYTES = 60 };

/* hsieh is left out of Debian's library; its values are in golden/hashes.tsv. */
static const struct {
	const char *name;
	memcached_hash_t hash;
} hashes[] = {
    {"default", MEMCACHED_HASH_DEFAULT},   {"md5", MEMCACHED_HASH_MD5},
    {"crc", MEMCACHED_HASH_CRC},	   {"fnv1_64", MEMCACHED_HASH_FNV1_64},
    {"fnv1a_64", MEMCACHED_HASH_FNV1A_64}, {"fnv1_32", MEMCACHED_HASH_FNV1_32},
    {"fnv1a_32", MEMCACHED_HASH_FNV1A_32}, {"murmur", MEMCACHED_HASH_MURMUR},
    {"jenkins", MEMCACHED_HASH_JENKINS},   {"murmur3", MEMCACHED_HASH_MURMUR3},
};
enum { NHASHES = sizeof(hashes) / sizeof(hashes[0]) };

static const char *const distributions[] = {"ketama", "ketama_weighted", "ketama_spy", "modula"};
enum { NDISTRIBUTIONS = sizeof(distributions) / sizeof(distributions[0]) };

/* A client set up in the usual order: behaviours first, then the servers. */
static memcached_st *
client_of(const struct test_list *list, const char *distribution, memcached_hash_t hash)
{
	memcached_st *m = memcached_create(NULL);

	assert_non_null(m);
	assert_int_equal(memcached_behavior_set(m, MEMCACHED_BEHAVIOR_HASH, hash), MEMCACHED_SUCCESS);
	if (strcmp(distribution, "ketama") == 0)
		assert_int_equal(memcached_behavior_set(m, MEMCACHED_BEHAVIOR_KETAMA, 1), MEMCACHED_SUCCESS);
	else if (strcmp(distribution, "modula") != 0)
		assert_int_equal(memcached_behavior_set(m, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1),
				 MEMCACHED_SUCCESS);
	if (strcmp(distribution, "ketama_spy") == 0)
		assert_int_equal(
		    memcached_behavior_set_distribution(m, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY),
		    MEMCACHED_SUCCESS);
	for (size_t i = 0; i < list->n; i++) {
		const struct server_options *s = &list->servers[i];

		if (s->host[0] == '/')
			assert_int_equal(
			    memcached_server_add_unix_socket_with_weight(m, s->host, (uint32_t)s->weight),
			    MEMCACHED_SUCCESS);
		else
			assert_int_equal(memcached_server_add_with_weight(m, s->host, (in_port_t)s->port,
									  (uint32_t)s->weight),
					 MEMCACHED_SUCCESS);
	}
	return m;
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Any byte that a key may hold, those above 0x7f included. */
static struct span
random_key(uint64_t *state, char *key)
{
	size_t n = 1 + next_random(state) % KEY_BYTES;

	for (size_t i = 0; i < n; i++) {
		do
			key[i] = (char)next_random(state);
		while ((unsigned char)key[i] <= 0x20 || key[i] == 0x7f);
	}
	return span_make(key, n);
}

static void
compare(const struct test_list *list, const char *distribution, size_t h, int keys)
{
	struct ring_spec spec = test_spec(list, distribution, hashes[h].name);
	memcached_st *m = client_of(list, distribution, hashes[h].hash);
	struct err_detail why = {0};
	struct ring *ring;
	uint64_t state = 88172645463325252ull + h;
	char bytes[KEY_BYTES];

	assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
	for (int i = 0; i < keys; i++) {
		struct span key = random_key(&state, bytes);
		uint32_t theirs = memcached_generate_hash(m, key.p, key.len);

		if (ring_route(ring, key) != theirs)
			fail_msg("%s, %s, hash %s, key %d: libmemcached says %u, the ring %zu", list->name,
				 distribution, hashes[h].name, i, theirs, ring_route(ring, key));
	}
	ring_destroy(&ring);
	memcached_free(m);
}

static void
every_list_distribution_and_hash_agrees_with_libmemcached(void **state)
{
	(void)state;
	for (size_t l = 0; l < test_nlists; l++)
		for (size_t d = 0; d < NDISTRIBUTIONS; d++)
			for (size_t h = 0; h < NHASHES; h++)
				compare(&test_lists[l], distributions[d], h, KEYS);
}

/* Names, addresses of both kinds and sockets; weights that are all 1, small, or anything. */
static void
random_list(struct test_list *list, char hosts[TEST_LIST_MAX][64], uint64_t *state)
{
	static const char *const formats[] = {"cache%u", "10.1.2.%u", "mc-%u.example.org", "2001:db8::%x",
					      "/run/memcached/%u.sock"};
	static const uint32_t weights[] = {1, 9, 10000};
	uint32_t weight = weights[next_random(state) % 3];

	list->name = "random";
	list->n = 1 + next_random(state) % TEST_LIST_MAX;
	for (size_t i = 0; i < list->n; i++) {
		struct server_options *s = &list->servers[i];

		snprintf(hosts[i], 64, formats[next_random(state) % 5], (unsigned)(next_random(state) % 200));
		*s = (struct server_options){.host = hosts[i], .connect = (char *)""};
		if (hosts[i][0] != '/')
			s->port = next_random(state) % 2 ? 11211 : 1 + next_random(state) % 65535;
		s->weight = 1 + next_random(state) % weight;
	}
}

static void
random_lists_agree_with_libmemcached(void **state)
{
	uint64_t random = 0x5eed5eed5eedull;

	(void)state;
	for (int i = 0; i < 200; i++) {
		char hosts[TEST_LIST_MAX][64];
		struct test_list list;

		random_list(&list, hosts, &random);
		for (size_t d = 0; d < NDISTRIBUTIONS; d++)
			compare(&list, distributions[d], next_random(&random) % NHASHES, 500);
	}
}

/* The namespace is set by clients with MEMCACHED_CALLBACK_NAMESPACE; libmemcached does not hash it. */
static void
the_namespace_is_not_hashed(void **state)
{
	struct ring_spec spec = test_spec(&test_lists[0], "ketama", "default");
	memcached_st *m = client_of(&test_lists[0], "ketama", MEMCACHED_HASH_DEFAULT);
	struct err_detail why = {0};
	struct ring *ring;
	char key[32];

	(void)state;
	assert_int_equal(memcached_callback_set(m, MEMCACHED_CALLBACK_NAMESPACE, "app:"), MEMCACHED_SUCCESS);
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "user:%d", i);
		assert_int_equal(ring_route(ring, span_of(key)),
				 memcached_generate_hash(m, key, strlen(key)));
	}
	ring_destroy(&ring);
	memcached_free(m);
}

static void
write_golden(void)
{
	printf("# What libmemcached %s answers; see lib/route/test/test_ring_libmemcached.c.\n",
	       memcached_lib_version());
	for (size_t l = 0; l < test_nlists; l++)
		for (size_t d = 0; d < NDISTRIBUTIONS; d++)
			for (size_t h = 0; h < NHASHES; h++) {
				memcached_st *m = client_of(&test_lists[l], distributions[d], hashes[h].hash);

				for (int i = 0; i < 12; i++) {
					char key[32];

					snprintf(key, sizeof(key), i % 3 == 2 ? "\xc3\xbc%d" : "user:%d",
						 i * i * 7919);
					printf("%s %s %s %s %u\n", test_lists[l].name, distributions[d],
					       hashes[h].name, key,
					       memcached_generate_hash(m, key, strlen(key)));
				}
				memcached_free(m);
			}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_list_distribution_and_hash_agrees_with_libmemcached),
	    cmocka_unit_test(random_lists_agree_with_libmemcached),
	    cmocka_unit_test(the_namespace_is_not_hashed),
	};

	if (argc == 2 && strcmp(argv[1], "golden") == 0) {
		write_golden();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
