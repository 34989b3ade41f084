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

/* Its steps, for who hashes many at once. */
static inline uint32_t
murmur3_rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

/* Up to four bytes as a block or its beginning, the first one lowest. */
static inline uint32_t
murmur3_bytes(const char *p, size_t n)
{
	uint32_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint32_t)(unsigned char)p[i] << (8 * i);
	return v;
}

static inline uint32_t
murmur3_scramble(uint32_t block)
{
	return murmur3_rotate(block * 0xcc9e2d51, 15) * 0x1b873593;
}

static inline uint32_t
murmur3_block(uint32_t h, uint32_t scrambled)
{
	return murmur3_rotate(h ^ scrambled, 13) * 5 + 0xe6546b64;
}

/* `h` has the scrambled bytes behind the last block in it. */
static inline uint32_t
murmur3_finish(uint32_t h, uint32_t length)
{
	h ^= length;
	h = (h ^ h >> 16) * 0x85ebca6b;
	h = (h ^ h >> 13) * 0xc2b2ae35;
	return h ^ h >> 16;
}

struct murmur3 murmur3_start(uint32_t seed);
void murmur3_add(struct murmur3 *m, struct span bytes);
uint32_t murmur3_end(const struct murmur3 *m);

#endif
