/*
 * span - some bytes that somebody else owns.
 *
 * A span is a pointer and a length; it may hold any byte, is not NUL-terminated, and says nothing about
 * how long the bytes live: whoever hands one out documents that.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_SPAN_H
#define SQUEAL_LIB_CORE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t len;
};

/* A string literal as a span, usable in initialisers. */
#define SPAN_LIT(s) ((struct span){(s), sizeof(s) - 1})

/* For printf("%.*s", SPAN_FMT(s)). */
#define SPAN_FMT(s) (int)(s).len, (s).p

static inline struct span
span_make(const void *p, size_t len)
{
	return (struct span){(const char *)p, len};
}

static inline struct span
span_of(const char *cstr)
{
	return (struct span){cstr, strlen(cstr)};
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool
span_is(struct span a, const char *cstr)
{
	return span_eq(a, span_of(cstr));
}

static inline bool
span_starts(struct span a, struct span prefix)
{
	return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.p, prefix.p, prefix.len) == 0);
}

/* The part of `a` from byte `from` on; `from` beyond the end gives an empty span. */
static inline struct span
span_from(struct span a, size_t from)
{
	if (from > a.len)
		from = a.len;
	return (struct span){a.p + from, a.len - from};
}

static inline struct span
span_first(struct span a, size_t n)
{
	return (struct span){a.p, n < a.len ? n : a.len};
}

/* Without ASCII white space at both ends. */
struct span span_trim(struct span a);

/* ASCII case-insensitive equality. */
bool span_ieq(struct span a, struct span b);

/* Offset of `needle` in `a`, or -1. */
ptrdiff_t span_find(struct span a, struct span needle);

/* Takes what is before the first `stop` from the front of *text, and `stop` with it; without one, all of it.
 */
struct span span_cut(struct span *text, char stop);

/* Decimal digits only, no sign, no overflow; false and *out untouched otherwise. */
bool span_u64(struct span a, uint64_t *out);

/* A NUL-terminated copy; the caller frees it.  Aborts when memory is out (see mem.h). */
char *span_dup(struct span a);

#endif
