/*
 * console - what is said while squeal-replay works: sentences for people, objects for programs, errors.
 *
 * Threads: one; the log's lines may come from any.   Blocks: on standard output and error.   Clock: given.
 */
#ifndef SQUEAL_REPLAY_COMMAND_CONSOLE_H
#define SQUEAL_REPLAY_COMMAND_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "replay/send/screen.h"

struct console {
	struct screen screen;
	struct log *log;
	bool json, is_terminal;
	struct buf text; /* what console_say() says */
};

/* `every_ms`: how often progress is shown; a terminal follows at once unless it was given. */
void console_open(struct console *c, const struct clock *clock, bool json, uint64_t every_ms,
		  bool every_given);
void console_close(struct console *c);

/* Says c->text and empties it. */
void console_say(struct console *c);

/* A sentence, only for people. */
void console_line(struct console *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An error, to standard error; to programs as an object, too.  `is_usage`: the help is named. */
void console_error(struct console *c, const struct err_detail *why, bool is_usage);

#endif
