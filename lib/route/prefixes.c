#include "lib/route/prefixes.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

static int
compare(struct span a, struct span b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static int
compare_items(const void *a, const void *b)
{
	return compare(((const struct prefixes_item *)a)->text, ((const struct prefixes_item *)b)->text);
}

void
prefixes_add(struct prefixes *p, struct span text, uint32_t value)
{
	p->items = mem_realloc(p->items, (p->n + 1) * sizeof(p->items[0]));
	p->items[p->n++] = (struct prefixes_item){text, value, UINT32_MAX};
}

void
prefixes_sort(struct prefixes *p)
{
	if (p->n > 0)
		qsort(p->items, p->n, sizeof(p->items[0]), compare_items);
	for (size_t i = 1; i < p->n; i++) {
		uint32_t up = (uint32_t)(i - 1);

		while (up != UINT32_MAX && !span_starts(p->items[i].text, p->items[up].text))
			up = p->items[up].parent;
		p->items[i].parent = up;
	}
}

/*
 * Whatever stands between a prefix of the key and the key itself, by bytes, begins with that prefix.  So the
 * last item that is not behind the key is the longest prefix or has it among its parents.
 */
const struct prefixes_item *
prefixes_find(const struct prefixes *p, struct span key)
{
	size_t low = 0, high = p->n;
	uint32_t at;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(p->items[middle].text, key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	at = (uint32_t)(low - 1);
	while (at != UINT32_MAX && !span_starts(key, p->items[at].text))
		at = p->items[at].parent;
	return at != UINT32_MAX ? &p->items[at] : NULL;
}

void
prefixes_fini(struct prefixes *p)
{
	free(p->items);
	*p = PREFIXES_INIT;
}
