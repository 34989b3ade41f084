#include "squeal/keys/reading.h"

#include <stdlib.h>

#include "lib/core/arena.h"
#include "lib/core/mem.h"
#include "squeal/binlog/rows.h"
#include "squeal/binlog/source_file.h"
#include "squeal/binlog/txn.h"
#include "squeal/keys/file_list.h"
#include "squeal/keys/shelf.h"

enum { READING_MEMORY = 32 << 20, READING_MAX_EVENT = 1 << 30 };

struct reading {
	struct reading_options opt;
	bool has_range;
	struct binlog_metrics binlog;
	struct gather_metrics metrics;
	struct rule_metrics rule_metrics;
	struct txn *txn; /* one for all files: its tables have versions, by which rules are remembered */
	struct gather *gather;
	struct queue_item *item; /* the one that gather fills again and again; NULL while it has it */
	struct shelf *shelf;	 /* prepared XA transactions */
	struct sources *sources; /* NULL where nobody asks */
	struct rows *rows;	 /* NULL where they are not counted */
	struct buf file;	 /* that is read */
	struct buf next_file;	 /* that the last ROTATE named */
	struct err_detail why;	 /* of the callbacks, which have no room for a sentence */

	/* of the event, and of the transaction */
	uint64_t at;
	uint64_t nrows;
	bool skip;   /* it cannot be wanted: its statements are not looked at */
	bool wanted; /* it is */
	struct {
		uint64_t version; /* table.h */
	} * tables;
	struct span *names;
	size_t ntables, cap_tables;
	struct arena table_names;
	bool is_blind;

	bool is_enough; /* take() said so */

	/* of a server's stream */
	bool before_start; /* the file of --start has not come yet */
	bool past_stop;	   /* that of --stop has been left */
};

static uint64_t
stand_still(const struct clock *c)
{
	(void)c;
	return 0;
}

/* When a transaction is read does not matter here. */
static const struct clock no_clock = {stand_still, stand_still};

/* --- the tables of a transaction --------------------------------------------------------------------------
 */

static void
forget_tables(struct reading *r)
{
	r->ntables = 0;
	r->is_blind = false;
	arena_reset(&r->table_names);
}

static void
add_table(struct reading *r, const struct table *t)
{
	char *name;

	/* The same few come again and again. */
	for (size_t i = 0; i < r->ntables; i++) {
		if (r->tables[i].version == t->version)
			return;
	}
	if (r->ntables == r->cap_tables) {
		r->cap_tables = r->cap_tables > 0 ? 2 * r->cap_tables : 16;
		r->tables = mem_realloc(r->tables, r->cap_tables * sizeof(*r->tables));
		r->names = mem_realloc(r->names, r->cap_tables * sizeof(*r->names));
	}
	name = arena_alloc(&r->table_names, t->db.len + 1 + t->name.len);
	memcpy(name, t->db.p, t->db.len);
	name[t->db.len] = '.';
	memcpy(name + t->db.len + 1, t->name.p, t->name.len);
	r->names[r->ntables] = span_make(name, t->db.len + 1 + t->name.len);
	r->tables[r->ntables++].version = t->version;
}

/* --- from gather -----------------------------------------------------------------------------------------
 */

static struct queue_item *
blank(void *arg)
{
	struct reading *r = arg;
	struct queue_item *it = r->item;

	r->item = NULL;
	return it != NULL ? it : queue_item_create();
}

static bool
emit(void *arg, struct queue_item *it)
{
	struct reading *r = arg;
	struct queue_item *prepared = it->xid != NULL ? shelf_take(r->shelf, it->xid) : NULL;
	struct reading_txn t = {
	    .end = it,
	    .file = it->file != NULL ? it->file->text : "",
	    .xa_unknown = it->kind == QUEUE_XA_COMMIT && prepared == NULL,
	    .rows = r->nrows,
	    .tables = r->names,
	    .ntables = r->ntables,
	    /* What was prepared may have been long ago; its tables were not kept. */
	    .is_blind = r->is_blind || it->kind != QUEUE_COMMIT,
	};
	struct span sources;
	err_t err = ERR_OK;

	t.keys = it->kind == QUEUE_COMMIT ? it : shelf_delivers(prepared, it->kind) ? prepared : NULL;
	if (it->whole == NULL && r->wanted) {
		if (r->sources != NULL) {
			sources = sources_text(r->sources);
			t.sources = &sources;
		}
		err = r->opt.take(r->opt.arg, &t, &r->why);
		r->is_enough = err == ERR_CLOSED;
	}
	queue_item_destroy(&prepared);
	/* Statements that were skipped leave its other end unknown. */
	if (it->kind == QUEUE_PREPARED && !r->skip) {
		shelf_put(r->shelf, it);
	} else {
		queue_item_clear(it);
		r->item = it;
	}
	return err == ERR_OK;
}

/* --- from txn, by way of the range -----------------------------------------------------------------------
 */

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	struct reading *r = arg;
	err_t err = ERR_OK;

	r->nrows = 0;
	forget_tables(r);
	if (r->has_range)
		err = range_begin(r->opt.range, &b->gtid, r->at, &r->skip, &r->why);
	if (r->before_start || r->past_stop)
		r->skip = true;
	return err != ERR_OK || r->skip ? err : gather_ops.begin(r->gather, b);
}

static err_t
on_statement(void *arg, struct span sql)
{
	struct reading *r = arg;

	return r->skip ? ERR_OK : gather_ops.statement(r->gather, sql);
}

static err_t
on_savepoint(void *arg, struct span name)
{
	struct reading *r = arg;

	return r->skip ? ERR_OK : gather_ops.savepoint(r->gather, name);
}

static err_t
on_rollback_to(void *arg, struct span name)
{
	struct reading *r = arg;

	return r->skip ? ERR_OK : gather_ops.rollback_to(r->gather, name);
}

static err_t
on_commit(void *arg, const struct txn_end *e)
{
	struct reading *r = arg;

	r->wanted =
	    range_commit(r->opt.range, e->commit_us, e->place.pos) && !r->before_start && !r->past_stop;
	return r->skip ? ERR_OK : gather_ops.commit(r->gather, e);
}

static err_t
on_rollback(void *arg, const struct txn_end *e)
{
	struct reading *r = arg;

	/* XA ROLLBACK is the end of a transaction of its own, which may deliver keys. */
	if (e->kind == TXN_XA_ROLLBACK)
		r->wanted = range_commit(r->opt.range, e->commit_us, e->place.pos) && !r->before_start &&
			    !r->past_stop;
	else
		range_rollback(r->opt.range);
	return r->skip ? ERR_OK : gather_ops.rollback(r->gather, e);
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	return gather_ops.moved(((struct reading *)arg)->gather, place);
}

static err_t
on_table(void *arg, const struct table *t)
{
	struct reading *r = arg;

	if (r->opt.tables && !r->skip)
		add_table(r, t);
	return ERR_OK;
}

static err_t
on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	struct reading *r = arg;
	struct row row;
	bool more = true;
	err_t err;

	if (r->skip)
		return ERR_OK;
	if (r->rows != NULL) {
		err = rows_open(r->rows, ev, t, &r->why);
		while (err == ERR_OK && more) {
			err = rows_next(r->rows, &row, &more, &r->why);
			r->nrows += err == ERR_OK && more;
		}
		if (err != ERR_OK)
			return err;
	}
	return r->opt.rules != NULL ? gather_row_ops.rows(r->gather, ev, t) : ERR_OK;
}

static err_t
on_without_rows(void *arg, struct span sql)
{
	struct reading *r = arg;

	r->is_blind = true;
	return r->skip || r->opt.rules == NULL ? ERR_OK : gather_row_ops.without_rows(r->gather, sql);
}

/* DDL ends what is known of columns, whether the transaction is wanted or not. */
static err_t
on_query(void *arg, const struct binlog_event *ev)
{
	struct reading *r = arg;

	return r->opt.schema == NULL ? ERR_OK : gather_row_ops.query(r->gather, ev);
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
    .table = on_table,
    .rows = on_rows,
    .without_rows = on_without_rows,
    .query = on_query,
};

/* --- events -----------------------------------------------------------------------------------------------
 */

/* Of a server's stream: which file it has come to. */
static err_t
enter_stream_file(struct reading *r, struct span name, uint64_t end, struct err_detail *why)
{
	struct range *range = r->opt.range;
	err_t err = ERR_OK;
	bool is_same = span_eq(buf_span(&r->file), name);

	if (name.len == 0 || is_same)
		return ERR_OK;
	if (r->file.len > 0) {
		err = range_leave_file(range, end, why);
		r->past_stop = r->past_stop || range_stops_in(range, buf_str(&r->file));
	}
	buf_clear(&r->file);
	buf_put_span(&r->file, name);
	range_enter_file(range, buf_str(&r->file));
	r->before_start = r->before_start && !range_starts_in(range, buf_str(&r->file));
	return err;
}

/* Events until the end of the file or stream, or of the range. */
static err_t
read_events(struct reading *r, struct source *src, struct binlog_decoder *decoder, bool is_stream,
	    struct err_detail *why)
{
	struct range *range = r->opt.range;
	struct binlog_event ev;
	struct span bytes;
	err_t err;

	for (;;) {
		err = source_next(src, &bytes, why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		r->at = decoder->pos;
		if (r->sources != NULL)
			sources_enter_event(r->sources, r->at);
		err = txn_read(r->txn, decoder, bytes, &ev, why);
		if (err != ERR_OK)
			break;
		if (ev.kind == BINLOG_ROTATE) {
			buf_clear(&r->next_file);
			buf_put_span(&r->next_file, ev.u.rotate.file);
			if (is_stream)
				err = enter_stream_file(r, ev.u.rotate.file, r->at, why);
			if (err != ERR_OK)
				break;
		}
		if (!r->has_range)
			continue;
		if (!is_stream || (ev.kind != BINLOG_ROTATE && ev.kind != BINLOG_HEARTBEAT))
			err = range_see(range, &ev, r->at, why);
		if (err != ERR_OK || (!txn_is_open(r->txn) && (r->past_stop || range_is_over(range))))
			break;
	}
	return err;
}

/* The callbacks know better what went wrong than those who passed it on. */
static err_t
explain(struct reading *r, err_t err, struct err_detail *why)
{
	if (r->is_enough)
		return ERR_CLOSED;
	if (err != ERR_OK && r->why.code != ERR_OK)
		err = err_set(why, r->why.code, "%s", err_why(&r->why));
	if (err != ERR_OK && gather_why(r->gather)->code == err)
		err_set(why, err, "%s", err_why(gather_why(r->gather)));
	return err;
}

static void
say_end(struct reading *r, const char *path, const struct source *src)
{
	if (source_file_tail(src) > 0)
		log_warn(r->opt.log, "the file ends inside an event", F_STR("file", path),
			 F_UINT("left_bytes", source_file_tail(src)),
			 F_STR("do", source_file_in_use(src)
					 ? "it is being written, or its server crashed; the rest may follow"
					 : "it was cut short: copy it again"));
	if (txn_is_open(r->txn))
		log_warn(r->opt.log, "the file ends inside a transaction, which is left out",
			 F_STR("file", path));
}

err_t
reading_file(struct reading *r, const char *path, struct err_detail *why)
{
	struct range *range = r->opt.range;
	struct source *src = source_file_create(path, READING_MAX_EVENT);
	const char *name = file_list_name(path);
	struct binlog_decoder decoder;
	err_t err;

	txn_reset(r->txn);
	binlog_decoder_init(&decoder, READING_MAX_EVENT, &r->binlog);
	err = source_open(src, (struct span){"", 0}, why);
	if (err != ERR_OK)
		goto done;
	if (r->next_file.len > 0 && !span_is(buf_span(&r->next_file), name))
		log_warn(r->opt.log,
			 "the files do not follow one another: transactions are missing or out of order",
			 F_SPAN("expected", buf_span(&r->next_file)), F_STR("file", name));
	buf_clear(&r->next_file);
	binlog_decoder_start(&decoder, src->info.file.len > 0 ? src->info.file : span_of(name), src->info.pos,
			     src->info.checksum);
	range_enter_file(range, name);
	if (!gather_start(r->gather, gather_position(r->gather)))
		err = ERR_CLOSED;
	if (err == ERR_OK)
		err = read_events(r, src, &decoder, false, why);
	if (err == ERR_OK && !(r->has_range && range_is_over(range))) {
		say_end(r, path, src);
		err = range_leave_file(range, decoder.pos, why);
	}
	err = explain(r, err, why);
done:
	if (err != ERR_OK && err != ERR_IO && err != ERR_CLOSED)
		err_wrap(why, "%s at %llu", path, (unsigned long long)decoder.pos);
	binlog_decoder_fini(&decoder);
	source_destroy(&src);
	return err;
}

err_t
reading_server(struct reading *r, struct source *src, struct span from, struct err_detail *why)
{
	struct position start = {0};
	struct binlog_decoder decoder;
	err_t err;

	txn_reset(r->txn);
	binlog_decoder_init(&decoder, READING_MAX_EVENT, &r->binlog);
	err = source_open(src, from, why);
	if (err == ERR_OK)
		err = position_parse(src->info.start, &start, why);
	if (err != ERR_OK)
		goto done;
	if (src->info.note.len > 0)
		log_notice(r->opt.log, "about this start", F_SPAN("note", src->info.note));
	range_arrive(r->opt.range, &start);
	/* The first time all files are before that of --start; after a lost link it goes on where it was. */
	if (r->file.len == 0)
		r->before_start = range_has_start_file(r->opt.range);
	binlog_decoder_start(&decoder, src->info.file, src->info.pos, src->info.checksum);
	err = enter_stream_file(r, src->info.file, 0, why);
	if (err == ERR_OK && !gather_start(r->gather, &start))
		err = ERR_CLOSED;
	if (err == ERR_OK)
		err = read_events(r, src, &decoder, true, why);
	if (err == ERR_OK && r->has_range && !r->past_stop && !range_is_over(r->opt.range))
		err = range_leave_file(r->opt.range, decoder.pos, why);
	if (err == ERR_OK && r->before_start)
		err = err_set(
		    why, ERR_NOT_FOUND,
		    "the server's binlog has no such file as --start %s names (the last one is %s, SHOW "
		    "BINARY LOGS has them all); what was purged may be in a copy (--from binlog), or on "
		    "another server",
		    range_text(r->opt.range, RANGE_START), buf_str(&r->file));
	err = explain(r, err, why);
done:
	source_close(src);
	position_fini(&start);
	binlog_decoder_fini(&decoder);
	return err;
}

const struct position *
reading_position(const struct reading *r)
{
	return gather_position(r->gather);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

struct reading *
reading_create(const struct reading_options *opt)
{
	struct reading *r = MEM_NEW(struct reading);
	bool rows = opt->count_rows || opt->tables || opt->rules != NULL;

	r->opt = *opt;
	r->has_range = !range_is_all(opt->range);
	r->sources = opt->sources ? sources_create() : NULL;
	r->rows = opt->count_rows ? rows_create(READING_MAX_EVENT) : NULL;
	r->txn = txn_create(rows ? &row_ops : &ops, r, &r->binlog);
	r->shelf = shelf_create();
	r->gather = gather_create(&(struct gather_parts){
	    .clock = &no_clock,
	    .log = opt->log,
	    .emit = emit,
	    .blank = blank,
	    .arg = r,
	    .each = true,
	    .metrics = &r->metrics,
	    .markers = opt->markers,
	    .spill_dir = opt->spill_dir,
	    .txn_memory = READING_MEMORY,
	    .rules = opt->rules,
	    .rule_metrics = &r->rule_metrics,
	    .schema = opt->schema,
	    .max_event = READING_MAX_EVENT,
	    .sources = r->sources,
	});
	return r;
}

void
reading_destroy(struct reading **rp)
{
	struct reading *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	txn_destroy(&r->txn);
	gather_destroy(&r->gather);
	queue_item_destroy(&r->item);
	sources_destroy(&r->sources);
	rows_destroy(&r->rows);
	shelf_destroy(&r->shelf);
	arena_fini(&r->table_names);
	free(r->tables);
	free(r->names);
	buf_fini(&r->file);
	buf_fini(&r->next_file);
	free(r);
}
