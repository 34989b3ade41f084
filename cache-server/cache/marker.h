/*
 * marker - remote markers: for each key a set of tokens, never evicted (NSDI'13, section 4.3, with the races
 * that it admits removed).
 *
 * A writer in a region that is not the master adds his token to the key's marker before he writes; the
 * invalidation that his write causes removes that token and no other.  While one token is left, the key is
 * marked.  Each token has a TTL of its own, for writers that died; a token that goes by its TTL is counted,
 * as somebody may read a stale value then.
 *
 * When the memory is full further tokens are refused: the writer must then not go on (never evicted, I6).
 *
 * Threads: any thread that joined the cache and is online.   Blocks: never.   Clock: the cache's.
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_MARKER_H
#define SQUEAL_CACHE_SERVER_CACHE_MARKER_H

#include <stdbool.h>
#include <stdint.h>

#include "cache-server/cache/cache.h"
#include "lib/core/span.h"

enum { MARKER_MAX_TOKEN = 64 /* bytes */, MARKER_MAX_TOKENS = 1024 /* of one key */ };

/*
 * Cuts `<key>|#|<token>` (the last `|#|`), the form for clients and routers that know keys only; false, and
 * an empty token, when there is none.  The hash is that of the key alone.
 */
bool marker_split(struct span *key, struct span *token);

/* CACHE_OK, also when the token is there already (its time is prolonged, never shortened); CACHE_NO_MEMORY;
 * CACHE_TOO_LARGE: token (see schemas/cache-protocol.md) or set.  The key has no `|#|` any more. */
enum cache_result marker_set(struct cache_thread *t, struct span key, uint64_t hash, struct span token,
			     uint32_t expiry);

/* Removes one token: CACHE_OK or CACHE_NOT_FOUND.  An empty token removes nothing (CACHE_NOT_FOUND). */
enum cache_result marker_clear(struct cache_thread *t, struct span key, uint64_t hash, struct span token);

/* For operators: removes all tokens of the key, counted as expired. */
enum cache_result marker_clear_all(struct cache_thread *t, struct span key, uint64_t hash);

/* How many tokens are left; the tokens, separated by commas, appended to `tokens` when it is not NULL. */
unsigned marker_check(struct cache_thread *t, struct span key, uint64_t hash, struct buf *tokens);

#endif
