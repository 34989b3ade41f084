/*
 * tape_spool - the deletes that mcrouter could not deliver and wrote into its AsyncLog (spool_line.h,
 * spool_files.h).
 *
 * Files come in the order of their times.  Lines that make no sense are counted, and the first ones logged;
 * so is a last line that was cut short.  The line's time is the transaction's; mcrouter's name of the pool is
 * not ours and is not passed on.  ERR_NOT_FOUND, ERR_SYS, ERR_IO: of folders and files.  ERR_USAGE: the range
 * asks for ids.
 *
 * Threads, blocking: see tape.h.
 */
#ifndef SQUEAL_REPLAY_TAPE_TAPE_SPOOL_H
#define SQUEAL_REPLAY_TAPE_TAPE_SPOOL_H

#include "replay/tape/tape_options.h"

/* `paths` are copied.  `hosts`: only lines for these servers, "10.0.0.1:11302"; none: all lines. */
struct tape *tape_spool_create(const struct tape_options *opt, char *const *paths, size_t n,
			       char *const *hosts, size_t nhosts);

#endif
