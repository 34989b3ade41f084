#include "cache-server/sight/prefix.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum { NEVENTS = 4 };

/*
 * One writer, any number of readers, no locks.  A row is written once, name first; `ready` is then set to the
 * table's generation with release, so that a reader who loads it with acquire and finds the generation it
 * wants sees the whole name.  Its counters are atomic and change afterwards.
 *
 * prefix_reset() raises `wanted`; the owner sees that at its next note, and begins `generation` anew with all
 * rows free.  A row that is then written again for another name has a `ready` of 0 meanwhile and another one
 * afterwards: the reader looks at `ready` once more behind the name and the counters, which it loads with
 * acquire and the owner stores with release, so a name of two generations is never shown.  Until the owner
 * comes by, readers leave the table out.
 */
struct row {
	_Atomic uint64_t ready; /* generation that the name belongs to; 0: none */
	_Atomic uint64_t hash;
	_Atomic uint64_t n[NEVENTS];
	_Atomic uint32_t len;
	_Atomic uint64_t words[(PREFIX_NAME_MAX + 7) / 8];
};

struct prefix {
	size_t max, mask; /* rows; slots - 1, twice as many */
	uint64_t seed;
	char delimiter;
	uint32_t *slots; /* owner only: 1 + row; 0: free */
	size_t used;	 /* owner only */
	_Atomic uint64_t wanted, generation;
	_Atomic(struct row *) rows; /* max + 1; the last one is for the others; NULL before the first note */
};

struct prefix *
prefix_create(char delimiter, size_t max)
{
	struct prefix *p = MEM_NEW(struct prefix);

	p->delimiter = delimiter;
	p->max = max < 1 ? 1 : max > PREFIX_MAX ? PREFIX_MAX : max;
	for (p->mask = 1; p->mask < 2 * p->max; p->mask <<= 1)
		;
	p->mask--;
	p->seed = hash_seed();
	atomic_store_explicit(&p->wanted, 1, memory_order_relaxed);
	atomic_store_explicit(&p->generation, 1, memory_order_relaxed);
	return p;
}

void
prefix_destroy(struct prefix **pp)
{
	struct prefix *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	free(atomic_load_explicit(&p->rows, memory_order_relaxed));
	free(p->slots);
	free(p);
}

/* --- the owner ------------------------------------------------------------------------------------- */

static void
begin_anew(struct prefix *p, struct row *rows, uint64_t wanted)
{
	for (size_t i = 0; i <= p->max; i++) {
		atomic_store_explicit(&rows[i].ready, 0, memory_order_relaxed);
		for (size_t e = 0; e < NEVENTS; e++)
			atomic_store_explicit(&rows[i].n[e], 0, memory_order_release);
	}
	memset(p->slots, 0, (p->mask + 1) * sizeof(*p->slots));
	p->used = 0;
	atomic_store_explicit(&rows[p->max].ready, wanted, memory_order_release); /* it has no name */
	atomic_store_explicit(&p->generation, wanted, memory_order_release);
}

/* The rows, made and emptied as needed. */
static struct row *
rows_of(struct prefix *p)
{
	struct row *rows = atomic_load_explicit(&p->rows, memory_order_relaxed);
	uint64_t wanted = atomic_load_explicit(&p->wanted, memory_order_relaxed);

	if (rows == NULL) {
		p->slots = mem_zalloc(p->mask + 1, sizeof(*p->slots));
		rows = mem_zalloc(p->max + 1, sizeof(*rows));
		begin_anew(p, rows, wanted);
		atomic_store_explicit(&p->rows, rows, memory_order_release);
	} else if (wanted != atomic_load_explicit(&p->generation, memory_order_relaxed)) {
		begin_anew(p, rows, wanted);
	}
	return rows;
}

static uint64_t
word_of(struct span name, size_t i)
{
	uint64_t w = 0;
	size_t left = name.len - 8 * i;

	memcpy(&w, name.p + 8 * i, left < 8 ? left : 8);
	return w;
}

static bool
is_name(struct row *r, struct span name, uint64_t hash)
{
	if (atomic_load_explicit(&r->hash, memory_order_relaxed) != hash ||
	    atomic_load_explicit(&r->len, memory_order_relaxed) != name.len)
		return false;
	for (size_t i = 0; i * 8 < name.len; i++) {
		if (atomic_load_explicit(&r->words[i], memory_order_relaxed) != word_of(name, i))
			return false;
	}
	return true;
}

static void
set_name(struct prefix *p, struct row *r, struct span name, uint64_t hash)
{
	atomic_store_explicit(&r->hash, hash, memory_order_release);
	atomic_store_explicit(&r->len, (uint32_t)name.len, memory_order_release);
	for (size_t i = 0; i * 8 < name.len; i++)
		atomic_store_explicit(&r->words[i], word_of(name, i), memory_order_release);
	atomic_store_explicit(&r->ready, atomic_load_explicit(&p->generation, memory_order_relaxed),
			      memory_order_release);
}

static struct row *
row_of(struct prefix *p, struct row *rows, struct span name)
{
	uint64_t hash = hash_span(name, p->seed);
	size_t at = (size_t)hash & p->mask;

	for (; p->slots[at] != 0; at = (at + 1) & p->mask) {
		if (is_name(&rows[p->slots[at] - 1], name, hash))
			return &rows[p->slots[at] - 1];
	}
	if (p->used == p->max)
		return &rows[p->max];
	p->slots[at] = (uint32_t)++p->used;
	set_name(p, &rows[p->used - 1], name, hash);
	return &rows[p->used - 1];
}

/* What stands before the first delimiter; false without one, or with a NUL before it. */
static bool
prefix_of(struct span key, char delimiter, struct span *out)
{
	for (size_t i = 0; i < key.len && i <= PREFIX_NAME_MAX && key.p[i] != '\0'; i++) {
		if (key.p[i] == delimiter) {
			*out = span_first(key, i);
			return true;
		}
	}
	return false;
}

void
prefix_note(struct prefix *p, struct span key, enum prefix_event event)
{
	struct span name;
	struct row *r;

	if (!prefix_of(key, p->delimiter, &name))
		return;
	r = row_of(p, rows_of(p), name);
	/* The owner alone counts: no locked instruction.  Release, so that a reader of the new count does not
	 * take the name of the generation before for its own. */
	atomic_store_explicit(&r->n[event], atomic_load_explicit(&r->n[event], memory_order_relaxed) + 1,
			      memory_order_release);
}

/* --- others ---------------------------------------------------------------------------------------- */

void
prefix_reset(struct prefix *const *ps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_fetch_add_explicit(&ps[i]->wanted, 1, memory_order_relaxed);
}

/* A row as a reader has it; the name is kept aside. */
struct copy {
	char name[PREFIX_NAME_MAX + 6]; /* whole words */
	size_t len;
	uint64_t n[NEVENTS];
};
_Static_assert(sizeof(((struct copy *)0)->name) % 8 == 0, "names are copied in words");

/* False when there is none, or it changes just now. */
static bool
read_row(struct row *r, uint64_t generation, bool named, struct copy *out)
{
	uint32_t len;

	if (atomic_load_explicit(&r->ready, memory_order_acquire) != generation)
		return false;
	len = named ? atomic_load_explicit(&r->len, memory_order_acquire) : 0;
	if (len > PREFIX_NAME_MAX)
		return false;
	for (size_t i = 0; i * 8 < len; i++) {
		uint64_t w = atomic_load_explicit(&r->words[i], memory_order_acquire);

		memcpy(out->name + 8 * i, &w, 8);
	}
	for (size_t e = 0; e < NEVENTS; e++)
		out->n[e] = atomic_load_explicit(&r->n[e], memory_order_acquire);
	out->len = len;
	return atomic_load_explicit(&r->ready, memory_order_relaxed) == generation;
}

static int
by_name(const void *ap, const void *bp)
{
	const struct copy *a = *(const struct copy *const *)ap, *b = *(const struct copy *const *)bp;
	int order = memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);

	return order != 0 ? order : a->len < b->len ? -1 : a->len > b->len;
}

static void
add(struct copy *to, const struct copy *from)
{
	for (size_t e = 0; e < NEVENTS; e++)
		to->n[e] += from->n[e];
}

static void
give(const struct copy *c, bool others, prefix_row_fn *fn, void *arg)
{
	struct prefix_row row = {.name = span_make(c->name, c->len),
				 .others = others,
				 .gets = c->n[PREFIX_MISS] + c->n[PREFIX_HIT],
				 .hits = c->n[PREFIX_HIT],
				 .sets = c->n[PREFIX_SET],
				 .deletes = c->n[PREFIX_DELETE]};

	if (row.gets + row.sets + row.deletes > 0)
		fn(arg, &row);
}

void
prefix_each(struct prefix *const *ps, size_t n, prefix_row_fn *fn, void *arg)
{
	struct copy *copies, **order, others = {.len = 0}, one;
	size_t room = 1, found = 0, merged = 0;

	for (size_t i = 0; i < n; i++)
		room += atomic_load_explicit(&ps[i]->rows, memory_order_relaxed) != NULL ? ps[i]->max : 0;
	copies = mem_zalloc(room, sizeof(*copies));
	order = mem_zalloc(room, sizeof(*order));
	for (size_t i = 0; i < n; i++) {
		struct row *rows = atomic_load_explicit(&ps[i]->rows, memory_order_acquire);
		uint64_t generation = atomic_load_explicit(&ps[i]->generation, memory_order_acquire);

		if (rows == NULL || atomic_load_explicit(&ps[i]->wanted, memory_order_relaxed) != generation)
			continue;
		/* Rows that came to be since they were counted are left for the next time. */
		for (size_t r = 0; r < ps[i]->max && found < room; r++) {
			if (!read_row(&rows[r], generation, true, &copies[found]))
				continue;
			order[found] = &copies[found];
			found++;
		}
		if (read_row(&rows[ps[i]->max], generation, false, &one))
			add(&others, &one);
	}
	if (found > 0)
		qsort(order, found, sizeof(*order), by_name);
	for (size_t i = 0; i < found; i++) {
		if (merged > 0 && by_name(&order[merged - 1], &order[i]) == 0)
			add(order[merged - 1], order[i]);
		else
			order[merged++] = order[i];
	}
	for (size_t i = 0; i < merged; i++)
		give(order[i], false, fn, arg);
	give(&others, true, fn, arg);
	free(copies);
	free(order);
}

struct dump {
	struct buf *out;
	char delimiter;
};

static void
dump_row(void *arg, const struct prefix_row *row)
{
	struct dump *d = arg;

	buf_put_str(d->out, "PREFIX ");
	if (row->others) {
		buf_put_str(d->out, "(others)");
		buf_putc(d->out, d->delimiter);
	}
	for (size_t i = 0; i < row->name.len; i++) {
		unsigned char c = (unsigned char)row->name.p[i];

		if (c <= ' ' || c == 0x7f)
			buf_printf(d->out, "%%%02X", c);
		else
			buf_putc(d->out, (char)c);
	}
	buf_printf(d->out, " get %" PRIu64 " hit %" PRIu64 " set %" PRIu64 " del %" PRIu64 "\r\n", row->gets,
		   row->hits, row->sets, row->deletes);
}

void
prefix_dump(struct prefix *const *ps, size_t n, struct buf *out)
{
	struct dump d = {.out = out, .delimiter = n > 0 ? ps[0]->delimiter : ':'};

	prefix_each(ps, n, dump_row, &d);
	buf_put_str(out, "END\r\n");
}
