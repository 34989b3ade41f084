#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "squeal/binlog/xid.h"

/* The id in canonical text and, behind a bar, what is left of the input; "-" for none. */
#define assert_xid(text, want)                                                                               \
	do {                                                                                                 \
		struct buf out_ = BUF_INIT;                                                                  \
		struct span rest_ = span_of(text);                                                           \
		struct xid x_;                                                                               \
		if (xid_parse(&x_, &rest_)) {                                                                \
			xid_format(&x_, &out_);                                                              \
			buf_printf(&out_, "|%.*s", SPAN_FMT(rest_));                                         \
		} else {                                                                                     \
			buf_put_str(&out_, "-");                                                             \
		}                                                                                            \
		assert_string_equal(buf_str(&out_), want);                                                   \
		buf_fini(&out_);                                                                             \
	} while (0)

static void
what_servers_write_is_read(void **state)
{
	assert_xid("X'61',X'',1", "X'61',X'',1|");
	assert_xid("X'6d34',X'69742773',3", "X'6d34',X'69742773',3|");
	assert_xid("X'00ff27',X'',4294967295", "X'00ff27',X'',4294967295|");
	assert_xid(" X'62',X'6271',7 ONE PHASE", "X'62',X'6271',7|ONE PHASE");
	assert_xid("X'',X'',1", "X'',X'',1|");
}

static void
what_clients_write_is_read(void **state)
{
	assert_xid("'ab'", "X'6162',X'',1|");
	assert_xid("\t'a' , \"b\" , 12 ;", "X'61',X'62',12|;");
	assert_xid("x'AbCd'", "X'abcd',X'',1|");
	assert_xid("0xabc,0X", "-");
	assert_xid("0xabc ,'x'", "X'0abc',X'78',1|");
	assert_xid("'it''s',\"\"\"q\"\"\"", "X'69742773',X'227122',1|");
	assert_xid("'\\n\\0\\\\\\'\\q'", "X'0a005c2771',X'',1|");
}

static void
what_is_no_id_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",	 "a",  "'", "'a",   "'a\\",  "X'6'",	 "X'61",      "X'6g'",
	    "X", "0x", "1", "'a',", "'a',b", "'a','b',", "'a','b',x", "'a','b',99999999999999999999"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_xid(bad[i], "-");
}

static void
parts_are_at_most_64_bytes_long(void **state)
{
	struct buf text = BUF_INIT;
	struct span rest;
	struct xid x;

	buf_printf(&text, "'%064d','%064d'", 0, 0);
	rest = buf_span(&text);
	assert_true(xid_parse(&x, &rest));
	assert_int_equal(x.bqual_len, 64);
	buf_clear(&text);
	buf_printf(&text, "'%065d'", 0);
	rest = buf_span(&text);
	assert_false(xid_parse(&x, &rest));
	buf_clear(&text);
	buf_printf(&text, "X'%0130d'", 0);
	rest = buf_span(&text);
	assert_false(xid_parse(&x, &rest));
	assert_false(xid_make(&x, 1, buf_span(&text), (struct span){"", 0}));
	assert_false(xid_make(&x, 1, (struct span){"", 0}, buf_span(&text)));
	buf_fini(&text);
}

static void
ids_differ_by_each_of_their_parts(void **state)
{
	struct xid a, b;

	assert_true(xid_make(&a, 1, SPAN_LIT("ab"), SPAN_LIT("c")));
	assert_true(xid_make(&b, 1, SPAN_LIT("ab"), SPAN_LIT("c")));
	assert_true(xid_same(&a, &b));
	assert_true(xid_make(&b, 2, SPAN_LIT("ab"), SPAN_LIT("c")));
	assert_false(xid_same(&a, &b));
	assert_true(xid_make(&b, 1, SPAN_LIT("a"), SPAN_LIT("bc")));
	assert_false(xid_same(&a, &b));
	assert_true(xid_make(&b, 1, SPAN_LIT("ab"), SPAN_LIT("d")));
	assert_false(xid_same(&a, &b));
}

static void
only_32_bits_of_a_format_id_count(void **state)
{
	assert_xid("'a','',4294967298", "X'61',X'',2|");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_servers_write_is_read),
	    cmocka_unit_test(what_clients_write_is_read),
	    cmocka_unit_test(what_is_no_id_is_refused),
	    cmocka_unit_test(parts_are_at_most_64_bytes_long),
	    cmocka_unit_test(ids_differ_by_each_of_their_parts),
	    cmocka_unit_test(only_32_bits_of_a_format_id_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
