/*
 * pipeline - the whole of `squeal run`: connects the parts, starts the two threads, and answers the admin
 * port.
 *
 *     reading thread   source ─▶ decoder ─▶ txn ─▶ gather ─▶ queue
 *     writing thread   queue ─▶ batch ─▶ gate ─▶ log
 *     main thread      event loop: signals, admin port
 *
 * Threads: the main one.   Blocks: pipeline_run() until the daemon ends.   Clock: injected.
 */
#ifndef SQUEAL_PIPELINE_H
#define SQUEAL_PIPELINE_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"

struct pipeline_options {
	const char *config; /* path of squeal.yaml, for SIGHUP */
	const char *start;  /* instead of source.start; NULL: that */
	bool null_log;	    /* records are counted and dropped: for measuring, never for caches */
	bool standby;	    /* while another squeal writes the log, wait until it ends, then take over */
	bool until_end;	    /* stop where the binlog ends now */
};

/* Runs until SIGTERM, the end (until_end), or a failure; *why tells.  The error of a GAP (gap.h) comes back
 * however the daemon ended.  `topo` is changed by SIGHUP. */
err_t pipeline_run(struct topology *topo, const struct pipeline_options *opt, const struct clock *clock,
		   struct log *log, struct err_detail *why) MUST_CHECK;

#endif
