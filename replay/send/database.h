/*
 * database - how many threads run in the database now (Threads_running), asked once a second.
 *
 * Threads: one of its own asks; any may look.   Blocks: destroy, until a question under way is broken off.
 * Time: real time.
 */
#ifndef SQUEAL_REPLAY_SEND_DATABASE_H
#define SQUEAL_REPLAY_SEND_DATABASE_H

#include "lib/conf/topology.h"
#include "lib/core/log.h"

struct database; /* opaque */

/* Asks the server that `opt` names; borrowed.  ERR_CONN, ERR_AUTH …: it cannot be asked, with what to do. */
err_t database_create(struct database **out, const struct source_options *opt, struct log *log,
		      struct err_detail *why) MUST_CHECK;
void database_destroy(struct database **d); /* NULL is fine */

/* 0: not known now. */
uint64_t database_threads(const struct database *d);

#endif
