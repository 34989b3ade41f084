/*
 * ring - which server of a cluster has a key, in agreement with clients that use libmemcached.
 *
 *     ketama           MEMCACHED_BEHAVIOR_KETAMA, points and keys hashed by `hash`.  As soon as one server
 * has a weight above 1 libmemcached turns the points into weighted MD5 ones and goes on hashing the keys by
 * `hash`; so does the ring. ketama_weighted  MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED: points and keys by MD5
 *     modula           hash modulo the number of servers, in the order of the list; weights mean nothing
 *
 * The namespace is not hashed (libmemcached's default); whoever sends the key puts it in front.
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_RING_H
#define SQUEAL_LIB_ROUTE_RING_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

struct ring; /* opaque */

/* `cluster` must outlive the ring. */
err_t ring_create(struct ring **out, const struct cluster *cluster, struct err_detail *why) MUST_CHECK;
void ring_destroy(struct ring **r);

/* Index of the key's server in the cluster's list. */
size_t ring_route(struct ring *r, struct span key);

/* Appends several "name: value" lines: where the key goes, and why. */
void ring_explain(struct ring *r, struct span key, struct buf *out);

/* "host:port" as squeal.yaml writes it: the server's name in cursors, metrics and logs. */
void ring_server_name(const struct server_options *server, struct buf *out);

#endif
