/*
 * stage - everything that a replay needs, made from its arguments: configuration, rules, filter, targets,
 * tape.
 *
 * Threads: one.   Blocks: on the files of the configuration.
 */
#ifndef SQUEAL_REPLAY_COMMAND_STAGE_H
#define SQUEAL_REPLAY_COMMAND_STAGE_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/log.h"
#include "markers/rule.h"
#include "replay/command/arguments.h"
#include "replay/command/standing.h"
#include "replay/plan/filter.h"
#include "replay/plan/targets.h"
#include "replay/tape/tape.h"

/* {0} is empty; filled by stage_open(). */
struct stage {
	const struct arguments *args;
	struct topology *topology;
	struct rule_live rules;
	bool has_rules;
	struct filter filter;
	struct standings *standings;
	struct targets *targets;
	struct tape *tape;
	struct buf what;    /* what is replayed, in words */
	uint64_t plan_hash; /* of all that decides where keys go and what is done there */
};

/* `args` is borrowed.  `list`: instead of standard input as a list; NULL: that.  ERR_CONFIG, ERR_USAGE,
 * ERR_NOT_FOUND, ERR_SYS … with a sentence. */
err_t stage_open(struct stage *s, const struct arguments *args, const char *list, const char *spill_dir,
		 const struct clock *clock, struct log *log, uint64_t nonce,
		 struct err_detail *why) MUST_CHECK;
void stage_close(struct stage *s);

/* Counts of the filter and of the targets begin anew. */
err_t stage_again(struct stage *s, struct err_detail *why) MUST_CHECK;

#endif
