#include "lib/deliver/unsent.h"

#include <stdlib.h>

#include "lib/core/hash.h"
#include "lib/deliver/entry.h"

/*
 * A position is kept in 40 bits and is that of an entry that waits when its distance from the first that does
 * is within the queue.  An old position could only seem to be a new one after 2^40 bytes went through the
 * queue; old ones are taken out long before, after as many puts as there are slots.
 */
enum { AT_BITS = 40, LINE = 8 };
#define AT_MASK ((1ull << AT_BITS) - 1)

void
unsent_init(struct unsent *u, uint64_t seed, size_t nslots)
{
	*u = (struct unsent){.seed = seed, .nslots = nslots};
}

void
unsent_fini(struct unsent *u)
{
	free(u->slots);
	unsent_init(u, u->seed, u->nslots);
}

void
unsent_clear(struct unsent *u)
{
	unsent_fini(u);
}

static void
unsent_alloc(struct unsent *u)
{
	size_t bytes = u->nslots * sizeof(u->slots[0]);

	u->slots = aligned_alloc(LINE * sizeof(u->slots[0]), bytes);
	if (u->slots == NULL)
		abort(); /* lib/core/mem.h says why */
	memset(u->slots, 0, bytes);
}

/* The lowest bit of the tag is always set, so that no slot that is taken is 0. */
static uint64_t
tag_of(uint64_t hash)
{
	return (hash >> AT_BITS | 1) << AT_BITS;
}

/* How far behind the first entry that waits; false when it waits no more. */
static bool
slot_waits(const struct unsent_queue *q, uint64_t slot, uint64_t *ahead)
{
	*ahead = (slot - q->from) & AT_MASK;
	return *ahead < q->base + q->bytes->len - q->from;
}

static void
forget_old(struct unsent *u, const struct unsent_queue *q)
{
	uint64_t ahead;

	for (size_t i = 0; i < u->nslots; i++) {
		if (!slot_waits(q, u->slots[i], &ahead))
			u->slots[i] = 0;
	}
	u->puts = 0;
}

char *
unsent_find(struct unsent *u, const struct unsent_queue *q, struct span sent)
{
	uint64_t hash = hash_span(sent, u->seed), tag = tag_of(hash), oldest = UINT64_MAX;
	uint64_t *line;

	if (u->slots == NULL)
		unsent_alloc(u);
	if (u->puts >= u->nslots)
		forget_old(u, q);
	line = &u->slots[(size_t)hash & (u->nslots - 1) & ~(size_t)(LINE - 1)];
	u->fresh = tag;
	for (uint64_t *slot = line; slot < line + LINE; slot++) {
		uint64_t ahead;
		char *entry;

		if (*slot == 0 || !slot_waits(q, *slot, &ahead)) {
			u->place = slot;
			oldest = 0;
			continue;
		}
		if (ahead < oldest) {
			u->place = slot;
			oldest = ahead;
		}
		if ((*slot & ~AT_MASK) != tag)
			continue;
		entry = q->bytes->p + (q->from - q->base) + ahead;
		if (span_eq(entry_key_sent(entry), sent))
			return entry;
	}
	return NULL;
}

void
unsent_add(struct unsent *u, uint64_t at)
{
	u->puts++;
	*u->place = u->fresh | (at & AT_MASK);
}
