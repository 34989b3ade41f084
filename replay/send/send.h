/*
 * send - carries a plan out: the deletes of a tape go to their servers, at a pace, and what is done is
 * remembered.
 *
 *      thread "replay-read"      tape ─▶ select (filters, repeats, routing) ─▶ belt
 *      loop                      belt ─▶ pace ─▶ outbox of each server ─▶ acknowledged ─▶ job file, once a
 * second
 *
 * A chunk of deletes is done when every server has acknowledged those before its end; the job file says
 * behind which chunk to go on.  So whatever happens, no key is left out, and at most those that were under
 * way are sent a second time.
 *
 *     a server is away         its deletes wait; the others go on until their queues are full of what is
 * behind them; after `patience` the job stops, to be resumed first SIGINT, SIGTERM    what is in flight is
 * awaited, the job file written, SEND_STOPPED the second               SEND_HURRIED at once
 *
 * Threads: the caller's runs the loop.   Blocks: until it is over.   Clock: injected.
 */
#ifndef SQUEAL_REPLAY_SEND_SEND_H
#define SQUEAL_REPLAY_SEND_SEND_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "replay/plan/plan.h"
#include "replay/send/jobfile.h"
#include "replay/send/pace.h"
#include "replay/send/screen.h"

/* All borrowed. */
struct send_setup {
	const struct topology *topology;
	const struct clock *clock;
	struct log *log;
	struct tape *tape;
	struct filter *filter;
	struct targets *targets;
	const uint64_t *planned; /* deletes per server; NULL: not known */
	size_t remember;	 /* select.h */
	struct pace_options pace;
	uint64_t patience_ms;
	struct screen *screen;
	struct jobfile *job; /* brought up to date */
	const char *job_id, *job_path;
};

enum send_end {
	SEND_DONE,
	SEND_STOPPED,	/* by a signal; the job can be resumed */
	SEND_IMPATIENT, /* a server was away for too long; the same */
	SEND_HURRIED,	/* by a second signal: the job file may be a second old */
};

struct send_server_result {
	uint64_t acked, hits, misses, given_up, coalesced, unsupported;
	uint64_t ack_p50_us, ack_p99_us, ack_max_us;
};

struct send_result {
	enum send_end end;
	uint64_t ms;
	uint64_t sent; /* deletes acknowledged in this run */
	uint64_t unsendable;
	double throttled;		    /* share of the time */
	struct send_server_result *servers; /* per server of the targets; free() it */
	char away[200];			    /* SEND_IMPATIENT: which, and why */
};

/* Errors of the tape, of servers' settings, and of the job file. */
err_t send_run(const struct send_setup *setup, struct send_result *result, struct err_detail *why) MUST_CHECK;

#endif
