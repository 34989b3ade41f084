#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/wire/mc_request.h"

typedef err_t keyed_fn(struct buf *out, struct span key);

static err_t
put_empty(struct buf *out, struct span key)
{
	return mc_request_put_empty(out, key, 10);
}

static keyed_fn *const keyed[] = {mc_request_delete_quiet, mc_request_delete_meta, mc_request_delete_classic,
				  mc_request_inspect, put_empty};

enum { NKEYED = sizeof(keyed) / sizeof(keyed[0]) };

static void
requests_are_these_bytes(void **state)
{
	struct buf out = BUF_INIT;

	assert_int_equal(mc_request_delete_quiet(&out, SPAN_LIT("user:7")), ERR_OK);
	mc_request_fence(&out);
	assert_int_equal(mc_request_delete_meta(&out, SPAN_LIT("\303\251")), ERR_OK);
	assert_int_equal(mc_request_delete_classic(&out, SPAN_LIT("k")), ERR_OK);
	mc_request_flush_all(&out);
	mc_request_version(&out);
	assert_int_equal(mc_request_inspect(&out, SPAN_LIT("k")), ERR_OK);
	assert_int_equal(mc_request_put_empty(&out, SPAN_LIT("k"), 10), ERR_OK);
	assert_string_equal(buf_str(&out),
			    "md user:7 q\r\nmn\r\nmd \303\251\r\ndelete k\r\nflush_all\r\nversion\r\n"
			    "me k\r\nms k 0 c T10\r\n\r\n");
	buf_fini(&out);
}

static void
the_room_that_a_quiet_delete_takes_is_as_announced(void **state)
{
	struct buf out = BUF_INIT;

	assert_int_equal(mc_request_delete_quiet(&out, SPAN_LIT("user:7")), ERR_OK);
	assert_int_equal(out.len, 6 + MC_DELETE_QUIET_EXTRA);
	buf_fini(&out);
}

static void
assert_refused(struct span key)
{
	struct buf out = BUF_INIT;

	assert_false(mc_request_key_ok(key));
	buf_put_str(&out, "x");
	for (size_t i = 0; i < NKEYED; i++)
		assert_int_equal(keyed[i](&out, key), ERR_BAD_KEY);
	assert_string_equal(buf_str(&out), "x");
	buf_fini(&out);
}

static void
no_byte_of_a_bad_key_is_written(void **state)
{
	char longest[MC_KEY_MAX + 1];

	memset(longest, 'k', sizeof(longest));
	assert_refused((struct span){"", 0});
	assert_refused(span_make(longest, MC_KEY_MAX + 1));
	assert_refused(SPAN_LIT("a\r\nflush_all"));
	assert_refused(SPAN_LIT("a b"));
	assert_refused(SPAN_LIT("a\0b"));
	assert_refused(SPAN_LIT("a\tb"));
	assert_refused(SPAN_LIT("a\x7f"));
}

/* Every byte value at every place of a key, between other bytes: allowed exactly when it is above 0x20 and
 * not 0x7F. */
static void
each_byte_is_allowed_or_not_wherever_it_stands(void **state)
{
	static const char neighbours[] = {'a', '\x21', '\x7e', '\x80', '\xff'};
	size_t n = 0;

	for (unsigned c = 0; c < 256; c++) {
		for (size_t len = 1; len < 28; len++) {
			for (size_t at = 0; at < len; at++) {
				char key[28];

				memset(key, neighbours[n++ % sizeof(neighbours)], sizeof(key));
				key[at] = (char)c;
				assert_int_equal(mc_request_key_ok(span_make(key, len)),
						 c > 0x20 && c != 0x7f);
			}
		}
	}
}

static void
the_longest_key_passes(void **state)
{
	struct buf out = BUF_INIT;
	char longest[MC_KEY_MAX];

	memset(longest, 'k', sizeof(longest));
	for (size_t i = 0; i < NKEYED; i++)
		assert_int_equal(keyed[i](&out, span_make(longest, sizeof(longest))), ERR_OK);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_are_these_bytes),
	    cmocka_unit_test(the_room_that_a_quiet_delete_takes_is_as_announced),
	    cmocka_unit_test(no_byte_of_a_bad_key_is_written),
	    cmocka_unit_test(each_byte_is_allowed_or_not_wherever_it_stands),
	    cmocka_unit_test(the_longest_key_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
