/*
 * guard - remembers, in memory of a fixed size, which keys must not be filled: leases that were given,
 * hold-offs that run, invalidations that were seen.
 *
 * The region (part of the memory file, where there is one) holds the sources (source.h), what the markers
 * need (marker.h), and buckets of eight records.  A record belongs to a key by all 64 bits of its hash: two
 * keys that share them share leases and refusals, nothing worse.  A bucket has floors: what a record that had
 * to go is replaced by.  A floor refuses more keys than the record did, never fewer:
 *
 *     an invalidation   the floor of its source in this bucket; with more than three sources there, of the
 *                       source everywhere
 *     a hold-off        all keys of the bucket are held off as long
 *     a lease           nothing: its token is worth nothing any more
 *
 * Order of the locks: the guard's bucket, then the store's; store_begin() before both.
 *
 * After kill -9 the region is as the process left it.  Words are written so that each moment in between
 * refuses at least what the moments before and after refuse; buckets that were locked are unlocked by
 * guard_create().  Leases do not survive: each start begins a new generation of them.
 *
 * Memory ordering: everything in a bucket is read and written with the bucket locked (acquire, release).
 * Outside there are two hints, which callers read with the *store's* bucket locked: whoever arms the guard
 * does so before he locks the store's bucket, so a fill that comes after him there sees the hint, and one
 * that came before him is seen, and removed, by him.
 *
 * Threads: any.   Blocks: guard_lock() spins while others work in the same bucket (no I/O, no system call).
 * Clock: passed in, milliseconds of the store's time.
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_GUARD_H
#define SQUEAL_CACHE_SERVER_CACHE_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/source.h"
#include "lib/core/err.h"

enum { GUARD_RECORDS = 8, GUARD_FLOORS = 3, GUARD_MIXED = 0xFFFF /* invalidated by more than one source */ };
#define GUARD_MIN_BYTES ((uint64_t)256 << 10)

struct guard_record {
	uint64_t count; /* the last invalidation, when `source` is not 0 */
	uint32_t term;
	uint16_t source;
	uint16_t generation; /* of the lease */
	uint64_t hold_ms;    /* held off until */
	uint64_t token;	     /* of the lease; TOKEN_HOT: the right was given by a meta command */
	uint64_t given_ms;
};

struct guard_floor {
	uint64_t count;
	uint32_t term;
	uint32_t source;
};

struct guard_bucket { /* seven cache lines */
	_Atomic uint32_t lock;
	uint32_t unused;
	uint64_t hold_ms;
	struct guard_floor floors[GUARD_FLOORS];
	uint64_t keys[GUARD_RECORDS]; /* 0: no record */
	struct guard_record records[GUARD_RECORDS];
};

/* Rules that a test may take away, to see that it would notice. */
enum guard_off {
	GUARD_OFF_LEASE = 1,	/* a delete leaves tokens good */
	GUARD_OFF_HOLD = 2,	/* hold-offs are not looked at */
	GUARD_OFF_FENCE = 4,	/* epochs of fills are not looked at */
	GUARD_OFF_FLOOR = 8,	/* records go without raising a floor */
	GUARD_OFF_DELETE = 16,	/* an invalidation leaves items of its own epoch, too */
	GUARD_OFF_STALE = 32,	/* stale values are served as live ones */
	GUARD_OFF_ONCE = 64,	/* tokens stay good after use */
	GUARD_OFF_MARKER = 128, /* a delete of one token removes all */
};

struct guard {
	struct guard_header *header;
	struct source_table *sources;
	struct guard_bucket *buckets;
	uint64_t nbuckets;
	void *extra; /* what the markers asked for */
	uint64_t extra_bytes;
	void *own; /* the region, when it is not in a mapping */
	uint64_t own_bytes;
	uint64_t lease_ms;
	unsigned off;		    /* enum guard_off */
	bool fresh;		    /* nothing was there */
	_Atomic bool leased;	    /* hint: a lease was given once; never falls */
	_Atomic uint64_t held_ms;   /* hint: no hold-off runs longer than this */
	_Atomic uint64_t overflows; /* not of the region */
};

/*
 * `region` NULL: memory of its own.  What lies there is taken over when it is a guard of the same
 * layout (and `trust`), else made anew.  `extra_bytes` of it are left to the markers.  ERR_SYS: no memory;
 * ERR_CONFIG: too small.
 */
err_t guard_create(struct guard **out, void *region, uint64_t bytes, uint64_t extra_bytes, bool trust,
		   uint64_t now_ms, struct err_detail *why) MUST_CHECK;
void guard_destroy(struct guard **g);

struct guard_bucket *guard_lock(struct guard *g, uint64_t hash);
void guard_unlock(struct guard_bucket *b);

/* With the bucket locked: the key's record, NULL when there is none; guard_take() makes one, at the cost of
 * another where it must.  Valid until the bucket is unlocked or guard_take() is called again. */
struct guard_record *guard_find(struct guard_bucket *b, uint64_t hash);
struct guard_record *guard_take(struct guard *g, struct guard_bucket *b, uint64_t hash, uint64_t now_ms);

/* The record may go if it says nothing any more. */
void guard_settle(struct guard *g, struct guard_bucket *b, struct guard_record *r, uint64_t now_ms);

/* --- leases: bucket locked, `r` may be NULL where it is only read ------------------------------------- */

/* Somebody was given the right less than lease_ms ago. */
bool guard_is_hot(const struct guard *g, const struct guard_record *r, uint64_t now_ms);
bool guard_is_good(const struct guard *g, const struct guard_record *r, uint64_t token);
void guard_give(struct guard *g, struct guard_record *r, uint64_t token, uint64_t now_ms);
void guard_void(struct guard *g, struct guard_record *r);

/* All leases are worth nothing from now on.  No lock.  Callers that commit by a lease compare
 * guard_generation() before and after. */
void guard_void_all(struct guard *g);
uint64_t guard_generation(const struct guard *g);

/* --- hold-off ------------------------------------------------------------------------------------------ */

/* Hint: false only when no hold-off is on anywhere.  With the store's bucket locked it can be relied on. */
static inline bool
guard_may_hold(const struct guard *g, uint64_t now_ms)
{
	return now_ms < atomic_load_explicit((_Atomic uint64_t *)&g->held_ms, memory_order_relaxed);
}

/* Hint: false only when no lease was ever given. */
static inline bool
guard_may_lease(const struct guard *g)
{
	return atomic_load_explicit((_Atomic bool *)&g->leased, memory_order_relaxed);
}

bool guard_is_held(const struct guard *g, const struct guard_bucket *b, const struct guard_record *r,
		   uint64_t now_ms);
void guard_hold(struct guard *g, struct guard_record *r, uint64_t until_ms);
void guard_hold_end(struct guard_record *r);

/* --- epochs -------------------------------------------------------------------------------------------- */

enum guard_fence {
	GUARD_FINE,
	GUARD_OLD /* than the key's own record, or its term is over */,
	GUARD_BELOW /* a floor */
};

enum guard_fence guard_fence(const struct guard *g, const struct guard_bucket *b,
			     const struct guard_record *r, uint32_t source, struct source_time e);
void guard_invalidate(struct guard *g, struct guard_bucket *b, struct guard_record *r, uint32_t source,
		      struct source_time h);

/* --- upkeep -------------------------------------------------------------------------------------------- */

/* Takes away what has run out, in `max` buckets from *cursor on. */
void guard_sweep(struct guard *g, uint64_t *cursor, uint64_t max, uint64_t now_ms);

struct guard_figures {
	uint64_t slots, leases, holdoffs, epochs, floors, overflows;
};
/* Exact up to 65,536 buckets; of more a sample is counted. */
void guard_figures(struct guard *g, uint64_t now_ms, struct guard_figures *out);

#endif
