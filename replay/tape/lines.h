/*
 * lines - a file, line by line, of any length up to a limit.
 *
 * Threads: one at a time per object.   Blocks: on the disk.
 */
#ifndef SQUEAL_REPLAY_TAPE_LINES_H
#define SQUEAL_REPLAY_TAPE_LINES_H

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

/* {0} is closed. */
struct lines {
	char *path;
	int fd;
	bool is_open, is_stdin, at_end;
	size_t limit;
	uint64_t number;    /* of the line that came last, from 1 */
	uint64_t at;	    /* bytes of the file that were taken */
	uint64_t file_size; /* 0: not known */
	struct buf in;
	size_t looked; /* bytes of `in` without a line end */
	size_t take;   /* of `in`, at the next call */
};

/* "-" is standard input.  ERR_NOT_FOUND, ERR_SYS with what to do. */
err_t lines_open(struct lines *l, const char *path, size_t limit, struct err_detail *why) MUST_CHECK;
void lines_close(struct lines *l);

/*
 * The next line without its end, valid until the next call; *more false behind the last one.  *whole: a line
 * end follows it; the last line of a file that is being written, or whose writer died, has none.  A line
 * beyond the limit comes cut, with *whole false.  ERR_IO.
 */
err_t lines_next(struct lines *l, struct span *line, bool *whole, bool *more,
		 struct err_detail *why) MUST_CHECK;

#endif
