/*
 * top - which keys are deleted most, and how many deletes are for nothing: squealctl top.
 *
 * Counts fade: they are halved every TOP_WINDOW_S seconds, so they stand for about two windows.  Whether a
 * server had the key is known only of the deletes that were sampled (router.sample_hits); shares are of
 * those.
 *
 * Threads: the loop's.   Blocks: never.   Time: the caller's windows.
 */
#ifndef SQUEAL_ROUTER_TOP_H
#define SQUEAL_ROUTER_TOP_H

#include <stddef.h>
#include <stdint.h>

#include "lib/core/json.h"
#include "lib/core/span.h"

enum { TOP_WINDOW_S = 60, TOP_ROWS_MAX = 100 };

struct top; /* opaque */

struct top *top_create(uint64_t seed);
void top_destroy(struct top **t);

/* A delete was acknowledged by a server.  hit: 1 it had the key, 0 it had not, -1 nobody knows. */
void top_note(struct top *t, struct span key, int hit);

/* A window is over. */
void top_fade(struct top *t);

/*
 * Adds to an object:
 *
 *     "window_s":120,"deletes":…,"sampled":…,"wasted_share":0.42,
 *     "keys":[{"key":"user:42","deletes":…,"share":0.08}, …],
 *     "wasted":[{"key":"feed:7","share":0.3}, …]
 *
 * "wasted_share" is null while nothing was sampled; "keys" are the most deleted, "wasted" those that are
 * deleted most often where no server has them, with their shares of all wasted deletes.
 */
void top_json(const struct top *t, size_t rows, struct json *j);

#endif
