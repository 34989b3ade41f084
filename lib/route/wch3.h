/*
 * wch3 - mcrouter's WeightedCh3: Ch3 that passes keys on from servers with a weight below 1.
 *
 * The server that Ch3 chooses keeps the key if the key's SpookyHash is below its weight's part of the 32-bit
 * range.  Otherwise both hashes are taken again with "0" behind the key, then "1" .. "9", "01", "11", ..
 * "03": decimal with the lowest digit first.  After 32 tries the last choice has the key, whatever its
 * weight.
 *
 * Source: mcrouter, lib/WeightedCh3HashFunc.cpp and lib/WeightedChHashFuncBase.h.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_WCH3_H
#define SQUEAL_LIB_ROUTE_WCH3_H

#include "lib/core/span.h"

enum { WCH3_TRIES = 32, WCH3_DIGITS = 2 };

/* What a weight, 0 to 1, is compared as. */
uint32_t wch3_share(double weight);

/*
 * Index of the key's server among `n`, 1 to FURC_SERVERS_MAX, of which each has such a share.  Behind the key
 * there is room for WCH3_DIGITS bytes, which are overwritten.
 */
uint32_t wch3_of(char *key, size_t len, const uint32_t *shares, uint32_t n);

#endif
