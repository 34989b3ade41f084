/*
 * command - another program, with a text as its input.
 *
 * Its output goes into memory files, so it never waits for us and we never wait for it.
 *
 * Threads: one at a time.   Blocks: only command_wait(), up to its time.   Clock: injected.
 */
#ifndef SQUEAL_COMMAND_H
#define SQUEAL_COMMAND_H

#include <sys/types.h>

#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"

struct command {
	pid_t pid; /* 0: none, or ended */
	int out, err;
	int status; /* as waitpid() says */
};

#define COMMAND_INIT ((struct command){.out = -1, .err = -1})

/* `argv` ends in NULL; argv[0] is looked up in PATH. */
err_t command_start(struct command *c, char *const *argv, struct span input,
		    struct err_detail *why) MUST_CHECK;

/* True when it has ended. */
bool command_ended(struct command *c);

/* Waits until the monotonic time; a command that still runs then is killed with its children. */
void command_wait(struct command *c, const struct clock *clock, uint64_t until_ms);

/* After its end.  "" when it ended well; otherwise how, with the end of what it said on standard error. */
void command_complaint(struct command *c, struct buf *out);

/* After its end: the first 64 KiB of its standard output. */
void command_output(struct command *c, struct buf *out);

/* Kills what still runs; can be called twice. */
void command_fini(struct command *c);

#endif
