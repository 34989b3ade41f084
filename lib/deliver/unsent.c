#include "lib/deliver/unsent.h"

#include <stdlib.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/deliver/entry.h"

/*
 * A position is kept in 40 bits and is that of an entry that waits when its distance from the first that does
 * is within the queue.  An old position could only seem to be a new one after 2^40 bytes went through the
 * queue; the index is thinned out long before, after as many puts as it has slots.
 */
enum { AT_BITS = 40, SLOTS_MIN = 256, SLOTS_KEPT = 4096 };
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
	if (u->nslots > SLOTS_KEPT)
		unsent_fini(u);
	else if (u->used > 0)
		memset(u->slots, 0, u->nslots * sizeof(u->slots[0]));
	u->used = u->puts = 0;
}

static uint64_t
slot_of(uint64_t hash, uint64_t at)
{
	/* The lowest bit of the tag is always set, so that no slot that is taken is 0. */
	return (hash | 1ull << AT_BITS) >> AT_BITS << AT_BITS | (at & AT_MASK);
}

static bool
same_tag(uint64_t slot, uint64_t hash)
{
	return slot >> AT_BITS == (hash >> AT_BITS | 1);
}

/* The entry in the queue, NULL when it waits no more. */
static char *
slot_entry(const struct unsent_queue *q, uint64_t slot)
{
	uint64_t ahead = (slot - q->from) & AT_MASK;
	uint64_t skipped = q->from - q->base;

	return ahead < q->bytes->len - skipped ? q->bytes->p + skipped + ahead : NULL;
}

/* The slot of the hash is not in it: it begins where the low bits of the key's hash say. */
static void
slot_put(struct unsent *u, uint64_t hash, uint64_t slot)
{
	size_t i = (size_t)hash & (u->nslots - 1);

	while (u->slots[i] != 0)
		i = (i + 1) & (u->nslots - 1);
	u->slots[i] = slot;
	u->used++;
}

/* Makes it anew with what still waits, at a size that fits. */
static void
unsent_thin(struct unsent *u, const struct unsent_queue *q)
{
	struct unsent fresh = {.seed = u->seed, .nslots = SLOTS_MIN};
	size_t waiting = 0;

	for (size_t i = 0; i < u->nslots; i++)
		waiting += u->slots[i] != 0 && slot_entry(q, u->slots[i]) != NULL;
	while (fresh.nslots < 2 * waiting + 2)
		fresh.nslots *= 2;
	fresh.slots = mem_zalloc(fresh.nslots, sizeof(fresh.slots[0]));
	for (size_t i = 0; i < u->nslots; i++) {
		const char *entry = u->slots[i] != 0 ? slot_entry(q, u->slots[i]) : NULL;

		if (entry != NULL)
			slot_put(&fresh, hash_span(entry_key_sent(entry), u->seed), u->slots[i]);
	}
	free(u->slots);
	*u = fresh;
}

char *
unsent_find(struct unsent *u, const struct unsent_queue *q, struct span sent)
{
	uint64_t hash = hash_span(sent, u->seed);
	uint64_t *gone = NULL;
	size_t i;

	if ((u->used + 1) * 4 > u->nslots * 3 || u->puts >= u->nslots)
		unsent_thin(u, q);
	i = (size_t)hash & (u->nslots - 1);
	for (; u->slots[i] != 0; i = (i + 1) & (u->nslots - 1)) {
		char *entry = slot_entry(q, u->slots[i]);

		if (entry == NULL)
			gone = gone != NULL ? gone : &u->slots[i];
		else if (same_tag(u->slots[i], hash) && span_eq(entry_key_sent(entry), sent))
			return entry;
	}
	u->place = gone != NULL ? gone : &u->slots[i];
	u->hash = hash;
	return NULL;
}

void
unsent_add(struct unsent *u, uint64_t at)
{
	u->used += *u->place == 0;
	u->puts++;
	*u->place = slot_of(u->hash, at);
}
