/*
 * unsent - finds a key among those of a queue that wait and were not sent yet.
 *
 * An index beside a queue of entries (entry.h) and over it: it knows the positions of KEY entries.  Those
 * before `from`, the first entry that still waits, are not found any more, so nothing has to be taken out
 * when entries are sent.
 *
 * It remembers the keys that came last, about as many as it has slots: it is asked for every delete, and must
 * not fall out of the processor's nearest cache, which would cost as much as all the rest of a delete.  Slots
 * come in lines of eight, as long as a line of that cache; where a line is full, its oldest key is forgotten.
 * A key that was forgotten is sent twice, which is only a waste.
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
	uint64_t
	    *slots;    /* 24 bits of the hash, 40 bits of the position; 0: free; NULL before the first key */
	size_t nslots; /* a power of two */
	size_t puts;   /* since old positions were taken out */
	/* where unsent_add() puts the key that unsent_find() has not found */
	uint64_t *place;
	uint64_t fresh; /* the slot without its position */
};

/* The queue as it is now: the position of its first byte, and that of the first entry that waits. */
struct unsent_queue {
	const struct buf *bytes;
	uint64_t base, from;
};

/* `seed`: hash_seed(), as keys come from outside.  `nslots`: a power of two, 8 at least; 8 bytes each. */
void unsent_init(struct unsent *u, uint64_t seed, size_t nslots);
void unsent_fini(struct unsent *u);

/* Forgets all: positions begin anew. */
void unsent_clear(struct unsent *u);

/* The entry that waits with this key, as it is sent; NULL when there is none. */
char *unsent_find(struct unsent *u, const struct unsent_queue *q, struct span sent);

/* The key that was just looked for in vain is put in at this position. */
void unsent_add(struct unsent *u, uint64_t at);

#endif
