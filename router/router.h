/*
 * router - the daemon of one cluster, put together: the group that shares the log's partitions out, a
 * delivery for each that is ours, admin port, signals.
 *
 * Threads: the one that calls it.   Blocks: until it is told to stop.   Clock: injected.
 */
#ifndef SQUEAL_ROUTER_ROUTER_H
#define SQUEAL_ROUTER_ROUTER_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"

struct router_setup {
	struct topology *topology; /* reloaded in place */
	const char *config;	   /* its file, for SIGHUP */
	const struct cluster *cluster;
	const char *instance; /* unique in the cluster, and the same after a restart */
	const struct clock *clock;
	struct log *log;
	uint64_t seed; /* of the jitter */
};

/*
 * Runs until SIGTERM.  ERR_OK: stopped in order, cursors saved.  ERR_CORRUPT: the cursor file; *why says what
 * to do. Everything else as given by the part that could not start.
 */
err_t router_run(const struct router_setup *setup, struct err_detail *why) MUST_CHECK;

#endif
