/*
 * quiesce - tells when memory that readers may still look at can be used again.
 *
 * Readers of the store take no lock.  A worker thread is "online" while it works on a batch of requests and
 * promises that, whenever it calls quiesce_tick() or goes offline, it keeps no pointer into a store (pins
 * excepted, see store.h).  Whoever takes something out of the store (a segment, an old hash table) asks for a
 * stamp after he has made it unreachable; when every thread has ticked or been offline since, nobody can see
 * it any more.
 *
 * Memory ordering: a thread comes online by storing the current stamp and a full fence, so that its later
 * loads cannot be older than the stamp; quiesce_stamp() increments the counter after a full fence, so that
 * whoever reads the new value cannot find what was unlinked before it.  quiesce_passed() loads with acquire:
 * the readers' last accesses happen before the reuse.
 *
 * Threads: each function says.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_QUIESCE_H
#define SQUEAL_CACHE_SERVER_STORE_QUIESCE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/err.h"

enum { QUIESCE_MAX_THREADS = 256 };

struct quiesce;	       /* opaque: one for all stores of a process */
struct quiesce_thread; /* opaque: one for each thread, on a cache line of its own */

err_t quiesce_create(struct quiesce **out, struct err_detail *why) MUST_CHECK;
void quiesce_destroy(struct quiesce **q);

/* Any thread; it begins offline.  NULL when there are QUIESCE_MAX_THREADS already. */
struct quiesce_thread *quiesce_join(struct quiesce *q);
void quiesce_leave(struct quiesce *q, struct quiesce_thread **t);

/* The thread's own, around each batch of work; a few nanoseconds.  Offline threads (asleep in epoll) delay
 * nobody. */
void quiesce_online(struct quiesce *q, struct quiesce_thread *t);
void quiesce_offline(struct quiesce_thread *t);

/* The thread's own, while online: it keeps nothing of what it has seen. */
void quiesce_tick(struct quiesce *q, struct quiesce_thread *t);

/* Any thread: a stamp for what has been unlinked before the call, and whether all have moved on since. */
uint64_t quiesce_stamp(struct quiesce *q);
bool quiesce_passed(struct quiesce *q, uint64_t stamp);

#endif
