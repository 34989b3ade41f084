/*
 * ring_inside - what a ring is made of, for the files that are it: ring.c and ring_explain.c.
 *
 * Threads: any may read.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_RING_INSIDE_H
#define SQUEAL_LIB_ROUTE_RING_INSIDE_H

#include "lib/route/ketama.h"
#include "lib/route/keyhash.h"
#include "lib/route/pymemcache.h"
#include "lib/route/ring.h"
#include "lib/route/twemproxy.h"

typedef size_t route_fn(const struct ring *r, struct span key);

struct ring {
	const struct algorithm *algorithm;
	route_fn *route;
	size_t n;
	char **shown;		    /* "host:port" of each server */
	const struct keyhash *hash; /* NULL: the algorithm has none to choose */
	char tag[2];
	bool has_tag;
	bool switched; /* "ketama", but a weight above 1 made it weighted */
	struct span salt;
	struct span prefix;
	struct ketama circle;
	uint32_t *numbers; /* per server.  twemproxy_modula: weights up to and with it; wch3: its share */
	uint64_t *hashes;  /* rendezvous: of the servers */
	double *weights;   /* weighted_rendezvous */
	struct pymemcache *pymemcache;
};

static inline uint32_t
ring_twemproxy_hash(const struct ring *r, struct span key)
{
	return twemproxy_hash(r->hash->of, r->has_tag ? twemproxy_tagged(key, r->tag[0], r->tag[1]) : key);
}

#endif
