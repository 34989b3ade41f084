#include "cache-server/cache/marker_table.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "cache-server/cache/marker.h"

#define MARKER_MAGIC  0x316b72616d51ull /* "Qmark1" */
#define MARKER_LAYOUT 1

enum { LOCKS = 256, SWEEP = 4096 };

struct record { /* 96 bytes */
	uint64_t hash, hash2;
	uint32_t next; /* 0: the last of its chain */
	uint32_t expiry;
	uint8_t len;
	char token[MARKER_MAX_TOKEN];
	char unused[7];
};

struct head {
	uint64_t magic;
	uint32_t layout, record_size;
	uint64_t seed;
	uint32_t nbuckets, nrecords; /* record 0 is none */
};

struct marker_table {
	struct head *head;
	uint32_t *buckets; /* index of the first record */
	struct record *records;
	uint32_t *free; /* a stack */
	uint32_t nfree;
	uint32_t sweep;
	_Atomic uint64_t tokens, keys;
	_Atomic uint32_t free_lock;
	struct {
		_Atomic uint32_t word;
		char line[60];
	} locks[LOCKS];
};

static inline void
in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static void
lock(_Atomic uint32_t *word)
{
	unsigned spins = 0;

	while (atomic_exchange_explicit(word, 1, memory_order_acquire))
		if (++spins % 64 == 0)
			sched_yield();
}

static void
unlock(_Atomic uint32_t *word)
{
	atomic_store_explicit(word, 0, memory_order_release);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void
make_anew(struct marker_table *m, uint64_t bytes)
{
	struct head h = *m->head;

	m->head->magic = 0;
	in_order();
	memset((char *)m->head + sizeof h.magic, 0, bytes - sizeof h.magic);
	m->head->layout = MARKER_LAYOUT;
	m->head->record_size = sizeof(struct record);
	m->head->nbuckets = h.nbuckets;
	m->head->nrecords = h.nrecords;
	if (getrandom(&m->head->seed, sizeof m->head->seed, GRND_NONBLOCK) != sizeof m->head->seed)
		m->head->seed = (uint64_t)(uintptr_t)m;
	in_order();
	m->head->magic = MARKER_MAGIC;
}

static bool
is_sound(const struct marker_table *m, uint32_t index, uint32_t bucket, const bool *seen)
{
	const struct record *r = &m->records[index];

	return index < m->head->nrecords && !seen[index] && r->len >= 1 && r->len <= MARKER_MAX_TOKEN &&
	       r->hash % m->head->nbuckets == bucket;
}

/* Follows the chains; each is cut where it makes no sense.  What no chain leads to is free. */
static err_t
take_over(struct marker_table *m, struct err_detail *why)
{
	bool *seen = calloc(m->head->nrecords, sizeof *seen);
	uint32_t b, i;

	if (!seen)
		return err_set(why, ERR_SYS,
			       "no memory to look through the markers; free some and start again");
	for (b = 0; b < m->head->nbuckets; b++) {
		uint32_t *at = &m->buckets[b];

		while (*at) {
			if (!is_sound(m, *at, b, seen)) {
				*at = 0;
				break;
			}
			seen[*at] = true;
			atomic_fetch_add(&m->tokens, 1);
			at = &m->records[*at].next;
		}
	}
	for (i = m->head->nrecords; i-- > 1;)
		if (!seen[i])
			m->free[m->nfree++] = i;
	free(seen);
	return ERR_OK;
}

err_t
marker_table_create(struct marker_table **out, void *region, uint64_t bytes, bool trust,
		    struct err_detail *why)
{
	struct marker_table *m;
	uint64_t room, n;
	err_t err;

	*out = NULL;
	if (bytes < 64 * 1024)
		return err_set(why, ERR_CONFIG,
			       "a container of markers has %llu bytes; give it at least 64 KiB",
			       (unsigned long long)bytes);
	if (!(m = calloc(1, sizeof *m)))
		return err_set(why, ERR_SYS, "no memory for markers; free some and start again");
	m->head = region;
	/* One bucket for each record. */
	room = bytes - 4096;
	n = room / (sizeof(struct record) + sizeof(uint32_t));
	if (n > UINT32_MAX - 1)
		n = UINT32_MAX - 1;
	m->records = (struct record *)((char *)region + 4096);
	m->buckets = (uint32_t *)&m->records[n];
	m->free = calloc(n, sizeof *m->free);
	if (!m->free) {
		err = err_set(why, ERR_SYS, "no memory for markers; free some and start again");
		goto done;
	}
	if (!trust || m->head->magic != MARKER_MAGIC || m->head->layout != MARKER_LAYOUT ||
	    m->head->record_size != sizeof(struct record) || m->head->nbuckets != n ||
	    m->head->nrecords != n) {
		m->head->nbuckets = m->head->nrecords = (uint32_t)n;
		make_anew(m, bytes);
	}
	if ((err = take_over(m, why)))
		goto done;
	*out = m;
	m = NULL;
done:
	marker_table_destroy(&m);
	return err;
}

void
marker_table_destroy(struct marker_table **m)
{
	if (!*m)
		return;
	free((*m)->free);
	free(*m);
	*m = NULL;
}

/* --- chains: with the bucket locked --------------------------------------------------------------------- */

struct place {
	uint64_t hash, hash2;
	uint32_t bucket;
	_Atomic uint32_t *lock;
};

static struct place
place_lock(struct marker_table *m, struct marker_name name)
{
	struct place p = {.hash = name.hash};

	p.hash2 = XXH3_64bits_withSeed(name.key.p, name.key.len, m->head->seed);
	p.bucket = (uint32_t)(p.hash % m->head->nbuckets);
	p.lock = &m->locks[p.bucket % LOCKS].word;
	lock(p.lock);
	return p;
}

static bool
is_of(const struct record *r, const struct place *p)
{
	return r->hash == p->hash && r->hash2 == p->hash2;
}

static bool
is_token(const struct record *r, struct span token)
{
	return span_eq(span_make(r->token, r->len), token);
}

/* Takes the record that *at leads to out of its chain. */
static void
unchain(struct marker_table *m, uint32_t *at)
{
	uint32_t index = *at;

	*at = m->records[index].next;
	in_order();
	lock(&m->free_lock);
	m->free[m->nfree++] = index;
	unlock(&m->free_lock);
	atomic_fetch_sub_explicit(&m->tokens, 1, memory_order_relaxed);
}

static uint64_t
drop_ended(struct marker_table *m, uint32_t bucket, uint32_t now)
{
	uint32_t *at = &m->buckets[bucket];
	uint64_t n = 0;

	while (*at) {
		struct record *r = &m->records[*at];

		if (r->expiry != 0 && r->expiry <= now) {
			unchain(m, at);
			n++;
		} else {
			at = &r->next;
		}
	}
	return n;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

static enum marker_put
put_new(struct marker_table *m, const struct place *p, struct span token, uint32_t expiry)
{
	struct record *r;
	uint32_t index = 0;

	lock(&m->free_lock);
	if (m->nfree > 0)
		index = m->free[--m->nfree];
	unlock(&m->free_lock);
	if (index == 0)
		return MARKER_FULL;
	r = &m->records[index];
	r->hash = p->hash;
	r->hash2 = p->hash2;
	r->expiry = expiry;
	r->len = (uint8_t)token.len;
	memcpy(r->token, token.p, token.len);
	r->next = m->buckets[p->bucket];
	in_order();
	m->buckets[p->bucket] = index;
	atomic_fetch_add_explicit(&m->tokens, 1, memory_order_relaxed);
	return MARKER_ADDED;
}

enum marker_put
marker_table_put(struct marker_table *m, struct marker_name name, struct span token, uint32_t expiry,
		 uint32_t now, uint64_t *expired)
{
	struct place p = place_lock(m, name);
	enum marker_put result = MARKER_ADDED;
	unsigned n = 0;
	uint32_t i;

	*expired += drop_ended(m, p.bucket, now);
	for (i = m->buckets[p.bucket]; i; i = m->records[i].next) {
		struct record *r = &m->records[i];

		if (!is_of(r, &p))
			continue;
		if (is_token(r, token)) {
			/* Never shorter than promised before. */
			if (expiry == 0 || (r->expiry != 0 && expiry > r->expiry))
				r->expiry = expiry;
			result = MARKER_RENEWED;
			goto done;
		}
		n++;
	}
	result = n >= MARKER_MAX_TOKENS ? MARKER_TOO_MANY : put_new(m, &p, token, expiry);
done:
	unlock(p.lock);
	return result;
}

static uint64_t
take(struct marker_table *m, struct marker_name name, const struct span *token, uint32_t now,
     uint64_t *expired)
{
	struct place p = place_lock(m, name);
	uint32_t *at = &m->buckets[p.bucket];
	uint64_t n = 0;

	*expired += drop_ended(m, p.bucket, now);
	while (*at) {
		struct record *r = &m->records[*at];

		if (is_of(r, &p) && (!token || is_token(r, *token))) {
			unchain(m, at);
			n++;
		} else {
			at = &r->next;
		}
	}
	unlock(p.lock);
	return n;
}

bool
marker_table_take(struct marker_table *m, struct marker_name name, struct span token, uint32_t now,
		  uint64_t *expired)
{
	return take(m, name, &token, now, expired) > 0;
}

uint64_t
marker_table_take_all(struct marker_table *m, struct marker_name name, uint32_t now, uint64_t *expired)
{
	return take(m, name, NULL, now, expired);
}

unsigned
marker_table_list(struct marker_table *m, struct marker_name name, struct buf *tokens, uint32_t now,
		  uint64_t *expired)
{
	struct place p = place_lock(m, name);
	unsigned n = 0;
	uint32_t i;

	*expired += drop_ended(m, p.bucket, now);
	for (i = m->buckets[p.bucket]; i; i = m->records[i].next) {
		const struct record *r = &m->records[i];

		if (!is_of(r, &p))
			continue;
		if (tokens) {
			if (n > 0)
				buf_putc(tokens, ',');
			buf_put(tokens, r->token, r->len);
		}
		n++;
	}
	unlock(p.lock);
	return n;
}

uint64_t
marker_table_clear(struct marker_table *m)
{
	uint64_t n = 0;
	uint32_t b;

	for (b = 0; b < m->head->nbuckets; b++) {
		_Atomic uint32_t *word = &m->locks[b % LOCKS].word;

		lock(word);
		while (m->buckets[b]) {
			unchain(m, &m->buckets[b]);
			n++;
		}
		unlock(word);
	}
	return n;
}

uint64_t
marker_table_sweep(struct marker_table *m, uint32_t now)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < SWEEP; i++, m->sweep++) {
		_Atomic uint32_t *word;

		if (m->sweep >= m->head->nbuckets)
			m->sweep = 0;
		word = &m->locks[m->sweep % LOCKS].word;
		lock(word);
		n += drop_ended(m, m->sweep, now);
		unlock(word);
	}
	return n;
}

void
marker_table_count(struct marker_table *m, uint64_t *keys, uint64_t *tokens)
{
	uint32_t b, i, j;

	*tokens = atomic_load_explicit(&m->tokens, memory_order_relaxed);
	*keys = 0;
	for (b = 0; b < m->head->nbuckets; b++) {
		_Atomic uint32_t *word = &m->locks[b % LOCKS].word;

		lock(word);
		for (i = m->buckets[b]; i; i = m->records[i].next) {
			for (j = m->buckets[b]; j != i; j = m->records[j].next)
				if (m->records[j].hash == m->records[i].hash &&
				    m->records[j].hash2 == m->records[i].hash2)
					break;
			*keys += j == i;
		}
		unlock(word);
	}
}
