/*
 * session_log - lines for watchers (`watch fetchers mutations deletions`) from what the protocols do.
 *
 * The functions stand in for those of cache.h: with nobody watching they are the same and a branch.  As
 * memcached does, a storage command is preceded by a line about the item that was there before.
 *
 * Threads: the session's.   Blocks: as cache.h.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_SESSION_LOG_H
#define SQUEAL_CACHE_SERVER_PROTO_SESSION_LOG_H

#include "cache-server/proto/session.h"

/* A key that was asked for; `size` 0: not found, or an empty value. */
void session_log_get_now(struct session *s, struct span key, bool hit, uint64_t size);
enum cache_result session_log_set_now(struct session *s, struct cache_set *set);
enum cache_result session_log_delete_now(struct session *s, struct cache_delete *d,
					 enum session_log_command command);

static inline void
session_log_get(struct session *s, struct span key, bool hit, uint64_t size)
{
	if (__builtin_expect((s->host.logs & SESSION_LOG_FETCHERS) != 0, 0))
		session_log_get_now(s, key, hit, size);
}

/* cache_set() */
static inline enum cache_result
session_log_set(struct session *s, struct cache_set *set)
{
	if (__builtin_expect(s->host.logs != 0, 0))
		return session_log_set_now(s, set);
	return cache_set(s->cache, set);
}

/* cache_delete(); `command` is SESSION_LOG_DELETE or SESSION_LOG_MD. */
static inline enum cache_result
session_log_delete(struct session *s, struct cache_delete *d, enum session_log_command command)
{
	if (__builtin_expect((s->host.logs & SESSION_LOG_DELETIONS) != 0, 0))
		return session_log_delete_now(s, d, command);
	return cache_delete(s->cache, d);
}

#endif
