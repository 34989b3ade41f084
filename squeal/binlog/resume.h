/*
 * resume - whether a server can go on from our position, and how.
 *
 * A position that a server cannot prove to continue must never be continued: what is missing would be missing
 * silently.  Everything that a server can be asked beforehand is decided here; what only its search in the
 * binlog shows comes as error 1236 (refusal.h).
 *
 *     RESUME_YES     ask for the stream
 *     RESUME_LATER   it lacks what we have read, and may still get it: a replica that lags
 *     RESUME_REWIND  the same, and it can go on without as well: resume_rewind()
 *     RESUME_NEVER   it will not have it: purged, lost, another server's
 *     RESUME_SETUP   an operator has to set it up
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_RESUME_H
#define SQUEAL_BINLOG_RESUME_H

#include "squeal/binlog/position.h"

enum resume { RESUME_YES, RESUME_LATER, RESUME_REWIND, RESUME_NEVER, RESUME_SETUP };

/* What a server says of itself. */
struct resume_server {
	const char *at; /* "db1:3306" */
	bool mariadb;
	bool logs_updates;  /* log_slave_updates: what it gets as a replica is in its binlog */
	uint32_t server_id; /* MariaDB */

	bool has_gtids; /* MySQL: gtid_mode=ON … */
	char gtid_mode[24];
	char uuid[40];
	struct gtid_set executed; /* … all that it has … */
	struct gtid_set purged;	  /* … and of that what its binlog does not have (any more) */

	struct gtid_pos binlog; /* MariaDB: gtid_binlog_pos */

	bool has_file; /* of a POSITION_FILE: it is there … */
	uint64_t size; /* … and this long */
};

void resume_server_fini(struct resume_server *s);

/* May be asked again with a longer answer.  With RESUME_LATER and RESUME_REWIND why->code is ERR_CONN, with
 * RESUME_NEVER ERR_GAP, with RESUME_SETUP ERR_SOURCE_SETUP. */
enum resume resume_from(const struct position *from, const struct resume_server *s, struct err_detail *why);

/*
 * After RESUME_REWIND: `lost` gets what the server lacks of what we have read, and `to` the rest.  A stream
 * from `to` brings everything that the server has or will have and we have not, those of `lost` included if
 * it gets them after all.  What it does not bring: caches may hold what `lost` had changed, so the keys of
 * `lost` have to be deleted once more.
 */
void resume_rewind(const struct position *from, const struct resume_server *s, struct position *to,
		   struct gtid_set *lost);

/* The errors that say that a server will not have our position. */
bool resume_is_never(err_t err);

/*
 * Where to ask a server for a POSITION_FILE: the protocol's position has 32 bits, and a later one is read
 * again from the beginning of its file.
 */
uint64_t resume_file_pos(const struct position *from);

/* What `s` has executed and `from` does not have, of servers that `from` knows nothing of: new to us, as
 * after a promotion.  For a notice; appended to `out`. */
void resume_put_new_servers(const struct position *from, const struct resume_server *s, struct buf *out);

#endif
