/*
 * source_file - events from a binlog file on disk.
 *
 * ERR_NOT_FOUND: no such file.   ERR_BAD_EVENT: not a binlog file, or an event in it is longer than max_event
 * or shorter than its header.   A file may end in the middle of an event: while the server still writes it,
 * and after a crash of the server.  Then the events before that come out as usual, next() says end of file,
 * and source_file_tail() tells how many bytes were left.
 *
 * Threads, blocking: see source.h.  Reads are sequential, in blocks of a MiB.
 */
#ifndef SQUEAL_BINLOG_SOURCE_FILE_H
#define SQUEAL_BINLOG_SOURCE_FILE_H

#include "squeal/binlog/source.h"

/* `path` is copied; "-" is standard input.  The file is opened by source_open(). */
struct source *source_file_create(const char *path, size_t max_event);

/* Bytes behind the last whole event, known once next() has said end of file; 0 when the file ends with an
 * event. */
uint64_t source_file_tail(const struct source *s);

/* FORMAT_DESCRIPTION says that the file was not closed: the server writes it now, or crashed. */
bool source_file_in_use(const struct source *s);

#endif
