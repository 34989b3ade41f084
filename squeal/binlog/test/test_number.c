#include "lib/core/test/test.h"

#include <float.h>
#include <math.h>

#include "squeal/binlog/number.h"

static void
assert_double(double v, const char *want)
{
	struct buf out = BUF_INIT;

	number_put_double(&out, v);
	assert_string_equal(buf_str(&out), want);
	buf_fini(&out);
}

static void
doubles_are_as_short_as_they_can_be(void **state)
{
	assert_double(0, "0");
	assert_double(-0.5, "-0.5");
	assert_double(0.1, "0.1");
	assert_double(0.1 + 0.2, "0.30000000000000004");
	assert_double(100, "100");
	assert_double(999999999999999, "999999999999999");
	assert_double(1e15, "1e15");
	assert_double(1.5e-10, "0.00000000015");
	assert_double(1e-15, "0.000000000000001");
	assert_double(1e-16, "1e-16");
	assert_double(1234567890123456, "1.234567890123456e15");
	assert_double(123456789012345680.0, "1.2345678901234568e17");
	assert_double(DBL_MAX, "1.7976931348623157e308");
	assert_double(-1e-320, "-1e-320");
	assert_double(NAN, "0");
}

static void
decimals_keep_all_their_digits(void **state)
{
	struct buf out = BUF_INIT;

	/* DECIMAL(14,4) */
	assert_true(number_put_decimal(&out, SPAN_LIT("\x81\x0d\xfb\x38\xd2\x04\xd2"), 14, 4));
	assert_string_equal(buf_str(&out), "1234567890.1234");
	buf_clear(&out);
	assert_true(number_put_decimal(&out, SPAN_LIT("\x7e\xf2\x04\xc7\x2d\xfb\x2d"), 14, 4));
	assert_string_equal(buf_str(&out), "-1234567890.1234");
	buf_clear(&out);
	assert_true(number_put_decimal(&out, SPAN_LIT("\x80\x00\x00\x00\x00\x00\x01"), 14, 4));
	assert_string_equal(buf_str(&out), "0.0001");
	/* Four bytes that are more than nine digits. */
	buf_clear(&out);
	assert_false(number_put_decimal(&out, SPAN_LIT("\x80\xff\xff\xff\xff\x00\x01"), 14, 4));
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

static void
times_have_the_digits_that_their_column_has(void **state)
{
	struct buf out = BUF_INIT;

	number_put_date(&out, 2024, 2, 29);
	buf_putc(&out, ' ');
	number_put_clock(&out, false, 1, 2, 3, 456789, 3);
	buf_putc(&out, ' ');
	number_put_clock(&out, true, 838, 59, 59, 1, 6);
	buf_putc(&out, ' ');
	number_put_clock(&out, false, 0, 0, 0, 999999, 0);
	assert_string_equal(buf_str(&out), "2024-02-29 01:02:03.456 -838:59:59.000001 00:00:00");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(doubles_are_as_short_as_they_can_be),
	    cmocka_unit_test(decimals_keep_all_their_digits),
	    cmocka_unit_test(times_have_the_digits_that_their_column_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
