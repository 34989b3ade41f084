/*
 * lockfile - one holder at a time, until it closes the lock or dies.
 *
 * The file stays when the lock is given up: removing it would let two processes hold "the" lock.
 *
 * Threads: any.   Blocks: on opening a file.
 */
#ifndef SQUEAL_LIB_BROKER_LOCKFILE_H
#define SQUEAL_LIB_BROKER_LOCKFILE_H

#include "lib/core/err.h"

/* ERR_IN_USE: *why reads "WHAT is in use by process 4711 (FILE); stop it first". */
err_t lockfile_take(int *fd, const char *path, const char *what, struct err_detail *why) MUST_CHECK;

/* Gives it up; -1 is fine. */
void lockfile_give_up(int *fd);

#endif
