#include "lib/core/reader.h"

#include "lib/core/test/test.h"

static void
fields_are_little_endian(void **state)
{
	struct reader r = reader_of(SPAN_LIT("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"));

	assert_int_equal(reader_u8(&r), 0x01);
	assert_int_equal(reader_u16(&r), 0x0302);
	assert_int_equal(reader_u32(&r), 0x07060504);
	assert_true(reader_u64(&r) == UINT64_C(0x0f0e0d0c0b0a0908));
	assert_false(r.short_read);
	assert_int_equal(r.left, 0);
}

static void
a_read_past_the_end_gives_zero_for_ever(void **state)
{
	struct reader r = reader_of(SPAN_LIT("abc"));

	assert_int_equal(reader_u32(&r), 0);
	assert_true(r.short_read);
	assert_int_equal(reader_u8(&r), 0);
	assert_int_equal(reader_span(&r, 0).len, 0);
	assert_int_equal(reader_rest(&r).len, 0);
}

static void
spans_point_into_the_input(void **state)
{
	struct span s = SPAN_LIT("abcdef");
	struct reader r = reader_of(s);
	struct span two = reader_span(&r, 2);

	assert_ptr_equal(two.p, s.p);
	assert_true(span_is(reader_rest(&r), "cdef"));
	assert_int_equal(reader_span(&r, SIZE_MAX).len, 0);
	assert_true(r.short_read);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_are_little_endian),
	    cmocka_unit_test(a_read_past_the_end_gives_zero_for_ever),
	    cmocka_unit_test(spans_point_into_the_input),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
