#include "lib/core/test/test.h"
#include "squeal/binlog/position.h"

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"

static void
parse(const char *text, struct position *p)
{
	struct err_detail why = {0};

	assert_int_equal(position_parse(span_of(text), p, &why), ERR_OK);
}

static void
assert_position(const struct position *p, const char *text)
{
	struct buf b = BUF_INIT;

	position_format(p, &b);
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
every_form_is_read_and_written_again(void **state)
{
	static const char *const texts[] = {
	    "gtid:",
	    "gtid:0-1-100,1-2-7",
	    "gtid:" A ":1-23:tag:4",
	    "file:mysql-bin.000007:1234",
	    "file:a:b@c.000007:68719476736",
	    "file:mysql-bin.000007:4@" A,
	};
	struct position p = {0}, copy = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		parse(texts[i], &p);
		assert_position(&p, texts[i]);
		assert_true(i == 0 || !position_same(&p, &copy));
		position_copy(&copy, &p);
		assert_true(position_same(&p, &copy));
		assert_position(&copy, texts[i]);
	}
	parse(" 0-1-100 ", &p);
	assert_position(&p, "gtid:0-1-100");
	parse(A ":1", &p);
	assert_position(&p, "gtid:" A ":1");
	position_fini(&p);
	position_fini(&copy);
}

static void
what_is_no_position_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
	    "x",	"file:",      "file:x",	     "file::4",	  "file:x:", "file:x:3",
	    "file:x:a", "file:a/b:4", "file:it's:4", "gtid:0-1:", "gtid:" A,
	};
	struct position p = {0};
	struct err_detail why = {0};

	parse("0-1-1", &p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(position_parse(span_of(bad[i]), &p, &why), ERR_USAGE);
		assert_position(&p, "gtid:0-1-1");
	}
	position_fini(&p);
}

static void
each_kind_advances_by_its_own_and_takes_nothing_else(void **state)
{
	struct gtid mariadb = id("0-1-7"), mysql = id(A ":5"), none = {0};
	struct position p = {0};

	position_advance(&p, &none, SPAN_LIT("f.000001"), 100);
	assert_position(&p, "gtid:");
	position_advance(&p, &mariadb, SPAN_LIT("f.000001"), 100);
	assert_position(&p, "gtid:0-1-7");
	position_advance(&p, &mysql, SPAN_LIT("f.000001"), 100);
	assert_position(&p, "gtid:0-1-7");
	position_clear(&p);
	position_advance(&p, &mysql, SPAN_LIT("f.000001"), 100);
	assert_position(&p, "gtid:" A ":5");
	position_move(&p, SPAN_LIT("f.000002"), 4);
	assert_position(&p, "gtid:" A ":5");
	parse("file:f.000001:4@" A, &p);
	position_advance(&p, &mysql, SPAN_LIT("f.000001"), 5000000000);
	assert_position(&p, "file:f.000001:5000000000@" A);
	position_advance(&p, &none, SPAN_LIT("f.000002"), 100);
	position_move(&p, SPAN_LIT(""), 0);
	assert_position(&p, "file:f.000002:100@" A);
	position_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_form_is_read_and_written_again),
	    cmocka_unit_test(what_is_no_position_is_refused_and_changes_nothing),
	    cmocka_unit_test(each_kind_advances_by_its_own_and_takes_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
