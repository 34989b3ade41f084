/*
 * report - what the audit prints: a line for each finding, and a summary with a line for each delay.
 *
 *     stale key=user:42 server=10.0.0.1:11211 gtid=0-1-7 offset=12 after=1s age=12.3s
 *     summary after=1s asked=120 gone=118 refilled=1 near=0 unasked=0 unknown=0 stale=1 misrouted=0
 *
 * As JSON the same names, one object per line.  The age is the least that the item can have; it may be older.
 *
 * Threads: one at a time.   Blocks: as long as the write to `out` does.   Clock: none.
 */
#ifndef SQUEAL_REPLAY_REPORT_H
#define SQUEAL_REPLAY_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/core/buf.h"
#include "replay/audit.h"
#include "replay/follow.h"

/* "1s", "1500ms", "10m" */
void report_duration(uint64_t ms, struct buf *out);

/* One line. */
void report_finding(const struct audit_finding *f, const char *server, bool json, struct buf *out);

/* Everything so far. */
void report_summary(const struct audit *a, const struct audit_options *opt, const struct follow_metrics *log,
		    bool json, struct buf *out);

#endif
