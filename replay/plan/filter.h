/*
 * filter - which transactions and keys of a tape are wanted, beside the range.
 *
 *     source    the transaction's source is one of these
 *     table     it changed one of these tables; where the tables of a transaction are not all known, it is
 * wanted, since a delete too many does no harm, and counted keys      the key matches one of these, and none
 * of `except`
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_PLAN_FILTER_H
#define SQUEAL_REPLAY_PLAN_FILTER_H

#include "replay/plan/pattern.h"
#include "replay/tape/tape.h"

/* {0} wants everything. */
struct filter {
	struct patterns keys, except, tables, sources;
	/* what it said, so far */
	uint64_t txns_dropped, keys_dropped, tables_unknown;
};

void filter_fini(struct filter *f);
bool filter_txn(struct filter *f, const struct tape_txn *t);
bool filter_key(struct filter *f, struct span key);

#endif
