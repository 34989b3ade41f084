/*
 * dump - the commands by which a replica registers and asks for a stream, as bytes.
 *
 *     COM_REGISTER_SLAVE    21   u32 server_id; host, user, password (a length byte each); u16 port; 8 zeroes
 *     COM_BINLOG_DUMP       18   u32 position, u16 flags, u32 server_id, file name
 *     COM_BINLOG_DUMP_GTID  30   u16 flags, u32 server_id, u32 n, file name, u64 position, u32 n, GTID set
 *
 * (mysql-server, sql/rpl_source.cc.)  MariaDB knows the first two only and takes GTIDs from the session.  The
 * third one always goes by the set, needs gtid_mode=ON, and breaks off at a transaction without a GTID; a
 * file name and a position of 64 bits only spare it the search for the file.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_DUMP_H
#define SQUEAL_BINLOG_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

enum dump_command { DUMP_REGISTER = 21, DUMP_BY_FILE = 18, DUMP_BY_GTID = 30 };

enum dump_flag {
	DUMP_STOP_AT_END = 1,	     /* the stream ends where the binlog ends */
	DUMP_SEND_ANNOTATE_ROWS = 2, /* MariaDB: texts of row changes */
	DUMP_SEND_HEARTBEAT_V2 = 2,  /* MySQL: heartbeats with positions of 64 bits */
};

struct dump {
	bool by_gtid; /* DUMP_BY_GTID */
	uint16_t flags;
	uint32_t server_id;
	struct span file; /* may be empty */
	uint64_t pos;
	struct span gtids; /* by_gtid: gtid_set_encode() */
};

void dump_put_register(uint32_t server_id, struct buf *out);

/* The bytes behind the command's own; which command it is. */
enum dump_command dump_put(const struct dump *d, struct buf *out);

#endif
