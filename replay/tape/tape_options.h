/*
 * tape_options - what every kind of tape is made with, and what they do alike.
 *
 * Threads: those of the tape.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_TAPE_TAPE_OPTIONS_H
#define SQUEAL_REPLAY_TAPE_TAPE_OPTIONS_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "replay/tape/tape.h"
#include "squeal/keys/range.h"

/*
 * All borrowed, and must outlive the tape.  `ranges` makes the range of a run: each run needs a new one,
 * since a range remembers what came by.
 */
struct tape_options {
	const struct topology *topology; /* NULL: none was given */
	const struct clock *clock;
	struct log *log;
	struct range *(*make_range)(void *arg, struct log *log);
	void *arg;
	const char *spill_dir;
	bool tables; /* somebody asks for them */
};

/*
 * Is a transaction wanted that is known by id and time only?  ERR_USAGE: the range asks for what the tape
 * does not have: ids of a text without one, times where there is none.
 */
err_t tape_wants(struct range *range, struct span gtid, uint64_t commit_us, const char *what, bool *wanted,
		 struct err_detail *why) MUST_CHECK;

#endif
