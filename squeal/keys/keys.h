/*
 * keys - binlog files to lines of JSON, one per transaction: `squeal keys`.
 *
 * Reads the files in their order and writes the transactions that the range wants, whole, in the order in
 * which they were committed.  A transaction that a file ends inside of is left out, and that is logged; so is
 * a file that does not go on where the one before it says.
 *
 * Threads: one.   Blocks: on the disk and on the output.   Clock: none.
 */
#ifndef SQUEAL_KEYS_H
#define SQUEAL_KEYS_H

#include "lib/core/log.h"
#include "markers/rule.h"
#include "squeal/gather.h"
#include "squeal/keys/file_list.h"
#include "squeal/keys/range.h"

/* All borrowed. */
struct keys_options {
	const struct markers_options *markers;
	struct rule_live *rules; /* NULL: keys of comments only */
	bool count_rows;	 /* read all rows and say how many there were */
	bool sources;		 /* say where each key comes from */
	struct range *range;
	const char *spill_dir;
	struct log *log;
	int out; /* file descriptor */
};

/*
 * ERR_NOT_FOUND, ERR_USAGE: as range.h and source_file.h say.  ERR_IO: `out` cannot be written.  Otherwise
 * what the reader or the rules said; the transactions before that were written.
 */
err_t keys_run(const struct keys_options *opt, const struct file_list *files,
	       struct err_detail *why) MUST_CHECK;

#endif
