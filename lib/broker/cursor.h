/*
 * cursor - how far a router has got with each of its servers, kept on disk.
 *
 * One file per router and cluster.  A cursor says: every record of log `log_id` before `offset` has been
 * acknowledged by `server`.  A saved cursor survives kill -9; a power cut may take the last saves back, which
 * means repeats, never losses.  Saving moves all given cursors or none.  Whoever loads a cursor compares its
 * log_id with the log's: offsets of another log mean nothing.
 *
 * Threads: one at a time per object.   Blocks: on the disk.
 */
#ifndef SQUEAL_LIB_BROKER_CURSOR_H
#define SQUEAL_LIB_BROKER_CURSOR_H

#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

struct broker_reader;
struct cursor_store;

enum { CURSOR_LOG_ID_MAX = 32 }; /* hex digits, without the NUL */

struct cursor {
	const char *server; /* name as squeal.yaml writes it, "10.0.0.1:11211" */
	char log_id[CURSOR_LOG_ID_MAX + 1];
	uint64_t offset; /* next record to deliver */
};

/*
 * Opens the file, creating it where there is none, and holds it until closed.  ERR_IN_USE: another process
 * (*why names its pid) runs a router on this file.  ERR_CORRUPT: moving the file away is safe and costs
 * repeats: everything that is still in the log is delivered again.  ERR_CONFIG: the file belongs to another
 * cluster. ERR_READ_ONLY, ERR_FULL, ERR_SYS.
 */
err_t cursor_open(struct cursor_store **out, const char *path, const char *cluster,
		  struct err_detail *why) MUST_CHECK;
void cursor_close(struct cursor_store **s);

/* Fills log_id and offset of `c->server`; *found is false (and both are empty) when it was never saved. */
err_t cursor_load(struct cursor_store *s, struct cursor *c, bool *found, struct err_detail *why) MUST_CHECK;

/*
 * Saves all `n` cursors in one transaction; servers that are not named keep theirs.  ERR_FULL, ERR_IO,
 * ERR_BUSY: nothing was saved, the same call may be repeated.
 */
err_t cursor_save(struct cursor_store *s, const struct cursor *cursors, size_t n,
		  struct err_detail *why) MUST_CHECK;

/*
 * To be called after each read from the log that the cursors are of, until the first save at least.  Of a log
 * that can be replaced by another one of the same id (a topic that is made anew) the store takes a record
 * that was read, by which it finds that out.  Cheap.
 */
void cursor_vouch(struct cursor_store *s, const struct broker_reader *r);

/* The server is no longer delivered to: its cursor goes.  One that has none is fine. */
err_t cursor_forget(struct cursor_store *s, const char *server, struct err_detail *why) MUST_CHECK;

#endif
