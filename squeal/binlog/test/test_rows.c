#include "lib/core/test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	static const struct txn_ops ops = {on_begin, on_text, on_text,	on_text, on_end,
					   on_end,   on_moved, on_table, on_rows};
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
	assert_non_null(strstr(buf_str(&f->names), "t.all_types: id+ ti tu+ si su+ mi mu+ i iu+ b bu+ y+ f d "));
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

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(every_type_comes_out_as_select_prints_it),
	    T(minimal_images_have_some_columns_only),
	    T(without_metadata_values_are_still_read),
	    T(compressed_rows_are_those_that_were_compressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
