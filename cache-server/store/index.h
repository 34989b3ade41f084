/*
 * index - the hash table: from the hash of a key to the places of items that may have it.
 *
 * Buckets are one cache line: a word of its own (lock, moved, chain) and seven slots; further buckets are
 * chained when seven are not enough.  A slot is
 *
 *     tag    24 bits   bits 12 to 35 of the hash
 *     place  40 bits   segment (23 bits, never 0) and offset in units of 8 bytes (17 bits); an empty slot is
 * 0
 *
 * and the bucket's number is the low bits of the hash, at least 12 of them: as the table doubles up to 2^36
 * buckets the next bit is always known from the tag, so growing reads no item.
 *
 * Readers take no lock.  Slots are stored with release after the item is complete and loaded with acquire.
 * While the table doubles there are two: a bucket of the old one is copied, locked, into its two successors
 * and then marked as moved (release); a reader that finds nothing in a bucket looks at its mark (acquire)
 * and, when it has moved, at the successor.  An item that is there all the time is therefore always found.
 * The old table goes back to the system when quiesce says that nobody reads it.
 *
 * Source: bulk chaining as in Segcache (NSDI'21, section 4.3); growing is our own.
 *
 * Threads: see each section.   Blocks: index_lock() spins for as long as a holder works (no I/O, no memory).
 * Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_INDEX_H
#define SQUEAL_CACHE_SERVER_STORE_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/store/quiesce.h"
#include "lib/core/err.h"

enum { INDEX_SLOTS = 7, INDEX_MIN_BITS = 12, INDEX_PLACE_BITS = 40, INDEX_OFFSET_BITS = 17 };

#define INDEX_PLACE_MASK ((1ull << INDEX_PLACE_BITS) - 1)

static inline uint64_t
index_place(uint32_t segment, uint32_t offset)
{
	return (uint64_t)segment << INDEX_OFFSET_BITS | offset / 8;
}

static inline uint32_t
index_place_segment(uint64_t place)
{
	return (uint32_t)(place >> INDEX_OFFSET_BITS);
}

static inline uint32_t
index_place_offset(uint64_t place)
{
	return (uint32_t)(place & ((1u << INDEX_OFFSET_BITS) - 1)) * 8;
}

struct index; /* opaque but for what the inline reader below needs, which index.c's authors keep in
		 index_reader.h if they wish */

/* --- life: one thread ---------------------------------------------------------------------------------- */

/* `bits`: the first table has 2^bits buckets, at least INDEX_MIN_BITS. */
err_t index_create(struct index **out, unsigned bits, struct quiesce *q, struct err_detail *why) MUST_CHECK;
void index_destroy(struct index **ix);

/* --- reading: a thread that is online --------------------------------------------------------------------
 */

void index_prefetch(const struct index *ix, uint64_t hash);

/*
 * Goes through the places whose tag fits; begin with a zeroed cursor.  False: there are no more.  The caller
 * compares keys and stops at the right one.  Places may repeat.
 */
struct index_cursor {
	void *table, *bucket;
	unsigned slot;
	bool in_next;
};
bool index_next(const struct index *ix, uint64_t hash, struct index_cursor *c, uint64_t *place);

/* --- changing: a thread that is online -------------------------------------------------------------------
 */

void index_lock(struct index *ix, uint64_t hash);
void index_unlock(struct index *ix, uint64_t hash);

/* Before locking: makes sure that an index_insert() of this thread will find a chained bucket when it needs
 * one. */
bool index_reserve(struct index *ix);

/* With the bucket locked. */
void index_insert(struct index *ix, uint64_t hash, uint64_t place);
bool index_replace(struct index *ix, uint64_t hash, uint64_t old_place,
		   uint64_t new_place); /* false: not there */
bool index_remove(struct index *ix, uint64_t hash, uint64_t place);

/* --- growing: one thread at a time, online
 * ------------------------------------------------------------------ */

/* Starts to double when there are more than 5 items for each bucket, or goes on with it; true: there is more
 * to do. */
bool index_grow(struct index *ix, unsigned buckets_at_once);

struct index_figures {
	uint64_t items, buckets, chained, bytes;
	unsigned bits;
	bool growing;
	uint64_t grown; /* times */
};
void index_figures(const struct index *ix, struct index_figures *out);

/* Empties it; nobody else may use it meanwhile. */
void index_clear(struct index *ix);

#endif
