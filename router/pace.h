/*
 * pace - `router.catch_up_rate` is a server's, over all partitions of this router: those in which the server
 * is behind share it evenly.
 *
 * Threads: the loop's.   Blocks: never.
 */
#ifndef SQUEAL_ROUTER_PACE_H
#define SQUEAL_ROUTER_PACE_H

#include "router/routing.h"

/* Counts who is behind, and takes notice of it at once.  Call it about once a second: for so long more than
 * the rate may be taken, or less. */
void pace_share(const struct routing_users *users);

#endif
