#include "lib/deliver/unsent.h"

#include <stdlib.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/deliver/entry.h"

/*
 * A position is kept in 40 bits and is that of an entry that waits when its distance from the first that does
 * is within the queue.  An old position could only seem to be a new one after 2^40 bytes went through the
 * queue; the index is thinned out long before, after half as many puts as it has slots.
 */
enum { AT_BITS = 40, LINE = 8, SLOTS_MIN = 256, SLOTS_KEPT = 4096 };
#define AT_MASK ((1ull << AT_BITS) - 1)

void
unsent_init(struct unsent *u, uint64_t seed)
{
	*u = (struct unsent){.seed = seed};
}

void
unsent_fini(struct unsent *u)
{
	free(u->slots);
	unsent_init(u, u->seed);
}

void
unsent_clear(struct unsent *u)
{
	unsent_idle(u);
	if (u->slots != NULL)
		memset(u->slots, 0, u->nslots * sizeof(u->slots[0]));
	u->puts = 0;
}

void
unsent_idle(struct unsent *u)
{
	if (u->nslots > SLOTS_KEPT)
		unsent_fini(u);
}

/* The lowest bit of the tag is always set, so that no slot that is taken is 0. */
static uint64_t
tag_of(uint64_t hash)
{
	return (hash >> AT_BITS | 1) << AT_BITS;
}

/* The entry in the queue, NULL when it waits no more. */
static char *
slot_entry(const struct unsent_queue *q, uint64_t slot)
{
	uint64_t ahead = (slot - q->from) & AT_MASK;
	uint64_t skipped = q->from - q->base;

	return ahead < q->bytes->len - skipped ? q->bytes->p + skipped + ahead : NULL;
}

static size_t
line_of(const struct unsent *u, uint64_t hash)
{
	return (size_t)hash & (u->nslots - 1) & ~(size_t)(LINE - 1);
}

static void
slot_put(struct unsent *u, uint64_t hash, uint64_t slot)
{
	size_t i = line_of(u, hash);

	while (u->slots[i] != 0)
		i = (i + 1) & (u->nslots - 1);
	u->slots[i] = slot;
}

/* Makes it anew with what still waits, at a size that fits. */
static void
unsent_thin(struct unsent *u, const struct unsent_queue *q)
{
	struct unsent fresh = {.seed = u->seed, .nslots = SLOTS_MIN};
	size_t waiting = 0;

	for (size_t i = 0; i < u->nslots; i++) {
		if (u->slots[i] != 0 && slot_entry(q, u->slots[i]) == NULL)
			u->slots[i] = 0;
		waiting += u->slots[i] != 0;
	}
	u->puts = 0;
	/* What waits now and what comes until the next time, together, fill half of it at most. */
	while (fresh.nslots < 4 * waiting)
		fresh.nslots *= 2;
	if (fresh.nslots == u->nslots || fresh.nslots * 2 == u->nslots)
		return;
	fresh.slots = aligned_alloc(LINE * sizeof(fresh.slots[0]), fresh.nslots * sizeof(fresh.slots[0]));
	if (fresh.slots == NULL)
		abort(); /* lib/core/mem.h says why */
	memset(fresh.slots, 0, fresh.nslots * sizeof(fresh.slots[0]));
	for (size_t i = 0; i < u->nslots; i++) {
		if (u->slots[i] != 0)
			slot_put(&fresh, hash_span(entry_key_sent(slot_entry(q, u->slots[i])), u->seed),
				 u->slots[i]);
	}
	free(u->slots);
	*u = fresh;
}

char *
unsent_find(struct unsent *u, const struct unsent_queue *q, struct span sent)
{
	uint64_t hash = hash_span(sent, u->seed), tag = tag_of(hash);
	uint64_t *room = NULL;
	size_t i;

	if (u->puts >= u->nslots / 2)
		unsent_thin(u, q);
	for (i = line_of(u, hash); room == NULL; i = (i + LINE) & (u->nslots - 1)) {
		for (uint64_t *slot = &u->slots[i]; slot < &u->slots[i] + LINE; slot++) {
			char *entry;

			if (*slot == 0) {
				room = room != NULL ? room : slot;
				continue;
			}
			if (room != NULL && (*slot & ~AT_MASK) != tag)
				continue;
			entry = slot_entry(q, *slot);
			if (entry == NULL)
				room = room != NULL ? room : slot;
			else if ((*slot & ~AT_MASK) == tag && span_eq(entry_key_sent(entry), sent))
				return entry;
		}
	}
	u->place = room;
	u->fresh = tag;
	return NULL;
}

void
unsent_add(struct unsent *u, uint64_t at)
{
	u->puts++;
	*u->place = u->fresh | (at & AT_MASK);
}
