/*
 * ring_spec - the description of a ring: an algorithm, servers, and what the algorithm takes besides.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_RING_SPEC_H
#define SQUEAL_LIB_ROUTE_RING_SPEC_H

#include "lib/conf/algorithm.h"
#include "lib/conf/topology.h"
#include "lib/core/err.h"

enum { RING_SERVERS_MAX = 1 << 23 }; /* as mcrouter */

/* What the algorithm does not take is left NULL or empty; anything else is ERR_CONFIG. */
struct ring_spec {
	const char *algorithm; /* a name of lib/conf/algorithm.h */
	const char *hash; /* one of the algorithm's; NULL, "" and "default": what the peer uses unless told */
	const char *hash_tag; /* two characters */
	const char *salt;     /* behind the key */
	const char *prefix;   /* before the key: a namespace that is hashed */
	const struct server_options *servers;
	size_t nservers;
	const double *weights;	  /* one per server; NULL: those in `servers` */
	const char *const *names; /* one per server, a NULL or "" for one without; NULL: none has one */
};

/*
 * What a cluster's part of squeal.yaml says, as a description.  It points into `cluster`.  A namespace is the
 * description's prefix where the algorithm hashes it.
 */
struct ring_spec ring_spec_of_cluster(const struct cluster *cluster);

/* Whether the algorithm takes all that is there, and as it is there; ERR_CONFIG says what to change. */
err_t ring_spec_check(const struct ring_spec *spec, const struct algorithm *a,
		      struct err_detail *why) MUST_CHECK;

double ring_spec_weight(const struct ring_spec *spec, size_t i);

/* NULL for a server without. */
const char *ring_spec_name(const struct ring_spec *spec, size_t i);

#endif
