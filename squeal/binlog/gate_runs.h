/*
 * gate_runs - MySQL transactions that were read and are not known to be visible yet, in the stream's order.
 *
 * A server may make them visible in another order (binlog_order_commits=OFF), so a wait for one of them asks
 * for all before it.  They are kept as runs: of one server and tag with consecutive numbers, or without ids.
 * When there are too many runs, the oldest go together into one set, and are asked for together.
 *
 * Threads: one at a time.   Blocks: never.   Time: given.
 */
#ifndef SQUEAL_BINLOG_GATE_RUNS_H
#define SQUEAL_BINLOG_GATE_RUNS_H

#include "squeal/binlog/gtid_set.h"

enum {
	GATE_RUNS = 1024,
	GATE_HOLD_MS = 100, /* of those without ids: a commit takes less from the binlog to the engines */
	GATE_GRAIN_MS = 10, /* those that are read within this are held for as long as the last of them */
};

struct gate_run {
	uint64_t first, last; /* tickets */
	struct gtid gtid;     /* of the first; GTID_NONE: without ids */
	uint64_t until_ms;    /* without ids: when they are taken for visible */
};

/* {0} is none. */
struct gate_runs {
	struct gtid_set before; /* older than all runs, up to the ticket `before_last` */
	uint64_t before_last;
	uint64_t before_until_ms; /* of those among them without ids */
	struct gate_run runs[GATE_RUNS];
	size_t oldest, n;
};

void gate_runs_fini(struct gate_runs *r);

/* A transaction was read; tickets ascend. */
void gate_runs_add(struct gate_runs *r, uint64_t ticket, const struct gtid *gtid, uint64_t now_ms);

/* Everything up to the ticket is visible, or given up. */
void gate_runs_drop(struct gate_runs *r, uint64_t ticket);

/* Makes `wanted` what is there up to the ticket.  Returns until when those without ids must be held; 0 when
 * there are none. */
uint64_t gate_runs_wanted(const struct gate_runs *r, uint64_t ticket, struct gtid_set *wanted);

#endif
