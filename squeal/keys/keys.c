#include "squeal/keys/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "squeal/binlog/rows.h"
#include "squeal/binlog/source_file.h"
#include "squeal/binlog/txn.h"
#include "squeal/keys/keyline.h"
#include "squeal/keys/shelf.h"

enum { KEYS_MEMORY = 32 << 20, KEYS_MAX_EVENT = 1 << 30, OUT_CHUNK = 256 << 10 };

struct run {
	const struct keys_options *opt;
	bool has_range;
	struct binlog_metrics binlog;
	struct gather_metrics metrics;
	struct rule_metrics rule_metrics;
	struct txn *txn; /* one for all files: its tables have versions, by which rules are remembered */
	struct gather *gather;
	struct queue_item *item; /* the one that gather fills again and again; NULL while it has it */
	struct keyline line;
	struct shelf *shelf; /* prepared XA transactions */
	struct buf out;
	struct sources *sources; /* NULL without --sources */
	struct rows *rows;	 /* NULL without --rows */
	struct buf next_file;	 /* that the last ROTATE named */
	struct err_detail why;	 /* of the callbacks, which have no room for a sentence */

	/* of the event, and of the transaction */
	uint64_t at;
	uint64_t nrows;
	bool skip;   /* it cannot be wanted: its statements are not looked at */
	bool wanted; /* it is */
};

static uint64_t
stand_still(const struct clock *c)
{
	(void)c;
	return 0;
}

/* When a transaction is read does not matter here. */
static const struct clock no_clock = {stand_still, stand_still};

static err_t
flush(struct run *run)
{
	struct span left = buf_span(&run->out);

	while (left.len > 0) {
		ssize_t n = write(run->opt->out, left.p, left.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(&run->why, ERR_IO, "the output cannot be written: %s",
				       strerror(errno));
		left = span_from(left, (size_t)n);
	}
	buf_clear(&run->out);
	return ERR_OK;
}

/* --- from gather -----------------------------------------------------------------------------------------
 */

static struct queue_item *
blank(void *arg)
{
	struct run *run = arg;
	struct queue_item *it = run->item;

	run->item = NULL;
	return it != NULL ? it : queue_item_create();
}

static bool
emit(void *arg, struct queue_item *it)
{
	struct run *run = arg;
	struct queue_item *prepared = it->xid != NULL ? shelf_take(run->shelf, it->xid) : NULL;
	struct keyline_extra extra = {.xa_unknown = it->kind == QUEUE_XA_COMMIT && prepared == NULL};
	struct span sources;
	err_t err = ERR_OK;

	extra.keys = it->kind == QUEUE_COMMIT ? it : shelf_delivers(prepared, it->kind) ? prepared : NULL;
	if (it->whole == NULL && run->wanted) {
		if (run->rows != NULL)
			extra.rows = &run->nrows;
		if (run->sources != NULL) {
			sources = sources_text(run->sources);
			extra.sources = &sources;
		}
		err = keyline_put(&run->line, it, &extra, &run->out, &run->why);
		if (err == ERR_OK && run->out.len >= OUT_CHUNK)
			err = flush(run);
	}
	queue_item_destroy(&prepared);
	/* Statements that were skipped leave its other end unknown. */
	if (it->kind == QUEUE_PREPARED && !run->skip) {
		shelf_put(run->shelf, it);
	} else {
		queue_item_clear(it);
		run->item = it;
	}
	return err == ERR_OK;
}

/* --- from txn, by way of the range -----------------------------------------------------------------------
 */

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	struct run *run = arg;
	err_t err = ERR_OK;

	run->nrows = 0;
	if (run->has_range)
		err = range_begin(run->opt->range, &b->gtid, run->at, &run->skip, &run->why);
	return err != ERR_OK || run->skip ? err : gather_ops.begin(run->gather, b);
}

static err_t
on_statement(void *arg, struct span sql)
{
	struct run *run = arg;

	return run->skip ? ERR_OK : gather_ops.statement(run->gather, sql);
}

static err_t
on_savepoint(void *arg, struct span name)
{
	struct run *run = arg;

	return run->skip ? ERR_OK : gather_ops.savepoint(run->gather, name);
}

static err_t
on_rollback_to(void *arg, struct span name)
{
	struct run *run = arg;

	return run->skip ? ERR_OK : gather_ops.rollback_to(run->gather, name);
}

static err_t
on_commit(void *arg, const struct txn_end *e)
{
	struct run *run = arg;

	run->wanted = range_commit(run->opt->range, e->commit_us, e->place.pos);
	return run->skip ? ERR_OK : gather_ops.commit(run->gather, e);
}

static err_t
on_rollback(void *arg, const struct txn_end *e)
{
	struct run *run = arg;

	range_rollback(run->opt->range);
	return run->skip ? ERR_OK : gather_ops.rollback(run->gather, e);
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	return gather_ops.moved(((struct run *)arg)->gather, place);
}

static err_t
on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	struct run *run = arg;
	struct row row;
	bool more = true;
	err_t err;

	if (run->skip)
		return ERR_OK;
	if (run->rows != NULL) {
		err = rows_open(run->rows, ev, t, &run->why);
		while (err == ERR_OK && more) {
			err = rows_next(run->rows, &row, &more, &run->why);
			run->nrows += err == ERR_OK && more;
		}
		if (err != ERR_OK)
			return err;
	}
	return run->opt->rules != NULL ? gather_row_ops.rows(run->gather, ev, t) : ERR_OK;
}

static err_t
on_without_rows(void *arg, struct span sql)
{
	struct run *run = arg;

	return run->skip || run->opt->rules == NULL ? ERR_OK : gather_row_ops.without_rows(run->gather, sql);
}

static const struct txn_ops ops = {
    .begin = on_begin,
    .statement = on_statement,
    .savepoint = on_savepoint,
    .rollback_to = on_rollback_to,
    .commit = on_commit,
    .rollback = on_rollback,
    .moved = on_moved,
};

/* Row events are read too. */
static const struct txn_ops row_ops = {
    .begin = on_begin,
    .statement = on_statement,
    .savepoint = on_savepoint,
    .rollback_to = on_rollback_to,
    .commit = on_commit,
    .rollback = on_rollback,
    .moved = on_moved,
    .rows = on_rows,
    .without_rows = on_without_rows,
};

/* --- files -----------------------------------------------------------------------------------------------
 */

/* Events until the end of the file, or of the range. */
static err_t
read_events(struct run *run, struct source *src, struct binlog_decoder *decoder, struct err_detail *why)
{
	struct range *range = run->opt->range;
	struct binlog_event ev;
	struct span bytes;
	err_t err;

	for (;;) {
		err = source_next(src, &bytes, why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		run->at = decoder->pos;
		if (run->sources != NULL)
			sources_enter_event(run->sources, run->at);
		err = txn_read(run->txn, decoder, bytes, &ev, why);
		if (err != ERR_OK)
			break;
		if (ev.kind == BINLOG_ROTATE) {
			buf_clear(&run->next_file);
			buf_put_span(&run->next_file, ev.u.rotate.file);
		}
		if (!run->has_range)
			continue;
		err = range_see(range, &ev, run->at, why);
		if (err != ERR_OK || (!txn_is_open(run->txn) && range_is_over(range)))
			break;
	}
	return err;
}

static void
say_end(struct run *run, const char *path, const struct source *src)
{
	if (source_file_tail(src) > 0)
		log_warn(run->opt->log, "the file ends inside an event", F_STR("file", path),
			 F_UINT("left_bytes", source_file_tail(src)),
			 F_STR("do", source_file_in_use(src)
					 ? "it is being written, or its server crashed; the rest may follow"
					 : "it was cut short: copy it again"));
	if (txn_is_open(run->txn))
		log_warn(run->opt->log, "the file ends inside a transaction, which is left out",
			 F_STR("file", path));
}

static err_t
read_file(struct run *run, const char *path, struct err_detail *why)
{
	struct range *range = run->opt->range;
	struct source *src = source_file_create(path, KEYS_MAX_EVENT);
	const char *name = file_list_name(path);
	struct binlog_decoder decoder;
	err_t err;

	txn_reset(run->txn);
	binlog_decoder_init(&decoder, KEYS_MAX_EVENT, &run->binlog);
	err = source_open(src, (struct span){"", 0}, why);
	if (err != ERR_OK)
		goto done;
	if (run->next_file.len > 0 && !span_is(buf_span(&run->next_file), name))
		log_warn(run->opt->log,
			 "the files do not follow one another: transactions are missing or out of order",
			 F_SPAN("expected", buf_span(&run->next_file)), F_STR("file", name));
	buf_clear(&run->next_file);
	binlog_decoder_start(&decoder, src->info.file.len > 0 ? src->info.file : span_of(name), src->info.pos,
			     src->info.checksum);
	keyline_enter_file(&run->line, name);
	range_enter_file(range, name);
	if (!gather_start(run->gather, gather_position(run->gather)))
		err = ERR_CLOSED;
	if (err == ERR_OK)
		err = read_events(run, src, &decoder, why);
	if (err == ERR_OK && !(run->has_range && range_is_over(range))) {
		say_end(run, path, src);
		err = range_leave_file(range, decoder.pos, why);
	}
	/* The callbacks know better what went wrong than those who passed it on. */
	if (err != ERR_OK && run->why.code != ERR_OK)
		err = err_set(why, run->why.code, "%s", err_why(&run->why));
	if (err != ERR_OK && gather_why(run->gather)->code == err)
		err_set(why, err, "%s", err_why(gather_why(run->gather)));
done:
	if (err != ERR_OK && err != ERR_IO)
		err_wrap(why, "%s at %llu", path, (unsigned long long)decoder.pos);
	binlog_decoder_fini(&decoder);
	source_destroy(&src);
	return err;
}

static void
init(struct run *run, const struct keys_options *opt)
{
	*run = (struct run){
	    .opt = opt,
	    .has_range = !range_is_all(opt->range),
	    .sources = opt->sources ? sources_create() : NULL,
	    .rows = opt->count_rows ? rows_create(KEYS_MAX_EVENT) : NULL,
	};
	run->txn = txn_create(opt->count_rows || opt->rules != NULL ? &row_ops : &ops, run, &run->binlog);
	run->shelf = shelf_create();
	run->gather = gather_create(&(struct gather_parts){
	    .clock = &no_clock,
	    .log = opt->log,
	    .emit = emit,
	    .blank = blank,
	    .arg = run,
	    .each = true,
	    .metrics = &run->metrics,
	    .markers = opt->markers,
	    .spill_dir = opt->spill_dir,
	    .txn_memory = KEYS_MEMORY,
	    .rules = opt->rules,
	    .rule_metrics = &run->rule_metrics,
	    .max_event = KEYS_MAX_EVENT,
	    .sources = run->sources,
	});
}

static void
fini(struct run *run)
{
	txn_destroy(&run->txn);
	gather_destroy(&run->gather);
	queue_item_destroy(&run->item);
	sources_destroy(&run->sources);
	rows_destroy(&run->rows);
	keyline_fini(&run->line);
	shelf_destroy(&run->shelf);
	buf_fini(&run->out);
	buf_fini(&run->next_file);
}

err_t
keys_run(const struct keys_options *opt, const struct file_list *files, struct err_detail *why)
{
	const char **names = mem_alloc((files->n + 1) * sizeof(*names));
	struct run *run = MEM_NEW(struct run);
	size_t first, end;
	err_t err, flushed;

	init(run, opt);
	for (size_t i = 0; i < files->n; i++)
		names[i] = file_list_name(files->paths[i]);
	err = range_files(opt->range, names, files->n, &first, &end, why);
	for (size_t i = first; err == ERR_OK && i < end; i++) {
		err = read_file(run, files->paths[i], why);
		if (err == ERR_OK && run->has_range && range_is_over(opt->range))
			break;
	}
	if (err == ERR_OK && run->has_range)
		err = range_finish(opt->range, why);
	/* What came before an error is good. */
	flushed = err == ERR_IO ? err : flush(run);
	if (err == ERR_OK && flushed != ERR_OK)
		err = err_set(why, flushed, "%s", err_why(&run->why));
	fini(run);
	free(run);
	free(names);
	return err;
}
