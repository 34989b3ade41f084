#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/route/keyhash.h"

static uint32_t
hash(const char *name, const char *key)
{
	struct err_detail why = {0};
	struct keyhash *h;
	uint32_t v;

	assert_int_equal(keyhash_create(&h, name, &why), ERR_OK);
	v = keyhash_of(h, span_of(key));
	keyhash_destroy(&h);
	return v;
}

/* Published vectors, or (crc, fnv*_64) such a vector cut the way libmemcached cuts it. */
static void
hashes_give_their_published_values(void **state)
{
	(void)state;
	assert_int_equal(hash("default", "a"), 0xca2e9442);
	assert_int_equal(hash("default", "The quick brown fox jumps over the lazy dog"), 0x519e91f5);
	assert_int_equal(hash("md5", ""), 0xd98c1dd4);
	assert_int_equal(hash("crc", "123456789"), 0xcbf43926 >> 16 & 0x7fff);
	assert_int_equal(hash("fnv1_32", "foobar"), 0x31f0b262);
	assert_int_equal(hash("fnv1a_32", "foobar"), 0xbf9cf968);
	assert_int_equal(hash("fnv1_64", "foobar"), 0x340d8765a4dda9c2 & 0xffffffff);
}

static void
the_whole_md5_is_there_for_points(void **state)
{
	static const unsigned char abc[] = {0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0,
					    0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72};
	unsigned char out[KEYHASH_MD5_BYTES];
	struct err_detail why = {0};
	struct keyhash *h;

	(void)state;
	assert_int_equal(keyhash_create(&h, "default", &why), ERR_OK);
	keyhash_md5(h, span_of("abc"), out);
	assert_memory_equal(out, abc, sizeof(abc));
	assert_string_equal(keyhash_name(h), "default");
	keyhash_destroy(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hashes_give_their_published_values),
	    cmocka_unit_test(the_whole_md5_is_there_for_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
