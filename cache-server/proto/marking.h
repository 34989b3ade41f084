/*
 * marking - a marker container's commands as the protocols spell them: which token a key or a value names.
 *
 * "r:user:42|#|w-17" is the token w-17 of the key r:user:42: for clients and routers that know keys only.
 *
 * Source: schemas/cache-protocol.md, "Markers".
 *
 * Threads: as marker.h.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_MARKING_H
#define SQUEAL_CACHE_SERVER_PROTO_MARKING_H

#include "cache-server/cache/cache.h"
#include "cache-server/cache/marker.h"
#include "lib/core/buf.h"

enum { MARKING_MAX_VALUE = MARKER_MAX_TOKEN };

/* An empty buffer that has room for all tokens of a key, so that listing them cannot fail in the middle.
 * False: no memory; the connection must be closed, for "no token" would be an answer, and a wrong one. */
bool marking_room(struct buf *tokens);

/* Cuts the key at its last |#|; false: there is none, `*name` is the key and `*token` is empty. */
bool marking_split(struct span key, struct span *name, struct span *token);

/* set, add: the value is the token, or the key has one and the value is empty. */
enum cache_result marking_set(struct cache_thread *t, const struct store *store, const struct cache_set *set);

/* Removes the token that the key names; without one CACHE_NOT_FOUND. */
enum cache_result marking_delete(struct cache_thread *t, const struct store *store, struct span key);

#endif
