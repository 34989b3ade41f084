#include "lib/core/test/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "squeal/binlog/table.h"

/* d.t: id INT, v VARCHAR(300), e ENUM, y YEAR, g GEOMETRY, c CHAR(300), n DECIMAL(10,2) */
#define HEAD                                                                                                 \
	"\x01"                                                                                               \
	"d\0\x01"                                                                                            \
	"t\0\x07\x03\x0f\xfe\x0d\xff\xfe\xf6"                                                                \
	"\x09\x2c\x01\xf7\x01\x04\xee\x2c\x0a\x02"                                                           \
	"\x7e"

static struct binlog_event
map_of(uint64_t id, const char *body, size_t len)
{
	struct binlog_event ev = {.type = BINLOG_TYPE_TABLE_MAP, .kind = BINLOG_TABLE, .post_len = 8};

	ev.u.table.id = id;
	ev.u.table.body = span_make(body, len);
	return ev;
}

static const struct table *
put(struct tables *ts, uint64_t id, const char *body, size_t len)
{
	struct binlog_event ev = map_of(id, body, len);
	struct err_detail why = {0};
	const struct table *t;

	if (tables_put(ts, &ev, &t, &why) != ERR_OK)
		fail_msg("%s", why.text);
	return t;
}

#define PUT(ts, id, body) put(ts, id, body, sizeof(body) - 1)

static void
columns_are_laid_out_as_their_metadata_say(void **state)
{
	struct tables *ts = tables_create();
	const struct table *t = PUT(ts, 1, HEAD);

	assert_true(span_is(t->db, "d"));
	assert_true(span_is(t->name, "t"));
	assert_int_equal(t->ncolumns, 7);
	assert_int_equal(t->columns[0].size, 4);
	assert_int_equal(t->columns[1].prefix, 2);
	assert_int_equal(t->columns[2].type, COLUMN_ENUM);
	assert_int_equal(t->columns[2].size, 1);
	assert_int_equal(t->columns[4].prefix, 4);
	assert_int_equal(t->columns[5].meta, 300);
	assert_int_equal(t->columns[5].prefix, 2);
	assert_int_equal(t->columns[6].size, 5);
	assert_false(t->columns[0].is_nullable);
	assert_true(t->columns[1].is_nullable);
	assert_false(t->has_names);
	assert_int_equal(table_find(t, SPAN_LIT("id")), -1);
	tables_destroy(&ts);
}

static void
optional_metadata_reach_their_columns(void **state)
{
	struct tables *ts = tables_create();
	/* Numeric: id, y, n.  With a character set: v, c. */
	const struct table *t = PUT(ts, 1,
				    HEAD "\x01\x01\xa0"
					 "\x02\x03\x2d\x01\x3f"
					 "\x04\x0f\x02id\x01v\x01"
					 "e\x01y\x01g\x01"
					 "c\x01n"
					 "\x06\x06\x02\x01"
					 "a\x02"
					 "bc"
					 "\x09\x04\x01\x05\x00\x00"
					 "\x0a\x01\x21"
					 "\x0c\x01\xfc"
					 "\x0d\x01\x03"
					 "\xf0\x02zz");

	assert_true(t->has_names && t->has_signedness);
	assert_int_equal(table_find(t, SPAN_LIT("c")), 5);
	assert_true(t->columns[0].is_unsigned);
	assert_false(t->columns[3].is_unsigned);
	assert_true(t->columns[6].is_unsigned);
	assert_int_equal(t->columns[1].collation, 0x2d);
	assert_int_equal(t->columns[5].collation, COLUMN_CHARSET_BINARY);
	assert_int_equal(t->columns[4].collation, 0);
	assert_int_equal(t->columns[2].collation, 0x21);
	assert_int_equal(t->columns[2].nvalues, 2);
	assert_int_equal(t->nkey, 2);
	assert_int_equal(t->key[0].column, 1);
	assert_int_equal(t->key[0].prefix, 5);
	assert_int_equal(t->key[1].column, 0);
	assert_false(t->columns[5].is_invisible);
	assert_true(t->columns[6].is_invisible);
	tables_destroy(&ts);
}

static void
a_map_cut_anywhere_is_refused_and_never_read_past_its_end(void **state)
{
	static const char whole[] = HEAD "\x01\x01\xa0"
					 "\x08\x01\x00";
	const size_t fits[] = {sizeof(HEAD) - 1, sizeof(HEAD) + 2, sizeof(whole) - 1};
	struct tables *ts = tables_create();

	for (size_t n = 0; n < sizeof(whole); n++) {
		char *exact = malloc(n + 1);
		struct binlog_event ev = map_of(1, exact, n);
		struct err_detail why = {0};
		const struct table *t;
		err_t err;

		memcpy(exact, whole, n);
		err = tables_put(ts, &ev, &t, &why);
		if (n == fits[0] || n == fits[1] || n == fits[2])
			assert_int_equal(err, ERR_OK);
		else if (n < sizeof(whole) - 1)
			assert_int_equal(err, ERR_BAD_EVENT);
		free(exact);
	}
	tables_destroy(&ts);
}

static void
the_same_map_again_is_the_same_table_and_another_one_replaces_it(void **state)
{
	struct tables *ts = tables_create();
	const struct table *a = PUT(ts, 9, HEAD), *b;
	uint64_t version = a->version;

	assert_ptr_equal(PUT(ts, 9, HEAD), a);
	assert_int_equal(a->version, version);
	b = PUT(ts, 9, HEAD "\x08\x01\x00");
	assert_int_not_equal(b->version, version);
	assert_int_equal(b->nkey, 1);
	assert_ptr_equal(tables_find(ts, 9), b);
	tables_clear(ts);
	assert_null(tables_find(ts, 9));
	tables_destroy(&ts);
}

static void
only_so_many_are_kept_and_the_least_used_goes_first(void **state)
{
	struct tables *ts = tables_create();

	for (uint64_t id = 1; id <= TABLES_MAX; id++)
		PUT(ts, id, HEAD);
	assert_non_null(tables_find(ts, 1));
	PUT(ts, TABLES_MAX + 1, HEAD);
	assert_non_null(tables_find(ts, 1));
	assert_null(tables_find(ts, 2));
	assert_non_null(tables_find(ts, 3));
	tables_destroy(&ts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(columns_are_laid_out_as_their_metadata_say),
	    cmocka_unit_test(optional_metadata_reach_their_columns),
	    cmocka_unit_test(a_map_cut_anywhere_is_refused_and_never_read_past_its_end),
	    cmocka_unit_test(the_same_map_again_is_the_same_table_and_another_one_replaces_it),
	    cmocka_unit_test(only_so_many_are_kept_and_the_least_used_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
