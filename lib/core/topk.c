#include "lib/core/topk.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/core/mem.h"

enum {
	NAME_WORDS = (TOPK_NAME_MAX + 7) / 8,
};

/*
 * One writer, any number of readers, no locks.  A slot's name is guarded by a sequence number that is odd
 * while the name changes (a seqlock).  Every field is atomic, so a reader that comes at the wrong moment
 * reads mixed words but never undefined ones, and then sees that the number is odd or another.
 *
 * Ordering: the writer stores the odd number, then the words with release; a reader loads the words with
 * acquire, then the number again.  A reader that saw one new word therefore sees the odd number, or a later
 * one, and leaves the slot out.  At the end the writer stores the even number with release, so that a reader
 * who starts from it (acquire) sees all of the name.  No fences: ThreadSanitizer does not know them.  On x86
 * all of these are plain moves.
 *
 * Counts are not guarded: a count that is one decay or one request old is as good.
 */
struct set {
	_Atomic uint64_t hash[TOPK_WAYS];
	_Atomic uint64_t count[TOPK_WAYS]; /* 0: free */
	_Atomic uint64_t error[TOPK_WAYS];
	_Atomic uint32_t seq[TOPK_WAYS];
	_Atomic uint32_t len[TOPK_WAYS];
};

struct name {
	_Atomic uint64_t words[NAME_WORDS];
};

struct topk {
	struct sample sample; /* first, see topk.h */
	_Atomic uint64_t total;
	size_t mask; /* sets - 1 */
	struct set *sets;
	struct name *names; /* TOPK_WAYS per set */
};
_Static_assert(offsetof(struct topk, sample) == 0, "topk_note() finds it at the start");

static uint64_t
get(const _Atomic uint64_t *p)
{
	return atomic_load_explicit((_Atomic uint64_t *)p, memory_order_relaxed);
}

static void
put(_Atomic uint64_t *p, uint64_t v)
{
	atomic_store_explicit(p, v, memory_order_relaxed);
}

struct topk *
topk_create(size_t sets, uint32_t sample, uint64_t seed)
{
	struct topk *t = MEM_NEW(struct topk);
	size_t n = 1;

	while (n < sets && n < TOPK_SETS_MAX)
		n <<= 1;
	t->mask = n - 1;
	t->sets = mem_zalloc(n, sizeof(*t->sets));
	t->names = mem_zalloc(n * TOPK_WAYS, sizeof(*t->names));
	sample_init(&t->sample, sample, seed);
	return t;
}

void
topk_destroy(struct topk **tp)
{
	struct topk *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	free(t->sets);
	free(t->names);
	free(t);
}

/* The i-th eight bytes of the name, zeros behind its end. */
static uint64_t
word_of(struct span name, size_t i)
{
	uint64_t w = 0;
	size_t left = name.len - 8 * i;

	memcpy(&w, name.p + 8 * i, left < 8 ? left : 8);
	return w;
}

/* Owner only: what it wrote itself it may read plainly. */
static bool
is_name(const struct set *s, const struct name *names, size_t way, struct span name)
{
	if (atomic_load_explicit((_Atomic uint32_t *)&s->len[way], memory_order_relaxed) != name.len)
		return false;
	for (size_t i = 0; i * 8 < name.len; i++) {
		if (get(&names[way].words[i]) != word_of(name, i))
			return false;
	}
	return true;
}

static void
set_name(struct set *s, struct name *names, size_t way, struct span name, uint64_t hash)
{
	uint32_t seq = atomic_load_explicit(&s->seq[way], memory_order_relaxed);

	atomic_store_explicit(&s->seq[way], seq + 1, memory_order_relaxed);
	atomic_store_explicit(&s->hash[way], hash, memory_order_release);
	atomic_store_explicit(&s->len[way], (uint32_t)name.len, memory_order_release);
	for (size_t i = 0; i * 8 < name.len; i++)
		atomic_store_explicit(&names[way].words[i], word_of(name, i), memory_order_release);
	atomic_store_explicit(&s->seq[way], seq + 2, memory_order_release);
}

void
topk_take(struct topk *t, struct span name, uint64_t hash, uint32_t weight)
{
	/* High bits choose the set: callers' tables use the low ones, or the other way round. */
	size_t at = (size_t)((hash * 0x9e3779b97f4a7c15ull) >> 40) & t->mask, least = 0;
	uint64_t w = (uint64_t)weight * t->sample.every, c;
	struct set *s = &t->sets[at];
	struct name *names = &t->names[at * TOPK_WAYS];

	sample_again(&t->sample);
	if (w == 0)
		return;
	name = span_first(name, TOPK_NAME_MAX);
	put(&t->total, get(&t->total) + w);
	for (size_t i = 0; i < TOPK_WAYS; i++) {
		c = get(&s->count[i]);
		if (c != 0 && get(&s->hash[i]) == hash && is_name(s, names, i, name)) {
			put(&s->count[i], c + w);
			return;
		}
		if (c < get(&s->count[least]))
			least = i;
	}
	c = get(&s->count[least]);
	/* Taken with probability w / (c + w); the doubles round, which changes nothing here. */
	if (c != 0 && (double)(sample_random(&t->sample) >> 11) * (double)(c + w) >= (double)w * 0x1p53)
		return;
	set_name(s, names, least, name, hash);
	put(&s->error[least], c);
	put(&s->count[least], c + w);
}

void
topk_decay(struct topk *t)
{
	put(&t->total, get(&t->total) / 2);
	for (size_t i = 0; i <= t->mask; i++) {
		for (size_t j = 0; j < TOPK_WAYS; j++) {
			put(&t->sets[i].count[j], get(&t->sets[i].count[j]) / 2);
			put(&t->sets[i].error[j], get(&t->sets[i].error[j]) / 2);
		}
	}
}

/* --- reading --------------------------------------------------------------------------------------- */

/* False when the slot is free or changes just now. */
static bool
read_slot(const struct set *s, const struct name *names, size_t way, struct topk_row *out)
{
	_Atomic uint32_t *seq = (_Atomic uint32_t *)&s->seq[way];
	uint32_t before = atomic_load_explicit(seq, memory_order_acquire);
	uint64_t words[NAME_WORDS];
	uint32_t len;

	if (before % 2 != 0)
		return false;
	out->count = get(&s->count[way]);
	out->error = get(&s->error[way]);
	out->hash = atomic_load_explicit((_Atomic uint64_t *)&s->hash[way], memory_order_acquire);
	len = atomic_load_explicit((_Atomic uint32_t *)&s->len[way], memory_order_acquire);
	if (out->count == 0 || len > TOPK_NAME_MAX)
		return false;
	for (size_t i = 0; i * 8 < len; i++)
		words[i] =
		    atomic_load_explicit((_Atomic uint64_t *)&names[way].words[i], memory_order_acquire);
	if (atomic_load_explicit(seq, memory_order_relaxed) != before)
		return false;
	/* A count that was read before its name was replaced may be below the error that was read after. */
	if (out->error > out->count)
		out->error = out->count;
	out->len = len;
	memcpy(out->name, words, len);
	out->name[len] = '\0';
	return true;
}

static int
by_name(const void *ap, const void *bp)
{
	const struct topk_row *a = *(const struct topk_row *const *)ap,
			      *b = *(const struct topk_row *const *)bp;
	int order;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	order = memcmp(a->name, b->name, a->len);
	return order;
}

/* Largest first; what is equal by name, so that a list does not jump about. */
static int
by_count(const void *ap, const void *bp)
{
	const struct topk_row *a = *(const struct topk_row *const *)ap,
			      *b = *(const struct topk_row *const *)bp;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return by_name(ap, bp);
}

size_t
topk_top(struct topk *const *ts, size_t nts, struct topk_row *out, size_t n, uint64_t *total)
{
	struct topk_row *rows, **order;
	size_t room = 0, found = 0, merged = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < nts; i++) {
		room += (ts[i]->mask + 1) * TOPK_WAYS;
		sum += get(&ts[i]->total);
	}
	rows = mem_zalloc(room + 1, sizeof(*rows));
	order = mem_zalloc(room + 1, sizeof(*order));
	for (size_t i = 0; i < nts; i++) {
		for (size_t j = 0; j < (ts[i]->mask + 1) * TOPK_WAYS; j++) {
			size_t set = j / TOPK_WAYS;

			if (!read_slot(&ts[i]->sets[set], &ts[i]->names[set * TOPK_WAYS], j % TOPK_WAYS,
				       &rows[found]))
				continue;
			order[found] = &rows[found];
			found++;
		}
	}
	qsort(order, found, sizeof(*order), by_name);
	for (size_t i = 0; i < found; i++) {
		if (merged > 0 && by_name(&order[merged - 1], &order[i]) == 0) {
			order[merged - 1]->count += order[i]->count;
			order[merged - 1]->error += order[i]->error;
		} else {
			order[merged++] = order[i];
		}
	}
	qsort(order, merged, sizeof(*order), by_count);
	if (merged > n)
		merged = n;
	for (size_t i = 0; i < merged; i++)
		out[i] = *order[i];
	free(rows);
	free(order);
	if (total != NULL)
		*total = sum;
	return merged;
}
