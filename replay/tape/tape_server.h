/*
 * tape_server - the binlog of the server that the section source of squeal.yaml names, read as a replica
 * reads it (squeal/binlog/source_mysql.h), up to where it ends when it is asked.
 *
 * It begins at --start-gtid where that is a position, and at the first event that the server still has
 * otherwise; what the range does not want is passed over.  Registered under a server id of its own, so squeal
 * is not disturbed.  A link that is lost is made anew behind the last whole transaction, LINK_TRIES times in
 * a row. Errors as source_mysql.h says: ERR_CONN, ERR_AUTH, ERR_PRIVILEGE, ERR_SOURCE_SETUP, ERR_GAP …
 *
 * Threads: see tape.h.   Blocks: on the server.
 */
#ifndef SQUEAL_REPLAY_TAPE_TAPE_SERVER_H
#define SQUEAL_REPLAY_TAPE_TAPE_SERVER_H

#include "markers/rule.h"
#include "replay/tape/tape_options.h"

/* `rules` is borrowed; NULL: keys of comments only.  `nonce` makes the server id one of its own. */
struct tape *tape_server_create(const struct tape_options *opt, struct rule_live *rules, uint64_t nonce);

#endif
