/*
 * source_setup - what a server is set to, and whether it can be a source like that.
 *
 * Reads variables only; a replica is asked for its status too.  A sentence about a wrong setting names the
 * statement that mends it.
 *
 * Threads: one at a time per connection.   Blocks: on the server, up to the connection's timeout.
 */
#ifndef SQUEAL_BINLOG_SOURCE_SETUP_H
#define SQUEAL_BINLOG_SOURCE_SETUP_H

#include "squeal/binlog/conn_mysql.h"

struct source_setup {
	bool mariadb;
	bool log_bin;
	bool annotates;
	bool logs_updates;
	bool read_only;
	uint64_t server_id;
	char uuid[40];
	char format[32];
	char checksum[32];
	char gtid_mode[24];
};

struct source_needs {
	uint32_t server_id; /* ours, which must not be the server's */
	bool rows;	    /* every change must come as rows */
	bool texts;	    /* … and rows with the text of their statement */
};

/*
 * *setup begins as {0}.
 * ERR_SOURCE_SETUP: it cannot be a source; otherwise what conn_ask() says.
 */
err_t source_setup_ask(struct conn *c, const struct source_needs *needs, struct source_setup *setup,
		       struct err_detail *why) MUST_CHECK;

#endif
