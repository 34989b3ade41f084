#include "lib/core/test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "squeal/binlog/rows.h"
#include "squeal/binlog/source_file.h"
#include "squeal/binlog/txn.h"

#define DATA "squeal/binlog/test/data/"

struct fixture {
	struct binlog_metrics metrics;
	struct rows *rows;
	struct err_detail why;
	struct buf out;
	unsigned tables, events;
	struct buf names; /* of all columns of the tables, and their keys */
};

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	return ERR_OK;
}

static err_t
on_text(void *arg, struct span text)
{
	return ERR_OK;
}

static err_t
on_end(void *arg, const struct txn_end *e)
{
	return ERR_OK;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	return ERR_OK;
}

/* As `mariadb --batch` does. */
static void
put_escaped(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		switch (s.p[i]) {
		case '\0':
			buf_put_str(out, "\\0");
			break;
		case '\t':
			buf_put_str(out, "\\t");
			break;
		case '\n':
			buf_put_str(out, "\\n");
			break;
		case '\\':
			buf_put_str(out, "\\\\");
			break;
		default:
			buf_putc(out, s.p[i]);
		}
	}
}

static void
put_image(struct fixture *f, char kind, const struct row_image *image)
{
	struct buf text = BUF_INIT;

	buf_putc(&f->out, kind);
	for (uint32_t i = 0; i < image->table->ncolumns; i++) {
		struct row_value v;

		buf_putc(&f->out, '\t');
		if (!row_get(image, i, &v)) {
			buf_putc(&f->out, '-');
			continue;
		}
		buf_clear(&text);
		if (v.is_partial)
			buf_put_str(&text, "(partial)");
		else if (!rows_value_text(&v, &text))
			buf_put_str(&text, "(bad)");
		put_escaped(&f->out, buf_span(&text));
	}
	buf_putc(&f->out, '\n');
	buf_fini(&text);
}

static err_t
on_table(void *arg, const struct table *t)
{
	struct fixture *f = arg;

	f->tables++;
	if (f->tables > 1 && span_find(buf_span(&f->names), t->name) >= 0)
		return ERR_OK;
	buf_put_span(&f->names, t->db);
	buf_putc(&f->names, '.');
	buf_put_span(&f->names, t->name);
	buf_putc(&f->names, ':');
	for (uint32_t i = 0; i < t->ncolumns; i++) {
		buf_putc(&f->names, ' ');
		buf_put_span(&f->names, t->columns[i].name);
		if (t->columns[i].is_unsigned)
			buf_put_str(&f->names, "+");
		if (t->columns[i].is_invisible)
			buf_put_str(&f->names, "(invisible)");
	}
	for (uint32_t i = 0; i < t->nkey; i++)
		buf_printf(&f->names, " key %u/%u", t->key[i].column, t->key[i].prefix);
	buf_putc(&f->names, '\n');
	return ERR_OK;
}

static err_t
on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	struct fixture *f = arg;
	struct row row;
	bool more;
	err_t err = rows_open(f->rows, ev, t, &f->why);

	f->events++;
	while (err == ERR_OK && (err = rows_next(f->rows, &row, &more, &f->why)) == ERR_OK && more) {
		if (row.before.exists)
			put_image(f, row.action == BINLOG_DELETE ? 'D' : 'B', &row.before);
		if (row.after.exists)
			put_image(f, row.action == BINLOG_INSERT ? 'I' : 'A', &row.after);
	}
	return err;
}

static err_t
read_all(struct fixture *f, const char *path)
{
	static const struct txn_ops ops = {
	    .begin = on_begin,
	    .statement = on_text,
	    .savepoint = on_text,
	    .rollback_to = on_text,
	    .commit = on_end,
	    .rollback = on_end,
	    .moved = on_moved,
	    .table = on_table,
	    .rows = on_rows,
	};
	struct source *s = source_file_create(path, 1 << 24);
	struct txn *t = txn_create(&ops, f, &f->metrics);
	struct binlog_decoder d;
	struct binlog_event ev;
	struct span bytes;
	err_t err;

	binlog_decoder_init(&d, 1 << 24, &f->metrics);
	err = source_open(s, (struct span){"", 0}, &f->why);
	if (err == ERR_OK)
		binlog_decoder_start(&d, s->info.file, s->info.pos, s->info.checksum);
	while (err == ERR_OK) {
		err = source_next(s, &bytes, &f->why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		err = txn_read(t, &d, bytes, &ev, &f->why);
	}
	txn_destroy(&t);
	binlog_decoder_fini(&d);
	source_destroy(&s);
	return err;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->rows = rows_create(1 << 24);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	rows_destroy(&f->rows);
	buf_fini(&f->out);
	buf_fini(&f->names);
	free(f);
	return 0;
}

/* Line by line and column by column, so that a failure says where. */
static void
assert_same(struct fixture *f, const char *path)
{
	struct err_detail why = {0};
	struct buf want = BUF_INIT;
	const char *a, *b;
	unsigned line = 1, column = 0;

	assert_int_equal(file_read(path, 1 << 24, &want, &why), ERR_OK);
	a = buf_str(&f->out);
	b = buf_str(&want);
	for (size_t i = 0; i < f->out.len && i < want.len; i++) {
		if (a[i] != b[i])
			fail_msg("%s: line %u column %u: \"%.60s\" instead of \"%.60s\"", path, line, column,
				 a + (i < 20 ? 0 : i - 20), b + (i < 20 ? 0 : i - 20));
		if (a[i] == '\n') {
			line++;
			column = 0;
		} else if (a[i] == '\t') {
			column++;
		}
	}
	assert_int_equal(f->out.len, want.len);
	buf_fini(&want);
}

static void
assert_recording(struct fixture *f, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), DATA "%s.binlog", name);
	if (read_all(f, path) != ERR_OK)
		fail_msg("%s: %s", path, err_why(&f->why));
	snprintf(path, sizeof(path), DATA "%s.txt", name);
	assert_same(f, path);
}

static void
every_type_comes_out_as_select_prints_it(void **state)
{
	struct fixture *f = *state;

	assert_recording(f, "rows_full");
	assert_non_null(
	    strstr(buf_str(&f->names), "t.all_types: id+ ti tu+ si su+ mi mu+ i iu+ b bu+ y+ f d "));
	assert_non_null(strstr(buf_str(&f->names), " ct after_all+ key 0/0\n"));
	assert_non_null(strstr(buf_str(&f->names), "t.parts: a b n key 0/0 key 2/3\n"));
}

static void
minimal_images_have_some_columns_only(void **state)
{
	assert_recording(*state, "rows_minimal");
}

static void
without_metadata_values_are_still_read(void **state)
{
	assert_recording(*state, "rows_bare");
}

static void
compressed_rows_are_those_that_were_compressed(void **state)
{
	struct fixture *f = *state;

	assert_recording(f, "rows_compressed");
}

static void
images_without_blobs_are_read(void **state)
{
	assert_recording(*state, "rows_noblob");
}

static void
times_of_the_old_format_are_read_and_their_fractions_refused(void **state)
{
	struct fixture *f = *state;

	assert_recording(f, "rows_old_times");
	buf_clear(&f->out);
	assert_int_equal(read_all(f, DATA "rows_old_fractions.binlog"), ERR_BAD_EVENT);
	assert_non_null(strstr(f->why.text, "mysql56_temporal_format=ON"));
	assert_int_equal(f->out.len, 0);
}

static void
every_type_of_mysql_comes_out_as_select_prints_it(void **state)
{
	struct fixture *f = *state;

	assert_recording(f, "mysql_rows_full");
	assert_non_null(
	    strstr(buf_str(&f->names), "t.all_types: id+ ti tu+ si su+ mi mu+ i iu+ b bu+ bo y+ f d "));
	assert_non_null(strstr(buf_str(&f->names), " ve gv gs inv(invisible) after_all+ key 0/0\n"));
}

static void
minimal_images_of_mysql_have_some_columns_only(void **state)
{
	assert_recording(*state, "mysql_rows_minimal");
}

static void
images_of_mysql_without_blobs_are_read(void **state)
{
	assert_recording(*state, "mysql_rows_noblob");
}

/* Partial JSON, a generated invisible key, columns added and dropped on the way, partitions, CREATE ...
 * SELECT. */
static void
tables_that_change_on_the_way_are_read_as_they_were(void **state)
{
	struct fixture *f = *state;

	assert_recording(f, "mysql_images");
	assert_non_null(strstr(buf_str(&f->names), "t.keyless: my_row_id+(invisible) v key 0/0\n"));
}

static void
rows_inside_of_payloads_are_those_that_were_compressed(void **state)
{
	assert_recording(*state, "mysql_rows_payload");
}

/* Files of other servers that are not part of this project, and lines that must come out of them. */
static const struct {
	const char *name, *line;
} outside[] = {
    {"json.binlog.000001", "I\t1\t{\"age\": 24, \"data\": \"xxxxxxxxxx\", \"name\": \"Joe\"}\tJoe\t24\n"},
    {"json.binlog.000001", "B\t6\t-\t-\t-\nA\t-\t(partial)\tPete\t42\n"},
    {"json-opaque.binlog",
     "I\t{\"a\": \"base64:type15:VQ==\"}\nI\t{\"b\": \"2012-03-18\"}\n"
     "I\t{\"c\": \"2012-03-18 11:30:45.000000\"}\nI\t{\"c\": \"87:31:46.654321\"}\n"
     "I\t{\"d\": 123.456}\nI\t{\"e\": 9.00}\nI\t{\"e\": [0, 1, true, false]}\nI\t{\"e\": null}\n"},
    {"vector.binlog", "I\t1\t\xcd\xcc\x8c?\xcd\xcc\x0c@33S@\n"},
    {"update-partial-row.binlog", "B\t4\t-\t4\nA\t4\t-\t40\nD\t2\t-\t-\n"},
    {"mysql-enum-string-set.000001", "A\tfield1\tfield_2\tvariant2\ttwo,four\t0123456789"},
    {"binlog-invisible-columns.000001", "A\t111\t222\t-333\t444\tU\tNULL\n"},
    {"binlog-invisible-columns.000001", "I\t1\t2\t-3\t4\t\x05\t6000000000\n"},
    {"mysql_type_bit.000001", "I\t4\tfoo\t32\n"},
    {"transaction_compression.000001", "I\t1\n"},
    {"time_issue.000001", "I\t-507:48:27\n"},
    {"ver_trunk_row_v2.001", "B\t1\ttwo\nA\t2\ttwo\nD\t2\ttwo\n"},
};

static void
rows_of_other_servers_come_out(void **state)
{
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		struct fixture *f;
		void *own;
		char path[200];

		snprintf(path, sizeof(path), "../shared/binlogs/%s", outside[i].name);
		if (access(path, R_OK) != 0) {
			print_message("skipped: %s is not there\n", path);
			skip();
		}
		setup(&own);
		f = own;
		if (read_all(f, path) != ERR_OK)
			fail_msg("%s: %s", path, err_why(&f->why));
		if (strstr(buf_str(&f->out), outside[i].line) == NULL)
			fail_msg("%s: no \"%s\" in:\n%s", path, outside[i].line, buf_str(&f->out));
		teardown(&own);
	}
}

/* A table of one INT and one TINYBLOB, made by hand. */
static const struct table *
small_table(struct tables *tables, struct err_detail *why)
{
	static const char body[] = "\x01"
				   "d\0\x01"
				   "t\0\x02\x03\xfc\x01\x01\x03";
	struct binlog_event ev = {.type = BINLOG_TYPE_TABLE_MAP, .kind = BINLOG_TABLE, .post_len = 8};
	const struct table *t;

	ev.u.table.id = 1;
	ev.u.table.body = span_make(body, sizeof(body) - 1);
	assert_int_equal(tables_put(tables, &ev, &t, why), ERR_OK);
	return t;
}

static void
rows_that_are_cut_anywhere_do_not_add_up(void **state)
{
	struct fixture *f = *state;
	static const char rows[] = "\x02\xff\xff\x00\x01\0\0\0\x02xy\x00\x02\0\0\0\x00";
	struct tables *tables = tables_create();
	const struct table *t = small_table(tables, &f->why);
	struct binlog_event ev = {.type = BINLOG_TYPE_UPDATE_ROWS_V1, .kind = BINLOG_ROWS};
	struct row row;
	bool more;

	ev.u.rows.action = BINLOG_UPDATE;
	for (size_t n = 0; n < sizeof(rows) - 1; n++) {
		char *exact = malloc(n + 1);
		err_t err;

		memcpy(exact, rows, n);
		ev.u.rows.body = span_make(exact, n);
		err = rows_open(f->rows, &ev, t, &f->why);
		if (err == ERR_OK)
			err = rows_next(f->rows, &row, &more, &f->why);
		/* Nothing at all behind the bitmaps is a row without columns only where there may be none. */
		assert_int_equal(err, ERR_BAD_EVENT);
		assert_true(f->why.text[0] != '\0');
		err_clear(&f->why);
		free(exact);
	}
	ev.u.rows.body = span_make(rows, sizeof(rows) - 1);
	assert_int_equal(rows_open(f->rows, &ev, t, &f->why), ERR_OK);
	assert_int_equal(rows_next(f->rows, &row, &more, &f->why), ERR_OK);
	assert_true(more);
	put_image(f, 'B', &row.before);
	put_image(f, 'A', &row.after);
	assert_string_equal(buf_str(&f->out), "B\t1\txy\nA\t2\t\n");
	assert_int_equal(rows_next(f->rows, &row, &more, &f->why), ERR_OK);
	assert_false(more);
	tables_destroy(&tables);
}

static void
another_number_of_columns_than_the_tables_is_refused(void **state)
{
	struct fixture *f = *state;
	struct tables *tables = tables_create();
	const struct table *t = small_table(tables, &f->why);
	struct binlog_event ev = {.type = BINLOG_TYPE_WRITE_ROWS_V1, .kind = BINLOG_ROWS};

	ev.u.rows.body = SPAN_LIT("\x03\xff\x00\x01\0\0\0\x00");
	assert_int_equal(rows_open(f->rows, &ev, t, &f->why), ERR_BAD_EVENT);
	assert_non_null(strstr(f->why.text, "number of columns"));
	tables_destroy(&tables);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(every_type_comes_out_as_select_prints_it),
	    T(minimal_images_have_some_columns_only),
	    T(without_metadata_values_are_still_read),
	    T(compressed_rows_are_those_that_were_compressed),
	    T(images_without_blobs_are_read),
	    T(times_of_the_old_format_are_read_and_their_fractions_refused),
	    T(every_type_of_mysql_comes_out_as_select_prints_it),
	    T(minimal_images_of_mysql_have_some_columns_only),
	    T(images_of_mysql_without_blobs_are_read),
	    T(tables_that_change_on_the_way_are_read_as_they_were),
	    T(rows_inside_of_payloads_are_those_that_were_compressed),
	    T(rows_of_other_servers_come_out),
	    T(rows_that_are_cut_anywhere_do_not_add_up),
	    T(another_number_of_columns_than_the_tables_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
