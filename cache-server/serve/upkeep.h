/*
 * upkeep - the thread that keeps all stores in order: expiry, room ahead of need, growing hash tables.
 *
 * Threads: life by main.   Blocks: upkeep_stop() until the step that runs is over.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_UPKEEP_H
#define SQUEAL_CACHE_SERVER_SERVE_UPKEEP_H

#include <stddef.h>

#include "cache-server/cache/cache.h"
#include "lib/core/err.h"

enum { UPKEEP_REST_MS = 100 };

struct upkeep; /* opaque */

/* `caches` must outlive it. */
err_t upkeep_start(struct upkeep **out, struct quiesce *q, struct cache *const *caches, size_t n,
		   struct err_detail *why) MUST_CHECK;
void upkeep_stop(struct upkeep **u); /* NULL is fine */

/* Any thread: there is something to do. */
void upkeep_wake(struct upkeep *u);

#endif
