#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/keyhash.h"
#include "lib/route/test/golden.h"

static uint64_t
hash(enum keyhash_family family, const char *name, const char *key)
{
	const struct keyhash *h = keyhash_find(family, name);

	assert_non_null(h);
	return h->of(span_of(key));
}

static size_t
goldens(enum keyhash_family family, const char *name)
{
	struct golden g;
	size_t rows = 0;

	golden_open(&g, "hashes.tsv");
	while (golden_row(&g, name, NULL)) {
		if (hash(family, g.field[1], g.field[2]) != golden_number(&g, 3))
			fail_msg("%s's %s of \"%s\" is not %s", name, g.field[1], g.field[2], g.field[3]);
		rows++;
	}
	golden_close(&g);
	return rows;
}

static void
every_value_of_libmemcacheds_and_twemproxys_tests_is_reproduced(void **state)
{
	(void)state;
	assert_int_equal(goldens(KEYHASH_LIBMEMCACHED, "libmemcached"), 11 * 26);
	assert_int_equal(goldens(KEYHASH_TWEMPROXY, "twemproxy"), 12);
}

static void
every_value_of_spymemcacheds_tests_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "spymemcached.tsv");
	while (golden_row(&g, "hash", NULL)) {
		if (hash(KEYHASH_SPYMEMCACHED, g.field[1], g.field[2]) != golden_number(&g, 3))
			fail_msg("%s of \"%s\" is not %s", g.field[1], g.field[2], g.field[3]);
		rows++;
	}
	assert_int_equal(rows, 5 + 4 * 6 + 7);
	golden_close(&g);
	/* What Java 17 says: "hello".hashCode() and so on, as unsigned numbers. */
	assert_int_equal(hash(KEYHASH_SPYMEMCACHED, "default", "hello"), 99162322);
	assert_int_equal(hash(KEYHASH_SPYMEMCACHED, "java", "user:profile:42"), 2295161086);
	assert_int_equal(hash(KEYHASH_SPYMEMCACHED, "java", "k\xc3\xbc\xe2\x82\xac"), 119003);
	assert_int_equal(hash(KEYHASH_SPYMEMCACHED, "java", "\xf0\x9f\x98\x80!"), 54959902);
}

/* Published vectors, or (crc, fnv*_64) such a vector cut the way libmemcached cuts it. */
static void
hashes_give_their_published_values(void **state)
{
	(void)state;
	assert_int_equal(hash(KEYHASH_LIBMEMCACHED, "default", "a"), 0xca2e9442);
	assert_int_equal(hash(KEYHASH_LIBMEMCACHED, "default", "The quick brown fox jumps over the lazy dog"),
			 0x519e91f5);
	assert_int_equal(hash(KEYHASH_LIBMEMCACHED, "md5", ""), 0xd98c1dd4);
	assert_int_equal(hash(KEYHASH_LIBMEMCACHED, "crc", "123456789"), 0xcbf43926 >> 16 & 0x7fff);
	assert_int_equal(hash(KEYHASH_LIBMEMCACHED, "fnv1_32", "foobar"), 0x31f0b262);
	assert_int_equal(hash(KEYHASH_LIBMEMCACHED, "fnv1a_32", "foobar"), 0xbf9cf968);
	assert_int_equal(hash(KEYHASH_LIBMEMCACHED, "fnv1_64", "foobar"), 0x340d8765a4dda9c2 & 0xffffffff);
	assert_int_equal(hash(KEYHASH_TWEMPROXY, "crc32a", "123456789"), 0xcbf43926);
	assert_true(hash(KEYHASH_JUMP, "fnv1_64", "foobar") == 0x340d8765a4dda9c2);
	assert_true(hash(KEYHASH_JUMP, "fnv1a_64", "foobar") == 0x85944171f73967e8);
	assert_true(hash(KEYHASH_JUMP, "crc64", "123456789") == 0x995dc9bbdf1939fa);
	assert_true(hash(KEYHASH_JUMP, "crc32", "123456789") == 0xcbf43926);
	assert_true(hash(KEYHASH_JUMP, "xxh64", "") == 0xef46db3751d8e999);
	assert_true(hash(KEYHASH_JUMP, "xxh64", "xxhash") == 0x32dd38952c4bc720);
}

static void
one_name_may_be_two_functions(void **state)
{
	(void)state;
	assert_true(hash(KEYHASH_LIBMEMCACHED, "crc", "apple") == hash(KEYHASH_TWEMPROXY, "crc32", "apple"));
	assert_true(hash(KEYHASH_JUMP, "crc32", "apple") == hash(KEYHASH_TWEMPROXY, "crc32a", "apple"));
	assert_true(hash(KEYHASH_JUMP, "fnv1a_64", "apple") != hash(KEYHASH_TWEMPROXY, "fnv1a_64", "apple"));
	assert_null(keyhash_find(KEYHASH_LIBMEMCACHED, "crc32"));
	assert_null(keyhash_find(KEYHASH_TWEMPROXY, "crc"));
	assert_null(keyhash_find(KEYHASH_TWEMPROXY, "murmur3"));
}

static void
the_default_is_the_peers(void **state)
{
	(void)state;
	assert_string_equal(keyhash_find(KEYHASH_LIBMEMCACHED, "default")->full, "one_at_a_time");
	assert_string_equal(keyhash_find(KEYHASH_TWEMPROXY, "default")->full, "fnv1a_64");
	assert_string_equal(keyhash_find(KEYHASH_JUMP, "default")->full, "fnv1a_64");
}

/* 32-bit families never set a bit above, whatever the bytes and the length. */
static void
hashes_of_32_bits_stay_in_them_and_read_no_further_than_the_key(void **state)
{
	const struct keyhash *h;

	(void)state;
	for (enum keyhash_family f = KEYHASH_LIBMEMCACHED; f <= KEYHASH_TWEMPROXY; f++) {
		for (size_t i = 0; (h = keyhash_at(f, i)) != NULL; i++) {
			for (size_t n = 1; n < 64; n++) {
				char *key = malloc(n); /* exact, for the address sanitizer */
				char longer[65];

				for (size_t b = 0; b < n; b++)
					key[b] = (char)(b * 37 + n * 11 + 128);
				memcpy(longer + 1, key, n);
				longer[0] = 'x';
				assert_true(h->of(span_make(key, n)) <= UINT32_MAX);
				assert_true(h->of(span_make(key, n)) == h->of(span_make(longer + 1, n)));
				free(key);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_value_of_libmemcacheds_and_twemproxys_tests_is_reproduced),
	    cmocka_unit_test(every_value_of_spymemcacheds_tests_is_reproduced),
	    cmocka_unit_test(hashes_give_their_published_values),
	    cmocka_unit_test(one_name_may_be_two_functions),
	    cmocka_unit_test(the_default_is_the_peers),
	    cmocka_unit_test(hashes_of_32_bits_stay_in_them_and_read_no_further_than_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
