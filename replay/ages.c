#include "replay/ages.h"

#include <stdlib.h>

#include "lib/core/mem.h"

struct probe {
	uint64_t sent_ns, answered_ns, cas;
};

/* A ring: probe i of n, oldest first, is at (first + i) % capacity. */
struct ages {
	size_t capacity, first, n;
	struct probe probes[];
};

struct ages *
ages_create(size_t capacity)
{
	struct ages *a = mem_zalloc(1, sizeof(*a) + capacity * sizeof(a->probes[0]));

	a->capacity = capacity;
	return a;
}

void
ages_destroy(struct ages **a)
{
	free(*a);
	*a = NULL;
}

static const struct probe *
probe_at(const struct ages *a, size_t i)
{
	return &a->probes[(a->first + i) % a->capacity];
}

bool
ages_add(struct ages *a, uint64_t sent_ns, uint64_t answered_ns, uint64_t cas)
{
	bool grew = a->n == 0 || cas > probe_at(a, a->n - 1)->cas;

	if (!grew)
		ages_forget(a);
	if (a->n == a->capacity) {
		a->first = (a->first + 1) % a->capacity;
		a->n--;
	}
	a->probes[(a->first + a->n) % a->capacity] = (struct probe){sent_ns, answered_ns, cas};
	a->n++;
	return grew;
}

void
ages_forget(struct ages *a)
{
	a->first = 0;
	a->n = 0;
}

size_t
ages_count(const struct ages *a)
{
	return a->n;
}

enum ages_verdict
ages_judge(const struct ages *a, uint64_t cas, uint64_t from_ns, uint64_t to_ns)
{
	const struct probe *before = NULL, *after = NULL;

	/* Times and ids both grow along the ring. */
	for (size_t i = 0; i < a->n && after == NULL; i++) {
		const struct probe *p = probe_at(a, i);

		if (p->answered_ns <= from_ns)
			before = p;
		else if (p->sent_ns >= to_ns)
			after = p;
	}
	if (before != NULL && cas < before->cas)
		return AGES_OLDER;
	if (after != NULL && cas > after->cas)
		return AGES_NEWER;
	return before != NULL ? AGES_NEAR : AGES_UNKNOWN;
}

uint64_t
ages_least_age_ns(const struct ages *a, uint64_t cas, uint64_t now_ns)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct probe *p = probe_at(a, i);

		if (cas <= p->cas)
			return now_ns > p->answered_ns ? now_ns - p->answered_ns : 0;
	}
	return 0;
}
