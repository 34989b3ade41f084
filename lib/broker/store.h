/*
 * store - one SQLite file of ours: opening, creating, preparing, and what its errors mean.
 *
 * Private to lib/broker; the log and the cursors stand on it.  Files are in WAL mode.  A file that is there
 * but empty counts as new: it is what a crash in the middle of creating one leaves.
 *
 * Threads: one at a time per store.   Blocks: on the disk, and up to busy_ms on other processes' locks.
 */
#ifndef SQUEAL_LIB_BROKER_STORE_H
#define SQUEAL_LIB_BROKER_STORE_H

#include <sqlite3.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

struct store;

/* Fills the new file inside the transaction that creates it. */
typedef err_t store_fill_fn(struct store *s, void *arg, struct err_detail *why);

struct store_kind {
	const char *what;	  /* "log", for messages */
	unsigned application_id;  /* in the file's header */
	unsigned version;	  /* of the tables, in the file's header as user_version */
	const char *schema;	  /* SQL */
	const char *when_corrupt; /* what to do about a damaged file */
	const char *when_full;	  /* what to do when the disk is full */
};

struct store {
	sqlite3 *db;
	char *path;
	const struct store_kind *kind;
};

enum store_mode {
	STORE_READ,	   /* an existing file, never written */
	STORE_WRITE_FULL,  /* a commit waits until it is on the disk */
	STORE_WRITE_NORMAL /* a commit survives kill -9; a power cut may take back the last ones */
};

/*
 * ERR_NOT_FOUND: STORE_READ, and there is no file, or none with tables yet.  ERR_CONFIG: it is the file of
 * another program, or of a later version of this one.  `fill` runs when the file is made.
 */
err_t store_open(struct store *s, const struct store_kind *kind, const char *path, enum store_mode mode,
		 int busy_ms, store_fill_fn *fill, void *arg, struct err_detail *why) MUST_CHECK;

/* Every statement must be finalized.  A store that was never opened is fine. */
void store_close(struct store *s);

/* The meaning of the result code that SQLite has just given, with a sentence: "log FILE: REASON while DOING;
 * ADVICE". */
err_t store_error(const struct store *s, int rc, const char *doing, struct err_detail *why);

err_t store_prepare(struct store *s, sqlite3_stmt **out, const char *sql, struct err_detail *why) MUST_CHECK;

/* Steps a statement without rows to its end and resets it. */
err_t store_run(struct store *s, sqlite3_stmt *st, const char *doing, struct err_detail *why) MUST_CHECK;

/* The first column of the first row, 0 where there is no row; resets. */
err_t store_u64(struct store *s, sqlite3_stmt *st, uint64_t *out, const char *doing,
		struct err_detail *why) MUST_CHECK;

err_t store_begin(struct store *s, const char *doing,
		  struct err_detail *why) MUST_CHECK; /* takes the write lock */
err_t store_commit(struct store *s, const char *doing, struct err_detail *why) MUST_CHECK;
void store_rollback(struct store *s); /* outside of a transaction: nothing */

/* The file that is open is no longer the one at its path. */
bool store_moved(const struct store *s);

/* A BLOB or TEXT column; never a NULL pointer. */
struct span store_column(sqlite3_stmt *st, int column);

#endif
