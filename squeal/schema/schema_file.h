/*
 * schema_file - lines that survive a crash: what schema.h knows, beside the log.
 *
 * Each line has a checksum and is on the disk before schema_file_append() returns.  A last line that is cut
 * short was never promised to anybody and is left out; any other damage is ERR_CORRUPT.
 *
 * Threads: one at a time.   Blocks: on the disk.
 */
#ifndef SQUEAL_SCHEMA_FILE_H
#define SQUEAL_SCHEMA_FILE_H

#include "lib/core/buf.h"
#include "lib/core/err.h"

struct schema_file; /* opaque */

typedef err_t schema_line_fn(void *arg, struct span line, struct err_detail *why);

/* `line` gets what the file holds; a file that is not there is empty.  ERR_CORRUPT, ERR_IO, ERR_SYS. */
err_t schema_file_open(struct schema_file **out, const char *path, schema_line_fn *line, void *arg,
		       struct err_detail *why) MUST_CHECK;
void schema_file_close(struct schema_file **f); /* NULL is fine */

/* A line has no line ends. */
err_t schema_file_append(struct schema_file *f, struct span line, struct err_detail *why) MUST_CHECK;

/* Makes these lines, each with its end, all that the file holds. */
err_t schema_file_replace(struct schema_file *f, struct span lines, struct err_detail *why) MUST_CHECK;

/* Bytes that the file has. */
size_t schema_file_size(const struct schema_file *f);

#endif
