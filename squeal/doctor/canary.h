/*
 * canary - writes one key through the application's own way into the database, and looks whether it comes out
 * of the binlog.
 *
 * Runs a command of the user's with the canary's statement as its input, and follows the binlog from before
 * that as another replica with an id of its own.  When the transaction comes without its comment, or not at
 * all, the command is run once more with a question about itself: what text of that question did the server
 * get, which server is it, and is the session's sql_log_bin on?  The same question through our own connection
 * tells what the server does to comments.
 *
 * Threads: the main one.   Blocks: up to the timeout, and about as long again to find the cause and to clean
 * up. Clock: injected.
 */
#ifndef SQUEAL_CANARY_H
#define SQUEAL_CANARY_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "squeal/doctor/doctor.h"

struct canary {
	const struct topology *topo;
	const struct clock *clock;
	char *const *command; /* ends in NULL */
	const char
	    *sql; /* with {comment}, and {token} where wanted; NULL: a table of its own, removed again */
	uint64_t timeout_ms;
	uint64_t random; /* makes the key */
};

/* The facts canary.*, path.*, own.* and command.*. */
void canary_run(const struct canary *opt, struct doctor_facts *facts);

/* The statements for the command: `sql` (NULL: the default) with its placeholders filled.  False: no
 * {comment}. */
bool canary_statement(const char *sql, const char *token, const char *comment, struct buf *out);

/* What the statement around {comment} is recognised by when the comment is gone: the longer side of it. */
struct span canary_mark(const char *sql);

/* Finds "squeal-path ID PORT HOST LOGGED KEPT end" in a client's output; false when it is not there. */
struct canary_path {
	char server[300]; /* "server_id 1, port 3306, host db1" */
	bool logged, kept;
};
bool canary_path_parse(struct span output, struct canary_path *out);

#endif
