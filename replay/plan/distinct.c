#include "replay/plan/distinct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/core/mem.h"

enum { HLL_BITS = 14, HLL_REGISTERS = 1 << HLL_BITS, LARGE_PAGE = 2 << 20 };

struct distinct {
	struct distinct_hash *slots; /* open addressing; b == 0 is free */
	size_t mask, n, limit;
	bool is_exact;
	uint64_t count; /* while it is exact */
	uint8_t registers[HLL_REGISTERS];
};

static void
advise_large(void *p, size_t bytes)
{
	uintptr_t from = ((uintptr_t)p + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
	uintptr_t to = ((uintptr_t)p + bytes) & ~(uintptr_t)(LARGE_PAGE - 1);

	/* Without them it is slower, nothing else. */
	if (to > from)
		(void)madvise((void *)from, to - from, MADV_HUGEPAGE);
}

struct distinct *
distinct_create(size_t limit)
{
	struct distinct *d = MEM_NEW(struct distinct);
	size_t slots = 64;

	while (slots < 2 * limit)
		slots *= 2;
	d->limit = limit;
	d->mask = slots - 1;
	d->is_exact = limit > 0;
	if (limit > 0) {
		/* Zeroed pages cost nothing before they are used, and every look is at another one: large
		 * pages spare most of what that costs. */
		d->slots = mem_zalloc(slots, sizeof(*d->slots));
		advise_large(d->slots, slots * sizeof(*d->slots));
	}
	return d;
}

void
distinct_destroy(struct distinct **d)
{
	if (*d == NULL)
		return;
	free((*d)->slots);
	free(*d);
	*d = NULL;
}

/* The place of the first set bit behind those that choose the register. */
static void
note(struct distinct *d, uint64_t hash)
{
	uint64_t rest = hash << HLL_BITS;
	uint8_t rank = (uint8_t)(rest != 0 ? __builtin_clzll(rest) + 1 : 64 - HLL_BITS + 1);
	uint8_t *reg = &d->registers[hash >> (64 - HLL_BITS)];

	if (rank > *reg)
		*reg = rank;
}

static bool
insert(struct distinct *d, struct distinct_hash h)
{
	size_t i = h.b & d->mask;

	while (d->slots[i].b != 0) {
		if (d->slots[i].a == h.a && d->slots[i].b == h.b)
			return false;
		i = (i + 1) & d->mask;
	}
	if (d->n == d->limit) {
		memset(d->slots, 0, (d->mask + 1) * sizeof(*d->slots));
		d->n = 0;
		d->is_exact = false;
		i = h.b & d->mask;
	}
	d->slots[i] = h;
	d->n++;
	return true;
}

bool
distinct_add(struct distinct *d, struct distinct_hash h)
{
	bool is_new = true;

	h.b += h.b == 0;
	if (d->slots != NULL)
		is_new = insert(d, h);
	if (is_new) {
		d->count++;
		note(d, h.a);
	}
	return is_new;
}

static double
estimate(const struct distinct *d)
{
	const double m = HLL_REGISTERS, alpha = 0.7213 / (1 + 1.079 / m);
	double sum = 0, e;
	unsigned free_registers = 0;

	for (size_t i = 0; i < HLL_REGISTERS; i++) {
		sum += ldexp(1, -d->registers[i]);
		free_registers += d->registers[i] == 0;
	}
	e = alpha * m * m / sum;
	/* Few things: how many registers are still free says more. */
	return e <= 2.5 * m && free_registers > 0 ? m * log(m / free_registers) : e;
}

uint64_t
distinct_count(const struct distinct *d)
{
	return d->is_exact ? d->count : (uint64_t)(estimate(d) + 0.5);
}

bool
distinct_is_exact(const struct distinct *d)
{
	return d->is_exact;
}
