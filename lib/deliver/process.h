/*
 * process - which memcached process it is that answers, by its "stats".
 *
 *     pid                 alone says little: in a container it is always 1
 *     time - uptime       when it began by its own clock: a constant of the process
 *     total_connections   grows with every connection, ours too
 *     curr_items, total_items   both 0: it is empty and always was, so it does not matter who it is
 *     started_us, age_us  "stats restart" of squeal-cache: when it began, and how long ago, to the
 * microsecond
 *
 * Source: memcached 1.6, doc/protocol.txt, "General-purpose statistics"; memcached.c: uptime begins at 2 and
 * is counted by a timer, so it lags while the process is stopped.
 *
 * For lib/deliver only.
 *
 * Threads: any.   Blocks: never.   Clock: the caller's.
 */
#ifndef SQUEAL_LIB_DELIVER_PROCESS_H
#define SQUEAL_LIB_DELIVER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/span.h"
#include "lib/deliver/server.h"

struct process {
	bool met; /* it was connected */
	bool known;
	uint64_t pid, uptime_s, time_s, connections;
	uint64_t started_us, age_us; /* 0: it does not say */
	uint64_t items, items_ever;
	uint64_t asked_ms, told_ms; /* monotonic */
	unsigned has;		    /* bits of what was told */
};

/* A line of stats without "STAT": "pid 4711". */
void process_stat(struct process *p, struct span line);

/* "stats" was asked for at the one time and answered at the other; known when all was told. */
void process_asked(struct process *p, uint64_t asked_ms, uint64_t told_ms);

/* `heard_ms`: when the last came from the former one; before the clock's zero where it was recalled. */
enum server_change process_compare(const struct process *former, const struct process *now, int64_t heard_ms);

/* What to keep of it; false: it is not known. */
bool process_past(const struct process *p, int64_t heard_ms, struct server_past *out);

/* A former one, as it was kept. */
void process_recall(struct process *p, const struct server_past *past);

/* The earliest that it can have begun, by the wall clock, where that is now; 0: not known. */
uint64_t process_started_us(const struct process *p, uint64_t real_us, uint64_t mono_ms);

#endif
