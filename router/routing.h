/*
 * routing - the route that is in force for all partitions, and how another one takes its place: all of them
 * change together or none does.
 *
 * Threads: the loop's.   Blocks: on the rings' file and the cursors.   Clock: injected.
 */
#ifndef SQUEAL_ROUTER_ROUTING_H
#define SQUEAL_ROUTER_ROUTING_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/rings/rings.h"
#include "lib/route/route.h"
#include "router/delivery.h"

struct routing; /* opaque */

/* Everybody who delivers. */
struct routing_users {
	struct delivery *const *deliveries;
	size_t n;
};

/* As rings_load(), rings_take() and route_create().  A ring that was changed while the router was down counts
 * as changed now. */
err_t routing_open(struct routing **out, const struct topology *t, const struct cluster *c,
		   const struct clock *clock, struct log *log, struct err_detail *why) MUST_CHECK;

/* When nobody delivers by it any more. */
void routing_close(struct routing **r);

const struct route *routing_route(const struct routing *r);

/* For each server of the route: it was sealed out once and must be flushed before it counts. */
const bool *routing_anew(const struct routing *r);
const struct rings *routing_rings(const struct routing *r);

/*
 * The cluster is configured as `c` from now on.  On error everybody goes on as before.
 */
err_t routing_change(struct routing *r, const struct cluster *c, const struct routing_users *users,
		     struct err_detail *why) MUST_CHECK;

/* Rings of before are out of use; *sealed is how many there were.  On error everybody goes on as before. */
err_t routing_seal(struct routing *r, const struct cluster *c, const struct routing_users *users,
		   size_t *sealed, struct err_detail *why) MUST_CHECK;

/* Servers that were sealed out and have been flushed are like others from now on.  Call it about once a
 * second. */
void routing_look(struct routing *r, const struct routing_users *users);

#endif
