/*
 * inside - what the parts of a store share: for the files of this folder only.
 *
 *   supply   free segments, closed ones, and those that wait for their last readers
 *   lane     open segments; reserves space in them
 *   merge    empties segments: moves what stays, drops the rest
 *   evict    decides which ones
 *   large    values in pieces
 *
 * Locks, in this order; none is taken while one further down is held:
 *
 *   merge_lock     one merge at a time.  Workers only try it.
 *   a bucket's     index_lock(), never two of them
 *   a lane's       a few instructions: reserving space
 *   supply.lock    lists of segments
 *
 * Threads: said at each.   Blocks: the locks are held for short work only, but for merge_lock.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_INSIDE_H
#define SQUEAL_CACHE_SERVER_STORE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache-server/store/index.h"
#include "cache-server/store/item.h"
#include "cache-server/store/restart.h"
#include "cache-server/store/segment.h"
#include "cache-server/store/store.h"
#include "cache-server/store/ttl.h"

enum { STORE_SLOTS = QUIESCE_MAX_THREADS };

/* Segments that are nobody's, or not open.  Under `lock`; the atomics may be read without. */
/* Closed segments by range: first those that lanes have filled, then those that merges made. */
enum { SUPPLY_QUEUES = 2 * TTL_RANGES };

struct supply {
	pthread_mutex_t lock;
	uint32_t *free; /* a stack */
	_Atomic uint32_t nfree;
	struct supply_waiting {
		uint64_t stamp;
		uint32_t id;
	} * limbo; /* a ring of retired segments, in the order of their stamps but for pinned ones */
	uint32_t limbo_first;
	_Atomic uint32_t nlimbo;
	_Atomic uint32_t npinned; /* of them; as of the last supply_reap() */
	uint32_t *next, *prev;	  /* closed segments of each range, oldest first */
	uint32_t first[SUPPLY_QUEUES], last[SUPPLY_QUEUES];
	uint32_t closed[2];	 /* how many: of recruits, of veterans */
	bool *veteran;		 /* of each segment: a merge made it */
	_Atomic uint32_t usable; /* segments within the limit of memory */
	uint32_t withheld;
	uint32_t keep; /* free ones that only a merge may take */
	uint64_t seq;
};

struct lane {
	_Alignas(64) _Atomic uint32_t lock;
	uint32_t hand; /* where the search for one to close goes on */
	uint32_t open[TTL_RANGES];
};

/* Under merge_lock. */
struct merge {
	uint32_t target[TTL_RANGES]; /* open segments that survivors go to; 0: none */
	unsigned range;		     /* of the target of the segment that is being emptied */
	uint32_t ntargets, hand;
	uint32_t scan;	/* where the search for dead space goes on */
	uint32_t sweep; /* where the search for expired segments goes on; 0: done for this second */
	uint32_t swept; /* second of the last full one */
	uint32_t swept_flush;
	uint32_t vain_now; /* second of the last merges that gained nothing, and `killed` then */
	uint64_t vain_killed;
	uint32_t closed_all; /* second in which all open segments were closed for want of memory */
};

struct slot {
	struct store_thread *thread;
	uint64_t counter; /* of CAS, when the thread left */
};

struct store {
	/* What a hit reads.  It hardly ever changes. */
	struct segment_pool pool;
	struct index *index;
	uint64_t seed;
	_Atomic uint32_t now;
	_Atomic uint32_t flush; /* epoch */
	uint32_t boot;
	_Atomic bool restoring; /* a restore goes on (restore.h) */
	_Atomic bool caught_up;
	_Atomic uint64_t owed; /* store_owed() */

	struct quiesce *quiesce;
	enum store_policy policy;
	uint64_t max_value;
	uint32_t max_inline; /* bytes of an item in one piece */
	uint32_t piece;	     /* bytes of the value in a piece */
	unsigned ttl_shift;
	unsigned threads;
	unsigned nlanes;
	uint32_t max_open;
	struct lane *lanes;	/* and one more behind them: a restore's */
	_Atomic uint32_t nopen; /* of all lanes */

	/* Under join_lock: what parts of the log have said, without a time and with one. */
	struct store_parts {
		uint32_t n, said;
		uint64_t since; /* the latest of those that were said */
		uint64_t bits[STORE_PARTS_MAX / 64];
	} parts[2];

	_Alignas(64) struct supply supply;
	_Alignas(64) pthread_mutex_t merge_lock;
	struct merge merge;
	_Atomic uint64_t killed;	/* bytes of items that died, only counted by a store that refuses */
	_Atomic uint64_t merge_clock;	/* twice the segments emptied; odd while it happens */
	_Atomic uint32_t *merged_clock; /* for each segment: of the last merge that moved something to it */

	pthread_mutex_t join_lock;
	struct slot slot[STORE_SLOTS];
	uint64_t counter_floor; /* CAS counters begin here */

	struct store_metrics metrics;
	store_evicted_fn *evicted;
	void *evicted_arg;
	struct mapping *mapping;
	struct restart_figures restart;
	void *own_heads, *own_bytes; /* ordinary memory */
	size_t own_heads_size, own_bytes_size;
};

struct store_thread {
	_Alignas(64) struct store *s;
	struct quiesce_thread *q;
	struct lane *lane;
	uint64_t counter;
	uint64_t random;
	unsigned number;
};

/* --- supply --------------------------------------------------------------------------------------------- */

bool supply_init(struct supply *p, uint32_t count);
void supply_fini(struct supply *p);

/* A free segment, opened for this range; 0: none.  `merge`: may take the last ones. */
uint32_t supply_open(struct store *s, unsigned range, uint32_t boot, bool merge);

/* It was opened, but nobody needs it. */
void supply_give_back(struct store *s, uint32_t id);

/* Nobody appends to it any more. */
void supply_close(struct store *s, uint32_t id);

/* A closed segment that nothing lives in becomes free in time.  Also with a bucket locked. */
void supply_check_empty(struct store *s, uint32_t id);

/* Takes a closed segment without writers for emptying; false: it is not, or not any more. */
bool supply_drain(struct store *s, uint32_t id);

/* It has been emptied: becomes free once nobody can see it.  Or not quite: back to the closed ones. */
void supply_retire(struct store *s, uint32_t id);
void supply_undrain(struct store *s, uint32_t id);

/* Retired segments that nobody sees any more become free. */
void supply_reap(struct store *s);

/* The oldest closed segment of a range, and the next one; 0: none.  Under merge_lock the ids stay closed or
 * become empty, no worse. */
uint32_t supply_oldest(struct store *s, unsigned range);
uint32_t supply_next(struct store *s, uint32_t id);

/* What is free or will be as soon as the readers of this moment have gone on. */
static inline uint32_t
supply_soon_free(const struct store *s)
{
	struct supply *p = (struct supply *)&s->supply;
	uint32_t pinned = atomic_load_explicit(&p->npinned, memory_order_relaxed);
	uint32_t n = atomic_load_explicit(&p->nfree, memory_order_relaxed) +
		     atomic_load_explicit(&p->nlimbo, memory_order_relaxed);

	return n > pinned ? n - pinned : 0;
}

static inline uint32_t
supply_free(const struct store *s)
{
	return atomic_load_explicit((_Atomic uint32_t *)&s->supply.nfree, memory_order_relaxed);
}

/* --- lanes ---------------------------------------------------------------------------------------------- */

struct lane_want {
	unsigned klen;
	uint32_t vlen;
	uint64_t flags; /* ITEM_FLAGS ... ITEM_PIECE, but ITEM_FAR */
	uint32_t expiry;
};

/*
 * Reserves an item: its ident (without CAS) and state (DEAD) are written, and its far expiry.  NULL: no
 * segment is free; `last`: not even one of those kept for merges.  The caller is a writer of the segment
 * until lane_release().
 */
struct item *lane_reserve(struct store_thread *t, const struct lane_want *want, bool last);

/* The item was committed (it lives, and counts) or given up. */
void lane_release(struct store *s, struct item *it, bool lives);

/* Closes open segments that have expired, were flushed, or are hardly written to; with `all`, every one. */
void lane_close_idle(struct store *s, bool all);

/* Appends to an open segment that is the caller's own or locked.  NULL: it does not fit. */
struct item *lane_append(struct store *s, uint32_t id, const struct lane_want *want);

/* --- items ---------------------------------------------------------------------------------------------- */

/* Makes a reserved item count: ident with the CAS, state without DEAD.  Not in the index yet. */
void item_publish(struct store *s, struct item *it, uint64_t order, uint64_t bits);

/* With its bucket locked, and out of the index: nothing leads there any more.  Pieces of a large value too.
 */
void item_kill(struct store *s, struct item *it);

/* Once for each item that ends without having been removed or replaced while it lived. */
void item_count_gone(struct store *s, uint64_t state, enum store_gone gone);

/* Seconds since a segment's start as the twelve bits of `state`, and back. */
static inline uint64_t
seen_encode(uint32_t s)
{
	unsigned e;

	if (s < 256)
		return s;
	e = 31 - (unsigned)__builtin_clz(s) - 7;
	if (e > 15)
		return 0xFFF;
	return (uint64_t)e << 8 | ((s >> (e - 1)) & 0xFF);
}

static inline uint32_t
seen_decode(uint64_t v)
{
	uint32_t e = (uint32_t)(v >> 8), m = (uint32_t)(v & 0xFF);

	return e == 0 ? m : (256 + m) << (e - 1);
}

static inline bool
item_expired(uint32_t expiry, uint32_t now)
{
	return expiry != 0 && expiry <= now;
}

uint64_t item_hash(const struct store *s, const struct item *it, uint64_t state);

/* --- large ---------------------------------------------------------------------------------------------- */

struct large {
	uint64_t len;
	_Atomic uint64_t place[];
};

static inline struct large *
large_of(const struct item *it, uint64_t state)
{
	return (struct large *)(((uintptr_t)item_value(it, state) + 7) & ~(uintptr_t)7);
}

uint32_t large_count(const struct store *s, uint64_t len);

/* The head's value as it lies there: how many bytes for a key and optional fields of these lengths. */
uint32_t large_vlen(const struct store *s, unsigned extra, unsigned klen, uint64_t len);

err_t large_begin(struct store_thread *t, struct store_draft *d, const struct lane_want *head);
size_t large_room(struct store_thread *t, struct store_draft *d, uint64_t at, char **where);
void large_publish(struct store_thread *t, struct store_draft *d);
void large_abort(struct store_thread *t, struct store_draft *d);
void large_kill(struct store *s, struct item *head);

/* The head that this piece belongs to, with the bucket of its owner's hash locked; NULL: it is nobody's. */
struct item *large_owner(struct store *s, const struct item *piece);

/* --- merging and eviction ------------------------------------------------------------------------------- */

/* What stays.  cutoff 0: all that lives. */
struct merge_rule {
	unsigned cutoff;     /* the smallest score that stays for sure */
	uint64_t edge_bytes; /* how much may stay of the score below it */
};

enum { MERGE_SCORES = 256 };
unsigned merge_score(unsigned freq, uint64_t size);

/* Adds up the bytes of each score in a closed segment. */
void merge_weigh(struct store *s, uint32_t id, uint64_t *bytes);

/* Empties a closed segment; false: not possible, or no segment for what must stay.  Under merge_lock. */
bool merge_segment(struct store *s, uint32_t id, struct merge_rule *rule);
void merge_close_targets(struct store *s);

/*
 * One step towards free segments, the cheapest first; false: nothing can be done.  `hard`: the last ones
 * gained nothing, so no more of joining what is half empty.  Under merge_lock.
 */
bool evict_step(struct store *s, bool hard);

/* Frees segments that have expired or been flushed; true: there is more to look at.  Under merge_lock. */
bool evict_sweep(struct store *s, unsigned segments);

/* A worker needs a segment and there is none.  ERR_FULL: and none can be had. */
err_t evict_now(struct store_thread *t);

/* How many should be free. */
uint32_t evict_goal(const struct store *s);

/* For restore.c: what was believed before.  False: a restore goes on already. */
struct store_belief {
	bool caught_up;
	uint64_t owed;
};
bool store_restore_begins(struct store *s, struct store_belief *before);
/* `before`: nothing came in, all is as it was; NULL otherwise. */
void store_restore_ends(struct store *s, const struct store_belief *before);

#endif
