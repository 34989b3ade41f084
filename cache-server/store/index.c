#include "cache-server/store/index.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/core/mem.h"

/*
 * Chained buckets come from chunks that are aligned to their size, so that a bucket's chunk is found from its
 * address.  `link` is what the lists of free and of departed buckets hang by: not in the bucket itself, for
 * somebody may still read a departed one.
 */
enum { CHUNK_SIZE = 65536, CHUNK_BUCKETS = 896, STRIPES = 64 };

struct chunk {
	struct chunk *next;
	struct index_bucket *link[CHUNK_BUCKETS];
	struct index_bucket bucket[CHUNK_BUCKETS];
};
_Static_assert(sizeof(struct chunk) <= CHUNK_SIZE, "a chunk's buckets fit into it");

struct stripe {
	_Alignas(64) _Atomic uint64_t items;
};

struct index_rest {
	struct quiesce *quiesce;

	/* Each change of an item counts in a stripe chosen by its hash, so that no line is everybody's. */
	struct stripe stripe[STRIPES];

	/* Chained buckets; under `lock`, which is taken with a bucket locked, never the other way round. */
	_Alignas(64) pthread_mutex_t lock;
	_Atomic uint64_t spare; /* length of `free`; changed under the lock, read without */
	struct index_bucket *free;
	struct index_bucket *departed; /* since the last stamp */
	struct index_bucket *waiting;  /* for `waiting_stamp` */
	uint64_t waiting_stamp;
	uint64_t ndeparted, nwaiting, nbuckets;
	struct chunk *chunks;

	/* The growing thread's. */
	uint64_t moved; /* buckets of the table that have been moved */
	struct index_table *old;
	uint64_t old_stamp;
	_Atomic uint64_t grown;
	_Atomic bool growing;
	_Atomic uint64_t buckets, bytes; /* for index_figures() by any thread */
};

/* --- tables ----------------------------------------------------------------------------------------------
 */

static struct index_table *
table_create(unsigned bits)
{
	struct index_table *t = calloc(1, sizeof *t);
	size_t bytes = sizeof(struct index_bucket) << bits;

	if (!t)
		return NULL; /* it grows later */
	t->bits = bits;
	t->mask = (1ull << bits) - 1;
	t->mapped = bytes;
	t->buckets = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->buckets == MAP_FAILED) {
		free(t);
		return NULL;
	}
	/* Every lookup is a random access to it: with small pages most would miss the TLB, too. */
	if (bytes >= 4u << 20)
		(void)madvise(t->buckets, bytes, MADV_HUGEPAGE);
	return t;
}

static void
table_destroy(struct index_table **t)
{
	if (!*t)
		return;
	munmap((*t)->buckets, (*t)->mapped);
	free(*t);
	*t = NULL;
}

static struct index_table *
table_now(const struct index *ix)
{
	return atomic_load_explicit((_Atomic(struct index_table *) *)&ix->table, memory_order_acquire);
}

static void
note_sizes(struct index *ix)
{
	struct index_rest *r = ix->rest;
	const struct index_table *t = table_now(ix);
	const struct index_table *next =
	    atomic_load_explicit((_Atomic(struct index_table *) *)&t->next, memory_order_relaxed);

	atomic_store_explicit(&r->buckets, t->mask + 1, memory_order_relaxed);
	atomic_store_explicit(&r->growing, next != NULL, memory_order_relaxed);
	atomic_store_explicit(&r->bytes,
			      t->mapped + (next ? next->mapped : 0) + (r->old ? r->old->mapped : 0),
			      memory_order_relaxed);
}

/* --- chained buckets -------------------------------------------------------------------------------------
 */

static struct index_bucket **
link_of(struct index_bucket *b)
{
	struct chunk *c = (struct chunk *)((uintptr_t)b & ~(uintptr_t)(CHUNK_SIZE - 1));

	return &c->link[b - c->bucket];
}

/* With the lock: what left its chain a while ago is free again. */
static void
pool_collect(struct index_rest *r)
{
	if (r->waiting) {
		if (!quiesce_passed(r->quiesce, r->waiting_stamp))
			return;
		while (r->waiting) {
			struct index_bucket *b = r->waiting;

			r->waiting = *link_of(b);
			*link_of(b) = r->free;
			r->free = b;
		}
		atomic_fetch_add_explicit(&r->spare, r->nwaiting, memory_order_relaxed);
		r->nwaiting = 0;
	}
	if (r->departed) {
		r->waiting = r->departed;
		r->nwaiting = r->ndeparted;
		r->departed = NULL;
		r->ndeparted = 0;
		r->waiting_stamp = quiesce_stamp(r->quiesce);
	}
}

/* With the lock: until `n` are free.  False: no memory. */
static bool
pool_fill(struct index_rest *r, uint64_t n)
{
	pool_collect(r);
	while (atomic_load_explicit(&r->spare, memory_order_relaxed) < n) {
		struct chunk *c = aligned_alloc(CHUNK_SIZE, CHUNK_SIZE);

		if (!c)
			return false;
		c->next = r->chunks;
		r->chunks = c;
		for (unsigned i = 0; i < CHUNK_BUCKETS; i++) {
			c->link[i] = r->free;
			r->free = &c->bucket[i];
		}
		r->nbuckets += CHUNK_BUCKETS;
		atomic_fetch_add_explicit(&r->spare, CHUNK_BUCKETS, memory_order_relaxed);
	}
	return true;
}

/* With the lock: an empty bucket that nobody else knows of. */
static struct index_bucket *
pool_take(struct index_rest *r)
{
	struct index_bucket *b = r->free;

	assert(b && "index_reserve() comes before index_insert()");
	r->free = *link_of(b);
	atomic_fetch_sub_explicit(&r->spare, 1, memory_order_relaxed);
	atomic_store_explicit(&b->head, 0, memory_order_relaxed);
	for (unsigned i = 0; i < INDEX_SLOTS; i++)
		atomic_store_explicit(&b->slot[i], 0, memory_order_relaxed);
	return b;
}

/*
 * A list of `n` buckets for the growing thread, INDEX_SPARE more being left for the others at that moment.
 * False: no memory.
 */
static bool
pool_stock(struct index_rest *r, unsigned n, struct index_bucket **stock)
{
	bool ok;

	*stock = NULL;
	pthread_mutex_lock(&r->lock);
	ok = pool_fill(r, n + INDEX_SPARE);
	for (; ok && n; n--) {
		struct index_bucket *b = pool_take(r);

		*link_of(b) = *stock;
		*stock = b;
	}
	pthread_mutex_unlock(&r->lock);
	return ok;
}

/* What has not been used of it. */
static void
pool_unstock(struct index_rest *r, struct index_bucket *stock)
{
	if (!stock)
		return;
	pthread_mutex_lock(&r->lock);
	while (stock) {
		struct index_bucket *b = stock;

		stock = *link_of(b);
		*link_of(b) = r->free;
		r->free = b;
		atomic_fetch_add_explicit(&r->spare, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&r->lock);
}

/* These have left their chain: `b` and, when `all`, everything behind it. */
static void
pool_depart(struct index_rest *r, struct index_bucket *b, bool all)
{
	pthread_mutex_lock(&r->lock);
	for (; b; b = all ? index_chained(b) : NULL) {
		*link_of(b) = r->departed;
		r->departed = b;
		r->ndeparted++;
	}
	pthread_mutex_unlock(&r->lock);
}

/* --- life ------------------------------------------------------------------------------------------------
 */

err_t
index_create(struct index **out, unsigned bits, struct quiesce *q, struct err_detail *why)
{
	struct index *ix = MEM_NEW(struct index);
	struct index_table *t;

	*out = NULL;
	bits = bits < INDEX_MIN_BITS ? INDEX_MIN_BITS : bits > INDEX_MAX_BITS ? INDEX_MAX_BITS : bits;
	ix->rest = aligned_alloc(64, sizeof *ix->rest);
	t = table_create(bits);
	if (!ix->rest || !t) {
		table_destroy(&t);
		free(ix->rest);
		free(ix);
		return err_set(why, ERR_SYS,
			       "no memory for a hash table of 2^%u buckets; ask for fewer items", bits);
	}
	memset(ix->rest, 0, sizeof *ix->rest);
	ix->rest->quiesce = q;
	pthread_mutex_init(&ix->rest->lock, NULL);
	atomic_store_explicit(&ix->table, t, memory_order_release);
	/* Now rather than by the first insertion, when memory may be short. */
	if (!pool_fill(ix->rest, INDEX_SPARE)) {
		index_destroy(&ix);
		return err_set(why, ERR_SYS, "no memory for the hash table's chains; free some memory");
	}
	note_sizes(ix);
	*out = ix;
	return ERR_OK;
}

void
index_destroy(struct index **ix)
{
	struct index_table *t, *next;
	struct index_rest *r;

	if (!*ix)
		return;
	r = (*ix)->rest;
	t = table_now(*ix);
	next = atomic_load_explicit(&t->next, memory_order_relaxed);
	table_destroy(&t);
	table_destroy(&next);
	table_destroy(&r->old);
	while (r->chunks) {
		struct chunk *c = r->chunks;

		r->chunks = c->next;
		free(c);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
	free(*ix);
	*ix = NULL;
}

/* --- changing --------------------------------------------------------------------------------------------
 */

static inline void
relax(unsigned *spins)
{
	if (++*spins % 64 == 0) {
		sched_yield(); /* the holder may have lost its processor */
		return;
	}
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void
lock_bucket(struct index_bucket *b)
{
	uint64_t head = atomic_load_explicit(&b->head, memory_order_relaxed);

	for (unsigned spins = 0;;) {
		if (head & INDEX_LOCKED) {
			relax(&spins);
			head = atomic_load_explicit(&b->head, memory_order_relaxed);
		} else if (atomic_compare_exchange_weak_explicit(&b->head, &head, head | INDEX_LOCKED,
								 memory_order_acquire,
								 memory_order_relaxed)) {
			return;
		}
	}
}

/* Nobody but the holder changes a locked head, so a store is enough. */
static void
unlock_bucket(struct index_bucket *b, uint64_t flags)
{
	uint64_t head = atomic_load_explicit(&b->head, memory_order_relaxed);

	atomic_store_explicit(&b->head, (head & ~INDEX_LOCKED) | flags, memory_order_release);
}

/* A bucket that moves while one waits for it is let go again; the mark leads to its successor. */
void
index_lock(struct index *ix, uint64_t hash)
{
	for (;;) {
		struct index_bucket *b = index_first(ix, hash);

		lock_bucket(b);
		if (!(atomic_load_explicit(&b->head, memory_order_relaxed) & INDEX_MOVED))
			return;
		unlock_bucket(b, 0);
	}
}

/* The same bucket as index_lock()'s: a locked one does not move. */
void
index_unlock(struct index *ix, uint64_t hash)
{
	unlock_bucket(index_first(ix, hash), 0);
}

bool
index_reserve(struct index *ix)
{
	if (__builtin_expect(atomic_load_explicit(&ix->rest->spare, memory_order_relaxed) >= INDEX_SPARE, 1))
		return true;
	pthread_mutex_lock(&ix->rest->lock);
	bool ok = pool_fill(ix->rest, INDEX_SPARE);
	pthread_mutex_unlock(&ix->rest->lock);
	return ok;
}

static _Atomic uint64_t *
items_of(struct index *ix, uint64_t hash)
{
	return &ix->rest->stripe[hash >> 40 & (STRIPES - 1)].items;
}

/*
 * Puts a filled slot into the chain of `b`, which is locked or not known to anybody.  A further bucket comes
 * from `stock`; NULL: from the pool.
 */
static void
put(struct index_rest *r, struct index_bucket *b, uint64_t slot, struct index_bucket **stock)
{
	struct index_bucket *last;

	do {
		for (unsigned i = 0; i < INDEX_SLOTS; i++)
			if (!atomic_load_explicit(&b->slot[i], memory_order_relaxed)) {
				atomic_store_explicit(&b->slot[i], slot, memory_order_release);
				return;
			}
		last = b;
		b = index_chained(b);
	} while (b);

	if (stock) {
		b = *stock;
		*stock = *link_of(b);
	} else {
		pthread_mutex_lock(&r->lock);
		b = pool_take(r);
		pthread_mutex_unlock(&r->lock);
	}
	atomic_store_explicit(&b->slot[0], slot, memory_order_relaxed);
	/* An or: the last bucket may be the first one, with its lock.  Release: the new one is complete. */
	atomic_store_explicit(&last->head,
			      atomic_load_explicit(&last->head, memory_order_relaxed) | (uintptr_t)b,
			      memory_order_release);
}

void
index_insert(struct index *ix, uint64_t hash, uint64_t place)
{
	assert(place && place <= INDEX_PLACE_MASK);
	put(ix->rest, index_first(ix, hash), index_tag(hash) | place, NULL);
	atomic_fetch_add_explicit(items_of(ix, hash), 1, memory_order_relaxed);
}

/* The slot that holds exactly this, and the bucket in front of its bucket in the chain. */
static _Atomic uint64_t *
find(const struct index *ix, uint64_t hash, uint64_t place, struct index_bucket **before,
     struct index_bucket **in)
{
	uint64_t slot = index_tag(hash) | place;

	*before = NULL;
	for (struct index_bucket *b = index_first(ix, hash); b; *before = b, b = index_chained(b))
		for (unsigned i = 0; i < INDEX_SLOTS; i++)
			if (atomic_load_explicit(&b->slot[i], memory_order_relaxed) == slot) {
				*in = b;
				return &b->slot[i];
			}
	return NULL;
}

bool
index_replace(struct index *ix, uint64_t hash, uint64_t old_place, uint64_t new_place)
{
	struct index_bucket *before, *b;
	_Atomic uint64_t *slot = find(ix, hash, old_place, &before, &b);

	assert(new_place && new_place <= INDEX_PLACE_MASK);
	if (!slot)
		return false;
	atomic_store_explicit(slot, index_tag(hash) | new_place, memory_order_release);
	return true;
}

bool
index_remove(struct index *ix, uint64_t hash, uint64_t place)
{
	struct index_bucket *before, *b;
	_Atomic uint64_t *slot = find(ix, hash, place, &before, &b);
	uint64_t left = 0;

	if (!slot)
		return false;
	atomic_store_explicit(slot, 0, memory_order_release);
	atomic_fetch_sub_explicit(items_of(ix, hash), 1, memory_order_relaxed);
	if (!before)
		return true;

	/* A chained bucket that is empty leaves, or all chains would once have been long and stay so. */
	for (unsigned i = 0; i < INDEX_SLOTS; i++)
		left |= atomic_load_explicit(&b->slot[i], memory_order_relaxed);
	if (!left) {
		uint64_t flags =
		    atomic_load_explicit(&before->head, memory_order_relaxed) & ~INDEX_CHAIN_MASK;

		atomic_store_explicit(&before->head, flags | (uintptr_t)index_chained(b),
				      memory_order_release);
		pool_depart(ix->rest, b, false);
	}
	return true;
}

/* --- growing ---------------------------------------------------------------------------------------------
 */

static uint64_t
items(const struct index *ix)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < STRIPES; i++)
		n += atomic_load_explicit(&ix->rest->stripe[i].items, memory_order_relaxed);
	return n;
}

/*
 * Moves one bucket to its successors.  Those are reached by way of the mark alone, so nobody else looks at
 * them before it is there, and the release of the mark is the release of all that was put into them.
 */
static bool
move_bucket(struct index *ix, struct index_table *from, struct index_table *to, uint64_t n)
{
	struct index_rest *r = ix->rest;
	struct index_bucket *first = &from->buckets[n], *chained;
	uint64_t upper =
	    1ull << (INDEX_PLACE_BITS + from->bits - INDEX_MIN_BITS); /* the next bit, in a tag */
	struct index_bucket *stock = NULL;
	unsigned chain = 0, stocked = 0;

	/* Two halves need as many further buckets as the whole at most. */
	for (;;) {
		lock_bucket(first);
		chain = 0;
		for (struct index_bucket *b = index_chained(first); b; b = index_chained(b))
			chain++;
		if (chain <= stocked)
			break;
		unlock_bucket(first, 0);
		pool_unstock(r, stock);
		if (!pool_stock(r, stocked = chain + 1, &stock))
			return false;
	}
	for (struct index_bucket *b = first; b; b = index_chained(b))
		for (unsigned i = 0; i < INDEX_SLOTS; i++) {
			uint64_t slot = atomic_load_explicit(&b->slot[i], memory_order_relaxed);

			if (slot)
				put(r, &to->buckets[slot & upper ? n + from->mask + 1 : n], slot, &stock);
		}
	chained = index_chained(first);
	unlock_bucket(first, INDEX_MOVED);
	pool_unstock(r, stock);
	if (chained)
		pool_depart(r, chained, true);
	return true;
}

bool
index_grow(struct index *ix, unsigned buckets_at_once)
{
	struct index_rest *r = ix->rest;
	struct index_table *from = table_now(ix);
	struct index_table *to = atomic_load_explicit(&from->next, memory_order_relaxed);

	pthread_mutex_lock(&r->lock);
	pool_collect(r);
	pthread_mutex_unlock(&r->lock);

	if (r->old) {
		if (!quiesce_passed(r->quiesce, r->old_stamp))
			return false;
		table_destroy(&r->old);
		note_sizes(ix);
	}
	if (!to) {
		if (from->bits >= INDEX_MAX_BITS || items(ix) <= (from->mask + 1) * INDEX_LOAD)
			return false;
		to = table_create(from->bits + 1);
		if (!to)
			return false;
		r->moved = 0;
		atomic_store_explicit(&from->next, to, memory_order_release);
		note_sizes(ix);
	}
	for (; buckets_at_once && r->moved <= from->mask; buckets_at_once--, r->moved++)
		if (!move_bucket(ix, from, to, r->moved))
			return false;
	if (r->moved <= from->mask)
		return true;

	atomic_store_explicit(&ix->table, to, memory_order_release);
	r->old = from;
	r->old_stamp = quiesce_stamp(r->quiesce);
	atomic_fetch_add_explicit(&r->grown, 1, memory_order_relaxed);
	note_sizes(ix);
	return false;
}

void
index_figures(const struct index *ix, struct index_figures *out)
{
	struct index_rest *r = ix->rest;

	*out = (struct index_figures){
	    .items = items(ix),
	    .buckets = atomic_load_explicit(&r->buckets, memory_order_relaxed),
	    .bytes = atomic_load_explicit(&r->bytes, memory_order_relaxed),
	    .growing = atomic_load_explicit(&r->growing, memory_order_relaxed),
	    .grown = atomic_load_explicit(&r->grown, memory_order_relaxed),
	};
	out->bits = (unsigned)__builtin_ctzll(out->buckets);
	pthread_mutex_lock(&r->lock);
	out->chained =
	    r->nbuckets - atomic_load_explicit(&r->spare, memory_order_relaxed) - r->ndeparted - r->nwaiting;
	out->bytes += r->nbuckets / CHUNK_BUCKETS * CHUNK_SIZE;
	pthread_mutex_unlock(&r->lock);
}

void
index_clear(struct index *ix)
{
	struct index_rest *r = ix->rest;
	struct index_table *t = table_now(ix);
	struct index_table *next = atomic_load_explicit(&t->next, memory_order_relaxed);

	if (next) {
		atomic_store_explicit(&ix->table, next, memory_order_release);
		table_destroy(&t);
		t = next;
	}
	table_destroy(&r->old);
	memset(t->buckets, 0, t->mapped);
	for (unsigned i = 0; i < STRIPES; i++)
		atomic_store_explicit(&r->stripe[i].items, 0, memory_order_relaxed);

	r->free = r->departed = r->waiting = NULL;
	r->ndeparted = r->nwaiting = 0;
	for (struct chunk *c = r->chunks; c; c = c->next)
		for (unsigned i = 0; i < CHUNK_BUCKETS; i++) {
			c->link[i] = r->free;
			r->free = &c->bucket[i];
		}
	atomic_store_explicit(&r->spare, r->nbuckets, memory_order_relaxed);
	note_sizes(ix);
}
