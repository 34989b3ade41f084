#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/core/buf.h"
#include "squeal/origin.h"

static void
expect(const struct origin *o, const char *text)
{
	char got[ORIGIN_MAX + 8] = {0};

	memcpy(got, origin_text(o).p, origin_text(o).len);
	assert_string_equal(got, text);
}

static void
a_statement_gives_its_kind_and_its_table(void **state)
{
	static const struct {
		const char *sql, *text;
	} rows[] = {
	    {"UPDATE users SET a = 1", "update users"},
	    {"/*inv='user:1'*/ update shop.users set a=1", "update shop.users"},
	    {"INSERT IGNORE INTO `my shop`.`feed` VALUES (1)", "insert my shop.feed"},
	    {"insert feed(a) values(1)", "insert feed"},
	    {"REPLACE LOW_PRIORITY INTO\n\tfeed values (1)", "replace feed"},
	    {"delete quick from /* old */ sessions where 1", "delete sessions"},
	    {"UPDATE a . b SET c=1", "update a.b"},
	    {"UPDATE `a``b` SET c=1", "update a"},
	    {"UPDATE (SELECT 1) x", "update"},
	    {"UPDATE `unfinished", "update"},
	    {"LOAD DATA INFILE 'x' INTO TABLE t", "load"},
	    {"/* never closed", ""},
	    {"", ""},
	    {"WITH x AS (SELECT 1) DELETE FROM t", "with"},
	    {"UPDATE \x01 SET", "update"},
	};
	struct origin o;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		origin_clear(&o);
		origin_statement(&o, span_of(rows[i].sql));
		expect(&o, rows[i].text);
	}
}

static void
what_comes_again_stands_there_once(void **state)
{
	struct origin o;

	origin_clear(&o);
	for (int i = 0; i < 3; i++) {
		origin_rows(&o, SPAN_LIT("update"), SPAN_LIT("shop"), SPAN_LIT("users"));
		origin_statement(&o, SPAN_LIT("INSERT INTO feed VALUES (1)"));
		origin_rows(&o, SPAN_LIT("update"), SPAN_LIT("shop"), SPAN_LIT("user"));
	}
	expect(&o, "update shop.users, insert feed, update shop.user");
}

static void
what_has_no_room_is_three_dots(void **state)
{
	struct origin o;
	struct buf name = BUF_INIT;

	origin_clear(&o);
	for (int i = 0; i < 100; i++) {
		buf_clear(&name);
		buf_printf(&name, "table_%d", i);
		origin_rows(&o, SPAN_LIT("delete"), SPAN_LIT("shop"), buf_span(&name));
	}
	assert_in_range(origin_text(&o).len, ORIGIN_MAX - 30, ORIGIN_MAX);
	assert_memory_equal(origin_text(&o).p + origin_text(&o).len - 5, ", ...", 5);
	buf_fini(&name);
}

static void
endless_names_are_left_out(void **state)
{
	struct buf sql = BUF_INIT;
	struct origin o;

	buf_put_str(&sql, "UPDATE ");
	for (int i = 0; i < 1000; i++)
		buf_put_str(&sql, "xy");
	origin_clear(&o);
	origin_statement(&o, buf_span(&sql));
	expect(&o, "update");
	buf_fini(&sql);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_statement_gives_its_kind_and_its_table),
	    cmocka_unit_test(what_comes_again_stands_there_once),
	    cmocka_unit_test(what_has_no_room_is_three_dots),
	    cmocka_unit_test(endless_names_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
