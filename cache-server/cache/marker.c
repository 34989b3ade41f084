#include "cache-server/cache/marker.h"

#include "cache-server/cache/cache_internal.h"
#include "cache-server/cache/marker_table.h"

static bool
is_legal(struct span token)
{
	size_t i;

	if (token.len == 0 || token.len > MARKER_MAX_TOKEN)
		return false;
	for (i = 0; i < token.len; i++) {
		unsigned char c = (unsigned char)token.p[i];

		if (c <= ' ' || c == 0x7F || c == ',' || c == '|')
			return false;
	}
	return true;
}

static uint32_t
now(const struct cache_thread *t)
{
	return store_now(t->cache->store);
}

static void
count_expired(struct cache_thread *t, uint64_t n)
{
	if (n > 0)
		metric_bump(&t->counters.marker_expired, n);
}

bool
marker_split(struct span *key, struct span *token)
{
	size_t i;

	for (i = key->len; i >= 3; i--) {
		if (memcmp(key->p + i - 3, "|#|", 3) != 0)
			continue;
		*token = span_from(*key, i);
		*key = span_first(*key, i - 3);
		return true;
	}
	*token = span_make("", 0);
	return false;
}

/*
 * A marker that goes early lets somebody read what is old, one that goes late costs him a longer way.  Store
 * seconds are whole ones, and a restart may gain one: so a token gets two more than asked for.
 */
static uint32_t
at_least(uint32_t expiry)
{
	return expiry <= CACHE_PAST || expiry > UINT32_MAX - 2 ? expiry : expiry + 2;
}

enum cache_result
marker_set(struct cache_thread *t, struct span key, uint64_t hash, struct span token, uint32_t expiry)
{
	uint64_t expired = 0;
	enum marker_put put;

	CACHE_COUNT(t, cmd_set);
	if (!t->cache->markers || !is_legal(token)) {
		CACHE_COUNT(t, store_too_large);
		return CACHE_TOO_LARGE;
	}
	put = marker_table_put(t->cache->markers, (struct marker_name){key, hash}, token, at_least(expiry),
			       now(t), &expired);
	count_expired(t, expired);
	switch (put) {
	case MARKER_ADDED:
		CACHE_COUNT(t, marker_set);
		/* fall through */
	case MARKER_RENEWED:
		return CACHE_OK;
	case MARKER_TOO_MANY:
		CACHE_COUNT(t, marker_refused);
		return CACHE_TOO_LARGE;
	case MARKER_FULL:
		break;
	}
	CACHE_COUNT(t, marker_refused);
	return CACHE_NO_MEMORY;
}

enum cache_result
marker_clear(struct cache_thread *t, struct span key, uint64_t hash, struct span token)
{
	struct marker_name name = {key, hash};
	uint64_t expired = 0;
	bool found = false;

	if (t->cache->markers && (t->guard->off & GUARD_OFF_MARKER))
		found = marker_table_take_all(t->cache->markers, name, now(t), &expired) > 0;
	else if (t->cache->markers && token.len > 0)
		found = marker_table_take(t->cache->markers, name, token, now(t), &expired);
	count_expired(t, expired);
	if (!found) {
		CACHE_COUNT(t, delete_misses);
		return CACHE_NOT_FOUND;
	}
	CACHE_COUNT(t, delete_hits);
	CACHE_COUNT(t, marker_cleared);
	return CACHE_OK;
}

enum cache_result
marker_clear_all(struct cache_thread *t, struct span key, uint64_t hash)
{
	uint64_t expired = 0, n = 0;

	if (t->cache->markers)
		n = marker_table_take_all(t->cache->markers, (struct marker_name){key, hash}, now(t),
					  &expired);
	count_expired(t, expired + n);
	if (n == 0) {
		CACHE_COUNT(t, delete_misses);
		return CACHE_NOT_FOUND;
	}
	CACHE_COUNT(t, delete_hits);
	return CACHE_OK;
}

unsigned
marker_check(struct cache_thread *t, struct span key, uint64_t hash, struct buf *tokens)
{
	uint64_t expired = 0;
	unsigned n = 0;

	CACHE_COUNT(t, cmd_get);
	if (t->cache->markers)
		n = marker_table_list(t->cache->markers, (struct marker_name){key, hash}, tokens, now(t),
				      &expired);
	count_expired(t, expired);
	if (n > 0)
		CACHE_COUNT(t, get_hits);
	else
		CACHE_COUNT(t, get_misses);
	return n;
}
