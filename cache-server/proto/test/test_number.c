#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/number.h"

static void
written(uint64_t n, const char *want)
{
	char text[NUMBER_MAX_TEXT];
	size_t len = (size_t)(number_put(text, n) - text);

	assert_int_equal(len, strlen(want));
	assert_memory_equal(text, want, len);
}

static void
numbers_of_every_length_are_written(void **state)
{
	written(0, "0");
	written(9, "9");
	written(10, "10");
	written(99, "99");
	written(100, "100");
	written(12345, "12345");
	written(999999, "999999");
	written(10000000, "10000000");
	written(4294967295, "4294967295");
	written(UINT64_MAX, "18446744073709551615");
	for (uint64_t n = 1; n < UINT64_MAX / 10; n *= 10) {
		char want[32];

		for (int d = -1; d <= 1; d++) {
			snprintf(want, sizeof want, "%llu", (unsigned long long)(n + (uint64_t)d));
			written(n + (uint64_t)d, want);
		}
	}
}

static void
signed_numbers_are_written(void **state)
{
	char text[NUMBER_MAX_TEXT + 1];

	assert_int_equal(number_put_signed(text, -1) - text, 2);
	assert_memory_equal(text, "-1", 2);
	assert_int_equal(number_put_signed(text, INT64_MIN) - text, 20);
	assert_memory_equal(text, "-9223372036854775808", 20);
	assert_int_equal(number_put_signed(text, 70) - text, 2);
	assert_memory_equal(text, "70", 2);
}

/* As memcached reads the arguments of touch, incr, ms and the flags of meta commands. */
static void
numbers_are_read_up_to_their_limits(void **state)
{
	uint32_t u = 7;
	int32_t i = 7;
	uint64_t u64 = 7;
	int64_t i64 = 7;

	assert_true(number_u32(span_of("4294967295"), &u));
	assert_int_equal(u, 4294967295u);
	assert_false(number_u32(span_of("4294967296"), &u));
	assert_false(number_u32(span_of("-1"), &u));
	assert_false(number_u32(span_of("1a"), &u));
	assert_false(number_u32(span_of("000000000001"), &u));
	assert_true(number_u32(span_of(""), &u));
	assert_int_equal(u, 0);
	assert_true(number_i32(span_of("-2147483648"), &i));
	assert_int_equal(i, INT32_MIN);
	assert_false(number_i32(span_of("-2147483649"), &i));
	assert_true(number_i32(span_of("2147483647"), &i));
	assert_false(number_i32(span_of("2147483648"), &i));
	assert_false(number_i32(span_of("+1"), &i));
	assert_true(number_i32(span_of("-"), &i));
	assert_int_equal(i, 0);
	assert_true(number_u64(span_of("18446744073709551615"), &u64));
	assert_true(u64 == UINT64_MAX);
	assert_false(number_u64(span_of("18446744073709551616"), &u64));
	assert_false(number_u64(span_of("-1"), &u64));
	assert_true(number_i64(span_of("-9223372036854775808"), &i64));
	assert_true(i64 == INT64_MIN);
	assert_false(number_i64(span_of("9223372036854775808"), &i64));
}

/* As memcached reads the flags and the exptime of set. */
static void
flags_and_exptime_may_have_a_sign_and_zeros(void **state)
{
	uint32_t flags;
	int64_t exptime;

	assert_true(number_flags(span_of("+5"), &flags));
	assert_int_equal(flags, 5);
	assert_true(number_flags(span_of("0000000000000000000000000000004294967295"), &flags));
	assert_int_equal(flags, 4294967295u);
	assert_false(number_flags(span_of("4294967296"), &flags));
	assert_false(number_flags(span_of("-1"), &flags));
	assert_false(number_flags(span_of(""), &flags));
	assert_false(number_flags(span_of("invalid"), &flags));
	assert_true(number_exptime(span_of("-1"), &exptime));
	assert_int_equal(exptime, -1);
	assert_true(number_exptime(span_of("+60"), &exptime));
	assert_int_equal(exptime, 60);
	assert_true(number_exptime(span_of("4294967296"), &exptime));
	assert_true(exptime == 4294967296);
	assert_false(number_exptime(span_of("-"), &exptime));
	assert_false(number_exptime(span_of("+-1"), &exptime));
	assert_false(number_exptime(span_of("12x"), &exptime));
	assert_false(number_exptime(span_of(""), &exptime));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_of_every_length_are_written),
	    cmocka_unit_test(signed_numbers_are_written),
	    cmocka_unit_test(numbers_are_read_up_to_their_limits),
	    cmocka_unit_test(flags_and_exptime_may_have_a_sign_and_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
