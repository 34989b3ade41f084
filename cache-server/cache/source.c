#include "cache-server/cache/source.h"

#include <sched.h>

/* Every word is stored with release and loaded with acquire: a reader that has seen a word of a change has
 * seen the odd number before it, and reads the number again after all words. */
#define LOAD(field)	    atomic_load_explicit((field), memory_order_acquire)
#define SET(field, v)	    atomic_store_explicit((field), (v), memory_order_release)
#define MUTABLE(type, expr) ((type *)(uintptr_t)(expr))

static void
table_lock(struct source_table *s)
{
	unsigned spins = 0;

	while (atomic_exchange_explicit(&s->lock, 1, memory_order_acquire))
		if (++spins % 64 == 0)
			sched_yield();
}

static void
table_unlock(struct source_table *s)
{
	atomic_store_explicit(&s->lock, 0, memory_order_release);
}

/* With the table locked. */
static void
change_begin(struct source *src)
{
	SET(&src->sequence, LOAD(&src->sequence) + 1);
}

static void
change_end(struct source *src)
{
	SET(&src->sequence, LOAD(&src->sequence) + 1);
}

static uint32_t
read_begin(const struct source *src)
{
	uint32_t seq;
	unsigned spins = 0;

	while ((seq = LOAD(MUTABLE(_Atomic uint32_t, &src->sequence))) & 1)
		if (++spins % 64 == 0)
			sched_yield();
	return seq;
}

static bool
read_again(const struct source *src, uint32_t seq)
{
	return LOAD(MUTABLE(_Atomic uint32_t, &src->sequence)) != seq;
}

static struct source_time
words_read(const struct source_words *w)
{
	return (struct source_time){LOAD(MUTABLE(_Atomic uint64_t, &w->count)),
				    LOAD(MUTABLE(_Atomic uint32_t, &w->term))};
}

/* In between it is never newer than both: for watermarks and ends, which promise. */
static void
words_write_low(struct source_words *w, struct source_time t)
{
	if (LOAD(&w->term) != t.term) {
		SET(&w->count, 0);
		SET(&w->term, t.term);
	}
	SET(&w->count, t.count);
}

/* In between it is never older than both: for floors, which refuse. */
static void
words_write_high(struct source_words *w, struct source_time t)
{
	SET(&w->term, t.term);
	SET(&w->count, t.count);
}

void
source_table_make(struct source_table *s, uint32_t id)
{
	memset(s, 0, sizeof *s);
	/* 0 would make numbers of no source and of this table alike. */
	atomic_store(&s->id, (id & 0xFFFFFF) ? id & 0xFFFFFF : 1);
}

void
source_table_recover(struct source_table *s)
{
	uint32_t i, n = LOAD(&s->n);

	atomic_store(&s->lock, 0);
	if (n > SOURCE_MAX)
		atomic_store(&s->n, n = SOURCE_MAX);
	for (i = 1; i <= n; i++) {
		struct source *src = &s->sources[i];

		if (LOAD(&src->sequence) & 1)
			atomic_store(&src->sequence, LOAD(&src->sequence) + 1);
		if (LOAD(&src->name_len) > EPOCH_MAX_SOURCE)
			atomic_store(&src->name_len, 0);
		if (LOAD(&src->nends) > SOURCE_TERMS)
			atomic_store(&src->nends, 0);
	}
}

struct span
source_name(const struct source_table *s, uint32_t number)
{
	const struct source *src = &s->sources[number <= SOURCE_MAX ? number : 0];

	return span_make(src->name, LOAD(MUTABLE(_Atomic uint32_t, &src->name_len)));
}

uint32_t
source_find(const struct source_table *s, struct span name)
{
	uint32_t i, n = LOAD(MUTABLE(_Atomic uint32_t, &s->n));

	for (i = 1; i <= n; i++)
		if (span_eq(source_name(s, i), name))
			return i;
	return 0;
}

uint32_t
source_intern(struct source_table *s, struct span name)
{
	uint32_t number = source_find(s, name), n;

	if (number || name.len == 0 || name.len > EPOCH_MAX_SOURCE)
		return number;
	table_lock(s);
	number = source_find(s, name);
	n = LOAD(&s->n);
	if (!number && n < SOURCE_MAX) {
		number = n + 1;
		memset(&s->sources[number], 0, sizeof s->sources[number]);
		memcpy(s->sources[number].name, name.p, name.len);
		SET(&s->sources[number].name_len, (uint32_t)name.len);
		SET(&s->n, number);
	}
	table_unlock(s);
	return number;
}

/* With the source being read or the table locked. */
static bool
counts(const struct source *src, struct source_time e)
{
	uint32_t i, n = LOAD(MUTABLE(_Atomic uint32_t, &src->nends));

	if (e.term >= LOAD(MUTABLE(_Atomic uint32_t, &src->term)))
		return true;
	for (i = 0; i < n && i < SOURCE_TERMS; i++) {
		struct source_time end = words_read(&src->ends[i]);

		if (end.term == e.term)
			return e.count <= end.count;
	}
	return false;
}

bool
source_counts(const struct source_table *s, uint32_t number, struct source_time e)
{
	const struct source *src = &s->sources[number];
	uint32_t seq;
	bool yes;

	do {
		seq = read_begin(src);
		yes = counts(src, e);
	} while (read_again(src, seq));
	return yes;
}

enum source_verdict
source_judge(const struct source_table *s, uint32_t number, struct source_time e)
{
	const struct source *src = &s->sources[number];
	enum source_verdict verdict;
	uint32_t seq;

	if (number == 0)
		return SOURCE_FLOOR;
	do {
		seq = read_begin(src);
		if (!counts(src, e))
			verdict = SOURCE_TERM;
		else if (!LOAD(MUTABLE(_Atomic uint32_t, &src->heard)) ||
			 !source_newer(e, words_read(&src->floor)))
			verdict = SOURCE_FLOOR;
		else
			verdict = SOURCE_FINE;
	} while (read_again(src, seq));
	return verdict;
}

void
source_raise(struct source_table *s, uint32_t number, struct source_time floor)
{
	struct source *src = &s->sources[number];

	table_lock(s);
	change_begin(src);
	if (source_newer(floor, words_read(&src->floor)))
		words_write_high(&src->floor, floor);
	change_end(src);
	table_unlock(s);
}

/* With the source being changed. */
static void
term_begin(struct source_table *s, struct source *src, uint32_t term)
{
	if (term > LOAD(&src->term)) {
		if (LOAD(&src->begun))
			SET(&s->ended, 1);
		SET(&src->term, term);
	}
	SET(&src->begun, 1);
}

void
source_watermark(struct source_table *s, uint32_t number, struct source_time w)
{
	struct source *src = &s->sources[number];

	table_lock(s);
	change_begin(src);
	if (counts(src, w)) {
		term_begin(s, src, w.term);
		if (!LOAD(&src->heard)) {
			if (source_newer(w, words_read(&src->floor)))
				words_write_high(&src->floor, w);
			SET(&src->heard, 1);
			words_write_low(&src->mark, w);
		} else if (source_newer(w, words_read(&src->mark))) {
			words_write_low(&src->mark, w);
		}
	}
	change_end(src);
	atomic_fetch_add_explicit(&s->marked, 1, memory_order_release);
	table_unlock(s);
}

static void
end_forget(struct source *src, uint32_t i)
{
	uint32_t last = LOAD(&src->nends) - 1;

	if (i != last)
		words_write_low(&src->ends[i], words_read(&src->ends[last]));
	SET(&src->nends, last);
}

/* Terms between the one named and the new one are lost as a whole; of the one named, what is after it. */
static void
end_note(struct source *src, struct source_time survived, uint32_t term)
{
	uint32_t i, lowest = 0;

	for (i = 0; i < LOAD(&src->nends);) {
		struct source_time end = words_read(&src->ends[i]);

		if (end.term > survived.term && end.term < term)
			end_forget(src, i);
		else
			i++;
	}
	for (i = 0; i < LOAD(&src->nends); i++) {
		struct source_time end = words_read(&src->ends[i]);

		if (end.term == survived.term) {
			if (survived.count < end.count)
				words_write_low(&src->ends[i], survived);
			return;
		}
		if (end.term < words_read(&src->ends[lowest]).term)
			lowest = i;
	}
	if (LOAD(&src->nends) == SOURCE_TERMS) {
		if (words_read(&src->ends[lowest]).term > survived.term)
			return; /* older than all that is remembered */
		end_forget(src, lowest);
	}
	i = LOAD(&src->nends);
	words_write_low(&src->ends[i], survived);
	SET(&src->nends, i + 1);
}

void
source_new_term(struct source_table *s, uint32_t number, struct source_time survived, uint32_t term)
{
	struct source *src = &s->sources[number];

	if (term <= survived.term)
		return;
	table_lock(s);
	change_begin(src);
	/* The ends of earlier chains are not believed: what they say may have been overtaken. */
	if (term >= LOAD(&src->term)) {
		struct source_time mark = words_read(&src->mark);

		term_begin(s, src, term);
		end_note(src, survived, term);
		if (mark.term < term && source_newer(mark, survived))
			words_write_low(&src->mark, survived);
	}
	change_end(src);
	atomic_fetch_add_explicit(&s->marked, 1, memory_order_release);
	table_unlock(s);
}

bool
source_mark(const struct source_table *s, uint32_t number, struct source_time *out)
{
	const struct source *src = &s->sources[number];
	uint32_t seq;
	bool heard;

	do {
		seq = read_begin(src);
		heard = LOAD(MUTABLE(_Atomic uint32_t, &src->heard)) != 0;
		*out = words_read(&src->mark);
	} while (read_again(src, seq));
	return heard;
}

void
source_flush(struct source_table *s)
{
	uint32_t i;

	table_lock(s);
	for (i = 1; i <= LOAD(&s->n); i++) {
		struct source *src = &s->sources[i];

		change_begin(src);
		SET(&src->heard, 0);
		change_end(src);
	}
	atomic_fetch_add_explicit(&s->marked, 1, memory_order_release);
	table_unlock(s);
}
