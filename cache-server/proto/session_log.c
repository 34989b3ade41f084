#include "cache-server/proto/session_log.h"

static void
emit(struct session *s, const struct session_log *l)
{
	if (s->host.ops->log)
		s->host.ops->log(s->host.arg, l);
}

void
session_log_get_now(struct session *s, struct span key, bool hit, uint64_t size)
{
	struct session_log l = {
	    .kind = SESSION_LOG_FETCHERS, .key = key, .status = hit, .size = hit ? size : 0};

	emit(s, &l);
}

/* A look that counts nowhere. */
static bool
look(struct session *s, struct span key, uint64_t hash, uint64_t *size)
{
	struct store_view v;
	bool found = store_find(cache_store_thread(s->cache), key, hash, &v);

	*size = found ? v.len : 0;
	return found;
}

static enum session_log_command
set_command(const struct cache_set *set)
{
	static const enum session_log_command by_mode[] = {[CACHE_SET] = SESSION_LOG_SET,
							   [CACHE_ADD] = SESSION_LOG_ADD,
							   [CACHE_REPLACE] = SESSION_LOG_REPLACE,
							   [CACHE_APPEND] = SESSION_LOG_APPEND,
							   [CACHE_PREPEND] = SESSION_LOG_PREPEND};

	return set->has_compare && set->mode == CACHE_SET ? SESSION_LOG_CAS : by_mode[set->mode];
}

enum cache_result
session_log_set_now(struct session *s, struct cache_set *set)
{
	struct session_log l = {.kind = SESSION_LOG_MUTATIONS, .command = set_command(set), .key = set->key};
	enum cache_result result;

	l.size = set->draft ? set->draft->value_len : set->value.len;
	if (s->host.logs & SESSION_LOG_FETCHERS) {
		uint64_t size;
		bool found = look(s, set->key, set->hash, &size);

		session_log_get_now(s, set->key, found, size);
	}
	result = cache_set(s->cache, set);
	if (s->host.logs & SESSION_LOG_MUTATIONS) {
		int64_t ttl = cache_ttl(s->cache, set->expiry);

		l.status = result;
		l.ttl_s = ttl > 0 ? ttl : 0;
		emit(s, &l);
	}
	return result;
}

enum cache_result
session_log_delete_now(struct session *s, struct cache_delete *d, enum session_log_command command)
{
	struct session_log l = {.kind = SESSION_LOG_DELETIONS, .command = command, .key = d->key};
	bool found = look(s, d->key, d->hash, &l.size);
	enum cache_result result = cache_delete(s->cache, d);

	/* An item that was only marked as stale, or emptied, is still there. */
	if (found && result == CACHE_OK && !d->mark_stale && !d->drop_value)
		emit(s, &l);
	return result;
}
