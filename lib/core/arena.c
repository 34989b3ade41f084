#include "lib/core/arena.h"

#include <stdlib.h>

#include "lib/core/mem.h"

enum { ARENA_CHUNK = 64 * 1024 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	size_t used;
	_Alignas(max_align_t) char bytes[];
};

static char *
take(struct arena *a, size_t n, size_t align)
{
	struct arena_chunk *c = a->chunks;
	size_t at = c != NULL ? (c->used + align - 1) & ~(align - 1) : 0;

	if (c == NULL || at > c->size || n > c->size - at) {
		size_t size = n > ARENA_CHUNK ? n : ARENA_CHUNK;

		c = mem_alloc(sizeof(*c) + size);
		c->size = size;
		c->used = 0;
		c->next = a->chunks;
		a->chunks = c;
		at = 0;
	}
	c->used = at + n;
	a->used += n;
	return c->bytes + at;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	return take(a, n, _Alignof(max_align_t));
}

struct span
arena_copy(struct arena *a, struct span s)
{
	char *p = take(a, s.len, 1);

	if (s.len > 0)
		memcpy(p, s.p, s.len);
	return span_make(p, s.len);
}

void
arena_reset(struct arena *a)
{
	struct arena_chunk *keep = NULL;

	while (a->chunks != NULL) {
		struct arena_chunk *next = a->chunks->next;

		if (keep == NULL && a->chunks->size == ARENA_CHUNK)
			keep = a->chunks;
		else
			free(a->chunks);
		a->chunks = next;
	}
	if (keep != NULL) {
		keep->next = NULL;
		keep->used = 0;
	}
	a->chunks = keep;
	a->used = 0;
}

void
arena_fini(struct arena *a)
{
	arena_reset(a);
	free(a->chunks);
	*a = ARENA_INIT;
}
