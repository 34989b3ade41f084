#include <sched.h>
#include <string.h>
#include <time.h>

#include "cache-server/store/inside.h"

/*
 * Where free segments come from, the cheapest first: what has expired or been flushed; what holds much that
 * is dead; and, unless the store refuses, the oldest items, of which the better half stays.
 *
 * Two generations wait for their turn, as in S3-FIFO (Yang et al., SOSP'23): recruits, the segments that
 * lanes have filled, and veterans, those that merges have made.  While there are more recruits than a third
 * of all they give way, and those of their items that somebody has read become veterans; most items are never
 * read again, and so take up room for a third of the time only.  Else the veterans do, and the better half
 * stays.  Within a generation all ranges of TTLs take turns by the age of their oldest segment, so that every
 * item has the same time to prove its worth.
 */

enum {
	BATCH = 8,    /* segments that are judged together */
	KEEP = 2,     /* one part in so many stays; more copying than with 4, but fewer misses (README.md) */
	RECRUITS = 3, /* one part in so many is for items that have not been through a merge (README.md) */
	SCAN = 4096,
	VAIN = 10,	/* merges in a row that gained nothing: it is full */
	PATIENCE = 256, /* rounds of waiting for readers before more is emptied */
	ROUNDS = 8192,
};

uint32_t
evict_goal(const struct store *s)
{
	uint32_t n = s->supply.usable / 128, least = s->threads + 1;

	if (n < least)
		n = least;
	if (n > s->supply.usable / 8)
		n = s->supply.usable / 8;
	return n + s->supply.keep;
}

static bool
is_over(struct store *s, uint32_t id)
{
	const struct segment *g = &s->pool.heads[id];
	uint32_t now = atomic_load_explicit(&s->now, memory_order_relaxed);

	if (segment_state(g) != SEGMENT_CLOSED)
		return false;
	return g->flush != atomic_load_explicit(&s->flush, memory_order_acquire) ||
	       (g->base != 0 &&
		item_expired(atomic_load_explicit(&g->max_expiry, memory_order_relaxed), now));
}

bool
evict_sweep(struct store *s, unsigned segments)
{
	struct merge *m = &s->merge;
	struct merge_rule rule = {0, 0};
	uint32_t now = atomic_load_explicit(&s->now, memory_order_relaxed);
	uint32_t flush = atomic_load_explicit(&s->flush, memory_order_acquire);
	unsigned r;

	if (m->sweep == 0) {
		if (m->swept == now && m->swept_flush == flush)
			return false;
		m->swept = now;
		m->swept_flush = flush;
		m->sweep = 1;
		lane_close_idle(s, false);
		for (r = 0; r < TTL_RANGES; r++) {
			uint32_t id = m->target[r];

			if (id && (s->pool.heads[id].flush != flush ||
				   item_expired(atomic_load_explicit(&s->pool.heads[id].max_expiry,
								     memory_order_relaxed),
						now))) {
				supply_close(s, id);
				m->target[r] = 0;
				m->ntargets--;
			}
		}
	}
	for (; segments > 0 && m->sweep <= s->pool.count; segments--, m->sweep++) {
		if (is_over(s, m->sweep))
			(void)merge_segment(s, m->sweep, &rule);
	}
	if (m->sweep > s->pool.count)
		m->sweep = 0;
	return m->sweep != 0;
}

/* The closed segment with most dead space among the next ones; 0: none is worth while. */
static uint32_t
find_dead(struct store *s)
{
	uint32_t size = segment_size(&s->pool), best = 0, most = 0, i, id, live, gap;
	uint32_t n = s->pool.count < SCAN ? s->pool.count : SCAN;
	struct merge *m = &s->merge;
	uint64_t word;

	for (i = 0; i < n; i++) {
		const struct segment *g;

		id = m->scan = m->scan % s->pool.count + 1;
		g = &s->pool.heads[id];
		if (segment_state(g) != SEGMENT_CLOSED)
			continue;
		word = segment_live(g);
		if (segment_writers(word) != 0)
			continue;
		live = segment_live_bytes(word);
		gap = atomic_load_explicit(&g->write, memory_order_relaxed) - live;
		/* Items take a quarter at most, so a segment with more room than that was closed early. */
		if (s->policy == STORE_EVICT ? size - live < size / 2
					     : gap < size / 8 && size - live < size / 8 * 3)
			continue;
		if (size - live > most) {
			most = size - live;
			best = id;
		}
	}
	return best;
}

/* With the lock: the queue of one generation whose oldest segment is the oldest; SUPPLY_QUEUES: nothing can
 * be emptied. */
static unsigned
oldest_of(struct store *s, unsigned first)
{
	uint64_t least = UINT64_MAX;
	unsigned best = SUPPLY_QUEUES;

	for (unsigned r = first; r < first + TTL_RANGES; r++) {
		uint32_t id = s->supply.first[r];

		/* One with a writer that takes its time is stepped over. */
		while (id && segment_writers(segment_live(&s->pool.heads[id])) != 0)
			id = s->supply.next[id];
		if (id && s->pool.heads[id].seq < least) {
			least = s->pool.heads[id].seq;
			best = r;
		}
	}
	return best;
}

static unsigned
oldest_queue(struct store *s)
{
	const uint32_t *closed = s->supply.closed;
	unsigned turn, queue;

	pthread_mutex_lock(&s->supply.lock);
	turn = closed[1] != 0 && closed[0] < (closed[0] + closed[1]) / RECRUITS ? TTL_RANGES : 0;
	queue = oldest_of(s, turn);
	if (queue == SUPPLY_QUEUES)
		queue = oldest_of(s, TTL_RANGES - turn);
	pthread_mutex_unlock(&s->supply.lock);
	return queue;
}

static bool
evict_oldest(struct store *s)
{
	uint32_t ids[BATCH], id;
	uint64_t bytes[MERGE_SCORES] = {0}, all = 0, keep, sum = 0;
	struct merge_rule rule = {MERGE_SCORES, 0};
	unsigned r = oldest_queue(s), n = 0, i, batch = s->supply.usable / 32;
	bool any = false;

	if (r == SUPPLY_QUEUES)
		return false;
	if (batch < 1)
		batch = 1;
	if (batch > BATCH)
		batch = BATCH;
	for (id = supply_oldest(s, r); id && n < batch; id = supply_next(s, id)) {
		if (segment_writers(segment_live(&s->pool.heads[id])) == 0)
			ids[n++] = id;
	}
	for (i = 0; i < n; i++)
		merge_weigh(s, ids[i], bytes);
	for (i = 0; i < MERGE_SCORES; i++)
		all += bytes[i];
	/* Where all has been read, some of it goes nevertheless. */
	keep = r < TTL_RANGES ? all / 4 * 3 : all / KEEP;
	/* From the best score down, as long as it fits; what was never read does not stay. */
	while (rule.cutoff > 1 && sum + bytes[rule.cutoff - 1] <= keep)
		sum += bytes[--rule.cutoff];
	rule.edge_bytes = keep - sum;
	for (i = 0; i < n; i++) {
		if (merge_segment(s, ids[i], &rule))
			any = true;
	}
	return any;
}

/*
 * A store that refuses and is full would else move its items to and fro with each item that it refuses.
 * After a vain attempt half a segment must have died, or a second passed, before the next.
 */
static bool
is_vain(struct store *s)
{
	return s->policy == STORE_REFUSE &&
	       s->merge.vain_now == atomic_load_explicit(&s->now, memory_order_relaxed) &&
	       atomic_load_explicit(&s->killed, memory_order_relaxed) - s->merge.vain_killed <
		   segment_size(&s->pool) / 2;
}

bool
evict_step(struct store *s, bool hard)
{
	struct merge_rule all = {0, 0};
	uint32_t id;
	unsigned r;

	for (r = 0; r < SUPPLY_QUEUES; r++) {
		id = supply_oldest(s, r);
		if (id && is_over(s, id) && merge_segment(s, id, &all))
			return true;
	}
	if (!is_vain(s) && !(hard && s->policy == STORE_EVICT)) {
		id = find_dead(s);
		if (id && merge_segment(s, id, &all))
			return true;
	}
	return s->policy == STORE_EVICT && evict_oldest(s);
}

/* Gives way to the threads that must tick before something is free. */
static void
wait_a_bit(unsigned round)
{
	struct timespec ts = {0, 20000};

	if (round < 16)
		sched_yield();
	else
		nanosleep(&ts, NULL);
}

/*
 * Nothing is left to empty: closes what is open, so that it can be emptied, too.  A store that refuses does
 * so once a second, as it would otherwise with each item that it refuses.
 */
static bool
close_all(struct store *s)
{
	uint32_t now = atomic_load_explicit(&s->now, memory_order_relaxed);

	if (s->policy == STORE_REFUSE && s->merge.closed_all == now)
		return false;
	s->merge.closed_all = now;
	lane_close_idle(s, true);
	merge_close_targets(s);
	return true;
}

err_t
evict_now(struct store_thread *t)
{
	struct store *s = t->s;
	unsigned vain = 0, patience = 0, rounds;
	uint32_t before;
	bool closed = false;

	for (rounds = 0; rounds < ROUNDS; rounds++) {
		bool waiting = true;

		quiesce_tick(s->quiesce, t->q);
		supply_reap(s);
		if (supply_free(s) > s->supply.keep)
			return ERR_OK;
		if (pthread_mutex_trylock(&s->merge_lock) == 0) {
			bool stuck = false;

			before = supply_soon_free(s);
			if (before > s->supply.keep && ++patience < PATIENCE) {
				/* What is on its way is enough: more would be dropped than must be. */
			} else if (vain < VAIN && evict_step(s, vain > 1)) {
				metric_inc(&s->metrics.store_inline_merges);
				/* Merges of little dead space gain a segment only now and then. */
				vain = supply_soon_free(s) > before ? 0 : vain + 1;
				patience = 0;
				waiting = false;
			} else if (!closed && close_all(s)) {
				closed = true;
				vain = 0;
				waiting = false;
			} else {
				stuck = true;
				s->merge.vain_now = atomic_load_explicit(&s->now, memory_order_relaxed);
				s->merge.vain_killed = atomic_load_explicit(&s->killed, memory_order_relaxed);
			}
			pthread_mutex_unlock(&s->merge_lock);
			if (stuck && supply_soon_free(s) <= s->supply.keep)
				return ERR_FULL;
		}
		if (waiting)
			wait_a_bit(rounds);
	}
	return ERR_FULL;
}
