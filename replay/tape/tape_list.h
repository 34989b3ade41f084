/*
 * tape_list - keys in a file, one a line, or as the lines of JSON that `squeal keys` prints (list_line.h).
 *
 * Lines that make no sense are counted, and the first ones logged.  ERR_NOT_FOUND, ERR_SYS, ERR_IO: of the
 * file.  ERR_USAGE: the range asks for what the lines do not have.
 *
 * Threads, blocking: see tape.h.
 */
#ifndef SQUEAL_REPLAY_TAPE_TAPE_LIST_H
#define SQUEAL_REPLAY_TAPE_TAPE_LIST_H

#include "replay/tape/tape_options.h"

/* `paths` are copied; "-" is standard input, which can be read once only. */
struct tape *tape_list_create(const struct tape_options *opt, char *const *paths, size_t n);

#endif
