#include <stdlib.h>

#include "lib/broker/broker_sqlite.h"
#include "lib/broker/wake.h"
#include "lib/core/mem.h"

/* A reader waits for a lock only while the log recovers from a crash; its caller has other things to do. */
enum { BUSY_MS = 250 };

struct sqlite_reader {
	struct broker_reader base;
	struct broker_context ctx;
	struct store store;
	struct wake wake;
	char log_id[BROKER_LOG_ID_LEN + 1];
	sqlite3_stmt *begin;
	sqlite3_stmt *read;
	sqlite3_stmt *bounds;
	sqlite3_stmt *end;
};

static const struct broker_reader_ops sqlite_reader_ops;

/* --- opening ----------------------------------------------------------------------------------------------
 */

static err_t
read_log_id(struct sqlite_reader *r, struct err_detail *why)
{
	sqlite3_stmt *st = NULL;
	err_t err;
	int rc;

	err = store_prepare(&r->store, &st, "SELECT value FROM meta WHERE key = 'log_id'", why);
	if (err != ERR_OK)
		return err;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == BROKER_LOG_ID_LEN)
		memcpy(r->log_id, store_column(st, 0).p, BROKER_LOG_ID_LEN);
	else if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		err = err_set(why, ERR_CORRUPT, "log %s has no id; %s", r->store.path,
			      broker_store_kind.when_corrupt);
	else
		err = store_error(&r->store, rc, "opening it", why);
	sqlite3_finalize(st);
	return err;
}

static void
close_reader(struct broker_reader *base)
{
	struct sqlite_reader *r = (struct sqlite_reader *)base;

	sqlite3_finalize(r->begin);
	sqlite3_finalize(r->read);
	sqlite3_finalize(r->bounds);
	sqlite3_finalize(r->end);
	store_close(&r->store);
	wake_close(&r->wake);
	free(r);
}

err_t
broker_sqlite_reader_open(struct broker_reader **out, const struct log_options *opt,
			  const struct broker_context *ctx, struct err_detail *why)
{
	struct sqlite_reader *r = MEM_NEW(struct sqlite_reader);
	char *wake_path = broker_wake_path(opt->path);
	err_t err;

	*out = NULL;
	r->base.ops = &sqlite_reader_ops;
	r->ctx = *ctx;
	r->wake = WAKE_INIT;
	err = store_open(&r->store, &broker_store_kind, opt->path, STORE_READ, BUSY_MS, NULL, NULL, why);
	if (err == ERR_OK)
		err = read_log_id(r, why);
	if (err == ERR_OK)
		err = store_prepare(&r->store, &r->read,
				    "SELECT offset, source, at_us, sum, bytes FROM records WHERE offset >= ?"
				    " ORDER BY offset LIMIT ?",
				    why);
	if (err == ERR_OK)
		err = store_prepare(&r->store, &r->bounds,
				    "SELECT (SELECT value FROM meta WHERE key = 'first'), " BROKER_NEXT_SQL,
				    why);
	if (err == ERR_OK)
		err = store_prepare(&r->store, &r->begin, "BEGIN", why);
	if (err == ERR_OK)
		err = store_prepare(&r->store, &r->end, "ROLLBACK", why);
	/* Watched before the first read: what comes after that read rings. */
	if (err == ERR_OK)
		err = wake_open(&r->wake, wake_path, why);
	if (err != ERR_OK)
		goto done;
	if (r->wake.watch < 0)
		log_warn(ctx->log, "log: cannot be watched; looking once a second", F_STR("path", wake_path));
	*out = &r->base;
	r = NULL;
done:
	if (r != NULL)
		close_reader(&r->base);
	free(wake_path);
	return err;
}

static const char *
log_id(const struct broker_reader *base)
{
	return ((const struct sqlite_reader *)base)->log_id;
}

/* --- reading ----------------------------------------------------------------------------------------------
 */

/* A log that was moved away gets nothing any more; the one at the path is another. */
static err_t
check_place(struct sqlite_reader *r, struct err_detail *why)
{
	wake_heal(&r->wake);
	if (!store_moved(&r->store))
		return ERR_OK;
	return err_set(why, ERR_NOT_FOUND, "log %s was moved, removed or replaced; open it again",
		       r->store.path);
}

static err_t
bounds(struct sqlite_reader *r, uint64_t *first, uint64_t *end, struct err_detail *why)
{
	err_t err = ERR_OK;
	int rc = sqlite3_step(r->bounds);

	*first = *end = 0;
	if (rc == SQLITE_ROW) {
		*first = (uint64_t)sqlite3_column_int64(r->bounds, 0);
		*end = (uint64_t)sqlite3_column_int64(r->bounds, 1);
	} else {
		err = store_error(&r->store, rc, "reading", why);
	}
	sqlite3_reset(r->bounds);
	return err;
}

static err_t
current_bounds(struct broker_reader *base, uint64_t *first, uint64_t *end, struct err_detail *why)
{
	struct sqlite_reader *r = (struct sqlite_reader *)base;
	err_t err = check_place(r, why);

	*first = *end = 0;
	return err == ERR_OK ? bounds(r, first, end, why) : err;
}

static err_t
checkpoint(struct broker_reader *base, const char *source, struct buf *out, struct err_detail *why)
{
	struct sqlite_reader *r = (struct sqlite_reader *)base;
	sqlite3_stmt *st = NULL;
	struct span text;
	err_t err;
	int rc;

	err = store_prepare(&r->store, &st, "SELECT text, sum FROM checkpoints WHERE source = ?", why);
	if (err != ERR_OK)
		return err;
	sqlite3_bind_text(st, 1, source, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		text = store_column(st, 0);
		if ((uint64_t)sqlite3_column_int64(st, 1) == broker_checkpoint_sum(span_of(source), text))
			buf_put_span(out, text);
		else
			err = err_set(
			    why, ERR_CORRUPT,
			    "the checkpoint of source %s in log %s is damaged; set source.start to "
			    "gtid:POSITION with a position that is surely old enough: repeated deletes do no "
			    "harm",
			    source, r->store.path);
	} else if (rc != SQLITE_DONE) {
		err = store_error(&r->store, rc, "reading the checkpoint", why);
	}
	sqlite3_finalize(st);
	return err;
}

static struct broker_record
record_of(struct sqlite_reader *r, sqlite3_stmt *st)
{
	struct broker_record rec = {
	    .offset = (uint64_t)sqlite3_column_int64(st, 0),
	    .source = store_column(st, 1),
	    .at_us = (uint64_t)sqlite3_column_int64(st, 2),
	    .bytes = store_column(st, 4),
	};
	uint64_t sum = (uint64_t)sqlite3_column_int64(st, 3);

	rec.damaged = sum != broker_record_sum(rec.offset, rec.source, rec.at_us, rec.bytes);
	if (rec.damaged) {
		metric_inc(&r->ctx.metrics->log_bad_record);
		log_error(r->ctx.log, "log: a record is damaged", F_STR("path", r->store.path),
			  F_UINT("offset", rec.offset), F_SPAN("source", rec.source));
	}
	metric_inc(&r->ctx.metrics->log_read);
	return rec;
}

/* There is no record at `from`.  Was there one?  *next is where to go on: the end when there is nothing left
 * to read. */
static err_t
explain_absence(struct sqlite_reader *r, uint64_t from, bool more, uint64_t *next, struct err_detail *why)
{
	uint64_t first, end;
	err_t err = bounds(r, &first, &end, why);

	if (err != ERR_OK)
		return err;
	if (from < first) {
		*next = first;
		return err_set(
		    why, ERR_GAP,
		    "log %s: records %" PRIu64 " to %" PRIu64
		    " were trimmed before they were read; flush the servers that missed them, and raise "
		    "log.retention or log.max_size",
		    r->store.path, from, first - 1);
	}
	if (from > end) {
		*next = end;
		return err_set(why, ERR_GAP,
			       "log %s ends at record %" PRIu64 " and record %" PRIu64
			       " was read before: it has lost its end or is a copy; flush the servers",
			       r->store.path, end, from);
	}
	/* Offsets jump ahead after a boot; there never was a record in between. */
	if (!more)
		*next = end;
	return ERR_OK;
}

static err_t
read_rows(struct sqlite_reader *r, uint64_t from, size_t max_bytes, broker_record_fn *fn, void *arg,
	  uint64_t *next, struct err_detail *why)
{
	size_t bytes = 0;
	bool more = true;
	err_t err;
	int rc;

	rc = sqlite3_step(r->read);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return store_error(&r->store, rc, "reading", why);
	if (rc == SQLITE_DONE || (uint64_t)sqlite3_column_int64(r->read, 0) != from) {
		err = explain_absence(r, from, rc == SQLITE_ROW, next, why);
		if (err != ERR_OK)
			return err;
	}
	while (rc == SQLITE_ROW && more) {
		struct broker_record rec = record_of(r, r->read);

		bytes += rec.bytes.len;
		more = fn(arg, &rec);
		*next = rec.offset + 1;
		if (!more || bytes >= max_bytes)
			break;
		rc = sqlite3_step(r->read);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			return store_error(&r->store, rc, "reading", why);
	}
	return ERR_OK;
}

static err_t
read_records(struct broker_reader *base, uint64_t from, size_t max_records, size_t max_bytes,
	     broker_record_fn *fn, void *arg, uint64_t *next, struct err_detail *why)
{
	struct sqlite_reader *r = (struct sqlite_reader *)base;
	err_t err;

	*next = from;
	err = check_place(r, why);
	if (err != ERR_OK || max_records == 0)
		goto done;
	/*
	 * One transaction, so that the records and the end are of the same moment: a record that is appended
	 * in between must not look like a hole.  It ends here too: a reader that held it would keep the
	 * write-ahead log from ever starting over.
	 */
	err = store_run(&r->store, r->begin, "reading", why);
	if (err != ERR_OK)
		goto done;
	sqlite3_bind_int64(r->read, 1, (sqlite3_int64)from);
	sqlite3_bind_int64(r->read, 2, max_records < INT64_MAX ? (sqlite3_int64)max_records : INT64_MAX);
	err = read_rows(r, from, max_bytes, fn, arg, next, why);
	sqlite3_reset(r->read);
	sqlite3_step(r->end);
	sqlite3_reset(r->end);
done:
	if (err != ERR_OK && err != ERR_GAP)
		metric_inc(&r->ctx.metrics->log_read_error);
	return err;
}

/* --- waiting ----------------------------------------------------------------------------------------------
 */

static int
fd(const struct broker_reader *base)
{
	return ((const struct sqlite_reader *)base)->wake.fd;
}

static void
woken(struct broker_reader *base)
{
	wake_clear(&((struct sqlite_reader *)base)->wake);
}

static const struct broker_reader_ops sqlite_reader_ops = {
    .close = close_reader,
    .log_id = log_id,
    .bounds = current_bounds,
    .checkpoint = checkpoint,
    .read = read_records,
    .fd = fd,
    .woken = woken,
};
