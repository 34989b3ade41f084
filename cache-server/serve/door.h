/*
 * door - accepts connections and hands them to workers, as many as there may be.
 *
 * With -o maxconns_fast, the default, a connection too many is told so and closed; without, accepting stops
 * until one leaves.  Where the process has no descriptor left accepting stops, too, and is tried again ten
 * times a second, so that a socket that cannot be taken makes nobody spin.
 *
 * Source: memcached 1.6.45, drive_machine() and accept_new_conns().
 *
 * Memory ordering: a worker that lets a connection go decrements the count and then looks whether the door is
 * closed; the door closes and then looks at the count again.  Both are sequentially consistent, so one of
 * them sees the other.
 *
 * Threads: main, except door_leave(): any; door_is_open(), door_each(): any.   Blocks: never.   Clock: the
 * loop's.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_DOOR_H
#define SQUEAL_CACHE_SERVER_SERVE_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "cache-server/report/serve_metrics.h"
#include "lib/core/err.h"

struct door; /* opaque */
struct server;

/* Begins to accept with the next round of the server's loop. */
err_t door_open(struct door **out, struct server *s, struct err_detail *why) MUST_CHECK;
void door_close(struct door **d); /* NULL is fine */

/* A connection is gone; `peer` is conn.peer. */
void door_leave(struct door *d, uint32_t peer);

bool door_is_open(const struct door *d);
struct serve_metrics *door_metrics(struct door *d);

#endif
