/*
 * jump - the jump consistent hash of Lamping and Veach (2014, arXiv 1406.2294).
 *
 * It chooses among numbered servers, so it is minimal only when servers come and go at the end of the list.
 * The paper leaves open how a key becomes a number; keyhash has the 64-bit hashes that are in use for that.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_JUMP_H
#define SQUEAL_LIB_ROUTE_JUMP_H

#include <stdint.h>

/* 0 to n - 1; 0 when `n` is 0. */
uint32_t jump_of(uint64_t hash, uint32_t n);

#endif
