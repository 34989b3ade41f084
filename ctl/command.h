/*
 * command - what squealctl can do: a row per word of its command line.
 *
 * Every command asks all ports that it was given and prints for people, or with --json everything they said.
 *
 * Exit codes: COMMAND_OK, COMMAND_BAD (somebody is not reachable, not ready, or refused), COMMAND_USAGE.
 *
 * Threads: any.   Blocks: on the answers.
 */
#ifndef SQUEAL_CTL_COMMAND_H
#define SQUEAL_CTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/ask/place.h"
#include "lib/core/buf.h"
#include "lib/core/clock.h"

enum { COMMAND_OK = 0, COMMAND_BAD = 1, COMMAND_USAGE = 2, COMMAND_CONFIG = 78 };

struct command_context {
	const struct places *places;
	const struct clock *clock;
	const char *const *words; /* behind the command's name */
	size_t nwords;
	bool json;
	uint64_t rows; /* of trace and top */
	uint64_t timeout_ms;
	struct buf *out; /* for standard output */
	struct buf *err; /* for standard error */
};

struct command {
	const char *name;
	const char *words; /* "KEY", "[SERVER]"; "" for none */
	size_t min, max;   /* how many words */
	bool with_squeal;  /* asks squeal's port too */
	const char *help;
	int (*run)(const struct command_context *c);
};

extern const struct command commands[];
extern const size_t ncommands;

int status_run(const struct command_context *c);
int explain_run(const struct command_context *c);
int trace_run(const struct command_context *c);
int top_run(const struct command_context *c);
int pause_run(const struct command_context *c);
int resume_run(const struct command_context *c);
int drain_run(const struct command_context *c);
int mode_run(const struct command_context *c);
int seal_run(const struct command_context *c);

#endif
