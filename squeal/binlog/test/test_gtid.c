#include "lib/core/test/test.h"
#include "squeal/binlog/gtid.h"

static void
assert_pos(const struct gtid_pos *p, const char *text)
{
	struct buf b = BUF_INIT;

	gtid_pos_format(p, &b);
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

static void
parse(const char *text, struct gtid_pos *p)
{
	struct err_detail why = {0};

	assert_int_equal(gtid_pos_parse(span_of(text), p, &why), ERR_OK);
}

static void
a_position_is_parsed_and_written_sorted_by_domain(void **state)
{
	struct gtid_pos p = {0};

	parse(" 7-2-18446744073709551615 , 0-1-100,1-4294967295-7 ", &p);
	assert_pos(&p, "0-1-100,1-4294967295-7,7-2-18446744073709551615");
	parse("", &p);
	assert_pos(&p, "");
	gtid_pos_fini(&p);
}

static void
an_id_replaces_the_last_one_of_its_domain_whatever_server_wrote_it(void **state)
{
	struct gtid_pos p = {0};
	struct gtid g = {.kind = GTID_MARIADB, .domain = 1, .server = 3, .seq = 8};

	parse("0-1-100,1-2-7", &p);
	gtid_pos_advance(&p, &g);
	assert_pos(&p, "0-1-100,1-3-8");
	g.domain = 0;
	g.seq = 101;
	gtid_pos_advance(&p, &g);
	assert_pos(&p, "0-3-101,1-3-8");
	assert_int_equal(gtid_pos_find(&p, 1)->seq, 8);
	assert_null(gtid_pos_find(&p, 2));
	gtid_pos_fini(&p);
}

static void
many_domains_keep_their_order(void **state)
{
	struct gtid_pos p = {0}, copy = {0};
	struct gtid g = {.kind = GTID_MARIADB, .server = 1};

	for (uint32_t i = 0; i < 1000; i++) {
		g.domain = i * 7919 % 1000;
		g.seq = i + 1;
		gtid_pos_advance(&p, &g);
	}
	assert_int_equal(p.n, 1000);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(p.ids[i].domain, i);
	gtid_pos_copy(&copy, &p);
	gtid_pos_clear(&p);
	assert_int_equal(copy.n, 1000);
	assert_int_equal(p.n, 0);
	gtid_pos_fini(&p);
	gtid_pos_fini(&copy);
}

static void
a_mysql_id_is_read_and_written_and_does_not_move_a_position(void **state)
{
	struct err_detail why = {0};
	struct gtid_pos p = {0};
	struct buf b = BUF_INIT;
	struct gtid g, h;

	assert_int_equal(gtid_parse(span_of("3E11FA47-71ca-11e1-9e33-c80aa9429562:23"), &g, &why), ERR_OK);
	gtid_format(&g, &b);
	assert_string_equal(buf_str(&b), "3e11fa47-71ca-11e1-9e33-c80aa9429562:23");
	h = g;
	assert_true(gtid_same(&g, &h));
	h.seq++;
	assert_false(gtid_same(&g, &h));
	gtid_pos_advance(&p, &g);
	assert_int_equal(p.n, 0);
	buf_fini(&b);
	gtid_pos_fini(&p);
}

static void
what_is_no_position_is_refused_with_a_sentence_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
	    "0",
	    "0-1",
	    "0-1-",
	    "-1-1",
	    "0-1-x",
	    "0-1-1-1",
	    "0-1-1,",
	    ",0-1-1",
	    "0-1-1,,1-1-1",
	    "0-1-1,0-2-2",
	    "4294967296-1-1",
	    "0-1-18446744073709551616",
	    "0-1- 1",
	    "0-1-1;DROP",
	    "3e11fa47-71ca-11e1-9e33-c80aa9429562:23",
	    "3e11fa47-71ca-11e1-9e33-c80aa942956:23",
	    "3e11fa47-71ca-11e1-9e33-c80aa9429562:0",
	    "0-1-1'",
	};
	struct gtid_pos p = {0};

	parse("5-5-5", &p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err_detail why = {0};

		assert_int_equal(gtid_pos_parse(span_of(bad[i]), &p, &why), ERR_USAGE);
		assert_true(why.text[0] != '\0');
		assert_pos(&p, "5-5-5");
	}
	gtid_pos_fini(&p);
}

static void
a_tagged_id_is_read_and_written(void **state)
{
	struct err_detail why = {0};
	struct gtid a, b;
	struct buf text = BUF_INIT;

	assert_int_equal(gtid_parse(SPAN_LIT("3e11fa47-71ca-11e1-9e33-c80aa9429562:My_Tag1:23"), &a, &why),
			 ERR_OK);
	gtid_format(&a, &text);
	assert_string_equal(buf_str(&text), "3e11fa47-71ca-11e1-9e33-c80aa9429562:my_tag1:23");
	assert_int_equal(gtid_parse(SPAN_LIT("3e11fa47-71ca-11e1-9e33-c80aa9429562:23"), &b, &why), ERR_OK);
	assert_false(gtid_same(&a, &b));
	assert_true(gtid_set_tag(&b, SPAN_LIT("my_tag1")));
	assert_true(gtid_same(&a, &b));
	assert_false(gtid_set_tag(&b, SPAN_LIT("1tag")));
	assert_false(gtid_set_tag(&b, SPAN_LIT("ta-g")));
	assert_false(gtid_set_tag(&b, SPAN_LIT("a23456789012345678901234567890123")));
	assert_true(gtid_same(&a, &b));
	assert_true(gtid_set_tag(&b, SPAN_LIT("a2345678901234567890123456789012")));
	b.seq = UINT64_MAX;
	buf_clear(&text);
	gtid_format(&b, &text);
	assert_true(text.len <= GTID_TEXT_MAX);
	assert_int_equal(gtid_parse(SPAN_LIT("3e11fa47-71ca-11e1-9e33-c80aa9429562::23"), &a, &why),
			 ERR_USAGE);
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_position_is_parsed_and_written_sorted_by_domain),
	    cmocka_unit_test(an_id_replaces_the_last_one_of_its_domain_whatever_server_wrote_it),
	    cmocka_unit_test(many_domains_keep_their_order),
	    cmocka_unit_test(a_mysql_id_is_read_and_written_and_does_not_move_a_position),
	    cmocka_unit_test(what_is_no_position_is_refused_with_a_sentence_and_changes_nothing),
	    cmocka_unit_test(a_tagged_id_is_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
