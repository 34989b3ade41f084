#include "lib/broker/cursor.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/broker/broker_ops.h"
#include "lib/broker/lockfile.h"
#include "lib/broker/store.h"
#include "lib/core/crash.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum {
	CURSOR_APPLICATION_ID = 0x53514355, /* "SQCU" */
	CURSOR_TABLES_VERSION = 1,
	BUSY_MS = 250,
};

static const struct store_kind cursor_store_kind = {
    .what = "cursor file",
    .application_id = CURSOR_APPLICATION_ID,
    .version = CURSOR_TABLES_VERSION,
    .schema = "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;"
	      "CREATE TABLE cursors (server TEXT PRIMARY KEY NOT NULL, log_id TEXT NOT NULL,"
	      " offset INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;",
    .when_corrupt =
	"stop the router and move this file aside with its -wal and -shm: everything that is still in "
	"the log is then delivered again, which does no harm",
    .when_full = "free space on its file system; deliveries go on, and it is tried again",
};

struct cursor_file {
	struct cursor_store base;
	struct store store;
	int lock;
	sqlite3_stmt *load;
	sqlite3_stmt *save;
};

static const struct cursor_ops cursor_file_ops;

static uint64_t
cursor_sum(struct span server, struct span log_id, uint64_t offset)
{
	return hash_span(server, hash_span(log_id, offset));
}

/* --- opening ----------------------------------------------------------------------------------------------
 */

static err_t
fill_new(struct store *s, void *arg, struct err_detail *why)
{
	const char *cluster = arg;
	sqlite3_stmt *st = NULL;
	err_t err = store_prepare(s, &st, "INSERT INTO meta (key, value) VALUES ('cluster', ?)", why);

	if (err == ERR_OK) {
		sqlite3_bind_text(st, 1, cluster, -1, SQLITE_STATIC);
		err = store_run(s, st, "creating it", why);
	}
	sqlite3_finalize(st);
	return err;
}

static err_t
check_cluster(struct cursor_file *s, const char *cluster, struct err_detail *why)
{
	sqlite3_stmt *st = NULL;
	struct span found;
	err_t err;
	int rc;

	err = store_prepare(&s->store, &st, "SELECT value FROM meta WHERE key = 'cluster'", why);
	if (err != ERR_OK)
		return err;
	rc = sqlite3_step(st);
	found = rc == SQLITE_ROW ? store_column(st, 0) : (struct span){"", 0};
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		err = store_error(&s->store, rc, "opening it", why);
	else if (!span_is(found, cluster))
		err = err_set(why, ERR_CONFIG,
			      "cursor file %s belongs to cluster \"%.*s\", not to \"%s\"; give each cluster "
			      "a file of its own",
			      s->store.path, SPAN_FMT(span_first(found, 64)), cluster);
	sqlite3_finalize(st);
	return err;
}

static void
close_file(struct cursor_store *base)
{
	struct cursor_file *s = (struct cursor_file *)base;

	sqlite3_finalize(s->load);
	sqlite3_finalize(s->save);
	store_close(&s->store);
	lockfile_give_up(&s->lock);
	free(s);
}

err_t
cursor_open(struct cursor_store **out, const char *path, const char *cluster, struct err_detail *why)
{
	struct cursor_file *s = MEM_NEW(struct cursor_file);
	struct buf lock = BUF_INIT;
	char what[96];
	err_t err;

	*out = NULL;
	s->base.ops = &cursor_file_ops;
	s->lock = -1;
	buf_printf(&lock, "%s.lock", path);
	snprintf(what, sizeof(what), "the cursor file of cluster %.48s", cluster);
	err = path[0] != '\0' ? lockfile_take(&s->lock, buf_str(&lock), what, why)
			      : err_set(why, ERR_CONFIG, "cluster %s: the cursor file has no path", cluster);
	if (err == ERR_OK)
		err = store_open(&s->store, &cursor_store_kind, path, STORE_WRITE_NORMAL, BUSY_MS, fill_new,
				 (char *)cluster, why);
	if (err == ERR_OK)
		err = check_cluster(s, cluster, why);
	if (err == ERR_OK)
		err = store_prepare(&s->store, &s->load,
				    "SELECT log_id, offset, sum FROM cursors WHERE server = ?", why);
	if (err == ERR_OK)
		err = store_prepare(&s->store, &s->save,
				    "INSERT INTO cursors (server, log_id, offset, sum) VALUES (?, ?, ?, ?)"
				    " ON CONFLICT (server) DO UPDATE SET log_id = excluded.log_id,"
				    " offset = excluded.offset, sum = excluded.sum",
				    why);
	if (err != ERR_OK)
		goto done;
	*out = &s->base;
	s = NULL;
done:
	if (s != NULL)
		close_file(&s->base);
	buf_fini(&lock);
	return err;
}

/* --- loading and saving -----------------------------------------------------------------------------------
 */

static err_t
load(struct cursor_store *base, struct cursor *c, bool *found, struct err_detail *why)
{
	struct cursor_file *s = (struct cursor_file *)base;
	struct span server = span_of(c->server), log_id;
	err_t err = ERR_OK;
	uint64_t offset;
	int rc;

	*found = false;
	c->log_id[0] = '\0';
	c->offset = 0;
	sqlite3_bind_text64(s->load, 1, server.p, server.len, SQLITE_STATIC, SQLITE_UTF8);
	rc = sqlite3_step(s->load);
	if (rc == SQLITE_ROW) {
		log_id = store_column(s->load, 0);
		offset = (uint64_t)sqlite3_column_int64(s->load, 1);
		if (log_id.len > CURSOR_LOG_ID_MAX ||
		    (uint64_t)sqlite3_column_int64(s->load, 2) != cursor_sum(server, log_id, offset)) {
			err = err_set(why, ERR_CORRUPT, "cursor file %s: the cursor of %s is damaged; %s",
				      s->store.path, c->server, cursor_store_kind.when_corrupt);
			goto done;
		}
		memcpy(c->log_id, log_id.p, log_id.len);
		c->log_id[log_id.len] = '\0';
		c->offset = offset;
		*found = true;
	} else if (rc != SQLITE_DONE) {
		err = store_error(&s->store, rc, "reading", why);
	}
done:
	sqlite3_reset(s->load);
	sqlite3_clear_bindings(s->load);
	return err;
}

static err_t
save_one(struct cursor_file *s, const struct cursor *c, struct err_detail *why)
{
	struct span server = span_of(c->server), log_id = span_of(c->log_id);

	sqlite3_bind_text64(s->save, 1, server.p, server.len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_text64(s->save, 2, log_id.p, log_id.len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_int64(s->save, 3, (sqlite3_int64)c->offset);
	sqlite3_bind_int64(s->save, 4, (sqlite3_int64)cursor_sum(server, log_id, c->offset));
	return store_run(&s->store, s->save, "saving", why);
}

static err_t
save(struct cursor_store *base, const struct cursor *cursors, size_t n, struct err_detail *why)
{
	struct cursor_file *s = (struct cursor_file *)base;
	err_t err = ERR_OK;

	if (n == 0)
		return ERR_OK;
	if (store_moved(&s->store))
		return err_set(why, ERR_NOT_FOUND,
			       "cursor file %s was moved or removed while in use; start the router again",
			       s->store.path);
	err = store_begin(&s->store, "saving", why);
	for (size_t i = 0; i < n && err == ERR_OK; i++)
		err = save_one(s, &cursors[i], why);
	CRASH_POINT("cursor.save.begin");
	if (err == ERR_OK)
		err = store_commit(&s->store, "saving", why);
	CRASH_POINT("cursor.save.committed");
	sqlite3_clear_bindings(s->save);
	store_rollback(&s->store);
	return err;
}

static err_t
forget(struct cursor_store *base, const char *server, struct err_detail *why)
{
	struct cursor_file *s = (struct cursor_file *)base;
	sqlite3_stmt *st = NULL;
	err_t err;

	err = store_prepare(&s->store, &st, "DELETE FROM cursors WHERE server = ?", why);
	if (err != ERR_OK)
		return err;
	sqlite3_bind_text(st, 1, server, -1, SQLITE_STATIC);
	err = store_run(&s->store, st, "saving", why);
	sqlite3_finalize(st);
	return err;
}

static const struct cursor_ops cursor_file_ops = {
    .close = close_file, .load = load, .save = save, .forget = forget};

/* --- any kind of store -------------------------------------------------------------------------------------
 */

void
cursor_close(struct cursor_store **s)
{
	if (*s == NULL)
		return;
	(*s)->ops->close(*s);
	*s = NULL;
}

err_t
cursor_load(struct cursor_store *s, struct cursor *c, bool *found, struct err_detail *why)
{
	*found = false;
	c->log_id[0] = '\0';
	c->offset = 0;
	return s->ops->load(s, c, found, why);
}

err_t
cursor_save(struct cursor_store *s, const struct cursor *cursors, size_t n, struct err_detail *why)
{
	return n > 0 ? s->ops->save(s, cursors, n, why) : ERR_OK;
}

void
cursor_vouch(struct cursor_store *s, const struct broker_reader *r)
{
	struct broker_witness w;

	if (s->ops->vouch == NULL || r->ops->witness == NULL)
		return;
	w = r->ops->witness(r);
	if (w.known)
		s->ops->vouch(s, &w);
}

err_t
cursor_forget(struct cursor_store *s, const char *server, struct err_detail *why)
{
	return s->ops->forget(s, server, why);
}
