/*
 * job - an audit of one cluster, put together: log, caches, core, output, admin port, signals.
 *
 * SIGUSR1 prints the summary, and so does every minute and the end.  With `for_ms` no keys are taken after
 * that time, and it ends when those that were taken have been looked for.
 *
 * Threads: the one that calls it.   Blocks: until it is done or told to stop.   Clock: injected.
 */
#ifndef SQUEAL_REPLAY_JOB_H
#define SQUEAL_REPLAY_JOB_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "replay/audit.h"

enum { JOB_PENDING_MAX = 20000 };

struct job_setup {
	const struct topology *topology;
	const struct cluster *cluster;
	const struct clock *clock;
	struct log *log;
	FILE *out;
	struct audit_options audit; /* sample, delays, seed */
	uint64_t for_ms;	    /* 0: until it is told to stop */
	const char *probe_key;	    /* without the namespace */
	const char *admin;	    /* "" for no port */
	bool json;
};

struct job_result {
	uint64_t stale; /* looks that found a stale item */
};

/*
 * ERR_OK: done, or stopped in order.  ERR_CONFIG: a server that cannot be audited, or a setting that cannot
 * be used; ERR_NOT_FOUND: the log could not be read at all; ERR_CONN: no server has ever answered; others as
 * given by the part that failed.  *why says what to do.
 */
err_t job_run(const struct job_setup *setup, struct job_result *result, struct err_detail *why) MUST_CHECK;

#endif
