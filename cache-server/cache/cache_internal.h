/*
 * cache_internal - what the files of a container share: cache.c (life, time, routers), cache_read.c,
 * cache_write.c, cache_delete.c, marker.c.
 *
 * How a change is made, everywhere:
 *
 *     1. without a lock: look (store_find) and make what may be needed (store_begin, copy)
 *     2. lock the guard's bucket, when the guard takes part; arm it first of all
 *     3. lock the store's bucket, look again, decide, commit or abort
 *     4. what does not fit what was looked at in 1 is begun again
 *
 * Threads: see cache.h.   Blocks: where store_begin() does.   Clock: cache_tick().
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_CACHE_INTERNAL_H
#define SQUEAL_CACHE_SERVER_CACHE_CACHE_INTERNAL_H

#include <pthread.h>

#include "cache-server/cache/cache.h"
#include "cache-server/cache/guard.h"
#include "cache-server/cache/token.h"

struct marker_table;

struct cache {
	struct cache_options opt;
	char *name, *file;
	struct mapping *mapping;
	struct store *store;
	struct guard *guard;
	struct marker_table *markers; /* policy CACHE_MARKER only */

	uint64_t base_ms, base_mono_ms; /* the store's time when it was made */
	_Atomic uint64_t paused_ms;	/* the clock when time was stopped by hand; 0: it goes */
	_Atomic uint64_t held_ms;	/* how long it has been stopped in all */
	_Atomic int64_t shift_s;	/* by hand, for tests */
	_Atomic int64_t wall_s;		/* what a unix time is ahead of the store's seconds */
	_Atomic uint32_t flush_at;	/* store seconds; 0: none */
	uint64_t sweep;			/* where the guard's upkeep goes on */

	pthread_mutex_t threads_lock;
	struct cache_thread *threads;
	struct cache_counters shared;	/* of threads that left, and of the main thread: metric_add() */
	struct cache_counters baseline; /* what a reset takes off */
};

struct cache_thread {
	struct cache *cache;
	struct store_thread *store;
	struct guard *guard;
	struct cache_counters counters;
	struct token_batch tokens;
	uint64_t now_ms;
	_Atomic unsigned barrier; /* nobody reads it: see was_flushed() in cache_write.c */
	uint64_t marked;	  /* of the source table when the watermarks below were read */
	struct source_time marks[SOURCE_MAX + 1];
	bool heard[SOURCE_MAX + 1];
	struct cache_thread *next;
};

#define CACHE_COUNT(t, counter) metric_bump(&(t)->counters.counter, 1)

/* Milliseconds of the store's time, read anew. */
uint64_t cache_now_ms(const struct cache *c);

enum cache_kind {
	CACHE_NONE,	/* nothing, or of a term that is over */
	CACHE_LIVE,	/* may be served as it is */
	CACHE_STALE,	/* as stale */
	CACHE_UNPROVEN, /* of before the restart: as stale */
};

/* Out of line: items with an epoch, once a term has ended. */
bool cache_epoch_counts(const struct cache_thread *t, const struct store_view *v);

static inline enum cache_kind
cache_kind(const struct cache_thread *t, const struct store_view *v)
{
	if (__builtin_expect((v->state & ITEM_EPOCH) != 0, 0) && source_any_ended(t->guard->sources) &&
	    !cache_epoch_counts(t, v))
		return CACHE_NONE;
	if (__builtin_expect((v->state & ITEM_STALE) != 0, 0))
		return t->guard->off & GUARD_OFF_STALE ? CACHE_LIVE : CACHE_STALE;
	return __builtin_expect(v->unproven, 0) ? CACHE_UNPROVEN : CACHE_LIVE;
}

/* store_find() and cache_kind(); v->gone is set with CACHE_NONE. */
enum cache_kind cache_look(struct cache_thread *t, struct span key, uint64_t hash, struct store_view *v);
enum cache_kind cache_look_locked(struct cache_thread *t, struct span key, uint64_t hash,
				  struct store_view *v);

/* A read missed the key: counted by why, as memcached does. */
void cache_count_gone(struct cache_thread *t, enum store_gone gone);

/* An epoch as a number of this container's and a time; false: the source is not known. */
bool cache_epoch_of(const struct cache_thread *t, const struct epoch *e, uint32_t *source,
		    struct source_time *time);

/* ERR_OK, or what to answer. */
enum cache_result cache_begin(struct cache_thread *t, struct store_draft *d);

/* Puts the whole value of `v`, or bytes, into the draft from offset `at` on. */
void cache_put_view(struct cache_thread *t, struct store_draft *d, uint64_t at, const struct store_view *v);
void cache_put_span(struct cache_thread *t, struct store_draft *d, uint64_t at, struct span s);
void cache_put_draft(struct cache_thread *t, struct store_draft *d, uint64_t at, struct store_draft *from);

/*
 * A draft that is a copy of the key's item.  `from` is the item that it was copied from: compare with what is
 * there under the lock (cache_same).
 */
struct cache_copy {
	bool new_expiry;
	uint32_t expiry;
	uint32_t no_later; /* expiry at most this; 0: any */
	bool keep_cas;
	uint64_t cas;	    /* E; 0: a new one */
	uint64_t extra_len; /* room in front or behind for so many more bytes */
	bool prepend;
	bool no_epoch;
};
/* CACHE_OK, CACHE_NOT_FOUND, CACHE_NO_MEMORY, CACHE_TOO_LARGE. */
enum cache_result cache_copy(struct cache_thread *t, struct span key, uint64_t hash,
			     const struct cache_copy *how, struct store_draft *d, struct store_view *from);

static inline uint64_t
cache_view_cas(const struct store_view *v)
{
	return item_cas(v->item, v->state);
}

static inline bool
cache_same(const struct store_view *a, const struct store_view *b)
{
	return a->item == b->item && cache_view_cas(a) == cache_view_cas(b) && a->len == b->len;
}

#endif
