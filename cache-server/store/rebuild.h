/*
 * rebuild - what a process that is gone has left in its segments becomes an index again.
 *
 * Follows the rules of segment.h.  Each segment is proven whole first (header, lengths up to `write`, sum of
 * its items; after a clean end also how many live) and dropped as a whole when it is not.  Then each item
 * that was committed and is not DEAD comes into the index; of two of one key the newer one stays and the
 * other is DEAD from now on, expired ones taking part, so that an older value cannot come back in the place
 * of a newer one that has expired.  Large values stay when every piece is there, has the right owner, number
 * and length, and was proven.
 *
 * What is found keeps its segment and with it its boot number: it is unproven until store_caught_up().
 *
 * Limits of what can be proven: DEAD is a bit in memory that changes, so no sum covers it while the process
 * runs; it rests on the kernel (mapping.h decides whether that can be believed).
 *
 * Threads: one, which starts more; nobody else uses the segments or the index.  Blocks: on reading all of the
 * memory.   Clock: passed in.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_REBUILD_H
#define SQUEAL_CACHE_SERVER_STORE_REBUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "cache-server/store/index.h"
#include "cache-server/store/segment.h"

struct rebuild {
	struct segment_pool pool; /* faces are filled */
	struct index *index;	  /* empty */
	struct quiesce *quiesce;
	uint64_t seed; /* of the hash */
	uint32_t now;
	uint32_t flush; /* epoch of the store; segments of another one are flushed */
	uint32_t boot;	/* number of this process */
	uint32_t piece; /* bytes of a large value in each piece but the last */
	bool clean;	/* the process before closed everything in order */
	unsigned threads;

	/* Out. */
	uint64_t items, bytes;	   /* that live now; pieces count as items of their own in `bytes` only */
	uint64_t dropped;	   /* could not be proven whole */
	uint64_t expired, flushed; /* items and segments that are gone for these reasons */
	uint64_t replaced;	   /* older ones of two of one key */
	uint64_t bad_segments;
	uint64_t max_order, max_seq;
};

/* Items that the headers promise, to choose the index's size by. */
uint64_t rebuild_estimate(const struct segment_pool *pool);

/*
 * Afterwards `live` of every header is right and without writers, `sum` is that of the items, pins are 0.
 * Segments in which nothing lives are SEGMENT_FREE, all others SEGMENT_CLOSED.
 */
void rebuild(struct rebuild *r);

#endif
