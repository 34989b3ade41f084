/*
 * shelf - prepared XA transactions of a run over binlog files, in memory, by their id.
 *
 * For `squeal keys`, which has no log to keep them in (prepared.h does that for the daemon).
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_SHELF_H
#define SQUEAL_SHELF_H

#include "squeal/queue.h"

struct shelf; /* opaque */

struct shelf *shelf_create(void);
void shelf_destroy(struct shelf **s);

/* Takes ownership of an item of kind QUEUE_PREPARED, and destroys one with the same id. */
void shelf_put(struct shelf *s, struct queue_item *it);

/* The item with this id, now the caller's; NULL when there is none. */
struct queue_item *shelf_take(struct shelf *s, const struct xid *xid);

/* Are the keys of `prepared` (NULL is fine) delivered when it ends like this? */
bool shelf_delivers(const struct queue_item *prepared, enum queue_kind end);

#endif
