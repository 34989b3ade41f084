/*
 * distinct - how many different things there are, and whether one was there before, in bounded memory.
 *
 * Exact up to `limit` of them (16 bytes each, twice that in reserve): a set of 128-bit hashes.  Beyond that
 * the set is emptied and begins anew, so that something may be called new a second time, never old while it
 * is new; and the number is an estimate from then on: HyperLogLog (Flajolet and others, 2007) with 2^14
 * registers, off by 0.8 % as a rule.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_PLAN_DISTINCT_H
#define SQUEAL_REPLAY_PLAN_DISTINCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct distinct; /* opaque */

struct distinct_hash {
	uint64_t a, b; /* independent of each other */
};

/* `limit` 0: no set, everything is new. */
struct distinct *distinct_create(size_t limit);
void distinct_destroy(struct distinct **d); /* NULL is fine */

/* True: it was not there, as far as is remembered. */
bool distinct_add(struct distinct *d, struct distinct_hash h);

/* How many there were. */
uint64_t distinct_count(const struct distinct *d);
bool distinct_is_exact(const struct distinct *d);

#endif
