/*
 * jobfile - what a job must know to go on after it ended or was killed: its command line, its plan, and how
 * far it is.
 *
 *     squeal-replay job 1
 *     arg --from
 *     …
 *     mark mariadb-bin.000007:4711
 *     check 9f86d081884c7d65
 *
 * Lines of a name and a value; the last one is a checksum over those before it.  Control characters and
 * backslashes in values are written \xNN.  Written so that it holds either all of the old or all of the new.
 *
 * Threads: one at a time per object.   Blocks: on the disk.
 */
#ifndef SQUEAL_REPLAY_SEND_JOBFILE_H
#define SQUEAL_REPLAY_SEND_JOBFILE_H

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "replay/plan/select.h"

enum { JOBFILE_MAX = 4 << 20 };

/* clang-format off */
/*	  name            what it is */
#define JOBFILE_NUMBERS(N)                                                        \
	N(seed,           "of what is remembered of keys")                        \
	N(made_us,        "when the plan was made")                               \
	N(plan_hash,      "of what decides where keys go and what is done there") \
	N(plan_keys,      "keys of the plan")                                     \
	N(plan_deletes,   "deletes of the plan")                                  \
	N(done_keys,      "keys that are done: acknowledged by every server")     \
	N(acked,          "deletes that were acknowledged")                       \
	N(hits,           "of these, the key was there")                          \
	N(misses,         "of these, it was not")                                 \
	N(given_up,       "deletes that a server refused for good")               \
	N(active_ms,      "time that was spent sending")                          \
	N(runs,           "times that the job was started")
/* clang-format on */

enum jobfile_state { JOBFILE_RUNNING, JOBFILE_STOPPED, JOBFILE_DONE };

/* {0} is an empty one; texts are its own. */
struct jobfile {
	enum jobfile_state state;
	char **args; /* of the command line, without the program */
	size_t nargs;
	uint64_t numbers[16]; /* by enum jobfile_number */
	/* How far it is; `has_place` false: nothing is done. */
	bool has_place;
	struct select_place place;
	struct buf file, gtid;
};

enum jobfile_number {
#define JOBFILE_ENUM(name, what) JOBFILE_##name,
	JOBFILE_NUMBERS(JOBFILE_ENUM)
#undef JOBFILE_ENUM
	    JOBFILE_NNUMBERS
};

void jobfile_fini(struct jobfile *j);
void jobfile_add_arg(struct jobfile *j, const char *arg);
void jobfile_set_place(struct jobfile *j, const struct select_place *place); /* copies */

void jobfile_format(const struct jobfile *j, struct buf *out);

/* ERR_CORRUPT with a sentence. */
err_t jobfile_parse(struct jobfile *j, struct span text, struct err_detail *why) MUST_CHECK;

/* Errors of file_replace() and file_read(); ERR_NOT_FOUND: there is no such job. */
err_t jobfile_write(const struct jobfile *j, const char *path, struct err_detail *why) MUST_CHECK;
err_t jobfile_read(struct jobfile *j, const char *path, struct err_detail *why) MUST_CHECK;

/* "plan_keys" */
const char *jobfile_number_name(enum jobfile_number n);

/* "running", "stopped", "done" */
const char *jobfile_state_name(enum jobfile_state s);

#endif
