#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/meta_parse.h"

static bool
parse(struct meta_request *m, const char *args, bool sized)
{
	return meta_parse(m, span_of(args), sized);
}

static void
refused(const char *args, const char *error)
{
	struct meta_request m;

	assert_false(parse(&m, args, false));
	assert_string_equal(m.error, error);
}

static void
key_and_flags_are_found_in_their_order(void **state)
{
	struct meta_request m;

	assert_true(parse(&m, " foo v  t Oabc k q T30", false));
	assert_true(span_is(m.key, "foo"));
	assert_int_equal(m.n, 6);
	assert_true(span_is(m.flag[2], "Oabc"));
	assert_true(meta_has(&m, 'v') && meta_has(&m, 't') && meta_has(&m, 'O') && meta_has(&m, 'k') &&
		    meta_has(&m, 'q') && meta_has(&m, 'T'));
	assert_false(meta_has(&m, 's'));
	assert_int_equal(m.touch, 30);
}

static void
every_flag_with_a_number_is_read(void **state)
{
	struct meta_request m;

	assert_true(
	    parse(&m, " k N-1 T2592001 R30 F4294967295 C18446744073709551615 E7 J5 D6 MA H1500 Kw-1", false));
	assert_int_equal(m.vivify, -1);
	assert_int_equal(m.touch, 2592001);
	assert_int_equal(m.recache, 30);
	assert_int_equal(m.client_flags, 4294967295u);
	assert_true(m.compare == UINT64_MAX);
	assert_int_equal(m.cas, 7);
	assert_int_equal(m.initial, 5);
	assert_int_equal(m.delta, 6);
	assert_int_equal(m.mode, 'A');
	assert_int_equal(m.holdoff_ms, 1500);
	assert_true(span_is(m.token, "w-1"));
}

static void
defaults_are_memcacheds(void **state)
{
	struct meta_request m;

	assert_true(parse(&m, " k", false));
	assert_int_equal(m.delta, 1);
	assert_int_equal(m.initial, 0);
	assert_int_equal(m.mode, 0);
	assert_true(parse(&m, " k M", false));
	assert_int_equal(m.mode, ' ');
}

static void
every_mistake_has_its_text(void **state)
{
	char key[300] = " ";

	refused("", "CLIENT_ERROR bad command line format");
	refused("  ", "CLIENT_ERROR bad command line format");
	refused(" k -", "CLIENT_ERROR bad command line format");
	refused(" k v \x80", "CLIENT_ERROR bad command line format");
	refused(" k v v", "CLIENT_ERROR duplicate flag");
	refused(" k T1 T2", "CLIENT_ERROR duplicate flag");
	refused(" k y", "CLIENT_ERROR invalid flag");
	refused(" k 1", "CLIENT_ERROR invalid flag");
	refused(" k ^", "CLIENT_ERROR invalid flag");
	refused(" k T", "CLIENT_ERROR bad token in command line format");
	refused(" k Tx", "CLIENT_ERROR bad token in command line format");
	refused(" k N99999999999", "CLIENT_ERROR bad token in command line format");
	refused(" k C-1", "CLIENT_ERROR bad token in command line format");
	refused(" k E18446744073709551616", "CLIENT_ERROR bad token in command line format");
	refused(" k H2592000001", "CLIENT_ERROR bad token in command line format");
	refused(" k H", "CLIENT_ERROR bad token in command line format");
	refused(" k Fx", "CLIENT_ERROR bad command line format");
	refused(" k Tx Fx", "CLIENT_ERROR bad token in command line format");
	refused(" k Jx", "CLIENT_ERROR invalid numeric initial value");
	refused(" k Dx", "CLIENT_ERROR invalid numeric delta value");
	refused(" k Tx Dx", "CLIENT_ERROR invalid numeric delta value");
	refused(" k Tx y", "CLIENT_ERROR invalid flag");
	refused(" !!! b", "CLIENT_ERROR error decoding key");
	refused(" k A", "CLIENT_ERROR bad epoch");
	refused(" k Amain:1", "CLIENT_ERROR bad epoch");
	refused(" k v t c f k s q u l h x I P L a O b N1 T1", "CLIENT_ERROR options flags are too long");
	memset(key + 1, 'x', 251);
	refused(key, "CLIENT_ERROR bad command line format");
}

static void
eighteen_flags_are_fine(void **state)
{
	struct meta_request m;

	assert_true(parse(&m, " k v t c f k s q u l h x I P L a O M T1", false));
	assert_int_equal(m.n, 18);
}

static void
opaque_may_have_31_bytes(void **state)
{
	struct meta_request m;

	assert_true(parse(&m, " k O1234567890123456789012345678901", false));
	assert_false(m.long_opaque);
	assert_true(parse(&m, " k O12345678901234567890123456789012", false));
	assert_true(m.long_opaque);
}

static void
base64_key_is_decoded(void **state)
{
	struct meta_request m;

	assert_true(parse(&m, " Zm9v b k", false));
	assert_true(span_is(m.key, "foo"));
	assert_true(m.binary);
}

static void
value_length_is_known_even_if_a_flag_is_wrong(void **state)
{
	struct meta_request m;

	assert_true(parse(&m, " k 12 c", true));
	assert_int_equal(m.value_len, 12);
	assert_int_equal(m.n, 1);
	assert_false(parse(&m, " k 12 y", true));
	assert_int_equal(m.value_len, 12);
	assert_false(m.unreadable);
	assert_false(parse(&m, " k -1", true));
	assert_true(m.unreadable);
	assert_true(m.value_len == UINT64_MAX);
	assert_false(parse(&m, " k 2147483647", true));
	assert_true(m.unreadable);
	assert_false(parse(&m, " k S100", true));
	assert_true(m.unreadable);
	assert_false(parse(&m, " k", true));
	assert_true(m.unreadable);
}

static void
epoch_is_read(void **state)
{
	struct meta_request m;

	assert_true(parse(&m, " k Amain:3:81723 a", false));
	assert_true(span_is(m.epoch.source, "main"));
	assert_int_equal(m.epoch.term, 3);
	assert_int_equal(m.epoch.count, 81723);
	assert_true(meta_has(&m, 'a') && meta_has(&m, 'A'));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(key_and_flags_are_found_in_their_order),
	    cmocka_unit_test(every_flag_with_a_number_is_read),
	    cmocka_unit_test(defaults_are_memcacheds),
	    cmocka_unit_test(every_mistake_has_its_text),
	    cmocka_unit_test(eighteen_flags_are_fine),
	    cmocka_unit_test(opaque_may_have_31_bytes),
	    cmocka_unit_test(base64_key_is_decoded),
	    cmocka_unit_test(value_length_is_known_even_if_a_flag_is_wrong),
	    cmocka_unit_test(epoch_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
