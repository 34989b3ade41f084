/*
 * ring - which server of a list has a key, in agreement with somebody else's program.
 *
 * A ring is made from a description: an algorithm (lib/conf/algorithm.h has their names, whose they are and
 * what each one takes), the servers in the order in which clients have them, and what the algorithm takes
 * besides.  It agrees bit for bit with the peer whose rule it is; lib/route/README.md says where each rule
 * was read and what judges it.
 *
 * What is given here is what is hashed.  A namespace that clients set (libmemcached's, pymemcache's
 * key_prefix) is not hashed by them, so whoever sends the key puts it in front afterwards; mcrouter's
 * /region/cluster/ and
 * |#| are taken off before (lib/route/route_key.h).
 *
 * A ring copies what it needs and never changes.
 *
 * Threads: any number may route on one ring; creating and destroying is for one.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_RING_H
#define SQUEAL_LIB_ROUTE_RING_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"
#include "lib/route/ring_spec.h"

struct ring; /* opaque */

err_t ring_create(struct ring **out, const struct ring_spec *spec, struct err_detail *why) MUST_CHECK;
void ring_destroy(struct ring **r);

/* Index of the key's server in the list. */
size_t ring_route(const struct ring *r, struct span key);

/* The number of servers. */
size_t ring_nservers(const struct ring *r);

/* Appends several "name: value" lines: where the key goes, and why. */
void ring_explain(const struct ring *r, struct span key, struct buf *out);

/* The same with the cluster's name before, and the address and the text that are used after. */
void ring_explain_cluster(const struct ring *r, const struct cluster *cluster, struct span key,
			  struct buf *out);

/* "host:port" as squeal.yaml writes it: the server's name in cursors, metrics and logs. */
void ring_server_name(const struct server_options *server, struct buf *out);

#endif
