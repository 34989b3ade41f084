/*
 * mapping - memory for a store in a file (tmpfs, DAX, disk) that outlives the process, and what can be
 * believed of it.
 *
 *     page 0     magic, version, sizes, seed, wall time of store second 0; never changes; checksum
 *     page 1     two slots for what changes, written in turn, each with a number and a checksum: clean mark,
 *                boot id of the kernel, starts, size and place of the table of segment headers, latest
 * second; behind them the latest second of a process that has not come to close the file page 2     the
 * store's own words (restart.h) then       the guard's region, the segments, the table of segment headers
 *
 * Numbers are as the machine has them: the file is memory, not an exchange format (that is backup.h).  A new
 * field goes into the unused rest of its page (zero in older files); anything else is a new version.
 *
 * After a crash of the process the kernel still has every byte that was stored, so the file is as good as
 * the process left it; after a crash of the machine it is not: an unclean file of another boot is not
 * believed and starts cold, with a line that says so.  A file that is damaged, foreign or half made never
 * stops the server; a foreign one is not overwritten but put aside (".aside").
 *
 * The file keeps its seed, segment size and guard size as long as it lives, whatever the options say later.
 * More memory extends it.  With less it keeps its size, and the store withholds segments as it frees them,
 * the least useful items first (mapping_withhold() gives their bytes back).
 *
 * Threads: the main thread but where said.   Blocks: on the disk.   Clock: passed in.
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
	uint64_t memory;       /* bytes of segments */
	uint64_t segment_size; /* a power of two from 64 KiB to 1 MiB; 0: chosen by `memory` */
	uint64_t guard_bytes;  /* size of the guard's region */
	uint64_t seed;	       /* of a new file; 0: drawn at random */
	const char *boot_id;   /* file with the kernel's boot id; NULL: /proc/sys/kernel/random/boot_id */
	const struct clock *clock;
	struct log *log; /* may be NULL */
};

enum { MAPPING_WORDS = 4096 };

/* Where things are.  Valid until mapping_close(). */
struct mapping_layout {
	void *words;	/* MAPPING_WORDS bytes of the store's own; zero in a new file */
	void *heads;	/* count + 1 headers of 64 bytes; zero where new */
	char *segments; /* segment 1 begins here */
	uint32_t count, shift;
	uint32_t wanted; /* segments that the options' memory is; may be less than count */
	uint32_t starts; /* how often the file was opened, this time included */
	uint64_t seed;
};

/*
 * Opens or makes the file and locks it: ERR_IN_USE when another process has it.  ERR_SYS: cannot be made, or
 * the file system has no room (space is reserved at once, so that no later store faults).  No room for more
 * segments of an existing file is a warning: it stays as large as it was.
 */
err_t mapping_open(struct mapping **out, const struct mapping_options *opt,
		   struct err_detail *why) MUST_CHECK;

/*
 * `clean`: nobody writes any more; everything goes to the disk and then the clean mark.  Else the file is
 * left as after a crash of the process.  NULL is fine.
 */
err_t mapping_close(struct mapping **m, bool clean, struct err_detail *why);

enum mapping_state mapping_state(const struct mapping *m);

/* Why it is distrusted, "" otherwise; for the log and `stats restart`. */
const char *mapping_reason(const struct mapping *m);

void mapping_layout(const struct mapping *m, struct mapping_layout *out);

/* Store seconds now, at least 2: wall clock at open, then monotonic; never behind what the file has seen. */
uint32_t mapping_now(const struct mapping *m);

/* The same in milliseconds: what a window had left when the process died is what it has left now. */
uint64_t mapping_now_ms(const struct mapping *m);

/* Unix time that store second 0 has now: the wall clock less mapping_now(), for absolute times in and out. */
uint64_t mapping_epoch(const struct mapping *m);

/* The guard's region; zero unless the state is MAPPING_CLEAN or MAPPING_CRASHED. */
void *mapping_guard(struct mapping *m, uint64_t *bytes);

/* Gives a segment's bytes back to the system, or reserves them again (false: no room).  Any thread. */
void mapping_withhold(struct mapping *m, uint32_t id);
bool mapping_provide(struct mapping *m, uint32_t id);

#endif
