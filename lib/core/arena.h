/*
 * arena - many small pieces of memory that are all given up at once.
 *
 * Pieces stay where they are until the reset.  Memory of at most one chunk is kept across a reset.
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_ARENA_H
#define SQUEAL_LIB_CORE_ARENA_H

#include <stddef.h>

#include "lib/core/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used;		    /* bytes handed out since the last reset */
};

#define ARENA_INIT ((struct arena){0})

/* `n` bytes, aligned for any type, not zeroed; valid until the next reset. */
void *arena_alloc(struct arena *a, size_t n);

/* A copy without alignment or NUL; valid until the next reset. */
struct span arena_copy(struct arena *a, struct span s);

/* Gives up every piece. */
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);

#endif
