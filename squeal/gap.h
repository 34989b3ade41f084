/*
 * gap - why reading can stop for good: what follows cannot be proven to be whole (promise I9).
 *
 * One row for each reason: the error that ends the stream, the exit code, a name for /status and scripts, and
 * what happened in one sentence.  docs/operations.md has a line of the runbook for each.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_GAP_H
#define SQUEAL_GAP_H

#include "lib/core/err.h"

/* clang-format off */
/*	  error              exit  name               what happened */
#define GAP_TABLE(G)                                                                                                   \
	G(ERR_GAP,           20,   "gap",             "what follows the checkpoint cannot be proven to be whole")      \
	G(ERR_PURGED,        21,   "purged",          "the source has removed binlogs that were not read")             \
	G(ERR_BEHIND,        22,   "behind",          "the source lacks transactions that were read before: a shortened binlog, a restored backup, RESET") \
	G(ERR_OTHER_SERVER,  23,   "other_server",    "another server answers, and a place in a file means nothing there") \
	G(ERR_INCIDENT,      24,   "incident",        "the source says that it lost events")                           \
	G(ERR_UNKNOWN_EVENT, 25,   "unknown_event",   "an event that cannot be read and must not be skipped")          \
	G(ERR_BAD_EVENT,     26,   "bad_event",       "an event is damaged, each time it is read")                     \
	G(ERR_CHECKSUM,      26,   "bad_event",       "an event is damaged, each time it is read")                     \
	G(ERR_PROTOCOL,      26,   "bad_event",       "what the source sends makes no sense, each time it is read")    \
	G(ERR_TOO_LONG,      27,   "too_long",        "an event is longer than source.max_event")                      \
	G(ERR_KEYS_UNKNOWN,  28,   "keys_unknown",    "a rule must make a key of a value that the binlog does not hold, or of a column whose name is not certain")
/* clang-format on */

struct gap {
	err_t err;
	int exit_code;
	const char *name;
	const char *what;
};

/* True when the error is in the table. */
bool gap_is(err_t err);

/* The row of an error that ended the stream; that of ERR_GAP for errors that are not in the table. */
const struct gap *gap_of(err_t err);

#endif
