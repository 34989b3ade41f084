/*
 * ddl - which tables a statement gives other columns.
 *
 * Knows of MySQL and MariaDB what names a table in CREATE, ALTER, DROP and RENAME, and nothing of what these
 * do to it.  Says rather too much than too little: where a statement can be read in two ways (comments that
 * only some servers execute, backslashes in strings), the tables of both are named; where it cannot be read,
 * everything is.  Temporary tables, views, indexes, triggers and the like change no columns of a table.
 *
 * Parsers do no I/O, keep no pointers, trust no lengths.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_DDL_H
#define SQUEAL_DDL_H

#include <stdbool.h>

#include "lib/core/span.h"

enum ddl_what {
	DDL_TABLE,	/* `table` of `db`; without `db`: of the session's database */
	DDL_DATABASE,	/* every table of `db` */
	DDL_EVERYTHING, /* nobody can tell which */
};

struct ddl_target {
	enum ddl_what what;
	struct span db, table; /* without quotes; valid during the call */
	bool only_if_missing;  /* CREATE TABLE IF NOT EXISTS: a table that is there stays as it is */
};

/* Called for each target, for some of them more than once. */
typedef void ddl_fn(void *arg, const struct ddl_target *target);

void ddl_targets(struct span sql, ddl_fn *fn, void *arg);

#endif
