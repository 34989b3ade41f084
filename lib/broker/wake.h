/*
 * wake - one process tells others that there is something new, without sockets and without polling.
 *
 * Whoever rings writes a few bytes to a file; whoever waits has an fd that becomes readable (inotify).  A
 * ring between wake_clear() and the next wait is not lost: clear first, then look for news, then wait. The
 * file may be missing, removed or replaced at any time; the next ring makes it again, and a waiter that calls
 * wake_heal() now and then finds it.
 *
 * Threads: one at a time per waiter.   Blocks: never for long: no sync, no lock.
 */
#ifndef SQUEAL_LIB_BROKER_WAKE_H
#define SQUEAL_LIB_BROKER_WAKE_H

#include "lib/core/err.h"

/* Wakes everybody who waits on `path`. */
err_t wake_ring(const char *path, struct err_detail *why) MUST_CHECK;

struct wake {
	int fd;	   /* readable after a ring; -1 when closed */
	int watch; /* -1: the file could not be watched yet */
	char *path;
};

#define WAKE_INIT ((struct wake){.fd = -1, .watch = -1})

/* Works without the file too: wake_heal() tries again. */
err_t wake_open(struct wake *w, const char *path, struct err_detail *why) MUST_CHECK;
void wake_close(struct wake *w);

/* Makes the fd unreadable until the next ring. */
void wake_clear(struct wake *w);

/* Watches the file if that has not been possible so far; cheap when there is nothing to do. */
void wake_heal(struct wake *w);

#endif
