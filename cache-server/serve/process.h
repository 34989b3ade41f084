/*
 * process - what happens to the process as a whole before it serves: limits, user, background, pid file.
 *
 * Source: memcached 1.6.45, main(), daemon.c, save_pid().
 *
 * Threads: main, before there are others.   Blocks: process_daemonize() in the parent, until the child is
 * ready.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_PROCESS_H
#define SQUEAL_CACHE_SERVER_SERVE_PROCESS_H

#include <stdbool.h>

#include "cache-server/settings/settings.h"
#include "lib/core/err.h"

/* -r, -c: core files, and descriptors for so many connections.  ERR_SYS. */
err_t process_limits(const struct settings *s, struct err_detail *why) MUST_CHECK;

/* -u as root: ERR_NOT_FOUND when there is no such user, ERR_SYS when it cannot be. */
err_t process_become(const struct settings *s, struct err_detail *why) MUST_CHECK;

/*
 * -d: goes on in a child with a session of its own.  The parent leaves with 0 when process_ready() is called
 * in the child, or with the child's exit code when that ends before: so who started it knows that it serves.
 */
err_t process_daemonize(struct err_detail *why) MUST_CHECK;

/* In the child: tells the parent; standard streams go to /dev/null unless -v, the folder to / unless -r. */
void process_ready(const struct settings *s);

/* -k: false when it is not possible; errno says why. */
bool process_lock_memory(void);

/* -P: with a notice on standard error where the file held another process that lives. */
void process_write_pid(const char *path);
void process_remove_pid(const char *path);

#endif
