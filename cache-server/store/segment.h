/*
 * segment - the parts that a store's memory is made of: a header of 64 bytes for each, and its items, one
 * after the other from offset 0 on (item.h).
 *
 * Headers lie in a table of their own; both may be in a file that outlives the process (mapping.h), so they
 * hold plain numbers, no addresses.  Ids count from 1; header 0 is not used.  What is needed of a segment on
 * a hit is copied to a `face`, 16 bytes that only change while nobody can see the segment.
 *
 *   state     FREE, then OPEN (a lane or a merge appends), CLOSED (full, or nobody appends any more),
 *             DRAINING (its items are being moved or dropped), RETIRED (nothing leads there; waits until no
 *             reader can be in it), and FREE again.  WITHHELD: given back to the system for a smaller limit.
 *   range     of TTLs, as in ttl.h: 0 never expires
 *   base      store second from which `due` of its items counts; 0: its items never expire
 *   start     store second from which the last accesses of its items count
 *   write     offset of the first byte that no item has; at and behind it lies rubbish
 *   live      a word of three: bytes (24 bits) and number (20) of items that live, and how many threads are
 *             just writing one (20)
 *   items     how many were ever begun
 *   max_expiry  the latest expiry of its items, in store seconds
 *   boot      number of the process that opened it; smaller than the present one: not proven yet
 *   flush     the store's flush epoch when it was opened; an older one than the store's: all of it is gone
 *   seq       order of opening in the store, across processes
 *   sum       sum of segment_item_sum() of all items that were ever committed
 *   pins      who still reads from it without being online; of no meaning for the next process
 *
 * What a process that died leaves behind (kill -9 at any instruction of any thread; the kernel keeps every
 * store that was made, and a release store is made after all that precede it in the program):
 *
 *   1. Space is reserved by writing the item's `ident` (length of the key, CAS 0) and `state` (its final
 *      lower half and DEAD) and only then, with release, `write`.  So the items up to `write` can always be
 *      walked.
 *   2. An item is committed by writing its `ident` with a CAS that is not 0, with release, after everything
 *      else; then DEAD is taken away, then the index leads to it, then `sum` and `live` count it.  So an item
 *      whose ident has no CAS is rubbish, one that has is whole, and one that is DEAD besides was removed (or
 *      about to appear, for nobody who was told so).
 *   3. Of two items of one key that are not DEAD the one with the larger counter (item_order()) is newer: the
 *      other one's end was about to be noted.  Equal ones are copies of a merge: either will do.
 *   4. A piece lives if the head that its owner hash leads to names its place; a head lives if all its places
 *      hold committed pieces with its hash and their number.
 *   5. live, pins are rubbish after a crash: count them anew.  `sum` belongs to the items when nobody was
 *      writing (the writers of `live` are 0); a process that died in between may have left out, for each
 *      writer, one item.  So: after a clean end, or with 0 writers, a sum that differs means that the bytes
 *      are damaged, and the segment is not believed.  With writers items are believed by rule 2 alone.
 *   6. A segment that is FREE, RETIRED or WITHHELD has nothing.  One that is DRAINING is as good as CLOSED.
 *
 * Threads: the header's atomics any; else its owner (state) or those under the lane's lock.   Blocks: never.
 * Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_SEGMENT_H
#define SQUEAL_CACHE_SERVER_STORE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/store/index.h"
#include "cache-server/store/item.h"

enum segment_state {
	SEGMENT_FREE, /* 0, so that a fresh file is a store of free segments */
	SEGMENT_OPEN,
	SEGMENT_CLOSED,
	SEGMENT_DRAINING,
	SEGMENT_RETIRED,
	SEGMENT_WITHHELD,
};

enum { SEGMENT_MIN_SHIFT = 16, SEGMENT_MAX_SHIFT = 20, SEGMENT_MAX_ID = (1 << 23) - 1, SEGMENT_ALIGN = 64 };

struct segment {
	_Atomic uint64_t live;
	_Atomic uint64_t sum;
	uint64_t seq;
	_Atomic uint32_t write;
	_Atomic uint32_t items;
	_Atomic uint32_t max_expiry;
	uint32_t base;
	uint32_t start;
	uint32_t boot;
	uint32_t flush;
	_Atomic uint32_t pins;
	uint32_t id;
	_Atomic uint16_t state;
	uint16_t range;
};
_Static_assert(sizeof(struct segment) == 64, "a segment's header is one cache line");

/* A copy of what a hit needs.  Written before the segment's first item is published. */
struct segment_face {
	uint32_t base, start, flush, boot;
};

/* Where the segments are.  heads and faces have count + 1 entries; segment i begins at origin + (i << shift).
 */
struct segment_pool {
	struct segment *heads;
	struct segment_face *faces;
	char *origin; /* one segment in front of the first byte */
	uint32_t count;
	uint32_t shift;
};

#define SEGMENT_LIVE_BYTES  ((1ull << 24) - 1)
#define SEGMENT_ONE_ITEM    (1ull << 24)
#define SEGMENT_LIVE_ITEMS  (((1ull << 20) - 1) << 24)
#define SEGMENT_ONE_WRITER  (1ull << 44)
#define SEGMENT_ALL_WRITERS (((1ull << 20) - 1) << 44)

static inline uint32_t
segment_size(const struct segment_pool *p)
{
	return 1u << p->shift;
}

static inline char *
segment_bytes(const struct segment_pool *p, uint32_t id)
{
	return p->origin + ((size_t)id << p->shift);
}

static inline struct item *
segment_item(const struct segment_pool *p, uint64_t place)
{
	return (struct item *)(segment_bytes(p, index_place_segment(place)) + index_place_offset(place));
}

/* The segment that these bytes of the pool are in, and the place of an item. */
static inline uint32_t
segment_of(const struct segment_pool *p, const void *at)
{
	return (uint32_t)((size_t)((const char *)at - p->origin) >> p->shift);
}

static inline uint64_t
segment_place(const struct segment_pool *p, const struct item *it)
{
	uint32_t id = segment_of(p, it);

	return index_place(id, (uint32_t)((const char *)it - segment_bytes(p, id)));
}

static inline enum segment_state
segment_state(const struct segment *g)
{
	return (enum segment_state)atomic_load_explicit((_Atomic uint16_t *)&g->state, memory_order_acquire);
}

/* The parts of `live` as loaded with acquire: who sees no writers sees what they wrote. */
static inline uint64_t
segment_live(const struct segment *g)
{
	return atomic_load_explicit((_Atomic uint64_t *)&g->live, memory_order_acquire);
}

static inline uint32_t
segment_live_bytes(uint64_t live)
{
	return (uint32_t)(live & SEGMENT_LIVE_BYTES);
}

static inline uint32_t
segment_live_items(uint64_t live)
{
	return (uint32_t)((live & SEGMENT_LIVE_ITEMS) >> 24);
}

static inline uint32_t
segment_writers(uint64_t live)
{
	return (uint32_t)(live >> 44);
}

/*
 * `ident` as others may see it: 0 in the lower 56 bits until the item is committed.  For an item with
 * ITEM_CAS these are the store's own counter, which item_cas() does not show.
 */
static inline uint64_t
item_ident(const struct item *it)
{
	return __atomic_load_n(&it->ident, __ATOMIC_ACQUIRE);
}

static inline uint64_t
item_order(uint64_t ident)
{
	return ident & ITEM_CAS_MASK;
}

/*
 * Walking: the item at offset `at`, and what is behind it.  NULL at the end.  In a file that is not trusted
 * it returns NULL, too, where lengths point beyond `write`; segment_walk_ok() tells.
 */
struct item *segment_walk(const struct segment_pool *p, uint32_t id, uint32_t *at);
bool segment_walk_ok(const struct segment_pool *p, uint32_t id);

/* A check value of everything in a committed item that never changes. */
uint64_t segment_item_sum(const struct item *it);

/* Walks a segment nobody writes to and says whether its sum fits (see 5. above). */
bool segment_sum_ok(const struct segment_pool *p, uint32_t id);

/* The expiry of an item in store seconds; 0: never. */
static inline uint32_t
segment_expiry(const struct segment_face *f, const struct item *it, uint64_t state)
{
	uint64_t far;

	if (state & ITEM_FAR) {
		memcpy(&far, it->body, sizeof far);
		return (uint32_t)far;
	}
	return f->base ? f->base + (uint32_t)(state >> 20 & ITEM_MAX_DUE) : 0;
}

/*
 * A piece of a large value: an item with ITEM_PIECE and no key, whose value is this and then the bytes.  The
 * head of a large value (ITEM_LARGE) has as its value, from the next address that divides by 8: the length
 * of the whole value, then the places of its pieces (large.h).
 */
struct segment_piece {
	uint64_t owner;	 /* hash of its head's key */
	uint64_t number; /* which piece of it, from 0 on */
	char bytes[];
};

static inline struct segment_piece *
segment_piece(const struct item *it, uint64_t state)
{
	return (struct segment_piece *)(it->body + item_extra(state)); /* ITEM_FAR at most: 8 bytes */
}

#endif
