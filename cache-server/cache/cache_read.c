/* cache_read - get, mg, lease-get, touch, gat.  See cache_internal.h. */
#include "cache-server/cache/cache_internal.h"

bool
cache_get(struct cache_thread *t, struct span key, uint64_t hash, struct store_view *out)
{
	enum cache_kind kind;

	CACHE_COUNT(t, cmd_get);
	if (__builtin_expect(store_find(t->store, key, hash, out), 1)) {
		kind = cache_kind(t, out);
		if (__builtin_expect(kind == CACHE_LIVE, 1)) {
			CACHE_COUNT(t, get_hits);
			return true;
		}
		if (kind == CACHE_UNPROVEN)
			CACHE_COUNT(t, unproven_refused);
	} else {
		cache_count_gone(t, out->gone);
	}
	CACHE_COUNT(t, get_misses);
	return false;
}

void
cache_used(struct cache_thread *t, const struct store_view *v)
{
	store_accessed(t->store, v);
}

/* --- mg ------------------------------------------------------------------------------------------------- */

/* Whether the right to fill is with somebody.  A token that a meta command gave lives in the item, its time
 * in the guard; when the guard has lost it, or the time has passed, the right may be given again. */
static bool
is_taken(struct cache_thread *t, const struct store_view *v, const struct guard_record *r)
{
	return (v->state & ITEM_TOKEN) && guard_is_hot(t->guard, r, t->now_ms);
}

static bool
is_recache_due(struct cache_thread *t, const struct cache_get_meta *m, uint32_t expiry)
{
	int64_t left;

	if (!m->has_recache || expiry == CACHE_NEVER)
		return false;
	left = (int64_t)expiry - store_now(t->cache->store);
	return left < m->recache_s;
}

/* Clients that send N or R know what X is; the others must not see a value that was deleted. */
static bool
may_see_stale(struct cache_thread *t, const struct cache_get_meta *m, enum cache_kind kind)
{
	return m->vivify || m->has_recache || (kind == CACHE_STALE && t->cache->opt.stale_s == 0);
}

static bool
is_new_enough(struct cache_thread *t, const struct cache_get_meta *m)
{
	struct epoch bound;

	if (!m->not_older)
		return true;
	if (!cache_bound(t, &m->view, &bound) || !span_eq(bound.source, m->not_older->source))
		return false;
	return !source_newer((struct source_time){m->not_older->count, m->not_older->term},
			     (struct source_time){bound.count, bound.term});
}

static enum cache_result
meta_miss(struct cache_thread *t, const struct cache_get_meta *m, enum cache_kind kind)
{
	CACHE_COUNT(t, cmd_get);
	CACHE_COUNT(t, get_misses);
	if (kind == CACHE_NONE)
		cache_count_gone(t, m->view.gone);
	if (kind == CACHE_UNPROVEN)
		CACHE_COUNT(t, unproven_refused);
	return CACHE_NOT_FOUND;
}

static enum cache_result
meta_hit(struct cache_thread *t, struct cache_get_meta *m, enum cache_kind kind)
{
	if (m->has_touch) {
		CACHE_COUNT(t, cmd_touch);
		CACHE_COUNT(t, touch_hits);
	} else {
		CACHE_COUNT(t, cmd_get);
		CACHE_COUNT(t, get_hits);
	}
	m->stale = kind != CACHE_LIVE;
	if (m->stale)
		CACHE_COUNT(t, stale_served);
	if (m->won)
		CACHE_COUNT(t, lease_given);
	m->hit_before = (m->view.state & ITEM_FETCHED) != 0;
	m->idle_s = store_idle(t->store, &m->view);
	m->expiry_before = m->view.expiry;
	return CACHE_OK;
}

/* With both buckets locked; `m->view` is what is there. */
static void
meta_decide(struct cache_thread *t, struct cache_get_meta *m, enum cache_kind kind, struct guard_bucket *b,
	    struct guard_record *r)
{
	uint32_t expiry = m->touch_first && m->has_touch ? m->touch_expiry : m->view.expiry;
	bool wants =
	    kind != CACHE_LIVE || is_recache_due(t, m, expiry) || (m->vivify && (m->view.state & ITEM_TOKEN));

	if (wants && !is_taken(t, &m->view, r)) {
		r = guard_take(t->guard, b, m->hash, t->now_ms);
		guard_give(t->guard, r, TOKEN_HOT, t->now_ms);
		m->won = true;
	}
	m->token_sent = (m->view.state & ITEM_TOKEN) && !m->won;
}

static enum cache_result
meta_touch(struct cache_thread *t, struct cache_get_meta *m)
{
	struct cache_copy how = {.new_expiry = true, .expiry = m->touch_expiry, .keep_cas = true};

	for (;;) {
		struct guard_bucket *b;
		struct store_draft d;
		struct store_view from;
		enum cache_kind kind;
		enum cache_result r = cache_copy(t, m->key, m->hash, &how, &d, &from);
		uint64_t bits;

		if (r == CACHE_NOT_FOUND)
			return r;
		if (r != CACHE_OK)
			return CACHE_NO_MEMORY;
		b = guard_lock(t->guard, m->hash);
		store_lock(t->store, m->hash);
		kind = cache_look_locked(t, m->key, m->hash, &m->view);
		if (kind == CACHE_NONE || !cache_same(&m->view, &from)) {
			store_abort(t->store, &d);
			store_unlock(t->store, m->hash);
			guard_unlock(b);
			if (kind == CACHE_NONE)
				return CACHE_NOT_FOUND;
			continue;
		}
		meta_decide(t, m, kind, b, guard_find(b, m->hash));
		bits = (m->view.state & (ITEM_STALE | ITEM_TOKEN | ITEM_FETCHED)) |
		       (kind == CACHE_UNPROVEN ? ITEM_STALE : 0) | (m->won ? ITEM_TOKEN : 0) |
		       (m->no_bump ? 0 : ITEM_FETCHED);
		(void)store_commit(t->store, &d, bits);
		store_unlock(t->store, m->hash);
		guard_unlock(b);
		return meta_hit(t, m, kind);
	}
}

static enum cache_result
meta_locked(struct cache_thread *t, struct cache_get_meta *m)
{
	struct guard_bucket *b = guard_lock(t->guard, m->hash);
	enum cache_kind kind;

	store_lock(t->store, m->hash);
	kind = cache_look_locked(t, m->key, m->hash, &m->view);
	if (kind != CACHE_NONE) {
		meta_decide(t, m, kind, b, guard_find(b, m->hash));
		if (m->won)
			store_mark(t->store, &m->view, ITEM_TOKEN, 0);
	}
	store_unlock(t->store, m->hash);
	guard_unlock(b);
	return kind == CACHE_NONE ? CACHE_NOT_FOUND : meta_hit(t, m, kind);
}

/* CACHE_NOT_FOUND: something is there now. */
static enum cache_result
meta_vivify(struct cache_thread *t, struct cache_get_meta *m)
{
	struct store_draft d = {
	    .key = m->key, .hash = m->hash, .expiry = m->vivify_expiry, .cas = m->has_cas ? m->cas : 0};
	struct guard_bucket *b;
	bool made = false;

	if (cache_begin(t, &d) != CACHE_OK)
		return CACHE_NO_MEMORY;
	b = guard_lock(t->guard, m->hash);
	store_lock(t->store, m->hash);
	if (cache_look_locked(t, m->key, m->hash, &m->view) == CACHE_NONE) {
		guard_give(t->guard, guard_take(t->guard, b, m->hash, t->now_ms), TOKEN_HOT, t->now_ms);
		(void)store_commit(t->store, &d, ITEM_TOKEN);
		/* An item that is dead on arrival is not found, and then there is nothing to show. */
		made = store_find_locked(t->store, m->key, m->hash, &m->view);
	} else {
		store_abort(t->store, &d);
		store_unlock(t->store, m->hash);
		guard_unlock(b);
		return CACHE_NOT_FOUND;
	}
	store_unlock(t->store, m->hash);
	guard_unlock(b);
	if (!made)
		return CACHE_NO_MEMORY;
	m->won = true;
	return meta_hit(t, m, CACHE_LIVE);
}

enum cache_result
cache_get_meta(struct cache_thread *t, struct cache_get_meta *m)
{
	m->won = m->stale = m->token_sent = m->hit_before = false;
	for (;;) {
		enum cache_kind kind = cache_look(t, m->key, m->hash, &m->view);
		enum cache_result r;

		if (kind == CACHE_NONE) {
			if (!m->vivify)
				return meta_miss(t, m, kind);
			r = meta_vivify(t, m);
			if (r == CACHE_NOT_FOUND)
				continue;
			return r == CACHE_OK ? r : (meta_miss(t, m, kind), r);
		}
		if ((kind != CACHE_LIVE && !may_see_stale(t, m, kind)) || !is_new_enough(t, m))
			return meta_miss(t, m, kind);
		if (m->has_touch) {
			r = meta_touch(t, m);
		} else if (kind != CACHE_LIVE || is_recache_due(t, m, m->view.expiry) ||
			   (m->vivify && (m->view.state & ITEM_TOKEN))) {
			r = meta_locked(t, m);
		} else {
			m->token_sent = (m->view.state & ITEM_TOKEN) != 0;
			return meta_hit(t, m, kind);
		}
		if (r != CACHE_NOT_FOUND)
			return r == CACHE_OK ? r : (meta_miss(t, m, kind), r);
		/* It went away in between. */
	}
}

/* --- lease-get ------------------------------------------------------------------------------------------ */

void
cache_lease_get(struct cache_thread *t, struct cache_lease *l)
{
	struct guard_bucket *b;
	struct guard_record *r;
	enum cache_kind kind;

	CACHE_COUNT(t, cmd_get);
	CACHE_COUNT(t, cmd_lease_get);
	l->token = 0;
	l->has_stale = false;
	l->hit = cache_look(t, l->key, l->hash, &l->view) == CACHE_LIVE;
	if (l->hit) {
		CACHE_COUNT(t, get_hits);
		return;
	}
	b = guard_lock(t->guard, l->hash);
	r = guard_find(b, l->hash);
	if (guard_is_hot(t->guard, r, t->now_ms) || (l->token = token_next(&t->tokens)) == 0) {
		l->token = TOKEN_HOT;
	} else {
		/* Given before the store's bucket is locked: whoever deletes after us there voids it. */
		r = guard_take(t->guard, b, l->hash, t->now_ms);
		guard_give(t->guard, r, l->token, t->now_ms);
	}
	store_lock(t->store, l->hash);
	kind = cache_look_locked(t, l->key, l->hash, &l->view);
	if (kind != CACHE_NONE && kind != CACHE_LIVE && l->token != TOKEN_HOT)
		store_mark(t->store, &l->view, ITEM_TOKEN, 0);
	store_unlock(t->store, l->hash);
	if (kind == CACHE_LIVE) {
		/* Somebody set it meanwhile. */
		if (l->token != TOKEN_HOT) {
			r->token = 0;
			guard_settle(t->guard, b, r, t->now_ms);
		}
		l->hit = true;
		l->token = 0;
	}
	guard_unlock(b);
	if (l->hit) {
		CACHE_COUNT(t, get_hits);
		return;
	}
	CACHE_COUNT(t, get_misses);
	if (kind == CACHE_NONE)
		cache_count_gone(t, l->view.gone);
	if (l->token == TOKEN_HOT)
		CACHE_COUNT(t, lease_hot);
	else
		CACHE_COUNT(t, lease_given);
	if (kind == CACHE_UNPROVEN)
		CACHE_COUNT(t, unproven_refused);
	if (kind != CACHE_NONE) {
		l->has_stale = true;
		CACHE_COUNT(t, stale_served);
	}
}

/* --- touch ---------------------------------------------------------------------------------------------- */

enum cache_result
cache_touch(struct cache_thread *t, struct span key, uint64_t hash, uint32_t expiry, struct store_view *out)
{
	struct cache_copy how = {.new_expiry = true, .expiry = expiry, .keep_cas = true};
	struct store_view now;
	enum cache_result r = CACHE_NOT_FOUND;

	CACHE_COUNT(t, cmd_touch);
	for (;;) {
		struct store_draft d;
		struct store_view from;
		bool done = false;

		enum cache_kind kind = cache_look(t, key, hash, &now);

		if (kind == CACHE_NONE)
			cache_count_gone(t, now.gone);
		if (kind != CACHE_LIVE)
			break;
		if ((r = cache_copy(t, key, hash, &how, &d, &from)) != CACHE_OK)
			break;
		r = CACHE_NOT_FOUND;
		store_lock(t->store, hash);
		if (cache_look_locked(t, key, hash, &now) == CACHE_LIVE && cache_same(&now, &from)) {
			(void)store_commit(t->store, &d, (now.state & ITEM_TOKEN) | ITEM_FETCHED);
			done = !out || store_find_locked(t->store, key, hash, out);
			/* gat with a time that has passed: what it had, for the last time */
			if (!done)
				*out = now;
			done = true;
		} else {
			store_abort(t->store, &d);
		}
		store_unlock(t->store, hash);
		if (done) {
			CACHE_COUNT(t, touch_hits);
			return CACHE_OK;
		}
	}
	CACHE_COUNT(t, touch_misses);
	return r == CACHE_NOT_FOUND ? r : CACHE_NO_MEMORY;
}
