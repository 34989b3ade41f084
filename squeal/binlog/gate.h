/*
 * gate - waits until a transaction that was read from the binlog can be seen by readers of the database.
 *
 * A server hands a transaction to replicas once it is in the binlog, which is before its engines have committed it.
 * A delete that is sent in between can be followed by a reader that fetches the old row and fills the cache with it for
 * good.  MariaDB tells up to where everything in the binlog is committed in the engines too (status
 * binlog_snapshot_file and binlog_snapshot_position, read under the lock that commits hold); the gate asks for that on a
 * connection of its own, and only when the last answer does not reach far enough.
 *
 * Threads: one at a time per gate; gate_interrupt() from any.   Blocks: gate_open() for connect_timeout,
 * gate_wait() until the transaction is visible, the time is up or it is interrupted.   Clock: injected.
 */
#ifndef SQUEAL_BINLOG_GATE_H
#define SQUEAL_BINLOG_GATE_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"

/* clang-format off */
/*	  name           kind       unit       help */
#define GATE_METRICS(M)                                                                                              \
	M(gate_pass,     COUNTER,   "calls",   "transactions known to be visible without asking")                    \
	M(gate_query,    COUNTER,   "queries", "times the source was asked up to where commits are visible")         \
	M(gate_wait,     COUNTER,   "calls",   "transactions that were not visible yet when they were read")         \
	M(gate_connect,  COUNTER,   "connections", "connections made to ask")                                        \
	M(gate_error,    COUNTER,   "errors",  "failures to connect or to ask")                                      \
	M(gate_time,     HISTOGRAM, "us",      "time from asking until the transaction was visible")
/* clang-format on */

struct gate_metrics {
	METRIC_FIELDS(GATE_METRICS)
};
extern const struct metric_row gate_metric_rows[];
extern const size_t gate_metric_nrows;

struct gate;

/* Connects at the first wait.  `opt`, `clock` and `metrics` are borrowed and must outlive the gate. */
struct gate *gate_create(const struct source_options *opt, const struct clock *clock, struct gate_metrics *metrics);
void gate_destroy(struct gate **g);

/* Connects now, so that mistakes show early.  Errors as in source_mysql.h. */
err_t gate_open(struct gate *g, struct err_detail *why) MUST_CHECK;

/*
 * Returns ERR_OK when everything up to offset `pos` of `file` is visible.  ERR_TIMEOUT: not within `timeout_ms`: call
 * again; when it stays so, the position is not one of this server.  ERR_CONN and others of source_mysql.h: the gate
 * connects again at the next call; the caller backs off.  ERR_CLOSED: gate_interrupt().
 */
err_t gate_wait(struct gate *g, struct span file, uint64_t pos, uint64_t timeout_ms, struct err_detail *why)
    MUST_CHECK;

/* Forgets the last answer: after the stream was opened again, as the server may be another one. */
void gate_reset(struct gate *g);

/* Makes a blocked wait, and every later one, return ERR_CLOSED soon.  For good. */
void gate_interrupt(struct gate *g);

#endif
