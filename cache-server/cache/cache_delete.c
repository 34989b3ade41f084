/* cache_delete - delete, md.  See cache_internal.h. */
#include "cache-server/cache/cache_internal.h"

/* With the guard's bucket locked, before the store's is: what must not be filled from now on.  Deletes of all
 * kinds do it, whatever they find. */
static void
arm(struct cache_thread *t, struct cache_delete *d, uint32_t source, struct source_time h, uint64_t until_ms,
    struct guard_bucket *b)
{
	struct guard_record *r =
	    d->holdoff_ms || source ? guard_take(t->guard, b, d->hash, t->now_ms) : guard_find(b, d->hash);

	if (!r)
		return;
	guard_void(t->guard, r);
	if (d->holdoff_ms)
		guard_hold(t->guard, r, until_ms);
	if (source)
		guard_invalidate(t->guard, b, r, source, h);
	guard_settle(t->guard, b, r, t->now_ms);
}

/* The item was filled after what the invalidation is about. */
static bool
is_newer(struct cache_thread *t, const struct store_view *v, uint32_t source, struct source_time h)
{
	struct item_epoch e;

	if (source == 0 || !(v->state & ITEM_EPOCH))
		return false;
	e = item_epoch(v->item, v->state);
	if (source_number(t->guard->sources, e.source) != source)
		return false;
	if ((t->guard->off & GUARD_OFF_DELETE) && e.count == h.count && e.term == h.term)
		return true;
	return source_newer((struct source_time){e.count, e.term}, h);
}

/* What is to stay in the item's place, if anything. */
enum remains { NOTHING, STALE_FOR_A_WHILE, AS_STALE, EMPTY, EMPTY_AS_STALE };

static enum remains
remains_of(struct cache_thread *t, const struct cache_delete *d, enum cache_kind kind,
	   const struct store_view *v)
{
	if (d->drop_value)
		return d->mark_stale ? EMPTY_AS_STALE : EMPTY;
	if (d->mark_stale)
		return AS_STALE;
	if (t->cache->opt.stale_s && kind == CACHE_LIVE && !(v->state & ITEM_LARGE))
		return STALE_FOR_A_WHILE;
	return NOTHING;
}

static enum cache_result
make_remains(struct cache_thread *t, const struct cache_delete *d, enum remains what,
	     struct store_draft *draft, struct store_view *from)
{
	struct cache_copy how = {
	    .new_expiry = d->has_expiry,
	    .expiry = d->expiry,
	    .cas = d->has_cas ? d->cas : 0,
	};
	enum cache_result r;
	uint64_t cas;

	if (what == STALE_FOR_A_WHILE) {
		how.new_expiry = false;
		how.no_later = store_now(t->cache->store) + t->cache->opt.stale_s;
	}
	if (what == STALE_FOR_A_WHILE || what == AS_STALE)
		return cache_copy(t, d->key, d->hash, &how, draft, from);
	/* An empty one keeps the CAS that it takes the place of, unless it is stale or E says another. */
	*draft = (struct store_draft){
	    .key = d->key,
	    .hash = d->hash,
	    .expiry = d->has_expiry ? d->expiry : CACHE_NEVER,
	    .client_flags = d->has_client_flags ? d->client_flags : 0,
	    .cas = d->has_cas ? d->cas : (what == EMPTY ? cache_view_cas(from) : 0),
	};
	cas = cache_view_cas(from);
	if ((r = cache_begin(t, draft)) != CACHE_OK)
		return r;
	/* Views of before store_begin() are void. */
	if (cache_look(t, d->key, d->hash, from) != CACHE_NONE && cache_view_cas(from) == cas)
		return CACHE_OK;
	store_abort(t->store, draft);
	return CACHE_NOT_FOUND;
}

/* An item of a term that is over goes as well: it may count again when the end of its term is told late. */
static enum cache_kind
look_locked(struct cache_thread *t, const struct cache_delete *d, struct store_view *v)
{
	enum cache_kind kind;

	if (!store_find_locked(t->store, d->key, d->hash, v))
		return CACHE_NONE;
	if ((kind = cache_kind(t, v)) == CACHE_NONE)
		store_remove(t->store, v);
	return kind;
}

/* CACHE_EXISTS, CACHE_NOT_FOUND, or CACHE_OK: it is to go. */
static enum cache_result
judge(struct cache_thread *t, const struct cache_delete *d, enum cache_kind kind, const struct store_view *v,
      uint32_t source, struct source_time h)
{
	if (kind == CACHE_NONE)
		return CACHE_NOT_FOUND;
	if (d->has_compare && cache_view_cas(v) != d->compare)
		return CACHE_EXISTS;
	if (is_newer(t, v, source, h)) {
		CACHE_COUNT(t, epoch_kept);
		return CACHE_NOT_FOUND;
	}
	/* What a delete has made stale is deleted already. */
	if (kind == CACHE_STALE && t->cache->opt.stale_s && !d->mark_stale && !d->drop_value)
		return CACHE_NOT_FOUND;
	return CACHE_OK;
}

static void
finish(struct cache_thread *t, enum remains what, struct store_view *v, struct store_draft *draft)
{
	switch (what) {
	case NOTHING:
		store_remove(t->store, v);
		break;
	case EMPTY:
		(void)store_commit(t->store, draft, 0);
		break;
	case STALE_FOR_A_WHILE:
		CACHE_COUNT(t, stale_kept);
		/* fall through */
	case AS_STALE:
	case EMPTY_AS_STALE:
		(void)store_commit(t->store, draft, ITEM_STALE | (v->state & ITEM_FETCHED));
		break;
	}
}

enum cache_result
cache_delete(struct cache_thread *t, struct cache_delete *d)
{
	bool needs_guard = d->holdoff_ms || d->epoch || guard_may_lease(t->guard);
	uint64_t until_ms = d->holdoff_ms ? cache_now_ms(t->cache) + d->holdoff_ms : 0;
	struct source_time h = {0, 0};
	uint32_t source = 0;
	enum cache_result r;
	bool failed = false;

	if (d->holdoff_ms)
		CACHE_COUNT(t, holdoff_armed);
	if (d->epoch) {
		source = source_intern(t->guard->sources, d->epoch->source);
		h = (struct source_time){d->epoch->count, d->epoch->term};
	}
	for (;;) {
		struct guard_bucket *b = NULL;
		struct store_draft draft;
		struct store_view from, v;
		enum cache_kind kind = cache_look(t, d->key, d->hash, &from);
		enum remains what = kind == CACHE_NONE ? NOTHING : remains_of(t, d, kind, &from);
		bool again = false;

		if (what != NOTHING) {
			r = make_remains(t, d, what, &draft, &from);
			if (r == CACHE_NOT_FOUND)
				continue;
			if (r != CACHE_OK) {
				/* No memory to keep it: what must go goes. */
				failed = what != STALE_FOR_A_WHILE;
				what = NOTHING;
			}
		}
		if (needs_guard) {
			b = guard_lock(t->guard, d->hash);
			arm(t, d, source, h, until_ms, b);
		}
		store_lock(t->store, d->hash);
		if (!b && guard_may_lease(t->guard)) {
			/* The first lease ever was given since we looked; it may be this key's. */
			needs_guard = again = true;
		} else {
			kind = look_locked(t, d, &v);
			r = judge(t, d, kind, &v, source, h);
			if (r == CACHE_OK && what != NOTHING && !cache_same(&v, &from))
				again = true;
			else if (r == CACHE_OK && what == NOTHING && !failed &&
				 remains_of(t, d, kind, &v) > STALE_FOR_A_WHILE)
				again = true; /* something to be kept has come in between */
			else if (r == CACHE_OK)
				finish(t, what, &v, &draft);
		}
		if (what != NOTHING && (again || r != CACHE_OK))
			store_abort(t->store, &draft);
		store_unlock(t->store, d->hash);
		if (b)
			guard_unlock(b);
		if (!again)
			break;
	}
	if (r == CACHE_OK && !d->mark_stale)
		CACHE_COUNT(t, delete_hits);
	else if (r != CACHE_OK)
		CACHE_COUNT(t, delete_misses);
	return r == CACHE_OK && failed ? CACHE_NO_MEMORY : r;
}
