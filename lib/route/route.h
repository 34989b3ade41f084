/*
 * route - the routing of one cluster: key -> pools -> servers, with the rings of before that are not sealed.
 *
 *     routing prefix   "/region/cluster/" is taken off where it is this cluster's (mcrouter_prefix);
 *                      a key of another region or cluster is foreign and goes nowhere.  What names
 *                      the pool may hold such a prefix instead of, or before, the name
 *     pool             the one that is named, or the one with the longest prefix of the key, or the
 *                      one without prefixes; a name that no pool has counts as none
 *     servers          one of a sharded pool, all of a replicated one
 *     gutter, shadow   besides, on their own ring: every delete of the pools that they stand for
 *     rings of before  all of it once more with each earlier configuration: servers that only it
 *                      names are `old` owners.  What is done there is what the pool of that name
 *                      does now
 *
 * A regional pool routes like any other: each cluster that names it delivers to it, and a delete that comes
 * twice does no harm.
 *
 * A server is known by host and port: in several pools it is one server.  Everything is copied from the
 * configuration; a route does not change, a reload makes another one.
 *
 * Threads: any number may route, each with an answer of its own; creating and destroying is for one.
 * Blocks: never.   Memory: route_key() allocates only to make an answer longer than any before.
 */
#ifndef SQUEAL_LIB_ROUTE_ROUTE_H
#define SQUEAL_LIB_ROUTE_ROUTE_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/json.h"
#include "lib/core/span.h"

struct route; /* opaque */

enum route_action { ROUTE_DELETE, ROUTE_STALE };

struct route_hop {
	uint32_t server; /* for route_server() */
	uint32_t pool;	 /* for route_pool_name() */
	enum route_action action;
	uint32_t stale_ms;   /* with ROUTE_STALE */
	uint32_t holdoff_ms; /* the pool's; 0: none */
	uint32_t limit;	     /* index for route_limit() + 1; 0: none */
	bool old;	     /* only because a ring of before is not sealed */
	bool shadow;	     /* of a shadow pool */
	struct span prefix;  /* namespace; lives as long as the route */
};

/* All zero at first; reused from key to key. */
struct route_answer {
	struct span key; /* to send: the routing prefix is off */
	struct route_hop *hops;
	size_t n, cap;
	bool foreign;	   /* another region's or cluster's: no hops */
	bool unknown_pool; /* the pool that was named does not exist: routed by prefix */
	bool homeless;	   /* no pool takes it */
};

/*
 * `before`: the cluster as it was, the latest first; may be NULL with nbefore 0.  ERR_CONFIG, or ERR_SYS
 * where a hash is not to be had: *why says what.
 */
err_t route_create(struct route **out, const struct cluster *c, const struct cluster *const *before,
		   size_t nbefore, struct err_detail *why) MUST_CHECK;
void route_destroy(struct route **r);

/* `pool`: named by the key's transaction; empty for none.  out->key points into `key`. */
void route_key(const struct route *r, struct span key, struct span pool, struct route_answer *out);
void route_answer_fini(struct route_answer *a);

/* --- servers, pools, limits -------------------------------------------------------------------------------
 */

/* Those of the pools in their order, then those that only rings of before have. */
size_t route_nservers(const struct route *r);

/* Lives as long as the route. */
const struct server_options *route_server(const struct route *r, size_t i);

/* "host:port": the server's name in cursors, metrics and logs. */
const char *route_server_name(const struct route *r, size_t i);

/* The settings of the (first) pool that it is in, for TLS and login.  Lives as long as the route. */
const struct pool_options *route_server_pool(const struct route *r, size_t i);

/* Only rings of before have it. */
bool route_server_is_old(const struct route *r, size_t i);

/* Only shadow pools have it: it does not count for readiness. */
bool route_server_is_shadow(const struct route *r, size_t i);

/* Index of the server of that name; false when there is none. */
bool route_server_find(const struct route *r, const char *name, size_t *i);

size_t route_npools(const struct route *r);
const char *route_pool_name(const struct route *r, size_t pool); /* of rings of before too */

size_t route_nlimits(const struct route *r);
uint64_t route_limit(const struct route *r, size_t i); /* keys per second */

/* Rings of before that are not sealed. */
size_t route_nunsealed(const struct route *r);

/* --- explaining -------------------------------------------------------------------------------------------
 */

/* Appends "name: value" lines: where the key goes, and why. */
void route_explain(const struct route *r, struct span key, struct span pool, struct buf *out);

/* The same as members of an open object. */
void route_explain_json(const struct route *r, struct span key, struct span pool, struct json *j);

#endif
