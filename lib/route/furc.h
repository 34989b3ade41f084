/*
 * furc - mcrouter's Ch3: a consistent hash that descends a binary tree by the bits of MurmurHash64A.
 *
 * The first bit at the tree's depth or below it that is set says how many bits the server's index has; the
 * bits behind say which.  An index that is too large is drawn again from further bits, at most 32 times, then
 * it is 0.  Bits that are looked at one after another lie 23 apart in the stream, whose words are the hash of
 * the key, the hash of that hash, and so on.  A server that is added at the end of the list takes keys from
 * all others, and no key moves between those.
 *
 * Source: mcrouter, lib/fbi/hash.c (furc_hash, furc_get_bit) and lib/Ch3HashFunc.h.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_FURC_H
#define SQUEAL_LIB_ROUTE_FURC_H

#include "lib/core/span.h"

enum { FURC_SERVERS_MAX = 1 << 23 };

/* Index of the key's server among `n`.  mcrouter takes no more than FURC_SERVERS_MAX; the function does. */
uint32_t furc_of(struct span key, uint32_t n);

#endif
