#include "cache-server/store/inside.h"

enum { SWEEP = 1024, STEPS = 8, BUCKETS = 4096 };

bool
store_upkeep(struct store *s, struct quiesce_thread *q)
{
	uint32_t goal, before;
	unsigned i, vain = 0;
	bool more;

	quiesce_tick(s->quiesce, q);
	supply_reap(s);
	pthread_mutex_lock(&s->merge_lock);
	more = evict_sweep(s, SWEEP);
	goal = evict_goal(s);
	for (i = 0; i < STEPS; i++) {
		/* What waits for readers is free soon. */
		if (supply_soon_free(s) >= goal)
			break;
		before = supply_soon_free(s);
		if (!evict_step(s, vain > 1))
			break;
		vain = supply_soon_free(s) > before ? 0 : vain + 1;
	}
	more |= i == STEPS;
	pthread_mutex_unlock(&s->merge_lock);
	quiesce_tick(s->quiesce, q);
	supply_reap(s);
	more |= index_grow(s->index, BUCKETS);
	return more;
}
