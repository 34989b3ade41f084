/*
 * bucket - a token bucket: so many tokens a second, and as many as come in 50 ms may gather.
 *
 * For lib/deliver only.
 *
 * Threads: any.   Blocks: never.   Clock: the caller's.
 */
#ifndef SQUEAL_LIB_DELIVER_BUCKET_H
#define SQUEAL_LIB_DELIVER_BUCKET_H

#include <stdint.h>

struct bucket {
	uint64_t per_s; /* 0: no limit */
	uint64_t level; /* in billionths of a token */
	uint64_t at_ns; /* when the level was that */
};

/* Another rate; up to 1e8 tokens a second.  One that had none starts full. */
void bucket_rate(struct bucket *b, uint64_t per_s, uint64_t now_ns);

/* Tokens that gather at most: at least 1. */
uint64_t bucket_burst(const struct bucket *b);

/* Tokens that there are now; UINT64_MAX without a limit. */
uint64_t bucket_tokens(struct bucket *b, uint64_t now_ns);

/* Takes n, which bucket_tokens() has said there are. */
void bucket_take(struct bucket *b, uint64_t n);

/* Milliseconds, rounded up, until there are n, which is at most bucket_burst(). */
uint64_t bucket_wait_ms(struct bucket *b, uint64_t n, uint64_t now_ns);

#endif
