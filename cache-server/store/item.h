/*
 * item - how a key with its value lies in a segment: 16 bytes in front, then what this item needs.
 *
 *     ident   8 bytes   length of the key (8 bits) and CAS (56 bits); never changes
 *     state   8 bytes   atomic; see below
 *     then, each only when its flag is set:
 *             8 bytes   expiry in store seconds  (ITEM_FAR)      for what the 16 bits of `due` cannot say
 *             8 bytes   all 64 bits of the CAS   (ITEM_CAS)      a client chose one (meta flag E)
 *            16 bytes   epoch of the fill        (ITEM_EPOCH)
 *             4 bytes   the client's flags       (ITEM_FLAGS)    when they are not 0
 *     key, value, and padding to 8 bytes
 *
 * Everything but `state` is written before the item is published and never afterwards; a change of value,
 * expiry or CAS writes a new item.  Readers therefore need no lock: they find the item through a slot that
 * was stored with release and loaded with acquire.  Of `state` the lower half is fixed, too; the upper half
 * is changed by compare-and-swap only, under the bucket's lock (STALE, TOKEN, DEAD) or without (FETCHED,
 * access, frequency: a lost update of those is harmless, but none may undo a flag).
 *
 *     bits  0-19  length of the value that lies here
 *          20-35  due: expiry in seconds after the segment's base; ignored in segments without expiry and
 * with ITEM_FAR 36-41  ITEM_FLAGS ITEM_CAS ITEM_FAR ITEM_EPOCH ITEM_LARGE ITEM_PIECE 42-45  ITEM_STALE
 * ITEM_TOKEN ITEM_FETCHED ITEM_DEAD 46-51  frequency: approximate and smoothed (NSDI'21 Segcache,
 * section 4.4) 52-63  last access after the segment's start: 4 bits of exponent, 8 of mantissa
 *
 * Values that do not fit into a quarter of a segment lie in pieces (large.h): the item with ITEM_LARGE holds
 * their places, each piece is an item with ITEM_PIECE in some segment.
 *
 * Source: the layout is our own; Segcache's has 5 bytes, but neither CAS, exact expiry nor access times.
 *
 * Threads: see above.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_ITEM_H
#define SQUEAL_CACHE_SERVER_STORE_ITEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/core/span.h"

#define ITEM_FLAGS   (1ull << 36)
#define ITEM_CAS     (1ull << 37)
#define ITEM_FAR     (1ull << 38)
#define ITEM_EPOCH   (1ull << 39)
#define ITEM_LARGE   (1ull << 40)
#define ITEM_PIECE   (1ull << 41)
#define ITEM_STALE   (1ull << 42) /* deleted, or invalidated: may be served as stale only */
#define ITEM_TOKEN   (1ull << 43) /* a client has been told to fill it anew */
#define ITEM_FETCHED (1ull << 44)
#define ITEM_DEAD    (1ull << 45) /* no slot leads here any more */

#define ITEM_MAX_VALUE	((1u << 20) - 1)
#define ITEM_MAX_DUE	0xFFFFu
#define ITEM_CAS_MASK	((1ull << 56) - 1)
#define ITEM_FREQ_SHIFT 46
#define ITEM_FREQ_MASK	(0x3Full << ITEM_FREQ_SHIFT)
#define ITEM_SEEN_SHIFT 52

struct item {
	uint64_t ident;
	_Atomic uint64_t state;
	char body[];
};

/* An epoch as the store keeps it: `source` is a number that the guard gave to the source's name; 0 is none.
 */
struct item_epoch {
	uint64_t count;
	uint32_t term;
	uint32_t source;
};

static inline uint64_t
item_state(const struct item *it)
{
	return atomic_load_explicit((_Atomic uint64_t *)&it->state, memory_order_relaxed);
}

static inline unsigned
item_klen(const struct item *it)
{
	return (unsigned)(it->ident >> 56);
}

/* Bytes of the optional fields in front of the key. */
static inline unsigned
item_extra(uint64_t state)
{
	return ((state & ITEM_FAR) ? 8u : 0) + ((state & ITEM_CAS) ? 8u : 0) +
	       ((state & ITEM_EPOCH) ? 16u : 0) + ((state & ITEM_FLAGS) ? 4u : 0);
}

/* Bytes of the value that lie here; for a large one not the value's length. */
static inline unsigned
item_vlen(uint64_t state)
{
	return (unsigned)(state & ITEM_MAX_VALUE);
}

static inline const char *
item_key(const struct item *it, uint64_t state)
{
	return it->body + item_extra(state);
}

static inline const char *
item_value(const struct item *it, uint64_t state)
{
	return it->body + item_extra(state) + item_klen(it);
}

/* What the item takes in its segment. */
static inline size_t
item_size(const struct item *it, uint64_t state)
{
	return (sizeof *it + item_extra(state) + item_klen(it) + item_vlen(state) + 7) & ~(size_t)7;
}

static inline uint64_t
item_cas(const struct item *it, uint64_t state)
{
	uint64_t cas;

	if (!(state & ITEM_CAS))
		return it->ident & ITEM_CAS_MASK;
	memcpy(&cas, it->body + ((state & ITEM_FAR) ? 8 : 0), sizeof cas);
	return cas;
}

static inline struct item_epoch
item_epoch(const struct item *it, uint64_t state)
{
	struct item_epoch e = {0, 0, 0};

	if (state & ITEM_EPOCH)
		memcpy(&e, it->body + ((state & ITEM_FAR) ? 8 : 0) + ((state & ITEM_CAS) ? 8 : 0), sizeof e);
	return e;
}

static inline uint32_t
item_client_flags(const struct item *it, uint64_t state)
{
	uint32_t f;

	if (!(state & ITEM_FLAGS))
		return 0;
	memcpy(&f, it->body + item_extra(state) - 4, sizeof f);
	return f;
}

static inline unsigned
item_freq(uint64_t state)
{
	return (unsigned)((state & ITEM_FREQ_MASK) >> ITEM_FREQ_SHIFT);
}

#endif
