/*
 * keeper - the thread that keeps all stores in order: expiry, room ahead of need, growing hash tables.
 *
 * Threads: life by main.   Blocks: keeper_stop() until the step that runs is over.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_KEEPER_H
#define SQUEAL_CACHE_SERVER_SERVE_KEEPER_H

#include <stddef.h>

#include "cache-server/cache/cache.h"
#include "lib/core/err.h"

enum { KEEPER_REST_MS = 100 };

struct keeper; /* opaque */

/* `caches` must outlive it. */
err_t keeper_start(struct keeper **out, struct quiesce *q, struct cache *const *caches, size_t n,
		   struct err_detail *why) MUST_CHECK;
void keeper_stop(struct keeper **k); /* NULL is fine */

#endif
