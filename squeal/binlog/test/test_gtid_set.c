#include "lib/core/test/test.h"
#include "squeal/binlog/gtid_set.h"

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "19890e80-e546-11f1-9d24-02fc00000001"

static void
parse(const char *text, struct gtid_set *s)
{
	struct err_detail why = {0};

	assert_int_equal(gtid_set_parse(span_of(text), s, &why), ERR_OK);
}

static void
assert_set(const struct gtid_set *s, const char *text)
{
	struct buf b = BUF_INIT;

	gtid_set_format(s, &b);
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

static struct gtid
id(const char *text)
{
	struct err_detail why = {0};
	struct gtid g;

	assert_int_equal(gtid_parse(span_of(text), &g, &why), ERR_OK);
	return g;
}

static void
a_set_is_written_as_the_server_writes_it(void **state)
{
	struct gtid_set s = {0};

	parse(" " A ":7:1-5 ,\n" B ":foo:1:1-3:a_tag_2:4,, " A ":6", &s);
	/* B's untagged 1-3 was written behind a tag, and so belongs to the tag. */
	assert_set(&s, B ":a_tag_2:4:foo:1-3," A ":1-7");
	parse(B ":1-3:A_longer_tag:1:foo:1", &s);
	assert_set(&s, B ":1-3:a_longer_tag:1:foo:1");
	parse("", &s);
	assert_set(&s, "");
	gtid_set_fini(&s);
}

static void
what_is_no_set_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
	    "x",
	    A,
	    A ":",
	    A ":0",
	    A ":5-4",
	    A ":1-",
	    A ":1::2",
	    A ":1 2",
	    A ":tag",
	    A ":1:tag",
	    A ":9223372036854775807",
	    A ":-1",
	    "0-1-2",
	    A ":1;" B ":1",
	    A ":1-2-3",
	    A "0:1",
	};
	struct gtid_set s = {0};
	struct err_detail why = {0};

	parse(A ":1", &s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(gtid_set_parse(span_of(bad[i]), &s, &why), ERR_USAGE);
		assert_set(&s, A ":1");
	}
	gtid_set_fini(&s);
}

static void
numbers_in_any_order_become_ranges(void **state)
{
	struct gtid_set s = {0};
	struct gtid g = id(A ":1");

	for (uint64_t i = 0; i < 1000; i++) {
		g.seq = i * 619 % 1000 + 1;
		assert_false(gtid_set_has(&s, &g));
		gtid_set_add(&s, &g);
		gtid_set_add(&s, &g);
		assert_true(gtid_set_has(&s, &g));
		assert_int_equal(gtid_set_count(&s), i + 1);
	}
	assert_set(&s, A ":1-1000");
	gtid_set_add_range(&s, &g, 2000, 3000);
	gtid_set_add_range(&s, &g, 1500, 1600);
	assert_set(&s, A ":1-1000:1500-1600:2000-3000");
	gtid_set_add_range(&s, &g, 1001, 1999);
	assert_set(&s, A ":1-3000");
	gtid_set_fini(&s);
}

/* Against a plain list of booleans. */
static void
sets_agree_with_a_list_of_booleans(void **state)
{
	enum { N = 64 };
	unsigned random = 1;

	for (int round = 0; round < 2000; round++) {
		bool in_a[N + 2] = {0}, in_b[N + 2] = {0};
		struct gtid_set a = {0}, b = {0}, rest = {0};
		struct gtid g = id(A ":1");
		bool covers = true;

		for (int i = 0; i < 12; i++) {
			uint64_t first, last;
			bool to_a = i % 2 == 0;

			random = random * 1103515245u + 12345u;
			first = random % N + 1;
			last = first + (random >> 16) % 8;
			if (last > N)
				last = N;
			gtid_set_add_range(to_a ? &a : &b, &g, first, last);
			for (uint64_t k = first; k <= last; k++)
				(to_a ? in_a : in_b)[k] = true;
		}
		gtid_set_minus(&a, &b, &rest);
		for (uint64_t k = 1; k <= N; k++) {
			g.seq = k;
			assert_int_equal(gtid_set_has(&a, &g), in_a[k]);
			assert_int_equal(gtid_set_has(&rest, &g), in_a[k] && !in_b[k]);
			covers = covers && (in_a[k] || !in_b[k]);
		}
		assert_int_equal(gtid_set_covers(&a, &b), covers);
		gtid_set_add_set(&rest, &b);
		assert_true(gtid_set_covers(&rest, &a) && gtid_set_covers(&rest, &b));
		gtid_set_copy(&b, &rest);
		assert_true(gtid_set_same(&b, &rest));
		gtid_set_fini(&a);
		gtid_set_fini(&b);
		gtid_set_fini(&rest);
	}
}

static void
a_tag_is_another_series_of_numbers(void **state)
{
	struct gtid_set s = {0}, other = {0}, rest = {0};
	struct gtid g = id(A ":foo:5");

	parse(A ":1-9", &s);
	assert_false(gtid_set_has(&s, &g));
	gtid_set_add(&s, &g);
	assert_set(&s, A ":1-9:foo:5");
	parse(A ":foo:1-9", &other);
	assert_false(gtid_set_covers(&s, &other));
	gtid_set_minus(&other, &s, &rest);
	assert_set(&rest, A ":foo:1-4:6-9");
	gtid_set_fini(&s);
	gtid_set_fini(&other);
	gtid_set_fini(&rest);
}

/* What MySQL 9.7.4 wrote into a PREVIOUS_GTIDS event. */
static const unsigned char tagged[] = {
    0x01, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x19, 0x89, 0x0e, 0x80, 0xe5, 0x46, 0x11, 0xf1, 0x9d,
    0x24, 0x02, 0xfc, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x19, 0x89,
    0x0e, 0x80, 0xe5, 0x46, 0x11, 0xf1, 0x9d, 0x24, 0x02, 0xfc, 0x00, 0x00, 0x00, 0x01, 0x40, 'a',  '_',
    'l',  'o',	'n',  'g',  'e',  'r',	'_',  't',  'a',  'g',	'_',  'o',  'f',  '_',	's',  'o',  'm',
    'e',  '_',	's',  'i',  'z',  'e',	'_',  '0',  '1',  '2',	'3',  '4',  '5',  0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x19, 0x89, 0x0e, 0x80, 0xe5, 0x46, 0x11, 0xf1, 0x9d, 0x24, 0x02, 0xfc, 0x00, 0x00,
    0x00, 0x01, 0x06, 'f',  'o',  'o',	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static void
the_servers_bytes_are_read_and_written_again(void **state)
{
	struct gtid_set s = {0};
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	assert_int_equal(gtid_set_decode(span_make(tagged, sizeof(tagged)), &s, &why), ERR_OK);
	assert_set(&s, B ":1-2:a_longer_tag_of_some_size_012345:1:foo:1");
	gtid_set_encode(&s, &b);
	assert_true(span_eq(buf_span(&b), span_make(tagged, sizeof(tagged))));
	/* Servers that know no tags get the older form when there is none. */
	parse(A ":1-5:7", &s);
	buf_clear(&b);
	gtid_set_encode(&s, &b);
	assert_int_equal(b.len, 8 + 16 + 8 + 2 * 16);
	assert_memory_equal(b.p, "\1\0\0\0\0\0\0\0\x3e\x11", 10);
	assert_memory_equal(b.p + 24, "\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0\7", 25);
	gtid_set_clear(&s);
	assert_int_equal(gtid_set_decode(buf_span(&b), &s, &why), ERR_OK);
	assert_set(&s, A ":1-5:7");
	buf_fini(&b);
	gtid_set_fini(&s);
}

static void
bytes_that_end_early_or_late_are_refused(void **state)
{
	struct gtid_set s = {0};
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	parse(A ":1", &s);
	for (size_t n = 0; n < sizeof(tagged); n++)
		assert_int_equal(gtid_set_decode(span_make(tagged, n), &s, &why), ERR_BAD_EVENT);
	buf_put(&b, tagged, sizeof(tagged));
	buf_putc(&b, 0);
	assert_int_equal(gtid_set_decode(buf_span(&b), &s, &why), ERR_BAD_EVENT);
	assert_int_equal(gtid_set_decode(SPAN_LIT("\xff\xff\xff\xff\xff\xff\xff\x7f"), &s, &why),
			 ERR_BAD_EVENT);
	assert_set(&s, A ":1");
	buf_fini(&b);
	gtid_set_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_set_is_written_as_the_server_writes_it),
	    cmocka_unit_test(what_is_no_set_is_refused_and_changes_nothing),
	    cmocka_unit_test(numbers_in_any_order_become_ranges),
	    cmocka_unit_test(sets_agree_with_a_list_of_booleans),
	    cmocka_unit_test(a_tag_is_another_series_of_numbers),
	    cmocka_unit_test(the_servers_bytes_are_read_and_written_again),
	    cmocka_unit_test(bytes_that_end_early_or_late_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
