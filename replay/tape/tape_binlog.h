/*
 * tape_binlog - binlog files, as squeal would have read them (squeal/keys/reading.h).
 *
 * Errors as reading_file(), range_files() and range_finish() say.  A file may end inside of a transaction,
 * which is then left out and logged.  Names of columns that the files do not have are not known here: rules
 * of such tables are ERR_KEYS_UNKNOWN; read through the server then.
 *
 * Threads, blocking: see tape.h.
 */
#ifndef SQUEAL_REPLAY_TAPE_TAPE_BINLOG_H
#define SQUEAL_REPLAY_TAPE_TAPE_BINLOG_H

#include "markers/rule.h"
#include "replay/tape/tape_options.h"
#include "squeal/keys/file_list.h"

/* Takes over what `files` has.  `rules` is borrowed; NULL: keys of comments only. */
struct tape *tape_binlog_create(const struct tape_options *opt, struct file_list *files,
				const struct markers_options *markers, struct rule_live *rules);

#endif
