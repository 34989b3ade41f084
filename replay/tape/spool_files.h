/*
 * spool_files - the files of mcrouter's AsyncLog folders, in the order of their times.
 *
 *     /var/spool/mcrouter/20261121T08-1795248000/20261121T081500-1795248900-service-router-t1-0x7f…
 *
 * (mcrouter, mcrouter/AsyncLog.cpp: a folder an hour, a file every 15 minutes and thread; the number behind
 * the first dash is when it was opened, in seconds since 1970.)  A file that is named otherwise counts by the
 * time of its last change.
 *
 * Threads: one at a time per object.   Blocks: on the disk.
 */
#ifndef SQUEAL_REPLAY_TAPE_SPOOL_FILES_H
#define SQUEAL_REPLAY_TAPE_SPOOL_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/core/err.h"

struct spool_file {
	char *path;
	uint64_t opened_s;
	uint64_t size;
	bool is_named; /* as mcrouter names them */
};

/* {0} is empty. */
struct spool_files {
	struct spool_file *files;
	size_t n, cap;
};

/* A folder, with the folders in it, or a file.  ERR_NOT_FOUND, ERR_SYS: it, or something in it, cannot be
 * read. */
err_t spool_files_add(struct spool_files *l, const char *path, struct err_detail *why) MUST_CHECK;

/* By time, then by name. */
void spool_files_sort(struct spool_files *l);
void spool_files_fini(struct spool_files *l);

/* The time in a file's name (without folder); 0: mcrouter did not give it. */
uint64_t spool_files_time(const char *name);

#endif
