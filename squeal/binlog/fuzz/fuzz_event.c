/*
 * fuzz_event - a binlog file's bytes through the decoder and the assembler, down to each column of each row.
 *
 * The input is a file, magic included.  Events are cut as source_file.c cuts them.  Checksums that do not
 * match would stop nearly every mutation at once, so a mismatch is mended in a copy and the event decoded
 * again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>

#include "squeal/binlog/rows.h"
#include "squeal/binlog/txn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_EVENT = 1 << 20, MAGIC_LEN = 4, CHECKSUM_LEN = 4, FLAGS_OFFSET = 17 };

struct seen {
	bool open;
	volatile unsigned sum;
	struct rows *rows;
	struct buf text;
};

static void
touch(struct seen *s, struct span a)
{
	for (size_t i = 0; i < a.len; i++)
		s->sum += (unsigned char)a.p[i];
}

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	struct seen *s = arg;

	if (s->open)
		abort();
	s->open = true;
	return ERR_OK;
}

static err_t
on_text(void *arg, struct span text)
{
	struct seen *s = arg;

	if (!s->open)
		abort();
	touch(s, text);
	return ERR_OK;
}

static err_t
on_end(void *arg, const struct txn_end *e)
{
	struct seen *s = arg;
	struct buf text = BUF_INIT;

	if (!s->open)
		abort();
	s->open = false;
	touch(s, e->place.file);
	gtid_format(&e->gtid, &text);
	touch(s, buf_span(&text));
	buf_fini(&text);
	return ERR_OK;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	struct seen *s = arg;

	if (s->open)
		abort();
	touch(s, place->file);
	return ERR_OK;
}

static void
touch_image(struct seen *s, const struct row_image *image)
{
	struct row_value v;

	for (uint32_t i = 0; image->exists && i < image->table->ncolumns; i++) {
		if (!row_get(image, i, &v))
			continue;
		touch(s, v.bytes);
		buf_clear(&s->text);
		if (!rows_value_text(&v, &s->text) && s->text.len > 0)
			abort();
		touch(s, buf_span(&s->text));
	}
}

static err_t
on_table(void *arg, const struct table *t)
{
	struct seen *s = arg;

	touch(s, t->db);
	touch(s, t->name);
	for (uint32_t i = 0; i < t->ncolumns; i++) {
		touch(s, t->columns[i].name);
		touch(s, t->columns[i].values);
	}
	for (uint32_t i = 0; i < t->nkey; i++)
		s->sum += t->columns[t->key[i].column].type;
	return ERR_OK;
}

static err_t
on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	struct seen *s = arg;
	struct err_detail why = {0};
	struct row row;
	bool more = true;
	err_t err = rows_open(s->rows, ev, t, &why);

	if (!s->open)
		abort();
	while (err == ERR_OK && more) {
		err = rows_next(s->rows, &row, &more, &why);
		if (err == ERR_OK && more) {
			touch_image(s, &row.before);
			touch_image(s, &row.after);
		}
	}
	if (err != ERR_OK && why.text[0] == '\0')
		abort();
	return ERR_OK;
}

/* Returns a copy with a right checksum; free() it. */
static char *
mended(struct span ev)
{
	char *copy = malloc(ev.len);
	unsigned char flags;
	uint32_t crc;

	memcpy(copy, ev.p, ev.len);
	flags = (unsigned char)copy[FLAGS_OFFSET];
	if (copy[4] == BINLOG_TYPE_FORMAT_DESCRIPTION)
		copy[FLAGS_OFFSET] = (char)(flags & ~BINLOG_FLAG_IN_USE);
	crc = libdeflate_crc32(0, copy, ev.len - CHECKSUM_LEN);
	copy[FLAGS_OFFSET] = (char)flags;
	for (int i = 0; i < CHECKSUM_LEN; i++)
		copy[ev.len - CHECKSUM_LEN + (size_t)i] = (char)(crc >> (8 * i));
	return copy;
}

static err_t
feed(struct binlog_decoder *d, struct txn *t, struct span bytes, struct seen *s, struct err_detail *why)
{
	struct binlog_event ev;
	struct gtid_pos pos = {0};
	struct err_detail ignored = {0};
	bool more = true;
	err_t err = txn_read(t, d, bytes, &ev, why);

	/* What an error of the assembler has left of a payload. */
	while (err != ERR_OK && more && binlog_next(d, &ev, &more, &ignored) == ERR_OK)
		;
	if (err != ERR_OK)
		return err;
	touch(s, ev.body);
	if (ev.kind == BINLOG_GTID_LIST) {
		for (uint32_t i = 0; i < ev.u.gtid_list.n; i++) {
			struct gtid g = binlog_gtid_list(&ev, i);

			gtid_pos_advance(&pos, &g);
		}
		gtid_pos_fini(&pos);
	}
	return ERR_OK;
}

static void
run(struct span file, struct span name, enum binlog_checksum checksum)
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
	struct binlog_metrics metrics = {0};
	struct binlog_decoder d;
	struct seen seen = {.rows = rows_create(MAX_EVENT)};
	struct txn *t = txn_create(&ops, &seen, &metrics);

	binlog_decoder_init(&d, MAX_EVENT, &metrics);
	binlog_decoder_start(&d, name, MAGIC_LEN, checksum);
	while (file.len >= BINLOG_HEADER) {
		size_t n = binlog_event_length(file);
		struct err_detail why = {0};
		char *copy;
		err_t err;

		if (n < BINLOG_HEADER || n > file.len)
			break;
		err = feed(&d, t, span_first(file, n), &seen, &why);
		if (err == ERR_CHECKSUM && n >= BINLOG_HEADER + CHECKSUM_LEN) {
			copy = mended(span_first(file, n));
			err_clear(&why);
			err = feed(&d, t, span_make(copy, n), &seen, &why);
			free(copy);
		}
		if (err != ERR_OK && why.text[0] == '\0')
			abort();
		file = span_from(file, n);
	}
	if (txn_is_open(t) != seen.open)
		abort();
	txn_destroy(&t);
	binlog_decoder_fini(&d);
	rows_destroy(&seen.rows);
	buf_fini(&seen.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span file = span_from(span_make(data, size), MAGIC_LEN);
	struct err_detail why = {0};
	struct gtid_pos pos = {0};

	run(file, SPAN_LIT("a-file.000001"), BINLOG_CHECKSUM_UNDEFINED);
	run(file, (struct span){"", 0}, BINLOG_CHECKSUM_CRC32);
	if (gtid_pos_parse(span_make(data, size), &pos, &why) != ERR_OK && why.text[0] == '\0')
		abort();
	gtid_pos_fini(&pos);
	return 0;
}
