/*
 * report - what a replay did, at its end.
 *
 * Threads: one.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_COMMAND_REPORT_H
#define SQUEAL_REPLAY_COMMAND_REPORT_H

#include "replay/send/send.h"

struct report {
	const struct send_result *result;
	const struct jobfile *job;
	const struct targets *targets;
	const struct tape_counts *tape;
	const char *unit; /* of tape->bad */
	const char *job_id;
	const char *resume; /* the command that goes on; "" where the job is done */
};

/* Deletes that were refused, and records or lines that could not be read: nobody else will do these. */
uint64_t report_left_out(const struct report *r);

void report_text(const struct report *r, struct buf *out);
void report_json(const struct report *r, struct buf *out);

#endif
