/*
 * prepared_note - what the log's notes of a prepared XA transaction hold.  One note for each transaction,
 * named after its id:
 *
 *     "xa:X'6162',X'',1"   part 0      head: how many parts and keys, hold-off, pool
 *                          part 1 …    packed keys (keyset.h), at most about PREPARED_NOTE_PART bytes each
 *
 * The head, little-endian; another layout gets another version:
 *
 *     u8 version 1   u8 flags   u32 hold-off in ms   u32 parts   u64 keys   u64 time in us   pool
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_PREPARED_NOTE_H
#define SQUEAL_PREPARED_NOTE_H

#include "lib/core/buf.h"
#include "squeal/binlog/xid.h"

enum { PREPARED_NOTE_HEAD = 0, PREPARED_NOTE_PART = 64 * 1024 };

/* The head. */
struct prepared_note_head {
	bool cannot_be_undone; /* deliver at XA ROLLBACK too */
	bool unsure;
	uint32_t holdoff_ms;
	uint32_t nparts;
	uint64_t nkeys;
	uint64_t prepared_us; /* the source's time */
	struct span pool;
};

/* Appends the note's name. */
void prepared_note_name(const struct xid *xid, struct buf *out);

void prepared_note_encode(const struct prepared_note_head *head, struct buf *out);

/* False when it is not a head.  The pool points into `value`. */
bool prepared_note_decode(struct span value, struct prepared_note_head *head);

#endif
