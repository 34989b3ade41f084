#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/conf/algorithm.h"
#include "lib/core/buf.h"
#include "lib/route/keyhash.h"

static void
every_name_is_found_and_stands_in_the_choices(void **state)
{
	struct buf names = BUF_INIT;
	const struct algorithm *all;
	size_t n;

	(void)state;
	all = algorithm_all(&n);
	assert_int_equal(n, ALGORITHM_N);
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(algorithm_find(all[i].name), &all[i]);
		assert_int_equal(all[i].id, i);
		buf_printf(&names, "%s%s", i > 0 ? "|" : "", all[i].name);
	}
	assert_string_equal(ALGORITHM_CHOICES, buf_str(&names));
	assert_null(algorithm_find("ketam"));
	assert_null(algorithm_find("ketama_"));
	assert_null(algorithm_find(""));
	buf_fini(&names);
}

/* What squeal.yaml may say of hashes is what keyhash has. */
static void
families_have_the_hashes_that_the_table_names(void **state)
{
	static const char *const names[KEYHASH_NFAMILIES] = {
	    [KEYHASH_LIBMEMCACHED] = HASHES_LIBMEMCACHED,
	    [KEYHASH_TWEMPROXY] = HASHES_TWEMPROXY,
	    [KEYHASH_JUMP] = HASHES_JUMP,
	    [KEYHASH_SPYMEMCACHED] = HASHES_SPYMEMCACHED,
	};

	(void)state;
	for (enum keyhash_family f = 0; f < KEYHASH_NFAMILIES; f++) {
		struct buf got = BUF_INIT;
		const struct keyhash *h;

		for (size_t i = 0; (h = keyhash_at(f, i)) != NULL; i++)
			buf_printf(&got, "%s%s", i > 0 ? "|" : "", h->name);
		assert_string_equal(buf_str(&got), names[f]);
		buf_fini(&got);
	}
}

static void
an_algorithm_has_its_own_hashes_only(void **state)
{
	const struct algorithm *ketama = algorithm_find("ketama"), *ch3 = algorithm_find("ch3");

	(void)state;
	assert_true(algorithm_has_hash(ketama, "md5"));
	assert_true(algorithm_has_hash(ketama, "murmur"));
	assert_true(algorithm_has_hash(ketama, "murmur3"));
	assert_true(algorithm_has_hash(ketama, ""));
	assert_true(algorithm_has_hash(ketama, "default"));
	assert_false(algorithm_has_hash(ketama, "murmu"));
	assert_false(algorithm_has_hash(ketama, "md5|crc"));
	assert_false(algorithm_has_hash(ketama, "crc32"));
	assert_true(algorithm_has_hash(ch3, ""));
	assert_true(algorithm_has_hash(ch3, "default"));
	assert_false(algorithm_has_hash(ch3, "md5"));
}

static void
what_an_algorithm_takes_is_known(void **state)
{
	(void)state;
	assert_true(algorithm_takes(algorithm_find("twemproxy_ketama"), 'T'));
	assert_true(algorithm_takes(algorithm_find("twemproxy_ketama"), 'N'));
	assert_false(algorithm_takes(algorithm_find("twemproxy_modula"), 'N'));
	assert_true(algorithm_takes(algorithm_find("wch3"), 'S'));
	assert_false(algorithm_takes(algorithm_find("jump"), 'S'));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_name_is_found_and_stands_in_the_choices),
	    cmocka_unit_test(families_have_the_hashes_that_the_table_names),
	    cmocka_unit_test(an_algorithm_has_its_own_hashes_only),
	    cmocka_unit_test(what_an_algorithm_takes_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
