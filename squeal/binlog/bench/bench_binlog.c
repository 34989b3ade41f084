/*
 * bench_binlog - what reading, decoding and assembling cost per event, on binlog files.
 *
 *     build/bin/bench_binlog FILE...
 *
 * Prints one line per stage for all files: reading alone, with decoding (the checksum included), with
 * assembling, with going through all rows, with the first column of each image as text, with all columns as
 * text. Each stage runs ROUNDS times and the fastest counts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/clock.h"
#include "squeal/binlog/rows.h"
#include "squeal/binlog/source_file.h"
#include "squeal/binlog/txn.h"

enum { ROUNDS = 5, MAX_EVENT = 1 << 30 };
enum stage { READING, DECODING, ASSEMBLING, ROWS, ONE_COLUMN, ALL_COLUMNS };

struct totals {
	uint64_t events, bytes, txns, statements, row_events, rows;
	enum stage stage;
	struct rows *reader;
	struct buf text;
};

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	return ERR_OK;
}

static err_t
on_statement(void *arg, struct span sql)
{
	((struct totals *)arg)->statements++;
	return ERR_OK;
}

static err_t
on_savepoint(void *arg, struct span name)
{
	return ERR_OK;
}

static err_t
on_end(void *arg, const struct txn_end *e)
{
	((struct totals *)arg)->txns++;
	return ERR_OK;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	return ERR_OK;
}

static void
read_columns(struct totals *n, const struct row_image *image)
{
	uint32_t columns = n->stage == ONE_COLUMN ? 1 : image->exists ? image->table->ncolumns : 0;
	struct row_value v;

	for (uint32_t i = 0; i < columns; i++) {
		buf_clear(&n->text);
		if (row_get(image, i, &v) && !rows_value_text(&v, &n->text))
			abort();
	}
}

static err_t
on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	struct totals *n = arg;
	struct row row;
	bool more = true;
	err_t err = rows_open(n->reader, ev, t, NULL);

	n->row_events++;
	while (err == ERR_OK && more) {
		err = rows_next(n->reader, &row, &more, NULL);
		if (err != ERR_OK || !more)
			break;
		n->rows++;
		if (n->stage >= ONE_COLUMN) {
			read_columns(n, &row.before);
			read_columns(n, &row.after);
		}
	}
	return err;
}

static err_t
run_file(const char *path, enum stage stage, struct totals *n, struct err_detail *why)
{
	static const struct txn_ops ops = {
	    .begin = on_begin,
	    .statement = on_statement,
	    .savepoint = on_savepoint,
	    .rollback_to = on_savepoint,
	    .commit = on_end,
	    .rollback = on_end,
	    .moved = on_moved,
	};
	static const struct txn_ops with_rows = {
	    .begin = on_begin,
	    .statement = on_statement,
	    .savepoint = on_savepoint,
	    .rollback_to = on_savepoint,
	    .commit = on_end,
	    .rollback = on_end,
	    .moved = on_moved,
	    .rows = on_rows,
	};
	struct source *s = source_file_create(path, MAX_EVENT);
	struct binlog_metrics metrics = {0};
	struct binlog_decoder d;
	struct binlog_event ev;
	struct span bytes;
	struct txn *t = txn_create(stage >= ROWS ? &with_rows : &ops, n, &metrics);
	err_t err;

	binlog_decoder_init(&d, MAX_EVENT, &metrics);
	err = source_open(s, (struct span){"", 0}, why);
	if (err != ERR_OK)
		goto done;
	binlog_decoder_start(&d, s->info.file, s->info.pos, s->info.checksum);
	for (;;) {
		err = source_next(s, &bytes, why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		n->events++;
		n->bytes += bytes.len;
		if (stage == DECODING)
			err = binlog_decode(&d, bytes, &ev, why);
		if (stage >= ASSEMBLING)
			err = txn_read(t, &d, bytes, &ev, why);
		if (err != ERR_OK)
			break;
	}
done:
	txn_destroy(&t);
	binlog_decoder_fini(&d);
	source_destroy(&s);
	return err;
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {"read", "read+decode",     "read+decode+assemble",
					    "rows", "rows+one column", "rows+all columns"};
	const struct clock *clock = clock_system();
	struct err_detail why = {0};

	for (enum stage stage = READING; stage <= ALL_COLUMNS; stage++) {
		uint64_t best = UINT64_MAX;
		struct totals n = {0};
		struct rows *reader = rows_create(MAX_EVENT);
		struct buf text = BUF_INIT;

		for (int round = 0; round < ROUNDS; round++) {
			uint64_t began = clock_mono_ns(clock), took;

			n = (struct totals){.stage = stage, .reader = reader, .text = text};
			for (int i = 1; i < argc; i++) {
				if (run_file(argv[i], stage, &n, &why) != ERR_OK) {
					fprintf(stderr, "%s: %s\n", argv[i], err_why(&why));
					return 1;
				}
			}
			took = clock_mono_ns(clock) - began;
			text = n.text;
			if (took < best)
				best = took;
		}
		printf("%-22s events=%llu bytes=%llu txns=%llu statements=%llu rows=%llu ms=%.1f "
		       "ns_per_event=%.1f ns_per_row=%.1f MB_per_s=%.0f\n",
		       names[stage], (unsigned long long)n.events, (unsigned long long)n.bytes,
		       (unsigned long long)n.txns, (unsigned long long)n.statements,
		       (unsigned long long)n.rows, (double)best / 1e6,
		       n.events > 0 ? (double)best / (double)n.events : 0,
		       n.rows > 0 ? (double)best / (double)n.rows : 0, (double)n.bytes * 1e3 / (double)best);
		buf_fini(&text);
		rows_destroy(&reader);
	}
	return 0;
}
