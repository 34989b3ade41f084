/*
 * fuzz_rows - the bodies of a TABLE_MAP and of a row event, without the frames that a mutation seldom
 * survives.
 *
 * Input: one byte for the row event's type, two for the length of the table's body, the table's body, the
 * rows'. The input as a whole is read as binary JSON, too.
 */
#include <stdint.h>
#include <stdlib.h>

#include "squeal/binlog/jsonb.h"
#include "squeal/binlog/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3, MAX_ROWS = 1 << 20 };

static void
read_image(const struct row_image *image, struct buf *text)
{
	struct row_value v;

	for (uint32_t i = 0; image->exists && i < image->table->ncolumns; i++) {
		buf_clear(text);
		if (row_get(image, i, &v) && !rows_value_text(&v, text) && text->len > 0)
			abort();
	}
}

static void
read_rows(struct rows *rows, const struct binlog_event *ev, const struct table *t, struct buf *text)
{
	struct err_detail why = {0};
	struct row row;
	bool more = true;
	err_t err = rows_open(rows, ev, t, &why);

	while (err == ERR_OK && more) {
		err = rows_next(rows, &row, &more, &why);
		if (err == ERR_OK && more) {
			read_image(&row.before, text);
			read_image(&row.after, text);
		}
	}
	if (err != ERR_OK && why.text[0] == '\0')
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_make(data, size), body = span_from(all, HEAD);
	struct binlog_event map = {.type = BINLOG_TYPE_TABLE_MAP, .kind = BINLOG_TABLE};
	struct binlog_event ev = {.kind = BINLOG_ROWS};
	struct tables *tables = tables_create();
	struct rows *rows = rows_create(MAX_ROWS);
	struct err_detail why = {0};
	struct buf text = BUF_INIT;
	const struct table *t, *again;
	size_t n;

	if (!jsonb_text(all, &text) && text.len > 0)
		abort();
	if (size < HEAD)
		goto done;
	n = (size_t)data[1] | (size_t)data[2] << 8;
	map.file = ev.file = SPAN_LIT("file");
	map.u.table.id = 7;
	map.u.table.body = span_first(body, n);
	map.u.table.mariadb = data[0] & 0x80;
	map.post_len = data[0] & 0x40 ? 6 : 8;
	if (tables_put(tables, &map, &t, &why) != ERR_OK)
		goto done;
	if (tables_put(tables, &map, &again, &why) != ERR_OK || again != t || tables_find(tables, 7) != t)
		abort();
	ev.type = BINLOG_TYPE_UPDATE_ROWS;
	ev.u.rows.action = (enum binlog_action)((data[0] & 3) % 3);
	ev.u.rows.has_extra = data[0] & 4;
	ev.u.rows.compressed = data[0] & 8;
	ev.u.rows.partial = (data[0] & 16) && ev.u.rows.action == BINLOG_UPDATE;
	ev.u.rows.body = span_from(body, n);
	read_rows(rows, &ev, t, &text);
done:
	buf_fini(&text);
	rows_destroy(&rows);
	tables_destroy(&tables);
	return 0;
}
