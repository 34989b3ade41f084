#include "cache-server/store/restart.h"

#include <stdlib.h>

#include "cache-server/store/inside.h"
#include "cache-server/store/rebuild.h"
#include "lib/core/mem.h"

static struct restart_words *
words_of(const struct store *s)
{
	struct mapping_layout l;

	mapping_layout(s->mapping, &l);
	return l.words;
}

static bool
believed(const struct store *s)
{
	enum mapping_state state = mapping_state(s->mapping);

	return state == MAPPING_CLEAN || state == MAPPING_CRASHED;
}

void
restart_attach(struct store *s)
{
	struct mapping_layout l;

	mapping_layout(s->mapping, &l);
	s->pool.shift = l.shift;
	s->pool.count = l.count;
	s->pool.heads = l.heads;
	s->pool.origin = l.segments - (1ull << l.shift);
	s->seed = l.seed;
	s->boot = l.starts;
	atomic_store(&s->flush, atomic_load(&words_of(s)->flush));
}

uint64_t
restart_estimate(const struct store *s)
{
	return s->mapping && believed(s) ? rebuild_estimate(&s->pool) : 0;
}

static int
by_seq(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Free segments go to the supply, the others to their range's list, oldest first. */
static void
sort_segments(struct store *s)
{
	struct segment **used = mem_alloc((s->pool.count + 1) * sizeof *used);
	uint32_t n = 0;

	for (uint32_t id = s->pool.count; id > 0; id--) {
		if (segment_state(&s->pool.heads[id]) == SEGMENT_CLOSED)
			used[n++] = &s->pool.heads[id];
		else
			supply_give_back(s, id);
	}
	qsort(used, n, sizeof *used, by_seq);
	for (uint32_t i = 0; i < n; i++)
		supply_close(s, used[i]->id);
	free(used);
}

/* Segments above the limit, those left out that only wait for their last readers. */
static bool
over_limit(struct store *s)
{
	return s->pool.count - s->supply.withheld > s->supply.usable + atomic_load(&s->supply.nlimbo);
}

/* The file is larger than the memory that may be used: the least useful items make room. */
static void
shrink(struct store *s)
{
	struct quiesce_thread *q = quiesce_join(s->quiesce);

	if (!q)
		return; /* upkeep goes on with it */
	quiesce_online(s->quiesce, q);
	pthread_mutex_lock(&s->merge_lock);
	for (uint64_t n = 0; n < 4ull * s->pool.count && over_limit(s) && evict_step(s, true); n++) {
		quiesce_tick(s->quiesce, q);
		supply_reap(s);
	}
	pthread_mutex_unlock(&s->merge_lock);
	quiesce_leave(s->quiesce, &q);
}

void
restart_load(struct store *s)
{
	struct restart_words *words = words_of(s);
	uint64_t floor = atomic_load(&words->counter);
	struct rebuild r = {
	    .pool = s->pool,
	    .index = s->index,
	    .quiesce = s->quiesce,
	    .seed = s->seed,
	    .now = store_now(s),
	    .flush = atomic_load(&s->flush),
	    .boot = s->boot,
	    .piece = s->piece,
	    .clean = mapping_state(s->mapping) == MAPPING_CLEAN,
	    .threads = s->threads,
	};

	if (believed(s)) {
		rebuild(&r);
		atomic_store(&s->caught_up, r.items == 0);
		if (r.items > 0)
			atomic_store(&s->owed, atomic_load(&words->owed));
		else
			atomic_store(&words->owed, 0);
	} else {
		atomic_store(&words->owed, 0);
		for (uint32_t id = 1; id <= s->pool.count; id++)
			atomic_store(&s->pool.heads[id].state, SEGMENT_FREE);
	}
	s->supply.seq = r.max_seq;
	sort_segments(s);
	shrink(s);

	/* At most RESTART_STRIDE were given since the floor was last raised (weeks of a million a second). */
	if (floor < r.max_order)
		floor = r.max_order;
	s->counter_floor = floor;
	atomic_store(&words->counter, floor + RESTART_STRIDE);

	metric_set(&s->metrics.store_dropped_at_start, r.dropped);
	metric_set(&s->metrics.store_warm_items, r.items);
	s->restart = (struct restart_figures){
	    .state = mapping_state(s->mapping),
	    .items = r.items,
	    .dropped = r.dropped,
	    .expired = r.expired,
	    .flushed = r.flushed,
	    .replaced = r.replaced,
	    .bad_segments = r.bad_segments,
	};
}

bool
restart_figures(const struct store *s, struct restart_figures *out)
{
	if (s->mapping)
		*out = s->restart;
	return s->mapping != NULL;
}

void
restart_note_flush(struct store *s, uint32_t flush)
{
	_Atomic uint32_t *to = &words_of(s)->flush;
	uint32_t old = atomic_load(to);

	while (old < flush && !atomic_compare_exchange_weak(to, &old, flush))
		;
}

void
restart_note_owed(struct store *s, uint64_t owed)
{
	atomic_store(&words_of(s)->owed, owed);
}

void
store_close(struct store **s)
{
	struct store *x = *s;

	if (x && x->mapping) {
		uint64_t counter = x->counter_floor;

		for (unsigned i = 0; i < STORE_SLOTS; i++)
			if (x->slot[i].counter > counter)
				counter = x->slot[i].counter;
		atomic_store(&words_of(x)->counter, counter);
	}
	store_destroy(s);
}
