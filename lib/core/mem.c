#include "lib/core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
out_of_memory(size_t n)
{
	fprintf(stderr, "CRIT out of memory: bytes=%zu (raise the memory limit of this process)\n", n);
	abort();
}

void *
mem_alloc(size_t n)
{
	void *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		out_of_memory(n);
	return p;
}

void *
mem_zalloc(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory(n * size);
	return p;
}

void *
mem_realloc(void *p, size_t n)
{
	void *q = realloc(p, n > 0 ? n : 1);

	if (q == NULL)
		out_of_memory(n);
	return q;
}

char *
mem_strdup(const char *s)
{
	char *copy;
	size_t n;

	if (s == NULL)
		return NULL;
	n = strlen(s) + 1;
	copy = mem_alloc(n);
	memcpy(copy, s, n);
	return copy;
}
