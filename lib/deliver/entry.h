/*
 * entry - what stands in an outbox's queue, byte behind byte, without padding between entries.
 *
 *     TXN        the deletes that follow belong to it
 *     KEY        a delete, and its key with the prefix
 *     END        every record before `next` is queued before it
 *     FLUSH      flush_all
 *     CAUGHT_UP  what the server missed while it was away is queued before it
 *
 * For lib/deliver only.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_DELIVER_ENTRY_H
#define SQUEAL_LIB_DELIVER_ENTRY_H

#include <stdint.h>
#include <string.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

enum entry_kind { ENTRY_TXN = 1, ENTRY_KEY, ENTRY_END, ENTRY_FLUSH, ENTRY_CAUGHT_UP };

enum key_state { KEY_WAITS, KEY_IN_FLIGHT, KEY_DONE, KEY_GIVEN_UP };

struct entry_txn {
	uint8_t kind;
	uint8_t late; /* it waited for a rate limit: its time says nothing of the way here */
	uint8_t unused[6];
	uint64_t offset, seen_us, commit_us, queued_us;
};

struct entry_key {
	uint8_t kind;
	uint8_t state;	/* enum key_state */
	uint8_t action; /* enum outbox_action */
	uint8_t hit;	/* enum outbox_hit */
	uint8_t prefix; /* bytes of the key that are prefix */
	uint8_t len;	/* of the key with its prefix */
	uint16_t limit; /* index + 1 of the limit that it waited for, 0 when it waited for none */
	uint32_t holdoff_ms, stale_ms;
	uint64_t ref, offset;
};

struct entry_end {
	uint8_t kind;
	uint8_t unused[7];
	uint64_t next;
};

struct entry_caught_up {
	uint8_t kind;
	uint8_t unused[7];
	uint64_t connection; /* number of the one that it is for */
};

enum { ENTRY_FLUSH_BYTES = 1 };

/* Entries are not aligned: they are read and written as copies. */
#define ENTRY_LOAD(type, var, from)                                                                          \
	struct type var;                                                                                     \
	memcpy(&(var), (from), sizeof(var))

static inline struct span
entry_key_sent(const char *entry)
{
	return span_make(entry + sizeof(struct entry_key), (uint8_t)entry[offsetof(struct entry_key, len)]);
}

static inline size_t
entry_bytes(const char *entry)
{
	switch ((enum entry_kind)entry[0]) {
	case ENTRY_TXN:
		return sizeof(struct entry_txn);
	case ENTRY_KEY:
		return sizeof(struct entry_key) + entry_key_sent(entry).len;
	case ENTRY_END:
		return sizeof(struct entry_end);
	case ENTRY_CAUGHT_UP:
		return sizeof(struct entry_caught_up);
	case ENTRY_FLUSH:
		break;
	}
	return ENTRY_FLUSH_BYTES;
}

#endif
