/*
 * mapping - memory for a store in a file (tmpfs, DAX, disk) that outlives the process, and what can be
 * believed of it.
 *
 * The file begins with a header (magic, layout version, sizes, seed, boot id of the kernel, clean mark, wall
 * time of store second 0, the latest second), then the caller's fixed regions (the guard's), the table of
 * segment headers and the segments.  After a crash of the process the kernel still has every byte that was
 * stored, so the file is as good as the process left it; after a crash of the machine it is not: an unclean
 * file of another boot is not believed and starts cold, with a line that says so.  A file that is damaged,
 * foreign or half made never stops the server.
 *
 * Threads: the main thread.   Blocks: on the disk.   Clock: passed in.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_MAPPING_H
#define SQUEAL_CACHE_SERVER_STORE_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"

enum mapping_state {
	MAPPING_NEW,	    /* was not there, or empty */
	MAPPING_CLEAN,	    /* closed in order */
	MAPPING_CRASHED,    /* the process died, the machine did not: every store that was made is there */
	MAPPING_DISTRUSTED, /* damaged, of another layout, or unclean after a reboot: cold */
};

struct mapping; /* opaque */

struct mapping_options {
	const char *path;
	uint64_t memory;       /* bytes of segments; another value than the file's is fine: see restart.h */
	uint64_t segment_size; /* as the store's options */
	uint64_t guard_bytes;  /* size of the guard's region */
	const struct clock *clock;
	struct log *log; /* may be NULL */
};

/*
 * Opens or makes the file and locks it: ERR_IN_USE when another process has it.  ERR_SYS: cannot be made, or
 * the file system has no room (space is reserved at once, so that no later store faults).
 */
err_t mapping_open(struct mapping **out, const struct mapping_options *opt,
		   struct err_detail *why) MUST_CHECK;

/* Marks it clean when `clean`, after everything has been written. */
err_t mapping_close(struct mapping **m, bool clean, struct err_detail *why);

enum mapping_state mapping_state(const struct mapping *m);

/* Why it is distrusted, "" otherwise; for the log and `stats restart`. */
const char *mapping_reason(const struct mapping *m);

/* Store seconds now: wall clock at open, then monotonic; never behind what the file has seen. */
uint32_t mapping_now(const struct mapping *m);

void *mapping_guard(struct mapping *m, uint64_t *bytes);

#endif
