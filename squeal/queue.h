/*
 * queue - committed transactions on their way from the thread that reads the binlog to the one that writes
 * the log.
 *
 * Bounded by bytes: queue_put() waits while too much is on its way, so a slow log slows the reading down and
 * costs no memory.  What was taken counts until it is given back.  One transaction always fits an empty
 * queue, whatever its size.
 *
 * Takes are at least QUEUE_PACE_US apart: a taker that is faster than the putter would otherwise be woken for
 * nearly every transaction, which costs both sides more than the transaction does.  A taker that was idle, or
 * busy for longer than that, gets what there is at once.
 *
 * Threads: one puts, one takes; any may close.   Blocks: put while it is full, take while it is empty.
 * Clock: the system's monotonic one, for waiting only.
 */
#ifndef SQUEAL_QUEUE_H
#define SQUEAL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/err.h"
#include "squeal/binlog/position.h"
#include "squeal/binlog/xid.h"
#include "squeal/keyset.h"

enum { QUEUE_PACE_US = 200 };

enum queue_kind {
	QUEUE_COMMIT,	   /* a committed transaction, or just a place from which it is safe to resume */
	QUEUE_PREPARED,	   /* `keys` are kept under `xid` and not delivered yet */
	QUEUE_XA_COMMIT,   /* what was kept under `xid` is delivered, with this item's times and place */
	QUEUE_XA_ROLLBACK, /* what was kept under `xid` is forgotten */
};

/* The end of a transaction.  Nothing in `keys`: it only moves the position. */
struct queue_item {
	struct queue_item *next;
	enum queue_kind kind;
	bool cannot_be_undone; /* QUEUE_PREPARED: XA ROLLBACK delivers as well, see txn.h */
	struct xid *xid;       /* of the XA kinds; otherwise NULL */
	struct gtid gtid;      /* GTID_NONE where the source has none */
	struct position
	    *whole; /* not NULL: the position after this item, all of it, instead of one id more */
	struct place_name *file; /* shared, counted; NULL when not known */
	uint64_t pos;		 /* offset behind the transaction in `file`; 0 when not known */
	uint64_t ticket;	 /* for the gate */
	uint64_t commit_us;
	uint64_t seen_us;
	uint32_t holdoff_ms;
	char *pool;   /* NULL for none */
	char *origin; /* origin.h; NULL for none */
	struct keyset_keys keys;
};

/* A binlog file name, shared by the many items that stand in that file. */
struct place_name {
	_Atomic unsigned refs;
	char text[];
};

struct place_name *place_name_create(struct span text);
struct place_name *place_name_acquire(struct place_name *n);
void place_name_release(struct place_name **n); /* NULL is fine */

struct queue_item *queue_item_create(void);
void queue_item_destroy(struct queue_item **it);

/* Forgets what the item holds and keeps its memory for another transaction. */
void queue_item_clear(struct queue_item *it);

struct queue; /* opaque */

struct queue *queue_create(size_t max_bytes);
void queue_destroy(struct queue **q);

/* An empty item for the putter to fill: one that was given back, or a new one.  Reusing them spares two
 * threads the allocator's locks. */
struct queue_item *queue_blank(struct queue *q);

/* Takes ownership of the item.  False when the queue was closed: the item is destroyed. */
bool queue_put(struct queue *q, struct queue_item *it);

/* Everything that waits, oldest first, for the caller to give back one by one; NULL after `timeout_ms` with
 * nothing, or when the queue was closed and is empty. */
struct queue_item *queue_take(struct queue *q, unsigned timeout_ms);

/* Gives back a chain of items that were taken, which makes room; *items becomes NULL. */
void queue_give_back(struct queue *q, struct queue_item **items);

/* Wakes both sides; later puts fail, what is in it can still be taken. */
void queue_close(struct queue *q);
bool queue_is_closed(struct queue *q);

/* Bytes in it and taken, not given back. */
size_t queue_bytes(struct queue *q);

/* True while queue_put() is waiting for room. */
bool queue_is_full(struct queue *q);

#endif
