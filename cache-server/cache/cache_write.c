/* cache_write - set and its like, cas, lease-set, ms, append, prepend, incr, decr, ma.  See cache_internal.h.
 */
#include "cache-server/cache/cache_internal.h"

enum { AGAIN = -1, OTHER_EXPIRY = -2, NUMBER_MAX = 20 };

/* --- set, add, replace, cas, lease-set ------------------------------------------------------------------ */

/* What a command would do if there were no guard, and what it needs. */
struct plan {
	enum cache_result result; /* CACHE_OK, CACHE_STALE_STORED: store it */
	uint64_t bits;
	bool keeps_expiry; /* of what is there */
	bool is_fill;	   /* a hold-off refuses it */
};

static bool
extends(const struct cache_set *s)
{
	return s->mode == CACHE_APPEND || s->mode == CACHE_PREPEND;
}

static bool
stores(const struct plan *p)
{
	return p->result == CACHE_OK || p->result == CACHE_STALE_STORED;
}

static struct plan
plan_compare(struct cache_thread *t, const struct cache_set *s, enum cache_kind kind,
	     const struct store_view *v)
{
	struct plan p = {.result = CACHE_OK};
	uint64_t cas;

	if (kind == CACHE_NONE) {
		CACHE_COUNT(t, cas_misses);
		p.result = CACHE_NOT_FOUND;
		return p;
	}
	cas = cache_view_cas(v);
	/* Of what lives and waits for nobody it is a change, else the fill of a meta client. */
	p.is_fill = kind != CACHE_LIVE || (v->state & ITEM_TOKEN);
	if (s->compare != 0 && s->compare == cas) {
		CACHE_COUNT(t, cas_hits);
	} else if (s->invalidate && s->compare != 0 && s->compare < cas) {
		CACHE_COUNT(t, cas_hits);
		p.bits = ITEM_STALE | (v->state & ITEM_TOKEN);
		p.keeps_expiry = true;
	} else {
		CACHE_COUNT(t, cas_badval);
		p.result = CACHE_EXISTS;
	}
	return p;
}

static struct plan
plan_lease(const struct cache_thread *t, const struct cache_set *s, enum cache_kind kind,
	   const struct store_view *v, const struct guard_record *r)
{
	struct plan p = {.result = CACHE_NOT_STORED, .is_fill = true};

	if (kind == CACHE_LIVE)
		return p;
	if (guard_is_good(t->guard, r, s->token)) {
		p.result = CACHE_OK;
	} else if (kind != CACHE_NONE) {
		p.result = CACHE_STALE_STORED;
		p.bits = ITEM_STALE | (v->state & ITEM_TOKEN);
		p.keeps_expiry = true;
	}
	return p;
}

static struct plan
plan_set(struct cache_thread *t, const struct cache_set *s, enum cache_kind kind, const struct store_view *v,
	 const struct guard_record *r)
{
	struct plan p = {.result = CACHE_OK, .is_fill = s->epoch != NULL};

	if (s->is_lease)
		return plan_lease(t, s, kind, v, r);
	switch (s->mode) {
	case CACHE_ADD:
	case CACHE_APPEND: /* with nothing to append to, and N */
	case CACHE_PREPEND:
		p.is_fill = true;
		if (kind == CACHE_LIVE)
			p.result = CACHE_NOT_STORED;
		break;
	case CACHE_REPLACE:
		if (s->has_compare)
			return plan_compare(t, s, kind, v);
		if (kind != CACHE_LIVE)
			p.result = CACHE_NOT_STORED;
		break;
	case CACHE_SET:
		if (s->has_compare)
			return plan_compare(t, s, kind, v);
		break;
	}
	return p;
}

/* With the guard's bucket locked: whether what would be stored must not be. */
static bool
is_refused(struct cache_thread *t, const struct cache_set *s, const struct plan *p,
	   const struct guard_bucket *b, const struct guard_record *r)
{
	struct source_time e;
	uint32_t source;

	if ((p->is_fill || s->epoch) && guard_is_held(t->guard, b, r, t->now_ms)) {
		CACHE_COUNT(t, holdoff_refused);
		return true;
	}
	if (!s->epoch || extends(s))
		return false;
	(void)cache_epoch_of(t, s->epoch, &source, &e);
	switch (guard_fence(t->guard, b, r, source, e)) {
	case GUARD_FINE:
		return false;
	case GUARD_BELOW:
		CACHE_COUNT(t, epoch_floor_refused);
		/* fall through */
	case GUARD_OLD:
		CACHE_COUNT(t, epoch_refused);
	}
	return true;
}

/* A right to fill that came to nothing goes to the next who asks, at once.  An item that waits to be filled
 * keeps ITEM_TOKEN: without a record of when it was given it counts as nobody's. */
static void
release_right(const struct cache_thread *t, const struct cache_set *s, enum cache_kind kind,
	      const struct store_view *v, struct guard_record *r)
{
	if (!r)
		return;
	if (s->is_lease
		? guard_is_good(t->guard, r, s->token)
		: s->has_compare && kind != CACHE_NONE && (v->state & ITEM_TOKEN) && r->token == TOKEN_HOT)
		r->token = 0;
}

/* A lease or a fence was right when it was looked at, but everything has been flushed since: the flush did
 * not see the item, so it goes now. */
static bool
was_flushed(struct cache_thread *t, const struct cache_set *s, uint64_t generation)
{
	struct store_view v;

	if (!s->is_lease && !s->epoch)
		return false;
	/* A full barrier between the commit and the look: whoever flushes raises the generation first, so
	 * either he finds the item or we find him. */
	atomic_exchange_explicit(&t->barrier, 1, memory_order_seq_cst);
	if (guard_generation(t->guard) == generation)
		return false;
	if (store_find_locked(t->store, s->key, s->hash, &v))
		store_remove(t->store, &v);
	return true;
}

static void
count_lease(struct cache_thread *t, const struct cache_set *s, enum cache_result r)
{
	if (!s->is_lease)
		return;
	if (r == CACHE_OK)
		CACHE_COUNT(t, lease_filled);
	else
		CACHE_COUNT(t, lease_refused);
}

/* With the store's bucket locked, and the guard's when `b`.  Commits, or leaves the draft: then the result
 * says so. */
static int
decide(struct cache_thread *t, struct cache_set *s, struct store_draft *d, struct guard_bucket *b,
       uint32_t *other_expiry)
{
	struct guard_record *r = b ? guard_find(b, s->hash) : NULL;
	uint64_t generation = guard_generation(t->guard);
	struct store_view v;
	enum cache_kind kind = cache_look_locked(t, s->key, s->hash, &v);
	struct plan p = plan_set(t, s, kind, &v, r);
	int result = p.result;

	if (extends(s) && kind == CACHE_LIVE)
		return AGAIN; /* there is something to append to, after all */
	if (stores(&p) && p.keeps_expiry && d->expiry != v.expiry) {
		*other_expiry = v.expiry;
		return OTHER_EXPIRY;
	}
	if (stores(&p) && b && is_refused(t, s, &p, b, r)) {
		result = CACHE_NOT_STORED;
		p.result = CACHE_NOT_STORED;
		release_right(t, s, kind, &v, r);
	}
	if (r && s->is_lease && result != CACHE_STALE_STORED && guard_is_good(t->guard, r, s->token) &&
	    !(t->guard->off & GUARD_OFF_ONCE))
		r->token = 0;
	if (stores(&p)) {
		s->len_out = d->value_len;
		s->cas_out = store_commit(t->store, d, p.bits);
		/* Not before: a process that dies in between leaves the value and the hold-off. */
		if (r && !p.is_fill)
			guard_hold_end(r);
		if (was_flushed(t, s, generation)) {
			result = CACHE_NOT_STORED;
			s->cas_out = 0;
		}
	} else {
		store_abort(t->store, d);
	}
	if (r)
		guard_settle(t->guard, b, r, t->now_ms);
	return result;
}

static int
commit(struct cache_thread *t, struct cache_set *s, struct store_draft *d, uint32_t *other_expiry)
{
	bool needs_guard = s->is_lease || s->epoch || guard_may_hold(t->guard, t->now_ms);
	int result;

	for (;;) {
		struct guard_bucket *b = needs_guard ? guard_lock(t->guard, s->hash) : NULL;

		store_lock(t->store, s->hash);
		/* Whoever holds the key off does it before he locks the store's bucket: we have seen it, or
		 * he will remove what we store. */
		if (!b && guard_may_hold(t->guard, t->now_ms)) {
			store_unlock(t->store, s->hash);
			needs_guard = true;
			continue;
		}
		if (!b && s->mode == CACHE_SET && !s->has_compare) {
			/* The usual one: whatever was there goes. */
			s->len_out = d->value_len;
			s->cas_out = store_commit(t->store, d, 0);
			result = CACHE_OK;
		} else {
			result = decide(t, s, d, b, other_expiry);
		}
		store_unlock(t->store, s->hash);
		if (b)
			guard_unlock(b);
		return result;
	}
}

static enum cache_result
draft_begin(struct cache_thread *t, const struct cache_set *s, uint64_t len, uint32_t expiry,
	    struct store_draft *d)
{
	*d = (struct store_draft){
	    .key = s->key,
	    .hash = s->hash,
	    .value_len = len,
	    .expiry = expiry,
	    .client_flags = s->client_flags,
	    .cas = s->has_cas ? s->cas : 0,
	};
	if (s->epoch && !extends(s)) {
		uint32_t source = source_find(t->guard->sources, s->epoch->source);

		d->epoch = (struct item_epoch){s->epoch->count, s->epoch->term,
					       source_code(t->guard->sources, source)};
		if (source == 0)
			d->epoch = (struct item_epoch){0, 0, 0};
	}
	return cache_begin(t, d);
}

/* AGAIN: see decide(); the draft is kept. */
static int
set_whole(struct cache_thread *t, struct cache_set *s, struct store_draft *d)
{
	for (;;) {
		struct store_draft other;
		enum cache_result r;
		uint32_t expiry = 0;
		int result = commit(t, s, d, &expiry);

		if (result != OTHER_EXPIRY)
			return result;
		/* It is to live as long as what it replaces. */
		r = draft_begin(t, s, d->value_len, expiry, &other);
		if (r == CACHE_OK)
			cache_put_draft(t, &other, 0, d);
		store_abort(t->store, d);
		if (r != CACHE_OK)
			return r;
		*d = other;
	}
}

/* --- append, prepend ------------------------------------------------------------------------------------ */

static int
extend_commit(struct cache_thread *t, struct cache_set *s, struct store_draft *d,
	      const struct store_view *from)
{
	struct store_view v;
	int result = AGAIN;

	store_lock(t->store, s->hash);
	if (cache_look_locked(t, s->key, s->hash, &v) == CACHE_LIVE && cache_same(&v, from)) {
		s->len_out = d->value_len;
		s->cas_out = store_commit(t->store, d, 0);
		result = CACHE_OK;
	} else {
		store_abort(t->store, d);
	}
	store_unlock(t->store, s->hash);
	return result;
}

/* `part`: what is to be added. */
static enum cache_result
set_extend(struct cache_thread *t, struct cache_set *s, struct store_draft *part)
{
	struct cache_copy how = {
	    .cas = s->has_cas ? s->cas : 0,
	    .extra_len = part->value_len,
	    .prepend = s->mode == CACHE_PREPEND,
	    .no_epoch = true,
	};
	enum cache_result r = CACHE_NOT_STORED;
	int result = AGAIN;

	while (result == AGAIN) {
		struct store_draft d;
		struct store_view from;
		uint64_t old_len;

		if (cache_look(t, s->key, s->hash, &from) != CACHE_LIVE) {
			if (!s->vivify)
				break;
			/* As add; its draft was begun with the TTL of N. */
			if ((result = set_whole(t, s, part)) != AGAIN)
				return (enum cache_result)result;
			continue;
		}
		if (s->has_compare && s->compare != 0 && s->compare != cache_view_cas(&from)) {
			r = CACHE_EXISTS;
			break;
		}
		if (cache_copy(t, s->key, s->hash, &how, &d, &from) != CACHE_OK)
			break; /* memcached, too, says NOT_STORED */
		old_len = d.value_len - part->value_len;
		cache_put_draft(t, &d, how.prepend ? 0 : old_len, part);
		if (s->has_compare && s->compare != 0 && s->compare != cache_view_cas(&from)) {
			store_abort(t->store, &d);
			r = CACHE_EXISTS;
			break;
		}
		if ((result = extend_commit(t, s, &d, &from)) != AGAIN)
			r = (enum cache_result)result;
	}
	store_abort(t->store, part);
	return r;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

enum cache_result
cache_set(struct cache_thread *t, struct cache_set *s)
{
	struct store_draft mine, *d = s->draft;
	enum cache_result r;

	s->cas_out = 0;
	s->len_out = 0;
	if (!d) {
		d = &mine;
		if ((r = cache_set_begin(t, s, s->value.len, d)) != CACHE_OK)
			return r;
		if (d->value && s->value.len > 0)
			memcpy(d->value, s->value.p, s->value.len);
		else
			cache_put_span(t, d, 0, s->value);
	}
	CACHE_COUNT(t, cmd_set);
	if (s->is_lease)
		CACHE_COUNT(t, cmd_lease_set);
	r = extends(s) ? set_extend(t, s, d) : (enum cache_result)set_whole(t, s, d);
	count_lease(t, s, r);
	return r;
}

enum cache_result
cache_set_begin(struct cache_thread *t, struct cache_set *s, uint64_t len, struct store_draft *d)
{
	uint32_t expiry = extends(s) ? s->vivify_expiry : s->expiry;
	enum cache_result r = draft_begin(t, s, len, expiry, d);

	if (r != CACHE_OK && s->mode == CACHE_SET && !s->has_compare && !s->is_lease)
		cache_set_failed(t, s->key, s->hash);
	return r;
}

void
cache_set_abort(struct cache_thread *t, struct store_draft *d)
{
	store_abort(t->store, d);
}

void
cache_set_failed(struct cache_thread *t, struct span key, uint64_t hash)
{
	struct store_view v;

	store_lock(t->store, hash);
	if (store_find_locked(t->store, key, hash, &v))
		store_remove(t->store, &v);
	store_unlock(t->store, hash);
}

/* --- incr, decr, ma ------------------------------------------------------------------------------------- */

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As strtoull() with base 10 read it, on a text that is followed by a line end. */
static bool
number_parse(struct span text, uint64_t *out)
{
	size_t i = 0, digits;
	uint64_t n = 0;
	bool minus = false;

	while (i < text.len && is_space(text.p[i]))
		i++;
	if (i < text.len && (text.p[i] == '-' || text.p[i] == '+'))
		minus = text.p[i++] == '-';
	for (digits = i; i < text.len && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
		unsigned digit = (unsigned)(text.p[i] - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (i == digits || (i < text.len && !is_space(text.p[i]) && text.p[i] != '\0'))
		return false;
	if (minus) {
		n = 0 - n;
		if (n >> 63)
			return false;
	}
	*out = n;
	return true;
}

static unsigned
number_print(uint64_t n, char out[NUMBER_MAX])
{
	char digits[NUMBER_MAX];
	unsigned len = 0, i;

	do
		digits[len++] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	for (i = 0; i < len; i++)
		out[i] = digits[len - 1 - i];
	return len;
}

/* What is to be there, of what is there. */
static enum cache_result
arith_of(const struct cache_arith *a, const struct store_view *v, uint64_t *n)
{
	if (v->len == 0 || !v->value)
		return CACHE_NON_NUMERIC;
	if (a->has_compare && a->compare != 0 && a->compare != cache_view_cas(v))
		return CACHE_EXISTS;
	if (!number_parse(span_make(v->value, v->len), n))
		return CACHE_NON_NUMERIC;
	if (!a->decrement)
		*n += a->delta;
	else
		*n = a->delta > *n ? 0 : *n - a->delta;
	return CACHE_OK;
}

static enum cache_result
arith_vivify(struct cache_thread *t, struct cache_arith *a)
{
	char text[NUMBER_MAX];
	struct cache_set s = {
	    .key = a->key,
	    .hash = a->hash,
	    .mode = CACHE_ADD,
	    .expiry = a->has_touch ? a->touch_expiry : a->vivify_expiry,
	    .has_cas = a->has_cas,
	    .cas = a->cas,
	};
	enum cache_result r;

	s.value = span_make(text, number_print(a->initial, text));
	if ((r = cache_set(t, &s)) == CACHE_OK) {
		a->value_out = a->initial;
		a->cas_out = s.cas_out;
		a->expiry_out = s.expiry;
		a->length_out = (unsigned)s.value.len;
	}
	return r;
}

/* AGAIN: it has changed meanwhile. */
static int
arith_step(struct cache_thread *t, struct cache_arith *a, const struct store_view *seen, uint64_t n)
{
	char text[NUMBER_MAX];
	unsigned len = number_print(n, text);
	struct store_draft d = {
	    .key = a->key,
	    .hash = a->hash,
	    .value_len = len > seen->len ? len : seen->len,
	    .expiry = a->has_touch ? a->touch_expiry : seen->expiry,
	    .client_flags = item_client_flags(seen->item, seen->state),
	    .cas = a->has_cas ? a->cas : 0,
	};
	struct store_view v;
	int result = AGAIN;

	if (cache_begin(t, &d) != CACHE_OK)
		return CACHE_NO_MEMORY;
	store_lock(t->store, a->hash);
	if (cache_look_locked(t, a->key, a->hash, &v) == CACHE_LIVE) {
		result = arith_of(a, &v, &n);
		len = number_print(n, text);
		if (result == CACHE_OK &&
		    (d.value_len != (len > v.len ? len : v.len) || (!a->has_touch && d.expiry != v.expiry) ||
		     d.client_flags != item_client_flags(v.item, v.state)))
			result = AGAIN;
	}
	if (result == CACHE_OK) {
		memcpy(d.value, text, len);
		memset(d.value + len, ' ', d.value_len - len);
		a->value_out = n;
		a->expiry_out = d.expiry;
		a->length_out = (unsigned)d.value_len;
		a->cas_out = store_commit(t->store, &d, v.state & (ITEM_TOKEN | ITEM_FETCHED));
	} else {
		store_abort(t->store, &d);
	}
	store_unlock(t->store, a->hash);
	return result;
}

enum cache_result
cache_arith(struct cache_thread *t, struct cache_arith *a)
{
	int result = AGAIN;

	while (result == AGAIN) {
		struct store_view v;
		uint64_t n = 0;

		if (cache_look(t, a->key, a->hash, &v) != CACHE_LIVE) {
			if (!a->vivify) {
				if (a->decrement)
					CACHE_COUNT(t, decr_misses);
				else
					CACHE_COUNT(t, incr_misses);
				return CACHE_NOT_FOUND;
			}
			result = arith_vivify(t, a);
			/* Somebody else made it: then there is something to count.  In a hold-off there is
			 * not. */
			if (result == CACHE_NOT_STORED && cache_look(t, a->key, a->hash, &v) == CACHE_LIVE)
				result = AGAIN;
			continue;
		}
		if ((result = arith_of(a, &v, &n)) == CACHE_OK)
			result = arith_step(t, a, &v, n);
		if (result != CACHE_OK)
			continue;
		if (a->decrement)
			CACHE_COUNT(t, decr_hits);
		else
			CACHE_COUNT(t, incr_hits);
	}
	return (enum cache_result)result;
}
