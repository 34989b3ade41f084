/*
 * twemproxy - what twemproxy (nutcracker) does apart from hashing and circles of points.
 *
 * Sources: src/nc_server.c (server_pool_idx, server_pool_hash), src/nc_conf.c (conf_add_server) and
 * src/hashkit/nc_modula.c.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_TWEMPROXY_H
#define SQUEAL_LIB_ROUTE_TWEMPROXY_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/span.h"

/*
 * What of the key is hashed with hash_tag: "{}": what stands between the first '{' and the next '}' if that
 * is anything, else the whole key.
 */
struct span twemproxy_tagged(struct span key, char open, char close);

/*
 * Appends the text that is hashed for a server: its name if it has one (may be NULL or ""), else "host" on
 * port 11211 and "host:port" on others.  Of a socket it is "/path:", colon included.
 */
void twemproxy_server(const struct server_options *server, const char *name, struct buf *out);

/* The hash of an empty text is 0 whatever the hash. */
uint32_t twemproxy_hash(uint64_t (*hash)(struct span), struct span text);

#endif
