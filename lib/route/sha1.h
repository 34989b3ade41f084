/*
 * sha1 - the first word of a text's SHA-1 (FIPS 180-4): what a point on Dalli's circle is.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_SHA1_H
#define SQUEAL_LIB_ROUTE_SHA1_H

#include "lib/core/span.h"

/* The digest's first four bytes, the first one highest. */
uint32_t sha1_first(struct span text);

#endif
