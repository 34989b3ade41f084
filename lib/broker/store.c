#include "lib/broker/store.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/mem.h"

/* --- errors -----------------------------------------------------------------------------------------------
 */

static err_t
code_of_errno(int error, err_t otherwise)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_READ_ONLY;
	default:
		return otherwise;
	}
}

static int
file_errno(const struct store *s, int which)
{
	sqlite3_file *file = NULL;
	int error = 0;

	if (sqlite3_file_control(s->db, "main", which, &file) == SQLITE_OK && file != NULL &&
	    file->pMethods != NULL)
		file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
	return error;
}

/* What the system said.  A failed step leaves it only in the file that failed: the -wal more often than not.
 */
static int
errno_of(const struct store *s, int rc)
{
	int error = 0;

	if (s->db == NULL || ((rc & 0xff) != SQLITE_IOERR && (rc & 0xff) != SQLITE_CANTOPEN))
		return 0;
	error = sqlite3_system_errno(s->db);
	if (error == 0 && (rc & 0xff) == SQLITE_IOERR)
		error = file_errno(s, SQLITE_FCNTL_JOURNAL_POINTER);
	if (error == 0 && (rc & 0xff) == SQLITE_IOERR)
		error = file_errno(s, SQLITE_FCNTL_FILE_POINTER);
	return error;
}

static err_t
code_of(int rc, int error)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return ERR_BUSY;
	case SQLITE_FULL:
		return ERR_FULL;
	case SQLITE_IOERR:
		return code_of_errno(error, ERR_IO);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return ERR_CORRUPT;
	case SQLITE_READONLY:
		return rc == SQLITE_READONLY_DBMOVED ? ERR_NOT_FOUND : ERR_READ_ONLY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_READ_ONLY;
	case SQLITE_CANTOPEN:
		return error == ENOENT ? ERR_NOT_FOUND : code_of_errno(error, ERR_SYS);
	case SQLITE_TOOBIG:
		return ERR_TOO_LONG;
	default:
		return ERR_SYS;
	}
}

static const char *
advice_of(const struct store *s, err_t err)
{
	switch (err) {
	case ERR_BUSY:
		return "another process holds it (a backup or a shell?); tried again";
	case ERR_FULL:
		return s->kind->when_full;
	case ERR_IO:
		return "look at the system's log for disk errors; tried again";
	case ERR_CORRUPT:
		return s->kind->when_corrupt;
	case ERR_READ_ONLY:
		return "give this user write permission on the file and on its folder, on a file system that "
		       "is "
		       "mounted writable";
	case ERR_NOT_FOUND:
		return "check the path";
	default:
		return "check the path, its permissions and limits";
	}
}

err_t
store_error(const struct store *s, int rc, const char *doing, struct err_detail *why)
{
	int error = errno_of(s, rc);
	err_t err = code_of(rc, error);

	return err_set(why, err, "%s %s: %s%s%s while %s; %s", s->kind->what, s->path, sqlite3_errstr(rc),
		       error != 0 ? ": " : "", error != 0 ? strerror(error) : "", doing, advice_of(s, err));
}

/* --- statements -------------------------------------------------------------------------------------------
 */

err_t
store_prepare(struct store *s, sqlite3_stmt **out, const char *sql, struct err_detail *why)
{
	int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	/* A table that is not there: the header says the file is ours, the rest says otherwise. */
	if (rc == SQLITE_ERROR)
		return err_set(why, ERR_CORRUPT, "%s %s: %s; %s", s->kind->what, s->path,
			       sqlite3_errmsg(s->db), s->kind->when_corrupt);
	return rc == SQLITE_OK ? ERR_OK : store_error(s, rc, "reading its tables", why);
}

err_t
store_run(struct store *s, sqlite3_stmt *st, const char *doing, struct err_detail *why)
{
	err_t err = ERR_OK;
	int rc;

	do {
		rc = sqlite3_step(st);
	} while (rc == SQLITE_ROW);
	if (rc != SQLITE_DONE)
		err = store_error(s, rc, doing, why);
	sqlite3_reset(st);
	return err;
}

err_t
store_u64(struct store *s, sqlite3_stmt *st, uint64_t *out, const char *doing, struct err_detail *why)
{
	err_t err = ERR_OK;
	int rc = sqlite3_step(st);

	*out = 0;
	if (rc == SQLITE_ROW)
		*out = (uint64_t)sqlite3_column_int64(st, 0);
	else if (rc != SQLITE_DONE)
		err = store_error(s, rc, doing, why);
	sqlite3_reset(st);
	return err;
}

struct span
store_column(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_blob(st, column);
	int n = sqlite3_column_bytes(st, column);

	return p != NULL && n > 0 ? span_make(p, (size_t)n) : (struct span){"", 0};
}

static err_t
exec(struct store *s, const char *sql, const char *doing, struct err_detail *why)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? ERR_OK : store_error(s, rc, doing, why);
}

err_t
store_begin(struct store *s, const char *doing, struct err_detail *why)
{
	return exec(s, "BEGIN IMMEDIATE", doing, why);
}

err_t
store_commit(struct store *s, const char *doing, struct err_detail *why)
{
	return exec(s, "COMMIT", doing, why);
}

void
store_rollback(struct store *s)
{
	/* It can only fail when the transaction is gone already, or the file with it. */
	if (s->db != NULL && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

bool
store_moved(const struct store *s)
{
	int moved = 0;

	return sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

/* --- opening ----------------------------------------------------------------------------------------------
 */

static err_t
query(struct store *s, const char *sql, char *out, size_t size, struct err_detail *why)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	struct span text;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	out[0] = '\0';
	if (rc == SQLITE_ROW) {
		text = span_first(store_column(st, 0), size - 1);
		memcpy(out, text.p, text.len);
		out[text.len] = '\0';
		rc = SQLITE_DONE;
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? ERR_OK : store_error(s, rc, "opening it", why);
}

/* Is it empty, ours, or foreign? */
static err_t
identify(struct store *s, bool *empty, struct err_detail *why)
{
	char id[24], version[24], tables[24];
	uint64_t n;
	err_t err;

	*empty = false;
	err = query(s, "PRAGMA application_id", id, sizeof(id), why);
	if (err == ERR_OK)
		err = query(s, "PRAGMA user_version", version, sizeof(version), why);
	if (err == ERR_OK)
		err = query(s, "SELECT count(*) FROM sqlite_master", tables, sizeof(tables), why);
	if (err != ERR_OK)
		return err;
	if (span_is(span_of(id), "0") && span_is(span_of(version), "0") && span_is(span_of(tables), "0")) {
		*empty = true;
		return ERR_OK;
	}
	if (!span_u64(span_of(id), &n) || n != s->kind->application_id)
		return err_set(
		    why, ERR_CONFIG,
		    "%s is not a %s of squeal but a SQLite file of another kind; name another file", s->path,
		    s->kind->what);
	if (!span_u64(span_of(version), &n) || n != s->kind->version)
		return err_set(
		    why, ERR_CONFIG,
		    "%s %s has tables of version %s and this program knows version %u; run the program "
		    "that made it, or a later one",
		    s->kind->what, s->path, version, s->kind->version);
	return ERR_OK;
}

/* A new name in a folder is durable only when the folder is. */
static void
sync_folder(const char *path)
{
	char *copy = mem_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
	free(copy);
}

static err_t
create(struct store *s, store_fill_fn *fill, void *arg, struct err_detail *why)
{
	char pragmas[96];
	bool empty = false;
	err_t err;

	err = store_begin(s, "creating it", why);
	/* Another process may have been faster. */
	if (err == ERR_OK)
		err = identify(s, &empty, why);
	if (err != ERR_OK || !empty)
		goto done;
	sqlite3_snprintf(sizeof(pragmas), pragmas, "PRAGMA application_id=%u; PRAGMA user_version=%u",
			 s->kind->application_id, s->kind->version);
	err = exec(s, s->kind->schema, "creating it", why);
	if (err == ERR_OK)
		err = exec(s, pragmas, "creating it", why);
	if (err == ERR_OK && fill != NULL)
		err = fill(s, arg, why);
	if (err == ERR_OK)
		err = store_commit(s, "creating it", why);
	if (err == ERR_OK)
		sync_folder(s->path);
done:
	store_rollback(s);
	return err;
}

static err_t
open_for_writing(struct store *s, enum store_mode mode, store_fill_fn *fill, void *arg,
		 struct err_detail *why)
{
	const char *sync = mode == STORE_WRITE_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL";
	char journal[16];
	bool empty = false;
	err_t err;

	if (sqlite3_db_readonly(s->db, "main") == 1)
		return store_error(s, SQLITE_READONLY, "opening it", why);
	/* Identified first, so that a foreign file is left as it is. */
	err = identify(s, &empty, why);
	if (err == ERR_OK)
		err = query(s, "PRAGMA journal_mode=WAL", journal, sizeof(journal), why);
	if (err != ERR_OK)
		return err;
	if (!span_is(span_of(journal), "wal"))
		return err_set(
		    why, ERR_SYS,
		    "%s %s: its file system offers no shared memory for a write-ahead log; use a local disk",
		    s->kind->what, s->path);
	/* What is deleted need not be overwritten with zeros: that would only cost time. */
	err = exec(s, "PRAGMA secure_delete=OFF; PRAGMA journal_size_limit=67108864", "opening it", why);
	if (err == ERR_OK)
		err = exec(s, sync, "opening it", why);
	if (err == ERR_OK && empty)
		err = create(s, fill, arg, why);
	return err;
}

err_t
store_open(struct store *s, const struct store_kind *kind, const char *path, enum store_mode mode,
	   int busy_ms, store_fill_fn *fill, void *arg, struct err_detail *why)
{
	int flags = mode == STORE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	bool empty = false;
	err_t err;
	int rc;

	*s = (struct store){.path = mem_strdup(path), .kind = kind};
	if (path[0] == '\0') {
		err = err_set(why, ERR_CONFIG, "the %s has no path; name a file in squeal.yaml", kind->what);
		goto done;
	}
	rc = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK) {
		rc = s->db != NULL ? sqlite3_extended_errcode(s->db) : rc;
		err = store_error(s, rc, "opening it", why);
		goto done;
	}
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, busy_ms);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* No mmap: a file that is cut short must be an error, not a signal. */
	err = exec(s, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0", "opening it", why);
	if (err != ERR_OK)
		goto done;
	if (mode == STORE_READ) {
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		err = identify(s, &empty, why);
		if (err == ERR_OK && empty)
			err = err_set(why, ERR_NOT_FOUND, "%s %s is empty so far", kind->what, path);
	} else {
		err = open_for_writing(s, mode, fill, arg, why);
	}
done:
	if (err != ERR_OK)
		store_close(s);
	return err;
}

void
store_close(struct store *s)
{
	if (s->db != NULL)
		sqlite3_close(s->db);
	free(s->path);
	*s = (struct store){0};
}
