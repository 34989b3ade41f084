/*
 * arguments - the command line of squeal-replay.
 *
 * Three kinds of options: what decides the plan, what decides how it is carried out, and what is asked for
 * now.  A job keeps the first two; with --resume only those of the second and third kind are taken, and they
 * win over the job's.
 *
 * Threads: one.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_COMMAND_ARGUMENTS_H
#define SQUEAL_REPLAY_COMMAND_ARGUMENTS_H

#include "lib/core/err.h"
#include "lib/core/option.h"
#include "squeal/keys/range.h"

/* clang-format off */
/*	  name                type      default     min max            unit        reload help */
#define REPLAY_RUN_OPTIONS(OPT)                                                                                         \
	OPT(rate,                UINT,     "10000",    0,  100000000,     "keys/s",   NO, "deletes per second, all servers together; 0: as fast as they take them") \
	OPT(max_ack,             DURATION, "50ms",     0,  60000,         "ms",       NO, "go slower while a server needs longer than this for 99 of 100 acknowledgements; 0ms: never") \
	OPT(max_misses,          UINT,     "0",        0,  1000000000,    "keys/s",   NO, "go slower while readers of a cluster miss more keys than this; 0: never") \
	OPT(max_threads_running, UINT,     "0",        0,  100000,        "",         NO, "go slower while more threads than this run in the database that squeal.yaml names; 0: never") \
	OPT(patience,            DURATION, "60s",      0,  86400000,      "ms",       NO, "stop, to be resumed, when a server with deletes is away for so long; 0s: wait for ever") \
	OPT(progress,            DURATION, "10s",      100, 3600000,      "ms",       NO, "how often a line of progress is printed; on a terminal the bar follows at once")
#define REPLAY_PLAN_OPTIONS(OPT)                                                                                        \
	OPT(max_keys,            UINT,     "1000000",  0,  1000000000000ull, "deletes", NO, "refuse to execute a plan with more deletes than this") \
	OPT(hit_share,           UINT,     "100",      0,  100,           "%",        NO, "how many keys of a hundred the caches hold: for the database reads of the plan") \
	OPT(stale,               DURATION, "0s",       0,  86400000,      "ms",       NO, "mark values as stale for so long instead of deleting them (clients must read with mg); 0s: as squeal.yaml says") \
	OPT(holdoff,             DURATION, "0s",       0,  60000,         "ms",       NO, "and nobody may fill the keys for so long (squeal-cache)") \
	OPT(mode,                CHOICE,   "auto",     0,  0,          "auto|warm|cold", NO, "of the clusters; auto: as their routers say; cold holds fills off") \
	OPT(start_offset,        UINT,     "0",        0,  0,             "",         NO, "log: the first record's offset") \
	OPT(stop_offset,         UINT,     "0",        0,  0,             "",         NO, "log: the offset behind the last record") \
	OPT(partition,           UINT,     "0",        0,  1000,          "",         NO, "log: the partition of the topic")
/* clang-format on */

struct replay_run_options {
	OPTION_FIELDS(REPLAY_RUN_OPTIONS)
};
struct replay_plan_options {
	OPTION_FIELDS(REPLAY_PLAN_OPTIONS)
};

/* Texts that an option was given again and again. */
struct names {
	char **at;
	size_t n;
};
void names_add(struct names *n, const char *text);
void names_fini(struct names *n);

enum from { FROM_NONE, FROM_BINLOG, FROM_SERVER, FROM_LOG, FROM_LIST, FROM_SPOOL };

struct arguments {
	char *config; /* absolute */
	enum from from;
	struct names paths; /* absolute, but "-" */
	char *bounds[RANGE_NBOUNDS];
	struct names keys, key_regexes, except, tables, sources, hosts;
	struct names clusters, pools, servers;
	struct names rings_of; /* files with rings of before; absolute */
	struct names admin;    /* addresses of routers to ask, too */
	bool repeats;	       /* are sent as well */
	bool no_former;	       /* owners by rings of before get nothing */
	struct replay_plan_options plan;
	struct replay_run_options run;

	/* now */
	bool execute, json, progress_given;
	char *resume; /* job; NULL: a new one */
	char *state;  /* folder; NULL: not said */
	enum { ARGUMENTS_RUN, ARGUMENTS_HELP, ARGUMENTS_VERSION } wanted;

	/* What a job keeps: the same again as options. */
	struct names kept;
};

void arguments_init(struct arguments *a);
void arguments_fini(struct arguments *a);

/*
 * Reads argv.  With `is_resumed` the plan is the job's, which was read before by the same function, and
 * options of the plan are refused.  ERR_USAGE with a sentence.
 */
err_t arguments_read(struct arguments *a, int argc, char **argv, bool is_resumed,
		     struct err_detail *why) MUST_CHECK;

/* Does it fit together?  ERR_USAGE with a sentence. */
err_t arguments_check(const struct arguments *a, struct err_detail *why) MUST_CHECK;

/* "binlog" … */
const char *arguments_from_name(enum from f);

void arguments_help(struct buf *out);

#endif
