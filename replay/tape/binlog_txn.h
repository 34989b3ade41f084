/*
 * binlog_txn - a transaction of a binlog into a sink: what files and servers have in common.
 *
 * Threads: one at a time per object.   Blocks: as the sink does, and on the disk for keys that were spilled.
 */
#ifndef SQUEAL_REPLAY_TAPE_BINLOG_TXN_H
#define SQUEAL_REPLAY_TAPE_BINLOG_TXN_H

#include "replay/tape/tape.h"
#include "squeal/keys/reading.h"

/* Of one run. */
struct binlog_txn {
	struct tape *tape;
	const struct tape_mark *from; /* NULL: it was reached */
	const struct tape_sink *sink;
	struct span source;
	struct range *range;
	bool tables; /* they were asked for */
	/* Where it is in all, in bytes; may be NULL. */
	void (*moved)(void *arg, const char *file, uint64_t pos);
	void *arg;
	struct buf gtid;
};

/* A reading_take_fn; `arg` is the struct binlog_txn.  ERR_CLOSED: the sink, or tape_stop(), said stop. */
err_t binlog_txn_take(void *arg, const struct reading_txn *t, struct err_detail *why);

void binlog_txn_fini(struct binlog_txn *b);

#endif
