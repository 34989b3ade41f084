/*
 * restore - the items of backups come into a store that may be serving: from files, or from a stream that
 * another server's clone sends.
 *
 * Backups are given newest first: the incremental one, then its base, and so on to the full one.  An item of
 * an older backup is taken only if every newer one names it unchanged, so what was deleted in between stays
 * deleted.  What the store already holds is newer than any backup and stays.
 *
 * Restored items are unproven, whatever store_caught_up() said before: they lie in segments without a boot
 * number that counts, and the store is not caught up from the beginning of the restore on.  Before anything
 * unproven is served again the router must have delivered everything since the newest backup began
 * (restore_figures.began).  What clients store meanwhile, and what they had stored since the start of the
 * process, stays proven; what a memory file had kept from before the start waits with the restored items.
 * That is what store_owed() keeps from then on, also in a memory file, and store_caught_up_since() settles; a
 * plain store_caught_up() does not, since a router that delivers from its cursor cannot know what a backup
 * lacks.  A restore that brought nothing in leaves all as it was.
 *
 * Threads: one that has joined the store and is online; one restore of a store at a time.  Blocks: where
 * store_begin() does; restore_files() and backup_file() on the disk.   Clock: passed in.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_RESTORE_H
#define SQUEAL_CACHE_SERVER_STORE_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "cache-server/store/backup.h"
#include "cache-server/store/store.h"
#include "lib/core/err.h"

struct restore; /* opaque */

struct restore_figures {
	uint64_t restored, bytes;
	uint64_t expired; /* meanwhile */
	uint64_t kept;	  /* not restored: the store has the key */
	uint64_t refused; /* too large for this store, or no memory */
	uint64_t missing; /* named by an incremental backup, but in none of the older ones */
	uint64_t began;	  /* unix time at which the newest backup began */
};

/* ERR_BUSY: another restore goes on. */
err_t restore_create(struct restore **out, struct store_thread *t, uint64_t unix_now,
		     struct err_detail *why) MUST_CHECK;

/* The next bytes, in any pieces.  The thread ticks between two calls. */
err_t restore_feed(struct restore *r, struct span bytes, struct err_detail *why) MUST_CHECK;

/* No more bytes of this backup.  *base: the id of the one that must follow; 0: that was the last. */
err_t restore_end_of_one(struct restore *r, uint64_t *base, struct err_detail *why) MUST_CHECK;

/* True when a whole backup has been read: for streams. */
bool restore_one_done(const struct restore *r);

void restore_figures(const struct restore *r, struct restore_figures *out);

/* Ends it, also in the middle. */
void restore_destroy(struct restore **r);

/* --- for backups and restores ------------------------------------------------------------------------------
 */

struct store *store_of(struct store_thread *t);

/* One life of a store's memory: the same after a warm restart, another one after a cold one. */
uint64_t store_lineage(const struct store *s);

/* --- files
 * --------------------------------------------------------------------------------------------------- */

struct backup_job {
	struct store_thread *t;
	struct quiesce *quiesce;
	struct quiesce_thread *qt; /* online; ticked now and then */
	uint64_t unix_now;
	bool (*stop)(void *arg); /* asked between steps; NULL: never */
	/* Told between steps: items that were written or read, bytes of the file or files; may be NULL. */
	void (*progress)(void *arg, uint64_t items, uint64_t bytes);
	void *arg;
};

/*
 * Writes a backup to `path` by way of path.part, which is renamed when it is whole and on the disk.  `base`:
 * file of the backup to build on; NULL: full.
 */
err_t backup_file(const struct backup_job *job, const char *path, const char *base,
		  struct backup_figures *out, struct err_detail *why) MUST_CHECK;

/*
 * Reads the files of a restore, newest first, without bringing anything in: each is whole and undamaged, and
 * is the one that the newer ones were made on.  *began: when the newest one began.
 */
err_t restore_check(const struct backup_job *job, const char *const *paths, size_t n, uint64_t *began,
		    struct err_detail *why) MUST_CHECK;

/* Newest first. */
err_t restore_files(const struct backup_job *job, const char *const *paths, size_t n,
		    struct restore_figures *out, struct err_detail *why) MUST_CHECK;

#endif
