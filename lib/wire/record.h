/*
 * record - one record of the log: a batch of transactions with the keys that they invalidate.
 *
 * The format is schemas/invalidation.proto (protobuf, version 1); golden bytes are in schemas/golden.  A
 * transaction with very many keys is spread over several records: all parts carry its gtid, every part but
 * the last says `continues`, and only a record that ends on a transaction boundary has a position to resume
 * from.
 *
 * Parsers here do no I/O and never trust a length.
 *
 * Threads: any.   Blocks: never.   Time: microseconds since 1970 UTC, as given by the caller.
 */
#ifndef SQUEAL_LIB_WIRE_RECORD_H
#define SQUEAL_LIB_WIRE_RECORD_H

#include <stdint.h>

#include "lib/core/arena.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum { RECORD_VERSION = 1 };

struct record_txn {
	struct span gtid;    /* text, as the source writes it */
	uint64_t commit_us;  /* commit time by the source's clock; whole seconds where it knows no better */
	uint64_t seen_us;    /* when squeal had read the commit event */
	bool continues;	     /* more keys of this transaction follow in the next record */
	uint32_t holdoff_ms; /* inv_h, the largest of the transaction; 0 for none */
	const struct span *keys; /* to delete; each valid by markers/key.h */
	size_t nkeys;
	const struct span *markers; /* inv_m: remote-marker keys */
	size_t nmarkers;
	struct span pool;   /* inv_p; empty for none */
	struct span origin; /* for people: "update users, insert shop.feed"; empty: not known */
};

struct record {
	uint32_t version;
	struct span source;
	struct span position; /* checkpoint text after the record; empty inside a transaction */
	const struct record_txn *txns;
	size_t ntxns;
};

/* Appends the encoded record to `out`. */
void record_encode(const struct record *rec, struct buf *out);

/*
 * Decodes; keys and texts in *rec point into `bytes`, lists live in `arena`.  ERR_BAD_RECORD: not a record,
 * or of a version that this program does not know (*why says which and what to upgrade).
 */
err_t record_decode(struct span bytes, struct arena *arena, struct record *rec,
		    struct err_detail *why) MUST_CHECK;

#endif
