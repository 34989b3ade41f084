/*
 * position - a place in a source's stream to go on from: a checkpoint.
 *
 *     gtid:0-1-100,1-2-7                    MariaDB: the last id of each domain
 *     gtid:3e11fa47-…-9e33c80aa942:1-23     MySQL: the set of transactions that were read
 *     file:mysql-bin.000007:1234            a server without GTIDs: file and offset behind a transaction …
 *     file:mysql-bin.000007:1234@3e11fa47-… … of the server with this uuid: another one's files are others
 *
 * "gtid:" alone is before everything.  Which kind it becomes then is decided by the first transaction.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_POSITION_H
#define SQUEAL_BINLOG_POSITION_H

#include "squeal/binlog/gtid.h"
#include "squeal/binlog/gtid_set.h"

enum position_kind { POSITION_EMPTY, POSITION_MARIADB, POSITION_MYSQL, POSITION_FILE };

enum { POSITION_FILE_MAX = 512 }; /* as the protocol: FN_REFLEN */

/* {0} is the empty position. */
struct position {
	enum position_kind kind;
	struct gtid_pos mariadb;
	struct gtid_set mysql;
	struct buf file; /* POSITION_FILE: the name … */
	uint64_t pos;	 /* … the offset, 64 bits wide … */
	struct buf uuid; /* … and the server's uuid; empty when not known */
};

void position_fini(struct position *p);
void position_clear(struct position *p);
void position_copy(struct position *to, const struct position *from);
bool position_same(const struct position *a, const struct position *b);

/*
 * Goes behind a transaction: `gtid` (GTID_NONE where it has none), which ends at `pos` of `file` (0 and empty
 * when not known).  Of a kind that is not this position's nothing is taken: a stream that is followed by file
 * and offset goes on so, whatever ids come by.
 */
void position_advance(struct position *p, const struct gtid *gtid, struct span file, uint64_t pos);

/* Goes to an offset of a file without a transaction, as at a rotation; only POSITION_FILE changes. */
void position_move(struct position *p, struct span file, uint64_t pos);

/* As above. */
void position_format(const struct position *p, struct buf *out);

/* Any of these forms; "gtid:" may be left out.  ERR_USAGE with a sentence; then `out` is as it was. */
err_t position_parse(struct span text, struct position *out, struct err_detail *why) MUST_CHECK;

#endif
