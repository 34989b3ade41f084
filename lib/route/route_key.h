/*
 * route_key - the parts of a key that mcrouter's users write.
 *
 *     /region/cluster/user:42|#|page-7
 *     ^^^^^^^^^^^^^^^^ prefix: which clusters the key is for; never sent
 *                     ^^^^^^^ hashed: decides the server
 *                     ^^^^^^^^^^^^^^^^ sent: the server's key
 *
 * A key has a prefix when it begins with '/' and has two more; the parts between may be empty, as in
 * mcrouter. Behind the first "|#|" nothing is hashed.  A key without either is hashed and sent whole.
 *
 * Source: mcrouter, lib/carbon/Keys-inl.h (update) and route.cpp (match_pattern_route).
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_ROUTE_KEY_H
#define SQUEAL_LIB_ROUTE_ROUTE_KEY_H

#include "lib/core/span.h"

struct route_key {
	struct span prefix;  /* with its slashes; empty when there is none */
	struct span region;  /* of the prefix */
	struct span cluster; /* of the prefix */
	struct span hashed;
	struct span sent;
};

/* All spans lie within `key`. */
struct route_key route_key_split(struct span key);

/* The prefix of a broadcast: to all clusters of all regions. */
static inline bool
route_key_is_broadcast(const struct route_key *k)
{
	return span_is(k->prefix, "/*/*/");
}

/*
 * Whether the key is meant for the clusters of that prefix: every part of the key's is equal, where '*'
 * stands for any number of bytes.  A key without a prefix is meant for all; which is the default one is the
 * caller's.
 */
bool route_key_means(const struct route_key *k, struct span region, struct span cluster);

#endif
