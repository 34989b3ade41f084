/*
 * unsent - finds a key among those of a queue that wait and were not sent yet.
 *
 * An index beside a queue of entries (entry.h) and over it: it knows the positions of KEY entries.  Those
 * before `from`, the first entry that still waits, are forgotten by and by, so nothing has to be taken out
 * when entries are sent.  8 bytes for each place in the index, of which a quarter to three quarters are in
 * use.
 *
 * For lib/deliver only.
 *
 * Threads: the queue's.   Blocks: never.
 */
#ifndef SQUEAL_LIB_DELIVER_UNSENT_H
#define SQUEAL_LIB_DELIVER_UNSENT_H

#include "lib/core/buf.h"
#include "lib/core/span.h"

struct unsent {
	uint64_t seed;
	uint64_t *slots; /* 24 bits of the hash, 40 bits of the position; 0: free */
	size_t nslots;	 /* a power of two, or 0 */
	size_t used;	 /* slots that are not free */
	size_t puts;	 /* since it was made or thinned out */
	/* where unsent_add() puts the key that unsent_find() has not found */
	uint64_t *place;
	uint64_t hash;
};

/* The queue as it is now: the position of its first byte, and that of the first entry that waits. */
struct unsent_queue {
	const struct buf *bytes;
	uint64_t base, from;
};

/* `seed`: hash_seed(), as keys come from outside. */
void unsent_init(struct unsent *u, uint64_t seed);
void unsent_fini(struct unsent *u);

/* Forgets all. */
void unsent_clear(struct unsent *u);

/* The entry that waits with this key, as it is sent; NULL when there is none. */
char *unsent_find(struct unsent *u, const struct unsent_queue *q, struct span sent);

/* The key that was just looked for in vain is put in at this position. */
void unsent_add(struct unsent *u, uint64_t at);

#endif
