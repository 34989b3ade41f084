/*
 * belt - deletes on their way from the thread that reads the tape to the one that sends them, in chunks.
 *
 * Bounded: belt_put() waits while BELT_CHUNKS are on it, so slow servers slow the reading and cost no memory.
 *
 * Threads: one puts, one takes; any may close.   Blocks: belt_put() while it is full.   Clock: none.
 */
#ifndef SQUEAL_REPLAY_SEND_BELT_H
#define SQUEAL_REPLAY_SEND_BELT_H

#include "replay/plan/select.h"

enum { BELT_CHUNKS = 64, BELT_DELETES = 128, BELT_KEYS = 4096 };

/* A chunk is whole when it has BELT_DELETES deletes, or those of BELT_KEYS keys. */
struct belt_chunk {
	struct belt_chunk *next;
	struct buf entries;
	size_t ndeletes, nkeys;
	struct select_place end; /* behind its last key; spans are its own */
	struct buf end_file, end_gtid;
	/* of the taker */
	uint64_t number;
	size_t at; /* bytes of entries that were taken */
};

/* Adds a key with its servers. */
void belt_chunk_add(struct belt_chunk *c, const struct targets_answer *to);
bool belt_chunk_is_whole(const struct belt_chunk *c);

/* Copies. */
void belt_chunk_end(struct belt_chunk *c, const struct select_place *end);

/* The next delete; spans are valid as long as the chunk.  False: no more. */
bool belt_chunk_next(struct belt_chunk *c, struct targets_hop *out);

struct belt; /* opaque */

/* `wake` is called, from the putting thread, when something comes onto an empty belt and when it ends. */
struct belt *belt_create(void (*wake)(void *arg), void *arg);
void belt_destroy(struct belt **b); /* NULL is fine */

/* An empty chunk. */
struct belt_chunk *belt_blank(struct belt *b);

/* Takes ownership.  False: closed, and the chunk is gone. */
bool belt_put(struct belt *b, struct belt_chunk *c);

/* Nothing more will be put, because of `err`; ERR_OK: that was all. */
void belt_end(struct belt *b, err_t err, const struct err_detail *why);

/* The next chunk; NULL: none is there now. */
struct belt_chunk *belt_take(struct belt *b);
void belt_give_back(struct belt *b, struct belt_chunk *c);

/* Everything was put and taken. */
bool belt_is_over(struct belt *b, err_t *err, struct err_detail *why);

/* Later puts fail, at once. */
void belt_close(struct belt *b);

#endif
