/*
 * ttl - ranges of TTLs: what a segment's items have in common.
 *
 * Range 0 never expires.  Above it there are eight for each octave: 1 s, 2 s, ... 7 s, 8 s, 9 s, ... 16-17 s,
 * and so on.  A small store joins 2^shift neighbours, which go by the number of the first.  Ranges only
 * decide how long expired items may hold memory: what an item's expiry is, it says itself.
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_TTL_H
#define SQUEAL_CACHE_SERVER_STORE_TTL_H

#include <stdint.h>

/* TTL_MIXED is no TTL's range: merges join there what is left of segments of several. */
enum { TTL_RANGES = 241, TTL_MIXED = 240, TTL_MAX_SHIFT = 8 };

/* The range of a TTL in seconds (0: never), with ranges joined by 2^shift. */
static inline unsigned
ttl_range(uint32_t ttl, unsigned shift)
{
	unsigned i, e;

	if (ttl == 0)
		return 0;
	if (ttl < 8) {
		i = ttl;
	} else {
		e = 31 - (unsigned)__builtin_clz(ttl);
		i = (e - 2) * 8 + (ttl >> (e - 3) & 7);
	}
	return ((i - 1) >> shift << shift) + 1;
}

/* The smallest TTL of a range; 0 for the one that never expires. */
static inline uint32_t
ttl_low(unsigned range)
{
	if (range == TTL_MIXED)
		return 1;
	return range < 8 ? range : (8u + (range & 7)) << (range / 8 - 1);
}

/* The largest one. */
static inline uint32_t
ttl_high(unsigned range, unsigned shift)
{
	unsigned next = range + (1u << shift); /* TTL_MIXED: beyond all */

	if (range == 0)
		return 0;
	return next >= TTL_MIXED ? UINT32_MAX : ttl_low(next) - 1;
}

#endif
