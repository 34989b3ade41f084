/*
 * ketama - the circle of points of libmemcached's consistent hashing.
 *
 * Unweighted: 100 points per server, each the key hash of "host-0" .. "host-99" ("host:port-0" where the port
 * is not 11211).  Weighted: about 160 points per server in proportion to its weight, four from each MD5 of
 * the same strings; the sharing out is done in single-precision floats, like the original, because its
 * rounding decides who gets how many points.  A key belongs to the first point at or after its hash, the last
 * point is followed by the first, and of equal points the server that stands first in the list has the key.
 *
 * Threads: any may look up; building needs the keyhash for itself.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_KETAMA_H
#define SQUEAL_LIB_ROUTE_KETAMA_H

#include <stddef.h>
#include <stdint.h>

#include "lib/conf/topology.h"
#include "lib/route/keyhash.h"

struct ketama_point {
	uint32_t at;
	uint32_t server; /* index in the list */
};

struct ketama {
	struct ketama_point *points; /* by at, then by server */
	size_t n;
};

/* `hash` makes the points of the unweighted circle. */
void ketama_init(struct ketama *k, const struct server_options *servers, size_t nservers, bool weighted,
		 struct keyhash *hash);
void ketama_fini(struct ketama *k);

/* The point that has the hash; valid as long as the circle.  NULL when there are no points. */
const struct ketama_point *ketama_find(const struct ketama *k, uint32_t hash);

#endif
