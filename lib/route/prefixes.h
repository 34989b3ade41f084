/*
 * prefixes - the longest of many prefixes that a key has, in one binary search.
 *
 * Threads: any may look up; building is for one.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_PREFIXES_H
#define SQUEAL_LIB_ROUTE_PREFIXES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/core/span.h"

struct prefixes_item {
	struct span text;
	uint32_t value;
	uint32_t parent; /* the longest other item that this one begins with; UINT32_MAX: none */
};

struct prefixes {
	struct prefixes_item *items; /* in the order of their bytes */
	size_t n;
};

#define PREFIXES_INIT ((struct prefixes){0})

/* The text must outlive the set and not be in it yet. */
void prefixes_add(struct prefixes *p, struct span text, uint32_t value);

/* After the last one was added, before anything is looked up. */
void prefixes_sort(struct prefixes *p);

/* The item that is the longest prefix of the key; NULL when none is. */
const struct prefixes_item *prefixes_find(const struct prefixes *p, struct span key);

void prefixes_fini(struct prefixes *p);

#endif
