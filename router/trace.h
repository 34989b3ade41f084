/*
 * trace - a line in a file for each acknowledged delete of chosen keys.
 *
 *     1763675880123456 10.0.0.1:11211 4711 user:42
 *
 * Microseconds since 1970, server, log offset, key.  Lines are gathered and written by trace_flush(), whole
 * lines at a time, behind what is in the file already.  What cannot be written is counted, logged and
 * dropped: a trace never holds up a delete.
 *
 * Threads: the loop's.   Blocks: trace_flush() on the disk.   Clock: injected.
 */
#ifndef SQUEAL_ROUTER_TRACE_H
#define SQUEAL_ROUTER_TRACE_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"

/* clang-format off */
/*	  name                 kind     unit     help */
#define TRACE_METRICS(M)                                                                    \
	M(router_trace_lines,  COUNTER, "lines", "lines written to trace_file")            \
	M(router_trace_lost,   COUNTER, "lines", "trace lines that could not be written")
/* clang-format on */

struct trace_metrics {
	METRIC_FIELDS(TRACE_METRICS)
};
extern const struct metric_row trace_metric_rows[];
extern const size_t trace_metric_nrows;

struct trace; /* opaque */

/* Uses trace_file and trace_prefix, also when they change later.  `log` may be NULL. */
struct trace *trace_create(const struct router_options *opt, const struct clock *clock,
			   struct trace_metrics *metrics, struct log *log);
void trace_destroy(struct trace **t); /* flushes */

void trace_delete(struct trace *t, const char *server, uint64_t offset, struct span key);

void trace_flush(struct trace *t);

/* Opens the file anew with the next line: it was moved away, or trace_file has changed. */
void trace_reopen(struct trace *t);

#endif
