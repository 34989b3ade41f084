/*
 * hash - hashing for tables inside this project (never for routing: see lib/route/ring.h).
 *
 * Keys come from outside, so tables pass a seed drawn at random when they are made.
 *
 * Threads: any.   Blocks: hash_seed() may, once, early in the system's life.
 */
#ifndef SQUEAL_LIB_CORE_HASH_H
#define SQUEAL_LIB_CORE_HASH_H

#include <stdint.h>

#include "lib/core/span.h"

/* XXH3, 64 bits. */
uint64_t hash_span(struct span s, uint64_t seed);

/* Random bits from the operating system. */
uint64_t hash_seed(void);

#endif
