/*
 * token - numbers that nobody can guess: what a lease is worth.
 *
 * They come from the kernel's generator in batches, 2 to 2^63-1 (mcrouter's parsers know no more).  A token
 * that was handed out is wiped from the batch.
 *
 * Threads: one of these for each thread.   Blocks: never (the kernel's generator is ready long before a
 * server starts; where it is not, there are no tokens).   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_TOKEN_H
#define SQUEAL_CACHE_SERVER_CACHE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

enum { TOKEN_BATCH = 64, TOKEN_HOT = 1 /* never handed out: "somebody else has it" */ };

struct token_batch {
	uint64_t numbers[TOKEN_BATCH];
	unsigned left;
};

/* 0: the system gives no randomness now. */
uint64_t token_next(struct token_batch *b);

/* In constant time, and false for what never was a token. */
static inline bool
token_same(uint64_t a, uint64_t b)
{
	uint64_t differ = a ^ b;

	return (((differ | (0 - differ)) >> 63) ^ 1) & (unsigned)(a > TOKEN_HOT);
}

#endif
