/*
 * intake - one partition of the log, kept open for reading: tried again with a growing pause where it is
 * missing, corrupt, replaced or out of reach.
 *
 * Threads: the loop's.   Blocks: as broker_reader_open() and broker_bounds().   Clock: the loop's.
 */
#ifndef SQUEAL_ROUTER_INTAKE_H
#define SQUEAL_ROUTER_INTAKE_H

#include "lib/broker/broker.h"
#include "lib/core/log.h"
#include "lib/net/loop.h"

struct intake_context {
	struct loop *loop;
	const struct log_options *opt;
	uint32_t partition;
	struct log *log; /* may be NULL */
	struct broker_metrics *metrics;
	metric_t *errors;	     /* counts failed tries */
	void (*on_open)(void *arg);  /* `reader` can be read from its bounds on */
	void (*on_woken)(void *arg); /* there may be more to read */
	void *arg;
};

struct intake {
	struct intake_context ctx;
	struct broker_reader *reader; /* NULL: not open */
	uint64_t first, end;	      /* of the log, as last asked for or seen */
	char error[600];	      /* "" while it can be read */
	/* its own */
	struct loop_fd woken;
	struct loop_timer reopen;
	unsigned failures;
	err_t err;
	uint64_t said_ms;
};

/* Closed.  What `ctx` points to must outlive it. */
void intake_init(struct intake *in, const struct intake_context *ctx);

/* Opens it soon. */
void intake_start(struct intake *in);

/* Closed for good. */
void intake_stop(struct intake *in);

/* Asks for the bounds; false: it could not be read, and intake_failed() has been called.  Only while it is
 * open. */
bool intake_look(struct intake *in);

/* Reading failed: it is closed, and tried again. */
void intake_failed(struct intake *in, err_t err, const struct err_detail *why);

#endif
