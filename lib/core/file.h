/*
 * file - small files, whole.
 *
 * Threads: any.   Blocks: on the disk.
 */
#ifndef SQUEAL_LIB_CORE_FILE_H
#define SQUEAL_LIB_CORE_FILE_H

#include <stddef.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"

/* Appends the file's bytes to `out`.  A file above `limit` bytes is ERR_TOO_LONG. */
err_t file_read(const char *path, size_t limit, struct buf *out, struct err_detail *why) MUST_CHECK;

/* A secret: the file's first line without its newline.  Warns through *why only on error; an empty first line
 * is an error.  A file that others may read is refused. */
err_t file_read_secret(const char *path, struct buf *out, struct err_detail *why) MUST_CHECK;

/* Replaces `path` with `bytes` so that after a power cut it holds either all of the old or all of the new. */
err_t file_replace(const char *path, struct span bytes, struct err_detail *why) MUST_CHECK;

#endif
