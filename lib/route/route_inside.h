/* route_inside - what route.c and route_explain.c share; for no one else. */
#ifndef SQUEAL_LIB_ROUTE_ROUTE_INSIDE_H
#define SQUEAL_LIB_ROUTE_ROUTE_INSIDE_H

#include "lib/route/prefixes.h"
#include "lib/route/ring.h"
#include "lib/route/route.h"

enum { ROUTE_NO_POOL = -1 };

/* One pool of one configuration. */
struct route_pool {
	const struct pool *conf; /* of our copy */
	struct ring *ring;	 /* NULL: replicated */
	uint32_t *servers;	 /* as the pool counts them -> as the route counts them */
	uint32_t id;		 /* for route_pool_name() */
	bool stop;		 /* hashed up to |#| */
	bool shadow;
	uint32_t *extras; /* the gutters and shadows that stand for it, as the generation counts pools */
	size_t nextras;
	/* What is done with its keys: what the pool of its name does in the latest configuration. */
	enum route_action action;
	uint32_t stale_ms, holdoff_ms;
	struct span prefix; /* namespace */
};

/* One configuration: the latest one, or one of before that is not sealed. */
struct generation {
	struct cluster cluster; /* our copy */
	struct route_pool *pools;
	size_t npools;
	struct prefixes by_prefix;
	int rest;			 /* the pool without prefixes; ROUTE_NO_POOL: none */
	struct span region, clustername; /* of mcrouter_prefix; both empty: none */
};

struct route_server {
	const struct server_options *opt; /* of a copy of ours */
	const struct pool_options *pool;
	char *name;
	bool old, shadow;
};

struct route {
	struct generation *gens; /* the latest first */
	size_t ngens;
	struct route_server *servers;
	size_t nservers;
	const char **pool_names;
	size_t npools;
	struct prefixes limits;
};

/* Why a key is in its pool. */
enum route_reason { ROUTE_BY_NAME, ROUTE_BY_PREFIX, ROUTE_BY_REST, ROUTE_NOWHERE };

struct route_choice {
	int pool; /* ROUTE_NO_POOL: none */
	enum route_reason reason;
	struct span prefix; /* with ROUTE_BY_PREFIX */
	bool unknown;	    /* a pool was named that does not exist */
};

/* Takes this cluster's routing prefix off the key and off what names its pool; false: it is for another one.
 */
bool generation_strip(const struct generation *g, struct span *key, struct span *pool);

struct route_choice generation_choose(const struct generation *g, struct span key, struct span pool);

/* The part of the key that the pool hashes. */
struct span route_pool_hashed(const struct route_pool *p, struct span key);

#endif
