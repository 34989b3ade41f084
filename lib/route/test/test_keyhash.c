#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/route/keyhash.h"

static uint64_t
hash(enum keyhash_family family, const char *name, const char *key)
{
	const struct keyhash *h = keyhash_find(family, name);

	assert_non_null(h);
	return h->of(span_of(key));
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
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hashes_give_their_published_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
