/*
 * commit - what stands in the metadata of a committed offset: the cursors of a partition's servers.
 *
 *     1 <log id> <witness> <live> <server> <server> <server>:<behind> …
 *
 * The committed offset itself is the least of all servers' cursors.  `live` is the greatest; a server that
 * has got so far is named alone, another one with how many offsets it is behind that, and one whose cursor is
 * of another log with `:!`.  A server is 8 letters of a hash of its name, for the metadata of a commit is
 * short (4,096 bytes as brokers come).  The witness, `offset:hash` or `-`, tells the log from one that was
 * made anew in its place (kafka_witness.h).
 *
 * Servers that do not fit, and those whose letters are the same, are left out, and a `+` at the end says so:
 * whoever is not named begins at the committed offset, which costs repeats.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_BROKER_COMMIT_H
#define SQUEAL_LIB_BROKER_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/broker/cursor.h"
#include "lib/core/buf.h"
#include "lib/core/span.h"

enum { COMMIT_MAX = 4000, COMMIT_SERVERS = 450, COMMIT_NAME = 8 };

struct commit_server {
	uint64_t name; /* commit_name() */
	uint64_t offset;
	bool other_log; /* the offset means nothing; the server must be flushed */
};

struct commit {
	char log_id[CURSOR_LOG_ID_MAX + 1];
	bool has_witness;
	uint64_t witness_offset, witness;
	uint64_t live;
	bool others; /* servers that are not named have cursors too */
	size_t n;
	struct commit_server servers[COMMIT_SERVERS];
};

/* 48 bits. */
uint64_t commit_name(struct span server);

/* Appends the metadata; the servers are sorted on the way, and `live` is made the greatest offset. */
void commit_encode(struct commit *c, struct buf *out);

/* False: it is not one of ours, or of a version that this program does not know. */
bool commit_decode(struct span text, struct commit *c);

/* NULL: it is not in there. */
const struct commit_server *commit_find(const struct commit *c, struct span server);

#endif
