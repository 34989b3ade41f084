/*
 * topk - the names that come most often, in fixed memory: hot keys, hot clients.
 *
 * One sketch per worker thread and question; topk_top() adds several up.  It holds TOPK_WAYS * sets names
 * with a count each.  A name goes to one set by its hash; a name that is not there takes the place of the
 * set's smallest count c with probability weight / (c + weight) and continues that count (randomized
 * admission, Ben Basat et al., "Randomized Admission Policy for Efficient Top-k and Frequency Estimation",
 * d-way form).  So a stream of names that come once washes nobody out, and a count is too high by at most
 * `error`.
 *
 * Only one call in `sample` looks at the name at all, at random distances, so that a client that repeats the
 * same cycle of keys cannot hide one; counts are scaled up by it.  topk_note() costs a decrement and a branch
 * otherwise.
 *
 * topk_decay() halves everything; called once per window, counts forget what is older than a few windows.
 *
 * Threads: topk_note() and topk_decay() by the thread that owns the sketch; topk_top() by any at any time,
 * without locks: a name that changes while it is read is left out.   Blocks: never.   Time: the caller's
 * windows.
 */
#ifndef SQUEAL_LIB_CORE_TOPK_H
#define SQUEAL_LIB_CORE_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/sample.h"
#include "lib/core/span.h"

enum {
	TOPK_WAYS = 8,
	TOPK_NAME_MAX = 250, /* a longer name is cut */
	TOPK_SETS_MAX = 1 << 16,
};

struct topk; /* opaque but for what it begins with: its struct sample */

/*
 * `sets` is rounded up to a power of two (64 sets: 512 names, 160 KiB).  `sample` 0: nothing is ever noted.
 * `seed`: any random bits, different per thread.
 */
struct topk *topk_create(size_t sets, uint32_t sample, uint64_t seed);
void topk_destroy(struct topk **t); /* NULL is fine; no other thread may be reading */

/* The part of topk_note() behind the sample. */
void topk_take(struct topk *t, struct span name, uint64_t hash, uint32_t weight);

/* One request for `name`; `hash` is any hash of it, the same in every thread; `weight` is 1, or bytes. */
static inline void
topk_note(struct topk *t, struct span name, uint64_t hash, uint32_t weight)
{
	if (sample_due((struct sample *)t))
		topk_take(t, name, hash, weight);
}

/* For a caller that would first have to make name or hash: whether topk_take() is due now.  It is the one
 * call of this request. */
static inline bool
topk_due(struct topk *t)
{
	return sample_due((struct sample *)t);
}

/* Halves all counts. */
void topk_decay(struct topk *t);

struct topk_row {
	uint64_t count; /* scaled by the sample; too high by `error` at most, beside the noise of sampling */
	uint64_t error;
	uint64_t hash;
	size_t len;
	char name[TOPK_NAME_MAX + 2]; /* NUL behind it */
};

/*
 * The `n` largest of all sketches together, largest first, into `out`; returns how many there are.  *total,
 * unless NULL, is the sum of all weights noted, so that count / total is a name's share.
 */
size_t topk_top(struct topk *const *ts, size_t nts, struct topk_row *out, size_t n, uint64_t *total);

#endif
