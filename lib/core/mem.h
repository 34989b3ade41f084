/*
 * mem - allocation that does not fail by returning NULL.
 *
 * When the system has no memory left the process writes one line and aborts.  That is safe here by design:
 * every program of this project may be killed at any instruction without losing an invalidation, and an
 * abort is one more such kill.  In exchange no caller has an untested out-of-memory branch.  Sizes that
 * come from outside are checked against a limit before they get here.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_MEM_H
#define SQUEAL_LIB_CORE_MEM_H

#include <stddef.h>

/* Uninitialised memory; free() it. */
void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));

/* Zeroed memory for `n` objects of `size` bytes; free() it. */
void *mem_zalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));

void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull));

/* A copy of the string; NULL gives NULL. */
char *mem_strdup(const char *s);

#define MEM_NEW(type) ((type *)mem_zalloc(1, sizeof(type)))

#endif
