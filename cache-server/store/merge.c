#include <string.h>

#include "cache-server/store/inside.h"

/*
 * A merge empties a segment: each item that lives is either copied to the target of its range or dropped,
 * with its bucket locked, so that changes of its key come before or after, never in between.
 *
 * A reader that meets the old copy after the index has forgotten it sees DEAD, which is set after the index
 * leads to the new one, and looks again (store_find()).
 */

unsigned
merge_score(unsigned freq, uint64_t size)
{
	uint64_t v = ((uint64_t)freq << 24) / size;
	unsigned e;

	if (v < 8)
		return freq != 0;
	e = 63 - (unsigned)__builtin_clzll(v);
	return (e - 2) * 8 + (unsigned)(v >> (e - 3) & 7);
}

static uint64_t
whole_size(const struct item *it, uint64_t state)
{
	uint64_t n = item_size(it, state);

	return (state & ITEM_LARGE) ? n + large_of(it, state)->len : n;
}

enum fate { FATE_DEAD, FATE_EXPIRED, FATE_FLUSHED, FATE_LIVES };

static enum fate
fate_of(struct store *s, const struct item *it, uint64_t state)
{
	const struct segment_face *f = &s->pool.faces[segment_of(&s->pool, it)];

	if ((state & ITEM_DEAD) || item_order(item_ident(it)) == 0)
		return FATE_DEAD;
	if (f->flush != atomic_load_explicit(&s->flush, memory_order_acquire))
		return FATE_FLUSHED;
	if (item_expired(segment_expiry(f, it, state), atomic_load_explicit(&s->now, memory_order_relaxed)))
		return FATE_EXPIRED;
	return FATE_LIVES;
}

void
merge_weigh(struct store *s, uint32_t id, uint64_t *bytes)
{
	uint32_t at = 0;
	struct item *it, *owner;
	uint64_t state, hash;

	while ((it = segment_walk(&s->pool, id, &at)) != NULL) {
		state = item_state(it);
		if ((state & ITEM_DEAD) || item_order(item_ident(it)) == 0)
			continue;
		if (state & ITEM_PIECE) {
			hash = segment_piece(it, state)->owner;
			index_lock(s->index, hash);
			owner = large_owner(s, it);
			if (owner && fate_of(s, owner, item_state(owner)) == FATE_LIVES)
				bytes[merge_score(item_freq(item_state(owner)),
						  whole_size(owner, item_state(owner)))] +=
				    item_size(it, state);
			index_unlock(s->index, hash);
		} else if (fate_of(s, it, state) == FATE_LIVES) {
			bytes[merge_score(item_freq(state), whole_size(it, state))] += item_size(it, state);
		}
	}
}

/* --- targets -------------------------------------------------------------------------------------------- */

static void
close_target(struct store *s, unsigned range)
{
	supply_close(s, s->merge.target[range]);
	s->merge.target[range] = 0;
	s->merge.ntargets--;
}

void
merge_close_targets(struct store *s)
{
	unsigned r;

	for (r = 0; r < TTL_RANGES; r++) {
		if (s->merge.target[r])
			close_target(s, r);
	}
}

/* Proven items and those of an earlier process must not share a segment before store_caught_up(). */
static bool
may_share(struct store *s, uint32_t from, uint32_t to)
{
	const struct segment_face *a = &s->pool.faces[from], *b = &s->pool.faces[to];

	return atomic_load_explicit(&s->caught_up, memory_order_relaxed) ||
	       (a->boot == s->boot) == (b->boot == s->boot);
}

/* A segment that this one's survivors go to, opened now; 0: none is free. */
static uint32_t
fresh_target(struct store *s, uint32_t from)
{
	struct segment *b;
	struct segment_face *f = &s->pool.faces[from];
	struct merge *m = &s->merge;
	unsigned range = m->range, i;
	uint32_t id;

	if (m->target[range])
		close_target(s, range);
	if (m->ntargets >= 2 + s->supply.usable / 16) {
		for (i = 0; i < TTL_RANGES; i++) {
			m->hand = (m->hand + 1) % TTL_RANGES;
			if (m->target[m->hand])
				break;
		}
		if (m->target[m->hand])
			close_target(s, m->hand);
	}
	id = supply_open(s, range, s->boot, true);
	if (id == 0)
		return 0;
	b = &s->pool.heads[id];
	/* Times of the survivors count from before the segment was opened. */
	b->start = f->start;
	b->base = f->base;
	if (!atomic_load_explicit(&s->caught_up, memory_order_relaxed))
		b->boot = f->boot;
	s->pool.faces[id] = (struct segment_face){b->base, b->start, b->flush, b->boot};
	m->target[range] = id;
	m->ntargets++;
	return id;
}

/* Space for a copy of the item, as a writer of the target; NULL: no segment is free. */
static struct item *
reserve_copy(struct store *s, const struct item *it, uint64_t state, uint32_t from)
{
	struct lane_want w = {.klen = item_klen(it),
			      .vlen = item_vlen(state),
			      .flags = state & (ITEM_FLAGS | ITEM_CAS | ITEM_EPOCH | ITEM_LARGE | ITEM_PIECE),
			      .expiry = segment_expiry(&s->pool.faces[from], it, state)};
	unsigned range = s->merge.range;
	uint32_t id = s->merge.target[range];
	struct item *to = NULL;

	if (id != 0 && may_share(s, from, id) &&
	    s->pool.faces[id].flush == atomic_load_explicit(&s->flush, memory_order_acquire))
		to = lane_append(s, id, &w);
	if (!to && (id = fresh_target(s, from)) != 0)
		to = lane_append(s, id, &w);
	if (to)
		/* What the clock will be when this merge is over. */
		atomic_store_explicit(&s->merged_clock[id],
				      (uint32_t)atomic_load_explicit(&s->merge_clock, memory_order_relaxed) +
					  1,
				      memory_order_release);
	return to;
}

/* --- one item --------------------------------------------------------------------------------------------
 */

static uint64_t
moved_seen(struct store *s, uint64_t state, uint32_t from, uint32_t to)
{
	uint32_t a = s->pool.faces[from].start + seen_decode(state >> ITEM_SEEN_SHIFT);
	uint32_t b = s->pool.faces[to].start;

	return seen_encode(a > b ? a - b : 0) << ITEM_SEEN_SHIFT;
}

/* With the bucket locked.  The optional fields in front of the key are the same, but perhaps for ITEM_FAR. */
static void
fill_copy(struct store *s, struct item *to, const struct item *it, uint64_t state)
{
	uint64_t fresh = item_state(to), from_id = segment_of(&s->pool, it);
	unsigned skip = (state & ITEM_FAR) ? 8 : 0, put = (fresh & ITEM_FAR) ? 8 : 0;
	unsigned freq = item_freq(state) / 2;
	size_t n = item_extra(state) - skip + item_klen(it) + item_vlen(state);

	if ((state & ITEM_LARGE) != 0) {
		struct large *a = large_of(it, state), *b = large_of(to, fresh);
		uint32_t i, count = large_count(s, a->len);

		memcpy(to->body + put, it->body + skip, item_extra(state) - skip + item_klen(it));
		b->len = a->len;
		for (i = 0; i < count; i++)
			atomic_store_explicit(&b->place[i],
					      atomic_load_explicit(&a->place[i], memory_order_relaxed),
					      memory_order_relaxed);
	} else {
		memcpy(to->body + put, it->body + skip, n);
	}
	item_publish(s, to, item_order(item_ident(it)),
		     (state & (ITEM_STALE | ITEM_TOKEN | ITEM_FETCHED)) | (uint64_t)freq << ITEM_FREQ_SHIFT |
			 moved_seen(s, state, (uint32_t)from_id, segment_of(&s->pool, to)));
}

static void
count_dropped(struct store *s, const struct item *it, uint64_t state, enum fate fate)
{
	const struct segment_face *f = &s->pool.faces[segment_of(&s->pool, it)];
	uint32_t now = atomic_load_explicit(&s->now, memory_order_relaxed);
	uint32_t seen = f->start + seen_decode(state >> ITEM_SEEN_SHIFT);

	if (fate == FATE_EXPIRED) {
		item_count_gone(s, state, STORE_EXPIRED);
	} else if (fate == FATE_FLUSHED) {
		item_count_gone(s, state, STORE_FLUSHED);
	} else if (fate == FATE_LIVES) {
		metric_inc(&s->metrics.store_evicted);
		if (!(state & ITEM_FETCHED))
			metric_inc(&s->metrics.store_evicted_unfetched);
		else if (seen + 60 >= now)
			metric_inc(&s->metrics.store_evicted_active);
		if (s->evicted)
			s->evicted(s->evicted_arg, it, state, segment_expiry(f, it, state),
				   now > seen ? now - seen : 0);
	}
}

/* With the bucket locked. */
static void
drop(struct store *s, struct item *it, uint64_t hash, enum fate fate)
{
	count_dropped(s, it, item_state(it), fate);
	(void)index_remove(s->index, hash, segment_place(&s->pool, it));
	item_kill(s, it);
}

static bool
stays(struct merge_rule *rule, unsigned score, size_t size)
{
	if (score >= rule->cutoff)
		return true;
	if (score + 1 != rule->cutoff || score == 0 || size > rule->edge_bytes)
		return false;
	rule->edge_bytes -= size;
	return true;
}

/* False: it must stay, but there is no room. */
static bool
treat_item(struct store *s, uint32_t from, struct item *it, struct merge_rule *rule)
{
	uint64_t state = item_state(it), hash = item_hash(s, it, state);
	enum fate fate = fate_of(s, it, state);
	struct item *to = NULL;
	bool ok = true, moved = false;

	if (fate == FATE_DEAD)
		return true;
	if (fate == FATE_LIVES &&
	    stays(rule, merge_score(item_freq(state), whole_size(it, state)), item_size(it, state))) {
		to = reserve_copy(s, it, state, from);
		if (!to && s->policy == STORE_REFUSE)
			return false;
	}
	index_lock(s->index, hash);
	state = atomic_load_explicit(&it->state, memory_order_acquire);
	if (!(state & ITEM_DEAD)) {
		if (to) {
			fill_copy(s, to, it, state);
			moved = index_replace(s->index, hash, segment_place(&s->pool, it),
					      segment_place(&s->pool, to));
			if (moved) {
				/* Release: who sees DEAD finds the copy. */
				atomic_fetch_or_explicit(&it->state, ITEM_DEAD, memory_order_release);
				atomic_fetch_sub_explicit(&s->pool.heads[from].live,
							  item_size(it, state) + SEGMENT_ONE_ITEM,
							  memory_order_relaxed);
			} else {
				atomic_fetch_or_explicit(&to->state, ITEM_DEAD, memory_order_relaxed);
				drop(s, it, hash, FATE_DEAD);
			}
		} else {
			drop(s, it, hash, fate);
		}
	}
	if (to) {
		lane_release(s, to, moved);
		if (moved)
			metric_inc(&s->metrics.store_moved);
	}
	index_unlock(s->index, hash);
	return ok;
}

static bool
treat_piece(struct store *s, uint32_t from, struct item *it, struct merge_rule *rule)
{
	uint64_t state = item_state(it), hash, owner_state, place;
	struct item *owner, *to = NULL;
	struct segment_piece *piece;
	enum fate fate;
	bool moved = false, stuck = false;

	if ((state & ITEM_DEAD) || item_order(item_ident(it)) == 0)
		return true;
	piece = segment_piece(it, state);
	hash = piece->owner;
	index_lock(s->index, hash);
	owner = large_owner(s, it);
	if (!owner) {
		/* Its head may just have been replaced; then it is dead by now. */
		if (!(item_state(it) & ITEM_DEAD))
			item_kill(s, it);
		index_unlock(s->index, hash);
		return true;
	}
	owner_state = item_state(owner);
	fate = fate_of(s, owner, owner_state);
	if (fate == FATE_LIVES &&
	    stays(rule, merge_score(item_freq(owner_state), whole_size(owner, owner_state)),
		  item_size(it, state))) {
		/* Takes the lock of the lists, which is fine with a bucket locked. */
		to = reserve_copy(s, it, state, from);
		stuck = !to && s->policy == STORE_REFUSE;
	}
	if (to) {
		struct segment_piece *copy = segment_piece(to, item_state(to));

		memcpy(copy, piece, item_vlen(state));
		item_publish(s, to, 1, 0);
		place = segment_place(&s->pool, to);
		atomic_store_explicit(&large_of(owner, owner_state)->place[piece->number], place,
				      memory_order_release);
		atomic_fetch_or_explicit(&it->state, ITEM_DEAD, memory_order_release);
		atomic_fetch_sub_explicit(&s->pool.heads[from].live, item_size(it, state) + SEGMENT_ONE_ITEM,
					  memory_order_relaxed);
		moved = true;
		lane_release(s, to, moved);
		metric_inc(&s->metrics.store_moved);
	} else if (!stuck) {
		drop(s, owner, hash, fate);
	}
	index_unlock(s->index, hash);
	return !stuck;
}

/*
 * Where the survivors go: to segments of the same range, but for what is left of a segment that was hardly
 * used. Else a few items of each of many ranges would hold a segment each.
 */
static unsigned
target_range(struct store *s, uint32_t id)
{
	const struct segment *g = &s->pool.heads[id];

	if (g->range != 0 && segment_live_bytes(segment_live(g)) < segment_size(&s->pool) / 8)
		return TTL_MIXED;
	return g->range;
}

bool
merge_segment(struct store *s, uint32_t id, struct merge_rule *rule)
{
	uint32_t at = 0;
	struct item *it;
	bool ok = true;

	if (!supply_drain(s, id))
		return false;
	s->merge.range = target_range(s, id);
	/* Odd while items move; see store_visit(). */
	atomic_fetch_add_explicit(&s->merge_clock, 1, memory_order_acq_rel);
	while (ok && (it = segment_walk(&s->pool, id, &at)) != NULL) {
		if (item_state(it) & ITEM_PIECE)
			ok = treat_piece(s, id, it, rule);
		else
			ok = treat_item(s, id, it, rule);
	}
	metric_inc(&s->metrics.store_merges);
	atomic_fetch_add_explicit(&s->merge_clock, 1, memory_order_acq_rel);
	if (!ok) {
		supply_undrain(s, id);
		return false;
	}
	supply_retire(s, id);
	return true;
}
