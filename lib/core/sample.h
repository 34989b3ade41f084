/*
 * sample - one call in so many, at random distances.
 *
 * A fixed distance would meet a client that repeats the same cycle of requests always at the same ones.
 * Distances are 1 to 2 * every - 1, all equally likely, so `every` on average.  A call that is not due costs
 * a decrement and a branch.
 *
 * Threads: the one that owns it.   Blocks: never.   Randomness: a seed that is passed in.
 */
#ifndef SQUEAL_LIB_CORE_SAMPLE_H
#define SQUEAL_LIB_CORE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

struct sample {
	uint32_t left;	/* calls until one is due */
	uint32_t every; /* 0: none ever is */
	uint64_t random;
};

/* xorshift64*: fast, and good enough to choose what is looked at. */
static inline uint64_t
sample_random(struct sample *s)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return s->random * 0x2545f4914f6cdd1dull;
}

/* Begins the next distance. */
static inline void
sample_again(struct sample *s)
{
	uint64_t distances = 2 * (uint64_t)s->every - 1;

	s->left = s->every == 0 ? UINT32_MAX : (uint32_t)(1 + (((sample_random(s) >> 32) * distances) >> 32));
}

static inline void
sample_init(struct sample *s, uint32_t every, uint64_t seed)
{
	s->every = every <= INT32_MAX ? every : INT32_MAX;
	s->random = seed | 1; /* the generator stands still at 0 */
	sample_again(s);
}

/* Whether this call is due; sample_again() must follow when it is. */
static inline bool
sample_due(struct sample *s)
{
	return __builtin_expect(--s->left == 0, 0);
}

#endif
