/*
 * limiter - the keys of an outbox that wait for the rate limit of their prefix.
 *
 * Each limit has a queue of its own: first the keys that were let go and are not acknowledged yet, then those
 * that wait.  So the front of each queue tells how far the log is acknowledged at most.  Keys of one limit
 * are let go and acknowledged in the order in which they came.
 *
 * For lib/deliver only.
 *
 * Threads: the outbox's.   Blocks: never.   Clock: the caller's.
 */
#ifndef SQUEAL_LIB_DELIVER_LIMITER_H
#define SQUEAL_LIB_DELIVER_LIMITER_H

#include <stdbool.h>

#include "lib/deliver/bucket.h"
#include "lib/deliver/entry.h"
#include "lib/deliver/unsent.h"

struct limit {
	struct bucket bucket;
	struct buf queue; /* entries: TXN, KEY, TXN, KEY ... */
	uint64_t base;	  /* position of the queue's first byte */
	uint64_t from;	  /* position of the first key that waits */
	uint64_t mark;	  /* see limiter_mark() */
	struct unsent unsent;
};

struct limiter {
	struct limit *limits;
	size_t n;
	size_t bytes;	/* in all queues */
	size_t waiting; /* keys that wait */
	uint64_t seed;
};

void limiter_init(struct limiter *l, uint64_t seed);
void limiter_fini(struct limiter *l);

/* Forgets all keys. */
void limiter_clear(struct limiter *l);

/* `rate` of the limit of this index; makes those up to it that are not there. */
void limiter_rate(struct limiter *l, size_t index, uint64_t keys_per_s, uint64_t now_ns);

/* A token for a key that came just now: false when it has to wait, as it does behind others. */
bool limiter_pass(struct limiter *l, size_t index, uint64_t now_ns);

/* The entry of the key, as it is sent, when it waits; else NULL, and limiter_put() may follow. */
char *limiter_find(struct limiter *l, size_t index, struct span sent);

/* Lets a key wait that limiter_find() has not found. */
void limiter_put(struct limiter *l, size_t index, const struct entry_txn *txn, const struct entry_key *key,
		 struct span sent);

/* The entries TXN and KEY of the next one that may go now; an empty span when there is none.  Valid until the
 * next change. */
struct span limiter_next(struct limiter *l, uint64_t now_ns);

/* The oldest of this limit that was let go is acknowledged. */
void limiter_acked(struct limiter *l, size_t index);

/* Remembers what waits now; limiter_passed(): all that was remembered was let go. */
void limiter_mark(struct limiter *l);
bool limiter_passed(const struct limiter *l);

/* The lowest offset of a key that is not acknowledged; `offset` when there is none below. */
uint64_t limiter_first(const struct limiter *l, uint64_t offset);

/* Milliseconds until the next may go; 0: now, or when nothing waits. */
uint64_t limiter_wait_ms(struct limiter *l, uint64_t now_ns);

#endif
