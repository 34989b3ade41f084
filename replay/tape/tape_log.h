/*
 * tape_log - the records of the log between squeal and the routers (lib/broker/broker.h): a file, or a
 * partition of a topic.
 *
 * The place of a transaction is the offset of its record and its number in it.  The end of the log is where
 * it is when a run begins, unless a last offset was given.  ERR_GAP: records of the range were trimmed.
 * Damaged records are counted and logged; there is nobody else who knows their keys.
 *
 * Threads: see tape.h.   Blocks: on the disk, or on the brokers up to log.timeout without anything new.
 */
#ifndef SQUEAL_REPLAY_TAPE_TAPE_LOG_H
#define SQUEAL_REPLAY_TAPE_TAPE_LOG_H

#include "replay/tape/tape_options.h"

struct tape_log_options {
	uint32_t partition;
	uint64_t start; /* offset; 0: the first that is there */
	uint64_t stop;	/* offset behind the last one; 0: the end of the log */
};

/* The topology in `opt` says which log. */
struct tape *tape_log_create(const struct tape_options *opt, const struct tape_log_options *log_opt);

#endif
