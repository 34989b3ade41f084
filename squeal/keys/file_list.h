/*
 * file_list - the binlog files that a command line names.
 *
 * An argument is a binlog file, "-" for standard input, or an index file (its name ends in ".index"), which
 * stands for the files that it lists.  A server writes paths into it that are absolute or relative to its
 * data folder; here they are relative to the index file's folder, and a path that is not there is looked for
 * by its last part in that folder, so that a copied folder can be read.
 *
 * Threads: one at a time per object.   Blocks: on the disk, for index files.
 */
#ifndef SQUEAL_FILE_LIST_H
#define SQUEAL_FILE_LIST_H

#include <stddef.h>

#include "lib/core/err.h"

/* {0} is empty. */
struct file_list {
	char **paths;
	size_t n, cap;
};

/* ERR_NOT_FOUND, ERR_SYS: the index file cannot be read.  ERR_USAGE: it lists no file, or is none. */
err_t file_list_add(struct file_list *l, const char *arg, struct err_detail *why) MUST_CHECK;
void file_list_fini(struct file_list *l);

/* The part of the path that positions name: behind the last slash. */
const char *file_list_name(const char *path);

#endif
