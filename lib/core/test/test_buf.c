#include "lib/core/buf.h"

#include <stdlib.h>

#include "lib/core/test/test.h"

static void
bytes_come_out_in_the_order_they_went_in(void **state)
{
	struct buf b = BUF_INIT;
	unsigned next_in = 0;
	unsigned next_out = 0;

	srand(1);
	for (int round = 0; round < 20000; round++) {
		for (int n = rand() % 40; n > 0; n--)
			buf_putc(&b, (char)next_in++);
		for (size_t n = b.len > 0 ? (size_t)rand() % b.len : 0; n > 0; n--) {
			assert_int_equal((unsigned char)b.p[0], (unsigned char)next_out++);
			buf_take(&b, 1);
		}
	}
	assert_int_equal(b.len, next_in - next_out);
	buf_fini(&b);
}

static void
taking_more_than_there_is_takes_all(void **state)
{
	struct buf b = BUF_INIT;

	buf_put_str(&b, "abc");
	buf_take(&b, 99);
	assert_int_equal(b.len, 0);
	buf_put_str(&b, "d");
	assert_string_equal(buf_str(&b), "d");
	buf_fini(&b);
}

static void
printing_grows_as_needed(void **state)
{
	struct buf b = BUF_INIT;
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	buf_printf(&b, "%s-%d", text, 42);
	assert_int_equal(b.len, sizeof(text) - 1 + 3);
	assert_memory_equal(b.p + b.len - 3, "-42", 3);
	buf_fini(&b);
}

static void
numbers_are_decimal(void **state)
{
	struct buf b = BUF_INIT;

	buf_put_u64(&b, 0);
	buf_putc(&b, ' ');
	buf_put_u64(&b, UINT64_MAX);
	assert_string_equal(buf_str(&b), "0 18446744073709551615");
	buf_fini(&b);
}

static void
the_string_form_does_not_count_its_nul(void **state)
{
	struct buf b = BUF_INIT;

	assert_string_equal(buf_str(&b), "");
	assert_int_equal(b.len, 0);
	buf_put(&b, NULL, 0);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
	buf_fini(&b);
}

static void
little_endian_numbers_have_their_lowest_byte_first(void **state)
{
	struct buf b = BUF_INIT;

	buf_put_le(&b, 0x0102030405060708, 8);
	buf_put_le(&b, 0xfffe, 1);
	buf_put_le(&b, 7, 0);
	assert_int_equal(b.len, 9);
	assert_memory_equal(b.p, "\x08\x07\x06\x05\x04\x03\x02\x01\xfe", 9);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
	    cmocka_unit_test(taking_more_than_there_is_takes_all),
	    cmocka_unit_test(printing_grows_as_needed),
	    cmocka_unit_test(numbers_are_decimal),
	    cmocka_unit_test(little_endian_numbers_have_their_lowest_byte_first),
	    cmocka_unit_test(the_string_form_does_not_count_its_nul),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
