/*
 * folder - where jobs are kept, and what one of them has there: its file, its lock, and a list that could be
 * read only once.
 *
 * Threads: one.   Blocks: on the disk.   Clock: given.
 */
#ifndef SQUEAL_REPLAY_COMMAND_FOLDER_H
#define SQUEAL_REPLAY_COMMAND_FOLDER_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/core/clock.h"
#include "lib/core/err.h"

/* Begin with FOLDER_INIT; all of it is there once folder_take() was called. */
struct folder {
	char *path;
	char id[64]; /* of the job */
	char *job_path, *list_path;
	int lock;
};
#define FOLDER_INIT ((struct folder){.lock = -1})

/* `state`: what --state says; NULL: the usual one.  It is made where it is not there, and must be one to
 * write in.  ERR_USAGE, ERR_SYS. */
err_t folder_find(struct folder *f, const char *state, struct err_detail *why) MUST_CHECK;

/* A new job: "20261121-083015-3f2a". */
void folder_name(struct folder *f, const struct clock *clock);

/* One that is there.  ERR_USAGE: it is not, and *why names those that could be gone on with. */
err_t folder_choose(struct folder *f, const char *id, struct err_detail *why) MUST_CHECK;

/* From here on nobody else works on the job.  ERR_IN_USE. */
err_t folder_take(struct folder *f, struct err_detail *why) MUST_CHECK;

/* Copies a list that can be read once only to f->list_path. */
err_t folder_copy_list(struct folder *f, FILE *from, struct err_detail *why) MUST_CHECK;

/* A job without a file (a plan that was refused) leaves nothing behind. */
void folder_close(struct folder *f);

#endif
