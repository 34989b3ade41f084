/*
 * store - keys and values in segments: the memory of one container.
 *
 * Items are appended to segments (item.h, segment.h); a segment holds items of one range of TTLs (ttl.h).  A
 * hash table of buckets of one cache line leads to them (index.h) and doubles while it is in use.  When
 * memory is short the items of several segments are merged into one, the rarely used ones dropped (evict.h);
 * expired segments are freed as a whole.  A store that refuses (policy STORE_REFUSE) merges, too, but drops
 * nothing that lives.
 *
 *   - store_find() takes no lock and writes to no shared line but the item's own access bits, once a second
 * at most.
 *   - A change locks the one bucket of its key.  Memory is reserved beforehand, without any bucket's lock.
 *   - Threads append to segments of their own (lanes).  Nothing is locked by all threads on these paths; a
 *     thread that needs a fresh segment takes the store's mutex once per segment.
 *   - What store_find() returned is valid until the thread's next quiesce_tick(), quiesce_offline() or
 * store_begin(): whichever comes first.  store_pin() makes it last longer.
 *   - Expiry is exact to the second for every TTL.
 *   - A value is served whole or not at all.
 *
 * Time is "store seconds": seconds since a moment that the store's mapping remembers, never backwards, also
 * across restarts.  The caller keeps it current with store_set_now(); 0 as an expiry means never.
 *
 * Sources: Yang, Yue, Rashmi, "Segcache", NSDI'21; docs in store/README.md.
 *
 * Threads: each section says.   Blocks: where said.   Clock: injected by store_set_now().
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_STORE_H
#define SQUEAL_CACHE_SERVER_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/store/item.h"
#include "cache-server/store/quiesce.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"

enum { STORE_MAX_KEY = 250 };

enum store_policy {
	STORE_EVICT,  /* drops rarely used items when memory is short */
	STORE_REFUSE, /* never drops what lives: store_begin() says ERR_FULL */
};

/* clang-format off */
/*	  name                      kind     unit        help */
#define STORE_METRICS(M)                                                                                             \
	M(store_evicted,            COUNTER, "items",    "items dropped although they had not expired, to make room")    \
	M(store_evicted_unfetched,  COUNTER, "items",    "items among them that nobody had read")                       \
	M(store_evicted_active,     COUNTER, "items",    "items among them that had been read within the last minute")   \
	M(store_expired,            COUNTER, "items",    "expired items whose memory was taken back, or that were written anew") \
	M(store_expired_unfetched,  COUNTER, "items",    "items among them that nobody had read")                        \
	M(store_moved,              COUNTER, "items",    "items copied to another segment by a merge")                   \
	M(store_merges,             COUNTER, "merges",   "merges of segments")                                           \
	M(store_inline_merges,      COUNTER, "merges",   "merges made by a worker because no segment was free")          \
	M(store_segments_freed,     COUNTER, "segments", "segments that became free")                                    \
	M(store_refused,            COUNTER, "items",    "items refused for want of memory")                             \
	M(store_too_large,          COUNTER, "items",    "items refused because they are larger than an item may be")    \
	M(store_index_grown,        COUNTER, "times",    "doublings of the hash table")                                  \
	M(store_flushed,            COUNTER, "times",    "flushes of the whole store")                                   \
	M(store_flushed_items,      COUNTER, "items",    "flushed items whose memory was taken back, or that were written anew") \
	M(store_dropped_at_start,   COUNTER, "items",    "items of the memory file that could not be proven whole")      \
	M(store_warm_items,         GAUGE,   "items",    "items found in the memory file at start")                      \
	M(store_items,              GAUGE,   "items",    "items now, expired ones that were not taken back included")    \
	M(store_bytes,              GAUGE,   "bytes",    "bytes of these items")                                         \
	M(store_segments,           GAUGE,   "segments", "segments, free ones included")                                 \
	M(store_segments_free,      GAUGE,   "segments", "segments that are free")                                       \
	M(store_index_buckets,      GAUGE,   "buckets",  "buckets of the hash table, chained ones included")             \
	M(store_index_growing,      GAUGE,   "",         "1 while the hash table doubles")
/* clang-format on */
struct store_metrics {
	METRIC_FIELDS(STORE_METRICS)
};

struct mapping; /* mapping.h */

struct store_options {
	uint64_t memory;    /* bytes for segments; the hash table comes on top, as in memcached */
	uint64_t max_value; /* bytes; larger values are refused.  0: 1 MiB */
	unsigned threads;   /* worker threads that will join; decides about lanes */
	enum store_policy policy;
	uint64_t segment_size;	 /* bytes, a power of two from 64 KiB to 1 MiB; 0: chosen by `memory` */
	uint64_t first_items;	 /* make the hash table large enough for so many at once; 0: small */
	struct mapping *mapping; /* memory that outlives the process (mapping.h); NULL: ordinary memory */
	struct quiesce *quiesce;
	uint64_t seed; /* of the hash; with a mapping, the one that it remembers is used */
	uint32_t now;  /* store seconds, at least 1 */
};

struct store;	     /* opaque */
struct store_thread; /* opaque: what one thread needs to use one store */

/* --- life: the main thread -------------------------------------------------------------------------- */

/* ERR_CONFIG: fewer than eight segments fit; ERR_SYS: the system has no memory.  With a mapping that holds
 * items they are taken over (restart.h). */
err_t store_create(struct store **out, const struct store_options *opt, struct err_detail *why) MUST_CHECK;

/* All threads have left.  A mapping is left as it is: store_close() in restart.h marks it clean. */
void store_destroy(struct store **s);

/* Any thread, for itself.  `q` is the thread's own. */
struct store_thread *store_join(struct store *s, struct quiesce_thread *q);
void store_leave(struct store_thread **t);

/* Any thread.  Never backwards: a smaller value is ignored. */
void store_set_now(struct store *s, uint32_t now);
uint32_t store_now(const struct store *s);

/*
 * One step of upkeep: frees expired segments, makes room ahead of need, moves buckets of a growing table,
 * gives back what nobody sees any more.  Returns true when there is more to do at once, else call again in
 * 100 ms.  One thread at a time (usually a thread of its own, which has joined `q` and is online).
 */
bool store_upkeep(struct store *s, struct quiesce_thread *q);

const struct store_metrics *store_metrics(struct store *s); /* gauges are brought up to date by this call */

/* --- hashing and prefetching: any thread ------------------------------------------------------------ */

uint64_t store_hash(const struct store *s, struct span key);

/* For a batch of keys: all buckets first, then all items, then store_find() for each. */
void store_prefetch_bucket(const struct store *s, uint64_t hash);
void store_prefetch_item(const struct store *s, uint64_t hash);

/* --- reading: a thread that joined and is online ------------------------------------------------------ */

enum store_gone {
	STORE_HERE,
	STORE_ABSENT,  /* there is no item, or its memory has been taken back */
	STORE_EXPIRED, /* the item is still there, but its time is over */
	STORE_FLUSHED, /* the same, by store_flush() */
};

struct store_view {
	const struct item *item;
	uint64_t state;	   /* as loaded; use the accessors of item.h with it */
	const char *value; /* NULL for a large value: store_view_part() */
	uint64_t len;	   /* of the whole value */
	uint32_t expiry;   /* store seconds; 0: never */
	uint32_t segment;
	bool unproven; /* it was there before this process, and store_caught_up() has not been called */
	enum store_gone gone; /* why it was not found: set when store_find() says false, and only then */
};

/*
 * The item with this key; false when there is none, or it has expired or been flushed: out->gone.  ITEM_STALE
 * and `unproven` are the caller's business.  Does not count as an access.
 */
bool store_find(struct store_thread *t, struct span key, uint64_t hash, struct store_view *out);

/* Notes an access: ITEM_FETCHED, frequency, time.  Call it after the value has been used. */
void store_accessed(struct store_thread *t, const struct store_view *v);

/* Seconds since the last access; since the item was written when there was none. */
uint32_t store_idle(const struct store_thread *t, const struct store_view *v);

/* The next bytes of the value from offset `at` on; empty at its end.  Any value, large or not. */
struct span store_view_part(struct store_thread *t, const struct store_view *v, uint64_t at);

/*
 * Keeps the bytes of one part where they are until store_unpin(), which any thread may call.  Only its
 * segment's reuse is delayed, so pins that last long (a slow reader) cost memory: bound their number.
 */
struct store_pin {
	struct store *store;
	uint32_t segment;
};
struct store_pin store_pin(struct store_thread *t, struct span part);
void store_unpin(struct store_pin *p);

/* --- writing: a thread that joined and is online ------------------------------------------------------- */

/*
 * An item that is being made.  Begin it (which reserves memory and may wait for some: no bucket may be locked
 * and all views become invalid), fill in its value, then lock, decide, and commit or abort.
 */
struct store_draft {
	/* In: what the item is to be.  Zero what is not needed; `value_len` bytes follow by
	 * store_draft_room(). */
	struct span key;
	uint64_t hash;
	uint64_t value_len;
	uint32_t
	    expiry; /* store seconds; 0: never.  One that has passed is fine: the item is dead on arrival */
	uint32_t client_flags;
	struct item_epoch epoch; /* .source 0: none */
	uint64_t cas;  /* chosen by the client; 0: the store gives one, larger than the key's last */
	bool want_cas; /* make room for a CAS of 64 bits although `cas` is 0 */

	/* The store's own. */
	struct item *item;
	uint64_t place;
	char *value; /* where a value that is not large goes: value_len bytes */
	uint64_t *pieces;
	uint32_t npieces;
};

/*
 * ERR_TOO_LONG: longer than max_value or than half of the store; ERR_FULL: no memory for it (policy
 * STORE_REFUSE, or all is pinned).  Counted.  Every draft that began must be committed or aborted, by the
 * same thread.
 */
err_t store_begin(struct store_thread *t, struct store_draft *d) MUST_CHECK;

/* Where the value's bytes from offset `at` on go, and how many fit there; 0 at the end. */
size_t store_draft_room(struct store_thread *t, struct store_draft *d, uint64_t at, char **where);

void store_abort(struct store_thread *t, struct store_draft *d);

/* Locks the bucket of this hash: changes of its keys wait.  Short, never nested, no store_begin() in between.
 */
void store_lock(struct store_thread *t, uint64_t hash);
void store_unlock(struct store_thread *t, uint64_t hash);

/* With the bucket locked: as store_find(). */
bool store_find_locked(struct store_thread *t, struct span key, uint64_t hash, struct store_view *out);

/*
 * With the bucket locked: makes the draft the item of its key.  `bits`: ITEM_STALE, ITEM_TOKEN, ITEM_FETCHED
 * to begin with. Returns its CAS.  What was there before is dead.
 */
uint64_t store_commit(struct store_thread *t, struct store_draft *d, uint64_t bits);

/* With the bucket locked: sets and clears ITEM_STALE, ITEM_TOKEN, ITEM_FETCHED of a view found under this
 * lock. */
void store_mark(struct store_thread *t, struct store_view *v, uint64_t set, uint64_t clear);

/* With the bucket locked: removes the item of the view. */
void store_remove(struct store_thread *t, struct store_view *v);

/* --- the whole store: any thread that joined ------------------------------------------------------------ */

/* Everything committed so far is gone at once; its memory is taken back by upkeep. */
void store_flush(struct store *s);

/*
 * Items of before the restart may be served from now on: what was missed while the process was away has been
 * delivered.  Does nothing while a restore goes on, or after one (store_owed()): who says so cannot know what
 * a backup lacks.
 */
void store_caught_up(struct store *s);
bool store_is_caught_up(const struct store *s);

/*
 * After a restore: unix time since when all deletes must be delivered again before anything unproven may be
 * served; 0: nothing is owed.  A memory file remembers it.  store_owe() notes it before the first item comes
 * in; the earliest counts.
 */
void store_owe(struct store *s, uint64_t since);
uint64_t store_owed(const struct store *s);

/*
 * Everything since `since` has been delivered (again): as store_caught_up(), also after a restore.  ERR_BUSY:
 * a restore goes on; ERR_GAP: more is owed.  0: everything there ever was.
 */
err_t store_caught_up_since(struct store *s, uint64_t since, struct err_detail *why) MUST_CHECK;

/*
 * Where the log has several partitions, each is known to somebody else.  Says it for part `part` of `parts`,
 * as store_caught_up() where `since` is UINT64_MAX and as store_caught_up_since() otherwise; the last of them
 * to say it since the process began has the effect.  A restore that begins, or another number of parts,
 * begins anew. ERR_USAGE: no such part, or more than STORE_PARTS_MAX.
 */
enum { STORE_PARTS_MAX = 1024 };
err_t store_part_caught_up(struct store *s, uint32_t part, uint32_t parts, uint64_t since,
			   struct err_detail *why) MUST_CHECK;

/*
 * Told of each item that is dropped although it lives (`watch evictions`): with its bucket locked, by the
 * thread that makes room, so it must be short.  Set before threads join; NULL: nobody.
 */
typedef void store_evicted_fn(void *arg, const struct item *it, uint64_t state, uint32_t expiry,
			      uint32_t idle);
void store_on_evicted(struct store *s, store_evicted_fn *fn, void *arg);

/* Changes the limit while running; shrinking takes effect as segments become free.  False: not possible. */
bool store_set_memory(struct store *s, uint64_t bytes);

/*
 * Visits items in no order, some segments at a time: `*cursor` begins at 0 and is 0 again at the end.  Items
 * that are there all the time are visited at least once, also while merges move them.  fn runs without locks.
 */
typedef void store_visit_fn(void *arg, const struct store_view *v, struct span key);
void store_visit(struct store_thread *t, uint64_t *cursor, unsigned segments, store_visit_fn *fn, void *arg);

/* The map of segments and TTL ranges for people: one row for each TTL range in use. */
struct store_ttl_row {
	uint32_t ttl_from, ttl_to; /* seconds; 0,0: never expires */
	uint32_t segments;
	uint64_t items, bytes, live_bytes;
	uint32_t oldest; /* seconds since its oldest segment began */
};
size_t store_ttl_rows(struct store *s, struct store_ttl_row *rows, size_t max);

uint64_t store_segment_size(const struct store *s);

#endif
