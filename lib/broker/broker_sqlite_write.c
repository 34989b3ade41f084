#include <stdio.h>
#include <stdlib.h>

#include "lib/broker/broker_sqlite.h"
#include "lib/broker/lockfile.h"
#include "lib/broker/notes.h"
#include "lib/broker/wake.h"
#include "lib/core/crash.h"
#include "lib/core/file.h"
#include "lib/core/mem.h"

enum {
	BUSY_MS = 2000, /* another source's writer holds the log for as long as one commit */

	/* Pages of the write-ahead log after which it is copied into the file; and after which readers are
	 * waited for (they end their transactions by themselves), so that it starts at its front again. */
	WAL_COPY_PAGES = 1000,
	WAL_RESTART_PAGES = 16000,

	ROW_BYTES = 64, /* what a record takes beyond its bytes, about */
};

enum writer_sql {
	SQL_NEXT,
	SQL_INSERT,
	SQL_SET_CHECKPOINT,
	SQL_GET_CHECKPOINT,
	SQL_OLDEST,
	SQL_DELETE,
	SQL_SET_FIRST,
	SQL_PAGES,
	SQL_FREE_PAGES,
	SQL_N
};

static const char *const writer_sql[SQL_N] = {
    [SQL_NEXT] = "SELECT " BROKER_NEXT_SQL,
    [SQL_INSERT] = "INSERT INTO records (offset, source, at_us, sum, bytes) VALUES (?, ?, ?, ?, ?)",
    [SQL_SET_CHECKPOINT] = ("INSERT INTO checkpoints (source, text, sum) VALUES (?, ?, ?)"
			    " ON CONFLICT (source) DO UPDATE SET text = excluded.text, sum = excluded.sum"),
    [SQL_GET_CHECKPOINT] = "SELECT text, sum FROM checkpoints WHERE source = ?",
    [SQL_OLDEST] = "SELECT offset, at_us, length(bytes) FROM records ORDER BY offset LIMIT ?",
    [SQL_DELETE] = "DELETE FROM records WHERE offset < ?",
    [SQL_SET_FIRST] = "UPDATE meta SET value = max(value, ?) WHERE key IN ('first', 'next')",
    [SQL_PAGES] = "PRAGMA page_count",
    [SQL_FREE_PAGES] = "PRAGMA freelist_count",
};

struct sqlite_writer {
	struct broker_writer base;
	struct broker_context ctx;
	bool rings; /* it has readers to wake */

	struct store store;
	struct notes notes;
	sqlite3_stmt *sql[SQL_N];
	char *source;
	char *wake_path;
	char *boot; /* which boot of the machine this is */
	int lock;
	uint64_t page_bytes;
	unsigned wal_pages;   /* in the write-ahead log after the last commit */
	unsigned wal_copy_at; /* copy it when it has grown to this */

	_Atomic uint64_t retention_s;
	_Atomic uint64_t max_size;
};

static const struct broker_writer_ops sqlite_writer_ops;

/* --- opening ----------------------------------------------------------------------------------------------
 */

/* A source's name may hold any byte; the lock's name holds letters, digits and "._-" as they are. */
static char *
lock_path(const char *path, const char *source)
{
	struct buf b = BUF_INIT;
	char *s;

	buf_printf(&b, "%s.", path);
	for (const char *c = source; *c != '\0'; c++) {
		bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			     (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-';

		if (plain)
			buf_putc(&b, *c);
		else
			buf_printf(&b, "%%%02X", (unsigned char)*c);
	}
	buf_put_str(&b, ".lock");
	s = span_dup(buf_span(&b));
	buf_fini(&b);
	return s;
}

static err_t
fill_new(struct store *s, void *arg, struct err_detail *why)
{
	struct sqlite_writer *w = arg;
	sqlite3_stmt *st = NULL;
	char id[BROKER_LOG_ID_LEN + 1];
	err_t err;

	snprintf(id, sizeof(id), "%016" PRIx64 "%016" PRIx64, hash_seed(), hash_seed());
	err = store_prepare(
	    s, &st,
	    "INSERT INTO meta (key, value) VALUES ('log_id', ?), ('first', 1), ('next', 1), ('boot', ?)",
	    why);
	if (err == ERR_OK) {
		sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 2, w->boot, -1, SQLITE_STATIC);
		err = store_run(s, st, "creating it", why);
	}
	sqlite3_finalize(st);
	if (err == ERR_OK && w->rings)
		log_notice(w->ctx.log, "new log", F_STR("path", s->path), F_STR("log_id", id));
	return err;
}

/* Was the machine booted since a writer was here?  Then records that a reader saw may be gone: see
 * broker_sqlite.h. */
static err_t
skip_after_boot(struct sqlite_writer *w, struct err_detail *why)
{
	sqlite3_stmt *same = NULL, *skip = NULL, *note = NULL;
	uint64_t is_same = 0;
	err_t err;

	err = store_begin(&w->store, "opening it", why);
	if (err == ERR_OK)
		err = store_prepare(
		    &w->store, &same,
		    "SELECT count(*) FROM meta WHERE key = 'boot' AND value = ? AND value <> ''", why);
	if (err == ERR_OK)
		err =
		    store_prepare(&w->store, &skip,
				  "UPDATE meta SET value = " BROKER_NEXT_SQL " + ? WHERE key = 'next'", why);
	if (err == ERR_OK)
		err = store_prepare(&w->store, &note, "UPDATE meta SET value = ? WHERE key = 'boot'", why);
	if (err != ERR_OK)
		goto done;
	sqlite3_bind_text(same, 1, w->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(skip, 1, BROKER_BOOT_SKIP);
	sqlite3_bind_text(note, 1, w->boot, -1, SQLITE_STATIC);
	err = store_u64(&w->store, same, &is_same, "opening it", why);
	if (err != ERR_OK || is_same != 0)
		goto done;
	err = store_run(&w->store, skip, "opening it", why);
	if (err == ERR_OK)
		err = store_run(&w->store, note, "opening it", why);
	if (err == ERR_OK)
		err = store_commit(&w->store, "opening it", why);
done:
	sqlite3_finalize(same);
	sqlite3_finalize(skip);
	sqlite3_finalize(note);
	store_rollback(&w->store);
	return err;
}

/* Empty where the machine does not say: it then counts as booted at every opening, and offsets jump more
 * often. */
static char *
boot_id(void)
{
	struct err_detail unknown = {0};
	struct buf b = BUF_INIT;
	char *s;

	if (file_read("/proc/sys/kernel/random/boot_id", 256, &b, &unknown) != ERR_OK)
		buf_clear(&b);
	s = span_dup(span_trim(buf_span(&b)));
	buf_fini(&b);
	return s;
}

static int
wal_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_writer *w = arg;

	(void)db;
	(void)name;
	w->wal_pages = (unsigned)pages;
	return SQLITE_OK;
}

static void
ring(struct sqlite_writer *w)
{
	struct err_detail why = {0};

	if (w->rings && wake_ring(w->wake_path, &why) != ERR_OK)
		log_warn(w->ctx.log, "log: readers cannot be woken", F_STR("reason", err_why(&why)));
}

static void
retain(struct broker_writer *base, uint64_t retention_s, uint64_t max_size)
{
	struct sqlite_writer *w = (struct sqlite_writer *)base;

	atomic_store(&w->retention_s, retention_s);
	atomic_store(&w->max_size, max_size);
}

static void
close_writer(struct broker_writer *base)
{
	struct sqlite_writer *w = (struct sqlite_writer *)base;

	for (unsigned i = 0; i < SQL_N; i++)
		sqlite3_finalize(w->sql[i]);
	notes_close(&w->notes);
	store_close(&w->store);
	lockfile_give_up(&w->lock);
	free(w->source);
	free(w->wake_path);
	free(w->boot);
	free(w);
}

static err_t
open_kind(struct broker_writer **out, const struct store_kind *kind, const char *setting, const char *path,
	  const struct log_options *opt, const char *source, const struct broker_context *ctx,
	  struct err_detail *why)
{
	enum store_mode mode = span_is(span_of(opt->sync), "normal") ? STORE_WRITE_NORMAL : STORE_WRITE_FULL;
	struct sqlite_writer *w = MEM_NEW(struct sqlite_writer);
	sqlite3_stmt *page_size = NULL;
	char *lock = NULL;
	char what[96];
	err_t err;

	*out = NULL;
	w->base.ops = &sqlite_writer_ops;
	w->ctx = *ctx;
	w->rings = kind == &broker_store_kind;
	w->lock = -1;
	w->source = mem_strdup(source);
	w->wake_path = broker_wake_path(path);
	w->boot = boot_id();
	w->wal_copy_at = WAL_COPY_PAGES;
	retain(&w->base, opt->retention, opt->max_size);
	if (source[0] == '\0' || path[0] == '\0') {
		err = err_set(why, ERR_CONFIG,
			      "the log needs a path and the source a name; set %s and source.name", setting);
		goto done;
	}
	lock = lock_path(path, source);
	snprintf(what, sizeof(what), "the %s of source %.48s", kind->what, source);
	err = lockfile_take(&w->lock, lock, what, why);
	if (err == ERR_OK)
		err = store_open(&w->store, kind, path, mode, BUSY_MS, fill_new, w, why);
	if (err != ERR_OK)
		goto done;
	sqlite3_wal_hook(w->store.db, wal_grew, w);
	err = notes_open(&w->notes, &w->store, w->source, why);
	for (unsigned i = 0; i < SQL_N && err == ERR_OK; i++)
		err = store_prepare(&w->store, &w->sql[i], writer_sql[i], why);
	if (err == ERR_OK)
		err = store_prepare(&w->store, &page_size, "PRAGMA page_size", why);
	if (err == ERR_OK)
		err = store_u64(&w->store, page_size, &w->page_bytes, "opening it", why);
	if (err == ERR_OK)
		err = skip_after_boot(w, why);
	if (err != ERR_OK)
		goto done;
	/* Readers of a log that was made just now, or whose last writer died before it could wake them. */
	ring(w);
	*out = &w->base;
	w = NULL;
done:
	sqlite3_finalize(page_size);
	if (w != NULL)
		close_writer(&w->base);
	free(lock);
	return err;
}

err_t
broker_sqlite_writer_open(struct broker_writer **out, const struct log_options *opt, const char *source,
			  const struct broker_context *ctx, struct err_detail *why)
{
	return open_kind(out, &broker_store_kind, "log.path", opt->path, opt, source, ctx, why);
}

err_t
broker_sqlite_state_open(struct broker_writer **out, const struct log_options *opt, const char *source,
			 const struct broker_context *ctx, struct err_detail *why)
{
	return open_kind(out, &broker_state_kind, "log.state", opt->state, opt, source, ctx, why);
}

/* --- appending --------------------------------------------------------------------------------------------
 */

static err_t
insert(struct sqlite_writer *w, struct span record, uint64_t offset, uint64_t at_us, struct err_detail *why)
{
	struct span source = span_of(w->source);
	sqlite3_stmt *st = w->sql[SQL_INSERT];

	sqlite3_bind_int64(st, 1, (sqlite3_int64)offset);
	sqlite3_bind_text64(st, 2, source.p, source.len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_int64(st, 3, (sqlite3_int64)at_us);
	sqlite3_bind_int64(st, 4, (sqlite3_int64)broker_record_sum(offset, source, at_us, record));
	/* An empty blob needs an address, or it would be NULL. */
	if (sqlite3_bind_blob64(st, 5, record.len > 0 ? record.p : "", record.len, SQLITE_STATIC) !=
	    SQLITE_OK)
		return err_set(why, ERR_TOO_LONG,
			       "a record of %zu bytes is too long for the log; lower squeal.batch_bytes",
			       record.len);
	return store_run(&w->store, st, "appending", why);
}

static err_t
set_checkpoint(struct sqlite_writer *w, struct span text, struct err_detail *why)
{
	struct span source = span_of(w->source);
	sqlite3_stmt *st = w->sql[SQL_SET_CHECKPOINT];

	sqlite3_bind_text64(st, 1, source.p, source.len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_blob64(st, 2, text.p, text.len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, (sqlite3_int64)broker_checkpoint_sum(source, text));
	return store_run(&w->store, st, "writing the checkpoint", why);
}

/* Somebody moved the file: what goes into it now reaches no reader that opens the path later. */
static err_t
check_place(struct sqlite_writer *w, struct err_detail *why)
{
	if (!store_moved(&w->store))
		return ERR_OK;
	return err_set(
	    why, ERR_NOT_FOUND,
	    "log %s was moved, removed or replaced while it was in use; put it back, or start squeal again "
	    "with source.start: gtid:POSITION",
	    w->store.path);
}

/*
 * Copies the write-ahead log into the file now and then.  Done after the readers were woken: it delays the
 * next append, never a delete.  What fails here is tried again after the next commits; the records are
 * durable either way.
 */
static void
copy_wal(struct sqlite_writer *w)
{
	int mode = w->wal_pages >= WAL_RESTART_PAGES ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
	int in_wal = 0, copied = 0;
	int rc;

	if (w->wal_pages < WAL_COPY_PAGES)
		w->wal_copy_at = WAL_COPY_PAGES;
	if (w->wal_pages < w->wal_copy_at)
		return;
	rc = sqlite3_wal_checkpoint_v2(w->store.db, NULL, mode, &in_wal, &copied);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
		struct err_detail why = {0};

		store_error(&w->store, rc, "copying its -wal into it", &why);
		log_warn(w->ctx.log, "log: the write-ahead log grows", F_STR("reason", err_why(&why)),
			 F_UINT("pages", w->wal_pages));
	}
	w->wal_copy_at = w->wal_pages + WAL_COPY_PAGES;
}

static err_t
append(struct sqlite_writer *w, const struct span *records, size_t n, struct span checkpoint,
       const struct broker_note *notes, size_t nnotes, uint64_t *first, struct err_detail *why)
{
	uint64_t at_us = clock_real_us(w->ctx.clock);
	err_t err;

	err = check_place(w, why);
	if (err == ERR_OK)
		err = store_begin(&w->store, "appending", why);
	if (err != ERR_OK)
		goto done;
	CRASH_POINT("broker.append.begin");
	err = store_u64(&w->store, w->sql[SQL_NEXT], first, "appending", why);
	for (size_t i = 0; i < n && err == ERR_OK; i++)
		err = insert(w, records[i], *first + i, at_us, why);
	if (err == ERR_OK && checkpoint.len > 0)
		err = set_checkpoint(w, checkpoint, why);
	CRASH_POINT("broker.append.inserted");
	for (size_t i = 0; i < nnotes && err == ERR_OK; i++)
		err = notes_change(&w->notes, &notes[i], why);
	CRASH_POINT("broker.append.noted");
	if (err == ERR_OK)
		err = store_commit(&w->store, "appending", why);
done:
	/* Bound memory belongs to the caller. */
	sqlite3_clear_bindings(w->sql[SQL_INSERT]);
	sqlite3_clear_bindings(w->sql[SQL_SET_CHECKPOINT]);
	store_rollback(&w->store);
	return err;
}

static err_t
append_notes(struct broker_writer *base, const struct span *records, size_t n, struct span checkpoint,
	     const struct broker_note *notes, size_t nnotes, uint64_t *first, struct err_detail *why)
{
	struct sqlite_writer *w = (struct sqlite_writer *)base;
	struct broker_metrics *m = w->ctx.metrics;
	uint64_t started_ns = clock_mono_ns(w->ctx.clock);
	uint64_t bytes = 0;
	err_t err;

	*first = 0;
	if (n == 0 && checkpoint.len == 0 && nnotes == 0)
		return ERR_OK;
	err = append(w, records, n, checkpoint, notes, nnotes, first, why);
	if (err != ERR_OK) {
		*first = 0;
		metric_inc(&m->log_append_error);
		return err;
	}
	CRASH_POINT("broker.append.committed");
	ring(w);
	CRASH_POINT("broker.append.woken");
	for (size_t i = 0; i < n; i++)
		bytes += records[i].len;
	metric_inc(&m->log_append);
	metric_add(&m->log_record, n);
	metric_add(&m->log_bytes, bytes);
	histogram_record(&m->log_append_time, (clock_mono_ns(w->ctx.clock) - started_ns) / 1000);
	copy_wal(w);
	return ERR_OK;
}

/* --- notes ------------------------------------------------------------------------------------------------
 */

static err_t
note_read(struct broker_writer *base, struct span name, uint32_t part, struct buf *out, bool *found,
	  struct err_detail *why)
{
	return notes_read(&((struct sqlite_writer *)base)->notes, name, part, out, found, why);
}

static err_t
note_names(struct broker_writer *base, broker_note_fn *fn, void *arg, struct err_detail *why)
{
	return notes_names(&((struct sqlite_writer *)base)->notes, fn, arg, why);
}

/* --- the checkpoint ---------------------------------------------------------------------------------------
 */

static err_t
read_checkpoint(struct broker_writer *base, struct buf *out, struct err_detail *why)
{
	struct sqlite_writer *w = (struct sqlite_writer *)base;
	struct span source, text;
	sqlite3_stmt *st;
	err_t err = ERR_OK;
	int rc;

	source = span_of(w->source);
	st = w->sql[SQL_GET_CHECKPOINT];
	sqlite3_bind_text64(st, 1, source.p, source.len, SQLITE_STATIC, SQLITE_UTF8);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		text = store_column(st, 0);
		if ((uint64_t)sqlite3_column_int64(st, 1) == broker_checkpoint_sum(source, text))
			buf_put_span(out, text);
		else
			err =
			    err_set(why, ERR_CORRUPT,
				    "the checkpoint of source %s in log %s is damaged; set source.start to "
				    "gtid:POSITION "
				    "with a position that is surely old enough: repeated deletes do no harm",
				    w->source, w->store.path);
	} else if (rc != SQLITE_DONE) {
		err = store_error(&w->store, rc, "reading the checkpoint", why);
	}
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return err;
}

/* --- retention --------------------------------------------------------------------------------------------
 */

/* Bytes in use beyond max_size; 0 when it is within.  Free pages inside the file do not count: they are used
 * again. */
static err_t
excess(struct sqlite_writer *w, uint64_t *bytes, struct err_detail *why)
{
	uint64_t pages = 0, free_pages = 0, used, max = atomic_load(&w->max_size);
	err_t err;

	err = store_u64(&w->store, w->sql[SQL_PAGES], &pages, "trimming", why);
	if (err == ERR_OK)
		err = store_u64(&w->store, w->sql[SQL_FREE_PAGES], &free_pages, "trimming", why);
	used = (pages - free_pages) * w->page_bytes;
	*bytes = err == ERR_OK && used > max ? used - max : 0;
	return err;
}

/* How many of the oldest records have to go, and the offset of the first that stays. */
static err_t
choose(struct sqlite_writer *w, size_t max_records, size_t *n, uint64_t *stays, struct err_detail *why)
{
	uint64_t now_us = clock_real_us(w->ctx.clock), keep_us = atomic_load(&w->retention_s) * 1000000;
	uint64_t oldest_us = now_us > keep_us ? now_us - keep_us : 0;
	sqlite3_stmt *st = w->sql[SQL_OLDEST];
	uint64_t over = 0;
	err_t err;
	int rc;

	*n = 0;
	err = excess(w, &over, why);
	if (err != ERR_OK || max_records == 0)
		return err;
	sqlite3_bind_int64(st, 1, (sqlite3_int64)max_records);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		uint64_t bytes = (uint64_t)sqlite3_column_int64(st, 2) + ROW_BYTES;

		if ((uint64_t)sqlite3_column_int64(st, 1) >= oldest_us && over == 0)
			break;
		over -= bytes < over ? bytes : over;
		*stays = (uint64_t)sqlite3_column_int64(st, 0) + 1;
		(*n)++;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		err = store_error(&w->store, rc, "trimming", why);
	sqlite3_reset(st);
	return err;
}

static err_t
trim(struct sqlite_writer *w, size_t max_records, size_t *n, struct err_detail *why)
{
	uint64_t stays = 0;
	err_t err;

	err = store_begin(&w->store, "trimming", why);
	/* Chosen again under the lock: another source's writer trims too. */
	if (err == ERR_OK)
		err = choose(w, max_records, n, &stays, why);
	if (err != ERR_OK || *n == 0)
		goto done;
	CRASH_POINT("broker.trim.begin");
	sqlite3_bind_int64(w->sql[SQL_DELETE], 1, (sqlite3_int64)stays);
	sqlite3_bind_int64(w->sql[SQL_SET_FIRST], 1, (sqlite3_int64)stays);
	err = store_run(&w->store, w->sql[SQL_DELETE], "trimming", why);
	if (err == ERR_OK)
		err = store_run(&w->store, w->sql[SQL_SET_FIRST], "trimming", why);
	CRASH_POINT("broker.trim.deleted");
	if (err == ERR_OK)
		err = store_commit(&w->store, "trimming", why);
	CRASH_POINT("broker.trim.committed");
done:
	store_rollback(&w->store);
	return err;
}

static err_t
trim_some(struct broker_writer *base, size_t max_records, size_t *removed, struct err_detail *why)
{
	struct sqlite_writer *w = (struct sqlite_writer *)base;
	uint64_t stays = 0;
	size_t n = 0;
	err_t err;

	*removed = 0;
	err = check_place(w, why);
	/* One record is enough to know whether there is work. */
	if (err == ERR_OK)
		err = choose(w, max_records > 0 ? 1 : 0, &n, &stays, why);
	if (err == ERR_OK && n > 0)
		err = trim(w, max_records, &n, why);
	if (err != ERR_OK)
		return err;
	*removed = n;
	metric_add(&w->ctx.metrics->log_trimmed, n);
	copy_wal(w);
	return ERR_OK;
}

static const struct broker_writer_ops sqlite_writer_ops = {
    .close = close_writer,
    .retain = retain,
    .append = append_notes,
    .note_read = note_read,
    .note_names = note_names,
    .checkpoint = read_checkpoint,
    .trim = trim_some,
};
