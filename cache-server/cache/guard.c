#include "cache-server/cache/guard.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "cache-server/cache/token.h"

#define GUARD_MAGIC  0x31647261756751ull /* "Qguard1" */
#define GUARD_LAYOUT 1

/* Tokens are good until they are used, voided or given anew; after this many lease times nobody is believed
 * to come back, and the record may be taken away. */
enum { GUARD_LEASE_KEEP = 6, GUARD_SAMPLE = 65536 };

struct guard_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t bucket_size;
	uint64_t nbuckets, extra_bytes;
	_Atomic uint64_t generation; /* of leases; the records keep 16 bits of it */
	struct source_table sources;
};

/* The compiler keeps the order of stores around it: all that a process that may be killed needs. */
static inline void
in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static uint64_t
round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static uint64_t
head_bytes(void)
{
	return round_up(sizeof(struct guard_header), 4096);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void
make_anew(struct guard *g, uint64_t bytes)
{
	uint32_t id = 0;

	/* Only to tell this table from the ones before it; without randomness the address must do. */
	if (getrandom(&id, sizeof id, GRND_NONBLOCK) != sizeof id)
		id = (uint32_t)((uintptr_t)g >> 4);
	g->header->magic = 0;
	in_order();
	/* Memory of our own is zero already, and costs nothing until it is used. */
	if (!g->own)
		memset((char *)g->header + sizeof g->header->magic, 0, bytes - sizeof g->header->magic);
	g->header->layout = GUARD_LAYOUT;
	g->header->bucket_size = sizeof(struct guard_bucket);
	g->header->nbuckets = g->nbuckets;
	g->header->extra_bytes = g->extra_bytes;
	source_table_make(&g->header->sources, id);
	in_order();
	g->header->magic = GUARD_MAGIC;
	g->fresh = true;
}

/* Of another size than asked for is fine: it stays as large as it was made.  But markers must find theirs. */
static bool
is_ours(const struct guard_header *h, uint64_t bytes, uint64_t extra_bytes)
{
	return h->magic == GUARD_MAGIC && h->layout == GUARD_LAYOUT &&
	       h->bucket_size == sizeof(struct guard_bucket) && (h->extra_bytes != 0) == (extra_bytes != 0) &&
	       h->extra_bytes < bytes && head_bytes() + h->extra_bytes < bytes &&
	       h->nbuckets == (bytes - head_bytes() - h->extra_bytes) / sizeof(struct guard_bucket);
}

static void
recover(struct guard *g, uint64_t now_ms)
{
	uint64_t i, latest = 0;
	unsigned k;

	source_table_recover(&g->header->sources);
	atomic_fetch_add(&g->header->generation, 1);
	for (i = 0; i < g->nbuckets; i++) {
		struct guard_bucket *b = &g->buckets[i];

		atomic_store_explicit(&b->lock, 0, memory_order_relaxed);
		if (b->hold_ms > latest)
			latest = b->hold_ms;
		for (k = 0; k < GUARD_RECORDS; k++) {
			if (b->keys[k] == 0)
				continue;
			b->records[k].token = 0;
			if (b->records[k].hold_ms > latest)
				latest = b->records[k].hold_ms;
		}
	}
	if (latest > now_ms)
		atomic_store(&g->held_ms, latest);
}

err_t
guard_create(struct guard **out, void *region, uint64_t bytes, uint64_t extra_bytes, bool trust,
	     uint64_t now_ms, struct err_detail *why)
{
	uint64_t head = head_bytes();
	struct guard *g = NULL;
	bool ours;
	err_t err = ERR_OK;

	*out = NULL;
	extra_bytes = round_up(extra_bytes, 4096);
	if (extra_bytes > 0 && bytes > head + GUARD_MIN_BYTES && extra_bytes > bytes - head - GUARD_MIN_BYTES)
		extra_bytes = (bytes - head - GUARD_MIN_BYTES) / 4096 * 4096;
	if (bytes < head + extra_bytes + sizeof(struct guard_bucket))
		return err_set(why, ERR_CONFIG,
			       "the guard has %llu bytes, which is too few; give it at least 1 MiB",
			       (unsigned long long)bytes);
	if (!(g = calloc(1, sizeof *g))) {
		err = err_set(why, ERR_SYS, "no memory for the guard; free some and start again");
		goto done;
	}
	if (!region) {
		region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (region == MAP_FAILED) {
			err = err_set(why, ERR_SYS, "no memory for %llu bytes of guard; lower guard_memory",
				      (unsigned long long)bytes);
			goto done;
		}
		g->own = region;
		g->own_bytes = bytes;
		trust = false;
	}
	g->header = region;
	ours = trust && is_ours(g->header, bytes, extra_bytes);
	if (ours)
		extra_bytes = g->header->extra_bytes;
	g->sources = &g->header->sources;
	g->extra = (char *)region + head;
	g->extra_bytes = extra_bytes;
	g->buckets = (struct guard_bucket *)((char *)region + head + extra_bytes);
	g->nbuckets = (bytes - head - extra_bytes) / sizeof(struct guard_bucket);
	g->lease_ms = 10000;
	if (ours)
		recover(g, now_ms);
	else
		make_anew(g, bytes);
	/* Items may be there whose sources the new table does not know: nobody can say which terms they
	 * outlived. */
	if (trust && !ours)
		atomic_store(&g->sources->ended, 1);
	*out = g;
	g = NULL;
done:
	guard_destroy(&g);
	return err;
}

void
guard_destroy(struct guard **g)
{
	if (!*g)
		return;
	if ((*g)->own)
		munmap((*g)->own, (*g)->own_bytes);
	free(*g);
	*g = NULL;
}

/* --- buckets and records -------------------------------------------------------------------------------- */

struct guard_bucket *
guard_lock(struct guard *g, uint64_t hash)
{
	/* The store uses the low bits; these are the high ones, mixed. */
	uint64_t mixed = hash * 0x9E3779B97F4A7C15ull;
	struct guard_bucket *b = &g->buckets[(uint64_t)(((unsigned __int128)mixed * g->nbuckets) >> 64)];
	unsigned spins = 0;

	while (atomic_exchange_explicit(&b->lock, 1, memory_order_acquire))
		while (atomic_load_explicit(&b->lock, memory_order_relaxed))
			if (++spins % 128 == 0)
				sched_yield();
	return b;
}

void
guard_unlock(struct guard_bucket *b)
{
	atomic_store_explicit(&b->lock, 0, memory_order_release);
}

static inline uint64_t
key_of(uint64_t hash)
{
	return hash ? hash : 1;
}

struct guard_record *
guard_find(struct guard_bucket *b, uint64_t hash)
{
	uint64_t key = key_of(hash);
	unsigned i;

	for (i = 0; i < GUARD_RECORDS; i++)
		if (b->keys[i] == key)
			return &b->records[i];
	return NULL;
}

static bool
is_current(const struct guard *g, const struct guard_record *r)
{
	return r->token != 0 && r->generation == (uint16_t)guard_generation(g);
}

/* What a record is worth: the lowest goes first. */
enum worth { NOTHING, EPOCH, LEASE, HOLD };

static enum worth
worth(const struct guard *g, const struct guard_record *r, uint64_t now_ms)
{
	if (r->hold_ms > now_ms)
		return HOLD;
	if (is_current(g, r) &&
	    (now_ms < r->given_ms || now_ms - r->given_ms < GUARD_LEASE_KEEP * g->lease_ms))
		return LEASE;
	return r->source ? EPOCH : NOTHING;
}

static bool
goes_before(const struct guard_record *a, const struct guard_record *b, enum worth both)
{
	switch (both) {
	case HOLD:
		return a->hold_ms < b->hold_ms;
	case LEASE:
		return a->given_ms < b->given_ms;
	default:
		return a->term != b->term ? a->term < b->term : a->count < b->count;
	}
}

static void
raise_floor(struct guard *g, struct guard_bucket *b, uint32_t source, struct source_time h)
{
	struct guard_floor *f = NULL;
	unsigned i;

	if (source == 0 || source == GUARD_MIXED || (g->off & GUARD_OFF_FLOOR))
		return;
	for (i = 0; i < GUARD_FLOORS; i++) {
		if (b->floors[i].source == source) {
			f = &b->floors[i];
			if (source_newer(h, (struct source_time){f->count, f->term})) {
				f->term = h.term; /* first: what is in between is higher, not lower */
				in_order();
				f->count = h.count;
			}
			return;
		}
		if (!f && b->floors[i].source == 0)
			f = &b->floors[i];
	}
	if (!f) {
		source_raise(g->sources, source, h);
		return;
	}
	f->term = h.term;
	f->count = h.count;
	in_order();
	f->source = source;
}

static void
drop(struct guard *g, struct guard_bucket *b, unsigned i, uint64_t now_ms)
{
	struct guard_record *r = &b->records[i];

	if (r->source)
		raise_floor(g, b, r->source, (struct source_time){r->count, r->term});
	if (r->hold_ms > now_ms && r->hold_ms > b->hold_ms && !(g->off & GUARD_OFF_FLOOR))
		b->hold_ms = r->hold_ms;
	in_order();
	b->keys[i] = 0;
}

struct guard_record *
guard_take(struct guard *g, struct guard_bucket *b, uint64_t hash, uint64_t now_ms)
{
	struct guard_record *r = guard_find(b, hash);
	enum worth least = HOLD;
	unsigned i, go = GUARD_RECORDS;

	if (r)
		return r;
	for (i = 0; i < GUARD_RECORDS; i++) {
		enum worth w = b->keys[i] ? worth(g, &b->records[i], now_ms) : NOTHING;

		if (w == NOTHING) {
			go = i;
			least = w;
			break;
		}
		if (go == GUARD_RECORDS || w < least ||
		    (w == least && goes_before(&b->records[i], &b->records[go], w))) {
			go = i;
			least = w;
		}
	}
	if (least != NOTHING) {
		atomic_fetch_add_explicit(&g->overflows, 1, memory_order_relaxed);
		drop(g, b, go, now_ms);
	}
	r = &b->records[go];
	b->keys[go] = 0;
	in_order();
	*r = (struct guard_record){0};
	in_order();
	b->keys[go] = key_of(hash);
	return r;
}

void
guard_settle(struct guard *g, struct guard_bucket *b, struct guard_record *r, uint64_t now_ms)
{
	if (r && worth(g, r, now_ms) == NOTHING)
		b->keys[r - b->records] = 0;
}

/* --- leases --------------------------------------------------------------------------------------------- */

bool
guard_is_hot(const struct guard *g, const struct guard_record *r, uint64_t now_ms)
{
	/* A clock that another thread read later may be ahead of ours: then it was given just now. */
	return r && is_current(g, r) && (now_ms < r->given_ms || now_ms - r->given_ms < g->lease_ms);
}

bool
guard_is_good(const struct guard *g, const struct guard_record *r, uint64_t token)
{
	return r && is_current(g, r) && token_same(r->token, token);
}

void
guard_give(struct guard *g, struct guard_record *r, uint64_t token, uint64_t now_ms)
{
	r->token = token;
	r->generation = (uint16_t)guard_generation(g);
	r->given_ms = now_ms;
	if (!atomic_load_explicit(&g->leased, memory_order_relaxed))
		atomic_store_explicit(&g->leased, true, memory_order_relaxed);
}

void
guard_void(struct guard *g, struct guard_record *r)
{
	if (!(g->off & GUARD_OFF_LEASE))
		r->token = 0;
}

void
guard_void_all(struct guard *g)
{
	atomic_fetch_add_explicit(&g->header->generation, 1, memory_order_seq_cst);
}

uint64_t
guard_generation(const struct guard *g)
{
	return atomic_load_explicit(&g->header->generation, memory_order_seq_cst);
}

/* --- hold-off ------------------------------------------------------------------------------------------- */

bool
guard_is_held(const struct guard *g, const struct guard_bucket *b, const struct guard_record *r,
	      uint64_t now_ms)
{
	if (g->off & GUARD_OFF_HOLD)
		return false;
	return b->hold_ms > now_ms || (r && r->hold_ms > now_ms);
}

void
guard_hold(struct guard *g, struct guard_record *r, uint64_t until_ms)
{
	/* Rounded up, so that a stream of hold-offs does not write to the shared word each time. */
	uint64_t hint = (until_ms | 127) + 1;
	uint64_t seen = atomic_load_explicit(&g->held_ms, memory_order_relaxed);

	while (seen < hint && !atomic_compare_exchange_weak_explicit(
				  &g->held_ms, &seen, hint, memory_order_relaxed, memory_order_relaxed))
		;
	if (until_ms > r->hold_ms)
		r->hold_ms = until_ms;
}

void
guard_hold_end(struct guard_record *r)
{
	r->hold_ms = 0;
}

/* --- epochs --------------------------------------------------------------------------------------------- */

enum guard_fence
guard_fence(const struct guard *g, const struct guard_bucket *b, const struct guard_record *r,
	    uint32_t source, struct source_time e)
{
	unsigned i;

	if (g->off & GUARD_OFF_FENCE)
		return GUARD_FINE;
	if (r && r->source == source) {
		if (!source_newer(e, (struct source_time){r->count, r->term}))
			return GUARD_OLD;
	} else if (r && r->source) {
		return GUARD_OLD;
	}
	switch (source_judge(g->sources, source, e)) {
	case SOURCE_TERM:
		return GUARD_OLD;
	case SOURCE_FLOOR:
		return GUARD_BELOW;
	case SOURCE_FINE:
		break;
	}
	for (i = 0; i < GUARD_FLOORS; i++)
		if (b->floors[i].source == source &&
		    !source_newer(e, (struct source_time){b->floors[i].count, b->floors[i].term}))
			return GUARD_BELOW;
	return GUARD_FINE;
}

void
guard_invalidate(struct guard *g, struct guard_bucket *b, struct guard_record *r, uint32_t source,
		 struct source_time h)
{
	if (r->source == 0) {
		r->count = h.count;
		r->term = h.term;
		in_order();
		r->source = (uint16_t)source;
	} else if (r->source == source) {
		if (source_newer(h, (struct source_time){r->count, r->term})) {
			r->term = h.term;
			in_order();
			r->count = h.count;
		}
	} else {
		/* More than one source: no fence holds for this key as long as it is on record, and later the
		 * floors of all of them do. */
		raise_floor(g, b, r->source, (struct source_time){r->count, r->term});
		raise_floor(g, b, source, h);
		in_order();
		r->source = GUARD_MIXED;
	}
}

/* --- upkeep --------------------------------------------------------------------------------------------- */

void
guard_sweep(struct guard *g, uint64_t *cursor, uint64_t max, uint64_t now_ms)
{
	for (; max > 0; max--, ++*cursor) {
		struct guard_bucket *b;
		unsigned i;

		if (*cursor >= g->nbuckets)
			*cursor = 0;
		b = &g->buckets[*cursor];
		/* A bucket in use is looked at the next time. */
		if (atomic_exchange_explicit(&b->lock, 1, memory_order_acquire))
			continue;
		for (i = 0; i < GUARD_RECORDS; i++)
			if (b->keys[i] && worth(g, &b->records[i], now_ms) == NOTHING)
				b->keys[i] = 0;
		guard_unlock(b);
	}
}

static void
count_bucket(struct guard *g, struct guard_bucket *b, uint64_t now_ms, struct guard_figures *f)
{
	unsigned i;

	f->floors += b->hold_ms > now_ms;
	for (i = 0; i < GUARD_FLOORS; i++)
		f->floors += b->floors[i].source != 0;
	for (i = 0; i < GUARD_RECORDS; i++) {
		const struct guard_record *r = &b->records[i];

		if (b->keys[i] == 0)
			continue;
		f->leases += is_current(g, r);
		f->holdoffs += r->hold_ms > now_ms;
		f->epochs += r->source != 0;
	}
}

void
guard_figures(struct guard *g, uint64_t now_ms, struct guard_figures *out)
{
	uint64_t step = (g->nbuckets + GUARD_SAMPLE - 1) / GUARD_SAMPLE, i;

	*out = (struct guard_figures){.slots = g->nbuckets * GUARD_RECORDS};
	for (i = 0; i < g->nbuckets; i += step) {
		struct guard_bucket *b = &g->buckets[i];
		unsigned spins = 0;

		while (atomic_exchange_explicit(&b->lock, 1, memory_order_acquire))
			if (++spins % 128 == 0)
				sched_yield();
		count_bucket(g, b, now_ms, out);
		guard_unlock(b);
	}
	out->leases *= step;
	out->holdoffs *= step;
	out->epochs *= step;
	out->floors *= step;
	out->overflows = atomic_load_explicit(&g->overflows, memory_order_relaxed);
}
