/*
 * cache - one container: a store of items, the guard that remembers what must not be filled, and what each
 * command means.  The protocols (text, meta, binary) are different ways to spell the calls of this header.
 *
 * Every change of a key is one step for everybody else: the guard's bucket of the key is locked first (only
 * where the guard takes part), then the store's.  A hit takes no lock.
 *
 *   lease     A miss may hand out a token: 64 bits, unguessable, one for each key per lease_ms.  A fill with
 * it succeeds once, and only if no delete of the key came in between (promise I4). hold-off  After a delete
 * with a hold-off no add and no lease fill of the key succeeds for that time, on absent keys too; a plain set
 * does, and ends it (I5). stale     With stale_s set a delete keeps the value for so long, returned only as
 * stale (lease-get, meta). epoch     A fill with epoch r is accepted only if r is newer than the last
 * invalidation seen for the key; an invalidation at h removes only what is not newer. marker    A container
 * with policy marker holds a set of tokens for each key instead of values (marker.h).
 *
 * The guard's memory is fixed.  When it is full the oldest records go and raise the floor of their bucket:
 * fills are refused that would have been fine, never the other way round.
 *
 * Sources: Nishtala et al., "Scaling Memcache at Facebook", NSDI'13, sections 3.2.1 and 4.3; memcached's
 * doc/protocol.txt; mcrouter's wire form of leases; schemas/cache-protocol.md.
 *
 * Threads: each section says.   Blocks: only where store_begin() does.   Clock: cache_tick().
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_CACHE_H
#define SQUEAL_CACHE_SERVER_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/epoch.h"
#include "cache-server/store/mapping.h"
#include "cache-server/store/store.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"

/* clang-format off */
/* Counted by each thread for itself (metric_bump), summed on demand.  The names up to bytes_written are memcached's. */
/*	  name                    kind     unit     help */
#define CACHE_COUNTERS(M)                                                                                            \
	M(cmd_get,                COUNTER, "keys",  "keys asked for by get, gat, mg, lease-get and their like")          \
	M(cmd_set,                COUNTER, "items", "items sent by storage commands")                                  \
	M(cmd_touch,              COUNTER, "keys",  "keys touched, gat included")                                      \
	M(cmd_meta,               COUNTER, "requests", "meta commands")                                                \
	M(cmd_flush,              COUNTER, "requests", "flush_all")                                                    \
	M(get_hits,               COUNTER, "keys",  "keys that were found")                                            \
	M(get_misses,             COUNTER, "keys",  "keys that were not")                                              \
	M(get_expired,            COUNTER, "keys",  "misses whose item had expired")                                   \
	M(get_flushed,            COUNTER, "keys",  "misses whose item had been flushed")                              \
	M(delete_hits,            COUNTER, "keys",  "deletes that removed something")                                  \
	M(delete_misses,          COUNTER, "keys",  "deletes that did not")                                            \
	M(incr_hits,              COUNTER, "keys",  "increments of a number")                                          \
	M(incr_misses,            COUNTER, "keys",  "increments of an absent key")                                     \
	M(decr_hits,              COUNTER, "keys",  "decrements of a number")                                          \
	M(decr_misses,            COUNTER, "keys",  "decrements of an absent key")                                     \
	M(cas_hits,               COUNTER, "items", "compare-and-swaps that stored")                                   \
	M(cas_misses,             COUNTER, "items", "compare-and-swaps of an absent key")                              \
	M(cas_badval,             COUNTER, "items", "compare-and-swaps of an item that had changed")                   \
	M(touch_hits,             COUNTER, "keys",  "touches of an item")                                              \
	M(touch_misses,           COUNTER, "keys",  "touches of an absent key")                                        \
	M(store_too_large,        COUNTER, "items", "items larger than allowed")                                       \
	M(store_no_memory,        COUNTER, "items", "items refused for want of memory")                                \
	M(auth_cmds,              COUNTER, "requests", "attempts to authenticate")                                     \
	M(auth_errors,            COUNTER, "requests", "attempts that failed")                                         \
	M(bytes_read,             COUNTER, "bytes", "bytes received")                                                  \
	M(bytes_written,          COUNTER, "bytes", "bytes sent")                                                      \
	M(cmd_lease_get,          COUNTER, "keys",  "keys asked for by lease-get")                                     \
	M(cmd_lease_set,          COUNTER, "items", "items sent by lease-set")                                         \
	M(lease_given,            COUNTER, "tokens", "tokens handed out")                                              \
	M(lease_hot,              COUNTER, "keys",  "misses that were told to wait for somebody else's token")         \
	M(lease_filled,           COUNTER, "items", "fills accepted by their token")                                   \
	M(lease_refused,          COUNTER, "items", "fills refused: the token was unknown, used, or deleted")          \
	M(stale_served,           COUNTER, "keys",  "values returned as stale")                                        \
	M(stale_kept,             COUNTER, "keys",  "values kept as stale by a delete")                                \
	M(holdoff_armed,          COUNTER, "keys",  "deletes with a hold-off")                                         \
	M(holdoff_refused,        COUNTER, "items", "fills refused by a hold-off")                                     \
	M(epoch_refused,          COUNTER, "items", "fills refused because their epoch was not newer than an invalidation") \
	M(epoch_floor_refused,    COUNTER, "items", "fills among them that only the floor refused")                    \
	M(epoch_kept,             COUNTER, "keys",  "invalidations that left a newer item alone")                      \
	M(unproven_refused,       COUNTER, "keys",  "items of before a restart not served because the router has not caught up") \
	M(guard_overflow,         COUNTER, "records", "records of the guard that had to go before their time")         \
	M(marker_set,             COUNTER, "tokens", "tokens added to markers")                                        \
	M(marker_cleared,         COUNTER, "tokens", "tokens removed by their own")                                    \
	M(marker_expired,         COUNTER, "tokens", "tokens whose TTL passed before they were removed")               \
	M(marker_refused,         COUNTER, "tokens", "tokens refused because the memory for markers is full")
/* clang-format on */
struct cache_counters {
	METRIC_FIELDS(CACHE_COUNTERS)
};

enum cache_policy { CACHE_EVICT, CACHE_STORE, CACHE_MARKER };

struct cache_options {
	const char *name; /* of the container; "default" */
	enum cache_policy policy;
	uint64_t memory, max_value;
	uint64_t guard_memory; /* bytes for leases, hold-offs, epochs, markers; fixed.  0: 1/64 of memory, at
				  least 1 MiB */
	const char *file;      /* memory that outlives the process; NULL: none */
	bool serve_immediately;
	uint32_t max_ttl_s; /* longer TTLs, and none, become this; 0: no cap */
	uint32_t stale_s;   /* how long a deleted value is kept as stale; 0: not */
	uint32_t lease_ms;  /* one token for each key in this time; 0: 10000 */
	unsigned threads;
	uint64_t first_items;
	struct quiesce *quiesce;
	const struct clock *clock;
	struct log *log;
};

struct cache;	     /* opaque */
struct cache_thread; /* opaque: one thread's use of one container */

/* --- life: the main thread -------------------------------------------------------------------------- */

err_t cache_create(struct cache **out, const struct cache_options *opt, struct err_detail *why) MUST_CHECK;

/* `graceful`: the file is marked clean, so that the next start need not check it. */
void cache_destroy(struct cache **c, bool graceful);

const char *cache_name(const struct cache *c);
enum cache_policy cache_policy(const struct cache *c);
struct store *cache_store(struct cache *c);
const struct cache_options *cache_options(const struct cache *c);

/* Any thread: sums what all threads have counted; gauges of the guard below. */
void cache_counters(struct cache *c, struct cache_counters *out);
void cache_counters_reset(struct cache *c);

struct cache_guard_row { /* `stats leases`: the guard's fill and bounds */
	uint64_t slots, leases, holdoffs, epochs, floors, markers, marker_tokens, overflows;
};
void cache_guard_row(struct cache *c, struct cache_guard_row *out);

/* About once a second, main thread: sets the clock of the store from the clock; starts delayed flushes. */
void cache_second(struct cache *c);

/* debugtime of memcached's own tests: shifts the time of all containers by hand. */
void cache_shift_time(struct cache *c, int64_t seconds);

/* The same: time stands still until it is let go on. */
void cache_pause_time(struct cache *c, bool paused);

struct cache_thread *cache_join(struct cache *c, struct quiesce_thread *q);
void cache_leave(struct cache_thread **t);
struct cache *cache_of(const struct cache_thread *t);
struct store_thread *cache_store_thread(struct cache_thread *t);
struct cache_counters *cache_thread_counters(struct cache_thread *t);

/* The thread's own, before each batch of work: reads the clock for what needs milliseconds. */
void cache_tick(struct cache_thread *t);

/* --- time ----------------------------------------------------------------------------------------------- */

enum { CACHE_NEVER = 0, CACHE_PAST = 1 }; /* store seconds; the first second of a store is above CACHE_PAST */

/* memcached's exptime: 0 never, negative past, up to 30 days relative, else unix time; max_ttl_s applied. */
uint32_t cache_expiry(const struct cache_thread *t, int64_t exptime);

/* Seconds that are left; -1: never expires. */
int64_t cache_ttl(const struct cache_thread *t, uint32_t expiry);

/* --- commands: a thread that joined and is online --------------------------------------------------------
 */

enum cache_result {
	CACHE_OK,	    /* STORED, DELETED, TOUCHED, HD */
	CACHE_STALE_STORED, /* lease-set with a token that is no longer good: kept, but as stale */
	CACHE_NOT_STORED,
	CACHE_EXISTS,
	CACHE_NOT_FOUND,
	CACHE_NON_NUMERIC,
	CACHE_TOO_LARGE,
	CACHE_NO_MEMORY,
};

/*
 * get: an item that may be served as it is (not stale, not unproven).  No lock.  Counts cmd_get, hits and
 * misses.  Valid as store_find()'s views are.  Call cache_used() when its bytes have been copied.
 */
bool cache_get(struct cache_thread *t, struct span key, uint64_t hash, struct store_view *out);
void cache_used(struct cache_thread *t, const struct store_view *v);

struct cache_get_meta { /* mg */
	struct span key;
	uint64_t hash;
	bool vivify; /* N */
	uint32_t vivify_expiry;
	bool has_recache; /* R: win when fewer seconds are left */
	int64_t recache_s;
	bool has_touch; /* T */
	uint32_t touch_expiry;
	bool touch_first; /* T stood before R: R looks at the new TTL */
	bool has_cas;	  /* E: CAS of the vivified item */
	uint64_t cas;
	bool no_bump;		       /* u */
	const struct epoch *not_older; /* extension: a value that is not known to be current as of this is a
					  miss; NULL: any */

	/* Out.  ttl_before and view are as they were before T took effect. */
	struct store_view view;
	bool won, stale, token_sent, hit_before;
	uint32_t idle_s;
	uint32_t expiry_before;
};
/* CACHE_OK (hit, or vivified), CACHE_NOT_FOUND, CACHE_NO_MEMORY (could not vivify).  No lock without N, R, T,
 * stale. */
enum cache_result cache_get_meta(struct cache_thread *t, struct cache_get_meta *m);

enum cache_mode { CACHE_SET, CACHE_ADD, CACHE_REPLACE, CACHE_APPEND, CACHE_PREPEND };

struct cache_set {
	struct span key;
	uint64_t hash;
	enum cache_mode mode;
	uint32_t client_flags;
	uint32_t expiry;
	bool has_compare; /* cas, C */
	uint64_t compare;
	bool has_cas; /* E */
	uint64_t cas;
	bool invalidate; /* I: with a lower `compare`, store as stale */
	bool vivify;	 /* N: append and prepend make what is not there */
	uint32_t vivify_expiry;
	const struct epoch *epoch; /* a fenced fill; NULL: none */
	bool is_lease;		   /* lease-set; `token` is what it came with */
	uint64_t token;
	struct span value;	   /* a whole value; or */
	struct store_draft *draft; /* one that cache_set_begin() began and that is full */

	uint64_t cas_out; /* of what is there now; 0 when nothing was stored */
	uint64_t len_out; /* bytes of the value that was stored, after append and prepend the whole */
};
enum cache_result cache_set(struct cache_thread *t, struct cache_set *s);

/*
 * For values that arrive in parts: reserves memory for `len` bytes; fill it by store_draft_room(), then
 * cache_set() with the draft, or cache_set_abort(), which leaves the key as it is.  When begin fails for a
 * plain set, what the key held before is removed, as memcached does; it does so for every mode of ms:
 * cache_set_failed().
 */
enum cache_result cache_set_begin(struct cache_thread *t, struct cache_set *s, uint64_t len,
				  struct store_draft *d);
void cache_set_abort(struct cache_thread *t, struct store_draft *d);

/* The value was refused before it arrived (too large): as above, the key's old value goes. */
void cache_set_failed(struct cache_thread *t, struct span key, uint64_t hash);

struct cache_delete {
	struct span key;
	uint64_t hash;
	bool has_compare; /* C */
	uint64_t compare;
	bool has_cas; /* E */
	uint64_t cas;
	bool mark_stale; /* I */
	bool has_expiry; /* T, with I or x */
	uint32_t expiry;
	bool drop_value;       /* x: empty value and flags stay in its place */
	bool has_client_flags; /* F with x */
	uint32_t client_flags;
	uint32_t holdoff_ms;	   /* 0: none */
	const struct epoch *epoch; /* invalidation at h; NULL: unconditional */
};
/* CACHE_OK, CACHE_NOT_FOUND, CACHE_EXISTS.  Whatever it returns, leases of the key are void and hold-off and
 * epoch are armed. */
enum cache_result cache_delete(struct cache_thread *t, struct cache_delete *d);

struct cache_arith { /* incr, decr, ma */
	struct span key;
	uint64_t hash;
	bool decrement;
	uint64_t delta;
	bool vivify; /* N */
	uint64_t initial;
	uint32_t vivify_expiry;
	bool has_touch; /* T */
	uint32_t touch_expiry;
	bool has_compare;
	uint64_t compare;
	bool has_cas;
	uint64_t cas;

	uint64_t value_out, cas_out;
	uint32_t expiry_out;
	unsigned length_out; /* of the text: a decrement keeps the length and pads with spaces */
};
enum cache_result cache_arith(struct cache_thread *t, struct cache_arith *a);

/* touch; gat when `out` is not NULL (the view is valid as usual). */
enum cache_result cache_touch(struct cache_thread *t, struct span key, uint64_t hash, uint32_t expiry,
			      struct store_view *out);

struct cache_lease { /* lease-get */
	struct span key;
	uint64_t hash;

	bool hit;	/* `view` may be served as it is */
	bool has_stale; /* miss, but `view` holds a stale value to hand out with the token */
	uint64_t token; /* 0: hit; 1: somebody else has the token (hot miss); else yours: 2 to 2^63-1 */
	struct store_view view;
};
void cache_lease_get(struct cache_thread *t, struct cache_lease *l);

/* flush_all: at once when at == 0, else when the store's time is `at` seconds. */
void cache_flush(struct cache_thread *t, uint32_t at);

/* --- what routers say -------------------------------------------------------------------------------------
 */

/* Every invalidation before this pulse has been delivered here.  False: the source is unknown and there is no
 * room for it. */
bool cache_watermark(struct cache_thread *t, const struct epoch *w);

/* A new term of the source names the last epoch of the old one that survived: what was filled after it is
 * dropped. */
bool cache_new_term(struct cache_thread *t, const struct epoch *survived, uint32_t term);

/* The bound that may be claimed for a view: max(its epoch, the watermark).  False: none is known.  The text's
 * source lives as long as the cache. */
bool cache_bound(struct cache_thread *t, const struct store_view *v, struct epoch *out);

/* All that was missed while the server was away has been delivered.  Not enough after a restore:
 * store_caught_up_since(). */
void cache_caught_up(struct cache_thread *t);

#endif
