/*
 * pymemcache - the HashClient of pymemcache: rendezvous hashing with MurmurHash3 of "host:port-key".
 *
 * The text that is hashed is made of Python strings, so it depends on what the application passes as a key:
 *
 *     str     the text itself.  Of every character only the lowest byte of its code point is hashed, which
 * for ASCII is the byte that is sent; other characters need allow_unicode_keys and are sent as UTF-8. bytes
 * what Python prints for them: b'user:42', with its quotes and escapes.
 *
 * A key that is no UTF-8 cannot have been a str and is taken as bytes.  Of equal scores the server whose name
 * is greater wins.  key_prefix is not hashed.  Servers are named "host:port", or by the path of their socket.
 *
 * Source: pymemcache, pymemcache/client/hash.py, rendezvous.py and murmur3.py.
 *
 * Threads: any may look up; building is for one.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_PYMEMCACHE_H
#define SQUEAL_LIB_ROUTE_PYMEMCACHE_H

#include "lib/conf/topology.h"
#include "lib/core/span.h"

struct pymemcache; /* opaque */

struct pymemcache *pymemcache_create(const struct server_options *servers, size_t n, bool bytes);
void pymemcache_destroy(struct pymemcache **p);

/* Index of the key's server. */
size_t pymemcache_route(const struct pymemcache *p, struct span key);

/*
 * Writes the text that stands for the key into `out`, which has room for PYMEMCACHE_TEXT(key.len) bytes, and
 * returns its length.
 */
#define PYMEMCACHE_TEXT(len) (4 * (len) + 3)
size_t pymemcache_text(struct span key, bool bytes, char *out);

#endif
