/*
 * index - the hash table: from the hash of a key to the places of items that may have it.
 *
 * Buckets are one cache line: a head (lock, moved, chain) and seven slots; further buckets are chained when
 * seven are not enough.  A slot is
 *
 *     tag    24 bits   bits 12 to 35 of the hash
 *     place  40 bits   segment (23 bits, never 0) and offset in units of 8 bytes (17 bits); 0: empty slot
 *
 * and the bucket's number is the low bits of the hash, at least 12 of them: as the table doubles up to 2^36
 * buckets the next bit is always known from the tag, so growing reads no item.
 *
 * Readers take no lock.  Slots are stored with release after the item is complete and loaded with acquire.
 * While the table doubles there are two: a bucket of the old one is copied, locked, into its two successors
 * and then marked as moved (release).  A reader looks at the mark (acquire) before the slots and follows it.
 * Not after them: the slots of a moved bucket stay as they were, so that a reader who was in the midst of
 * them still finds all that is there all the time, but who comes later must not see what they held.  Slots
 * never change their place otherwise, and a chained bucket that went empty leaves the chain with its own
 * link untouched.  The old table and buckets that left a chain are used again when quiesce says that nobody
 * reads them.
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

enum {
	INDEX_SLOTS = 7,
	INDEX_MIN_BITS = 12,
	INDEX_MAX_BITS = 36,
	INDEX_PLACE_BITS = 40,
	INDEX_OFFSET_BITS = 17,
	INDEX_LOAD = 6, /* items for each bucket; above it the table doubles */
};

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

/*
 * For the inline reader below only.  `head` of a bucket is the address of the next one in the chain, whose
 * low six bits are free for the flags; those are in use in the first bucket of a chain only.
 */
#define INDEX_LOCKED	 1ull
#define INDEX_MOVED	 2ull
#define INDEX_CHAIN_MASK (~63ull)

struct index_bucket {
	_Alignas(64) _Atomic uint64_t head;
	_Atomic uint64_t slot[INDEX_SLOTS];
};

struct index_table {
	struct index_bucket *buckets;
	uint64_t mask;
	_Atomic(struct index_table *) next; /* what this one is moving to; NULL: stands still */
	unsigned bits;
	size_t mapped; /* bytes of `buckets` */
};

struct index {
	_Atomic(struct index_table *) table;
	struct index_rest *rest; /* the changers' part, in index.c */
};

/* --- life: one thread ---------------------------------------------------------------------------------- */

/* `bits`: the first table has 2^bits buckets, INDEX_MIN_BITS to INDEX_MAX_BITS (values beyond are taken as
 * these).  `q` must outlive the index.  ERR_SYS: no memory. */
err_t index_create(struct index **out, unsigned bits, struct quiesce *q, struct err_detail *why) MUST_CHECK;
void index_destroy(struct index **ix);

/* --- reading: a thread that is online ------------------------------------------------------------------- */

static inline void index_prefetch(const struct index *ix, uint64_t hash);

/*
 * Goes through the places whose tag fits; begin with a zeroed cursor.  False: there are no more.  The caller
 * compares keys and stops at the right one.  Places may repeat.  What was removed before the first call does
 * not appear; what is removed or replaced during it may.
 */
struct index_cursor {
	struct index_bucket *bucket;
	uint32_t fits; /* slots of it that are still to be looked at, one bit each */
};
static inline bool index_next(const struct index *ix, uint64_t hash, struct index_cursor *c, uint64_t *place);

/* --- changing: a thread that is online ------------------------------------------------------------------ */

void index_lock(struct index *ix, uint64_t hash);
void index_unlock(struct index *ix, uint64_t hash);

/*
 * Before locking: makes sure that the next index_insert() of this thread finds a chained bucket should it
 * need one.  False: no memory; insert nothing then.
 *
 * It only looks whether INDEX_SPARE buckets are in stock, for there is no need to know which of them are
 * whose: each of at most INDEX_SPARE threads makes one insertion for each index_reserve(), so between a
 * thread's successful look and its insertion fewer than INDEX_SPARE buckets are taken by others, or one of
 * them has looked again and found (or filled up) as many as that.  Growing leaves that many to the rest.
 */
enum { INDEX_SPARE = QUIESCE_MAX_THREADS };
bool index_reserve(struct index *ix);

/* With the bucket locked.  Never fails after an index_reserve(); `place` is not 0. */
void index_insert(struct index *ix, uint64_t hash, uint64_t place);

/* With the bucket locked; false: old_place is not there.  In one store: readers find the old or the new. */
bool index_replace(struct index *ix, uint64_t hash, uint64_t old_place, uint64_t new_place);
bool index_remove(struct index *ix, uint64_t hash, uint64_t place);

/* --- growing: one thread at a time, online -------------------------------------------------------------- */

/*
 * Starts to double when there are more than INDEX_LOAD items for each bucket, or goes on with it, and gives
 * back what nobody reads any more.  True: there is more to do at once.  False also when there is no memory
 * for the larger table: chains become longer then, and a later call tries again.  Table and chained buckets
 * go back only after the calling thread has ticked, too.
 */
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

/* --- the inline reader -----------------------------------------------------------------------------------
 */

/*
 * A slot with this tag, exclusive-or this, is its place; another tag leaves bits above.
 */
static inline uint64_t
index_tag(uint64_t hash)
{
	return hash >> 12 << INDEX_PLACE_BITS;
}

/* True for 1 … INDEX_PLACE_MASK: the tag is right and the slot not empty. */
static inline bool
index_fits(uint64_t place)
{
	return place - 1 < INDEX_PLACE_MASK;
}

/* The slots of one bucket whose tags fit: no branch, since where a key is cannot be foreseen. */
static inline uint32_t
index_match(struct index_bucket *b, uint64_t tag)
{
	uint32_t fits = 0;

#pragma GCC unroll 7
	for (unsigned i = 0; i < INDEX_SLOTS; i++)
		fits |= (uint32_t)index_fits(atomic_load_explicit(&b->slot[i], memory_order_acquire) ^ tag)
			<< i;
	return fits;
}

static inline struct index_bucket *
index_chained(struct index_bucket *b)
{
	uint64_t head = atomic_load_explicit(&b->head, memory_order_acquire);

	return (struct index_bucket *)(uintptr_t)(head & INDEX_CHAIN_MASK);
}

/* Where the hash belongs now: its bucket, or the successor of that when it has moved. */
static inline struct index_bucket *
index_first(const struct index *ix, uint64_t hash)
{
	struct index_table *t =
	    atomic_load_explicit((_Atomic(struct index_table *) *)&ix->table, memory_order_acquire);
	struct index_bucket *b = &t->buckets[hash & t->mask];

	while (__builtin_expect(atomic_load_explicit(&b->head, memory_order_acquire) & INDEX_MOVED, 0)) {
		t = atomic_load_explicit(&t->next, memory_order_acquire);
		b = &t->buckets[hash & t->mask];
	}
	return b;
}

static inline void
index_prefetch(const struct index *ix, uint64_t hash)
{
	struct index_table *t =
	    atomic_load_explicit((_Atomic(struct index_table *) *)&ix->table, memory_order_acquire);
	struct index_table *next = atomic_load_explicit(&t->next, memory_order_acquire);

	__builtin_prefetch(&t->buckets[hash & t->mask]);
	if (__builtin_expect(next != NULL, 0))
		__builtin_prefetch(&next->buckets[hash & next->mask]);
}

static inline bool
index_next(const struct index *ix, uint64_t hash, struct index_cursor *c, uint64_t *place)
{
	uint64_t tag = index_tag(hash);

	if (!c->bucket) {
		c->bucket = index_first(ix, hash);
		c->fits = index_match(c->bucket, tag);
	}
	for (;;) {
		while (c->fits) {
			unsigned i = (unsigned)__builtin_ctz(c->fits);
			uint64_t found =
			    atomic_load_explicit(&c->bucket->slot[i], memory_order_acquire) ^ tag;

			c->fits &= c->fits - 1;
			if (__builtin_expect(index_fits(found), 1)) { /* else changed since index_match() */
				*place = found;
				return true;
			}
		}
		struct index_bucket *next = index_chained(c->bucket);

		if (__builtin_expect(!next, 1))
			return false;
		c->bucket = next;
		c->fits = index_match(next, tag);
	}
}

#endif
