/*
 * spooky - SpookyHash V2 of Bob Jenkins (public domain), the 32 bits that mcrouter's WeightedCh3 uses.
 *
 * Source: burtleburtle.net/bob/hash/spooky.html; mcrouter uses folly/hash/SpookyHashV2.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_SPOOKY_H
#define SQUEAL_LIB_ROUTE_SPOOKY_H

#include "lib/core/span.h"

/* SpookyHash V2's Hash32. */
uint32_t spooky32(struct span bytes, uint32_t seed);

#endif
