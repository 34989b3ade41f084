/*
 * job_command - the words of `backup`, `restore`, `clone`, `job` and `jobs`, checked.
 *
 *     backup <file>[ since <file>]      to a file of --job-dir, whole or what changed since another backup
 *     backup -                          on this connection (for clone)
 *     restore <file>[ <file>…]          newest first
 *     clone <host:port>                 from another squeal-cache
 *     job stop
 *     jobs
 *
 * Source: schemas/cache-protocol.md, "Jobs".
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_JOB_COMMAND_H
#define SQUEAL_CACHE_SERVER_SERVE_JOB_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

enum { JOB_MAX_FILES = 16, JOB_MAX_NAME = 200 };

enum job_kind { JOB_BACKUP, JOB_STREAM, JOB_RESTORE, JOB_CLONE, JOB_STOP, JOB_LIST };

struct job_command {
	enum job_kind kind;
	struct span files[JOB_MAX_FILES]; /* parts of the command */
	size_t nfiles;			  /* JOB_BACKUP: 1, or 2 with the base; JOB_CLONE: the address */
};

/* False: another command.  Else *out is filled, or *why says what is wrong (ERR_USAGE). */
bool job_command_parse(struct span text, struct job_command *out, struct err_detail *why);

/* "backup", "stream", "restore", "clone" */
const char *job_kind_text(enum job_kind kind);

/* ERR_USAGE: not a name for a file of --job-dir. */
err_t job_name_check(struct span name, struct err_detail *why) MUST_CHECK;

/* "host:port" or "[::1]:port"; both are texts, the port with 1 to 5 digits.  ERR_USAGE. */
struct job_address {
	char host[256], port[6];
};
err_t job_address_parse(struct span text, struct job_address *out, struct err_detail *why) MUST_CHECK;

#endif
