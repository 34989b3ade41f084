/*
 * murmur - the MurmurHash functions of Austin Appleby (public domain) that clients use.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_MURMUR_H
#define SQUEAL_LIB_ROUTE_MURMUR_H

#include "lib/core/span.h"

/* MurmurHash2, 32 bits; `seed` is what the length is mixed into. */
uint32_t murmur2(struct span key, uint32_t seed);

/* MurmurHash64A. */
uint64_t murmur64a(struct span key, uint64_t seed);

/* One round of MurmurHash64A: of the eight bytes of `word`, lowest first. */
uint64_t murmur64a_word(uint64_t word, uint64_t seed);

/* MurmurHash3_x86_32. */
uint32_t murmur3(struct span key, uint32_t seed);

/*
 * MurmurHash3_x86_32 in pieces, for many keys with one beginning: the state is the hash of all whole blocks
 * of four bytes so far and the up to three bytes behind them.
 */
struct murmur3 {
	uint32_t h;
	uint32_t tail; /* its bytes, the first one lowest */
	unsigned ntail;
	uint32_t length; /* of all that was added */
};

struct murmur3 murmur3_start(uint32_t seed);
void murmur3_add(struct murmur3 *m, struct span bytes);
uint32_t murmur3_end(const struct murmur3 *m);

#endif
