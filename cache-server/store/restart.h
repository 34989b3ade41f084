/*
 * restart - a store in a mapping: what it takes over from the process before, and how it is closed.
 *
 * The order of things that a crash may come between is in segment.h; what else must outlive the process is
 * in the mapping's words:
 *
 *   flush     the store's flush epoch; written before a flush takes effect
 *   counter   no CAS of the next process is at or below it.  At start it is raised by RESTART_STRIDE above
 *             all that may have been given; a clean end writes the true one.  So a client's old CAS never
 *             fits a new item, even if the item that it came from left no trace.
 *
 * Items of before are unproven (store_view.unproven) until store_caught_up(): they may have been deleted
 * while the server was away.
 *
 * Threads: the main thread.   Blocks: on reading all of the memory.   Clock: the store's `now`.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_RESTART_H
#define SQUEAL_CACHE_SERVER_STORE_RESTART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache-server/store/mapping.h"
#include "cache-server/store/store.h"

#define RESTART_STRIDE (1ull << 40)

struct restart_words {
	_Atomic uint64_t counter;
	_Atomic uint32_t flush;
	_Atomic uint64_t owed; /* store_owed() */
};

/* What the last start found; also in the store's metrics. */
struct restart_figures {
	enum mapping_state state;
	uint64_t items, dropped, expired, flushed, replaced, bad_segments;
};

/* False: the store is in ordinary memory. */
bool restart_figures(const struct store *s, struct restart_figures *out);

/*
 * Destroys the store and leaves its mapping, which the caller closes with `clean`, ready for that: every
 * thread has left, every draft was committed or aborted.
 */
void store_close(struct store **s);

/* --- for store.c ------------------------------------------------------------------------------------------
 */

/* Lays the store's segments into the mapping: before anything that depends on their number. */
void restart_attach(struct store *s);

/* Takes over what is there and sorts the segments: when all else of the store has been made. */
void restart_load(struct store *s);

/* The index should have room for so many items at once; 0 where nothing is taken over. */
uint64_t restart_estimate(const struct store *s);

/* Before a flush takes effect. */
void restart_note_flush(struct store *s, uint32_t flush);

/* Before the first item of a restore, and when it has been settled. */
void restart_note_owed(struct store *s, uint64_t owed);

#endif
