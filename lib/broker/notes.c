#include "lib/broker/notes.h"

#include "lib/core/hash.h"

static const char *const notes_sql[NOTES_SQL_N] = {
    [NOTES_PUT] = "INSERT OR REPLACE INTO notes (source, name, part, sum, value) VALUES (?, ?, ?, ?, ?)",
    [NOTES_DROP] = "DELETE FROM notes WHERE source = ? AND name = ?",
    [NOTES_GET] = "SELECT value, sum FROM notes WHERE source = ? AND name = ? AND part = ?",
    [NOTES_NAMES] = "SELECT DISTINCT name FROM notes WHERE source = ? ORDER BY name",
};

static uint64_t
sum_of(const struct notes *n, struct span name, uint32_t part, struct span value)
{
	uint64_t seed = hash_span(span_of(n->source), part + UINT64_C(0x9e3779b97f4a7c15));

	return hash_span(value, hash_span(name, seed));
}

err_t
notes_open(struct notes *n, struct store *store, const char *source, struct err_detail *why)
{
	sqlite3_stmt *st = NULL;
	err_t err;

	*n = (struct notes){.store = store, .source = source};
	err = store_prepare(store, &st, NOTES_SQL, why);
	if (err == ERR_OK)
		err = store_run(store, st, "opening it", why);
	sqlite3_finalize(st);
	for (unsigned i = 0; i < NOTES_SQL_N && err == ERR_OK; i++)
		err = store_prepare(store, &n->sql[i], notes_sql[i], why);
	return err;
}

void
notes_close(struct notes *n)
{
	for (unsigned i = 0; i < NOTES_SQL_N; i++) {
		sqlite3_finalize(n->sql[i]);
		n->sql[i] = NULL;
	}
}

/* A name without bytes still needs an address, or it would be NULL. */
static void
bind_name(const struct notes *n, sqlite3_stmt *st, struct span name)
{
	struct span source = span_of(n->source);

	sqlite3_bind_text64(st, 1, source.p, source.len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_blob64(st, 2, name.len > 0 ? name.p : "", name.len, SQLITE_STATIC);
}

err_t
notes_change(struct notes *n, const struct broker_note *note, struct err_detail *why)
{
	bool is_put = note->change == BROKER_NOTE_PUT;
	sqlite3_stmt *st = n->sql[is_put ? NOTES_PUT : NOTES_DROP];
	struct span value = note->value;
	int rc = SQLITE_OK;
	err_t err;

	bind_name(n, st, note->name);
	if (is_put) {
		sqlite3_bind_int64(st, 3, note->part);
		sqlite3_bind_int64(st, 4, (sqlite3_int64)sum_of(n, note->name, note->part, value));
		rc = sqlite3_bind_blob64(st, 5, value.len > 0 ? value.p : "", value.len, SQLITE_STATIC);
	}
	if (rc == SQLITE_OK)
		err = store_run(n->store, st, "writing notes", why);
	else
		err = err_set(why, ERR_TOO_LONG,
			      "a part of %zu bytes is too long for a note in the log; write shorter parts",
			      value.len);
	/* Bound memory belongs to the caller. */
	sqlite3_clear_bindings(st);
	return err;
}

err_t
notes_read(struct notes *n, struct span name, uint32_t part, struct buf *out, bool *found,
	   struct err_detail *why)
{
	sqlite3_stmt *st = n->sql[NOTES_GET];
	struct span value;
	err_t err = ERR_OK;
	int rc;

	*found = false;
	bind_name(n, st, name);
	sqlite3_bind_int64(st, 3, part);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		value = store_column(st, 0);
		*found = (uint64_t)sqlite3_column_int64(st, 1) == sum_of(n, name, part, value);
		if (*found)
			buf_put_span(out, value);
		else
			err = err_set(why, ERR_CORRUPT, "a note of source %s in log %s is damaged; %s",
				      n->source, n->store->path, n->store->kind->when_corrupt);
	} else if (rc != SQLITE_DONE) {
		err = store_error(n->store, rc, "reading notes", why);
	}
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return err;
}

err_t
notes_names(struct notes *n, broker_note_fn *fn, void *arg, struct err_detail *why)
{
	struct span source = span_of(n->source);
	sqlite3_stmt *st = n->sql[NOTES_NAMES];
	err_t err = ERR_OK;
	int rc;

	sqlite3_bind_text64(st, 1, source.p, source.len, SQLITE_STATIC, SQLITE_UTF8);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		fn(arg, store_column(st, 0));
	if (rc != SQLITE_DONE)
		err = store_error(n->store, rc, "reading notes", why);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return err;
}
