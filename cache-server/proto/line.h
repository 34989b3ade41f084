/*
 * line - one line of the text protocol, cut at its spaces.
 *
 * Only ' ' separates, and only '\n' ends; one '\r' before it belongs to the end.  Everything else may be part
 * of a key.  Nothing is copied: the pieces point into the line.
 *
 * Source: memcached 1.6.45 (mcmc_tokenize(): 23 pieces are looked at, the rest is ignored).
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_LINE_H
#define SQUEAL_CACHE_SERVER_PROTO_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "lib/core/span.h"

enum { LINE_MAX_WORDS = 23 };

struct line {
	struct span text; /* without its end */
	size_t len;	  /* with its end */
	unsigned n;
	struct span word[LINE_MAX_WORDS];
};

/* The line that begins at `p`; false: its end is not there yet.  Words are not looked for. */
static inline bool
line_find(const char *p, const char *end, struct line *out)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));

	out->n = 0;
	if (nl == NULL)
		return false;
	out->len = (size_t)(nl - p) + 1;
	out->text = span_make(p, (size_t)(nl - p) - (nl > p && nl[-1] == '\r'));
	return true;
}

void line_split(struct line *l);

/* Word i, or an empty one. */
static inline struct span
line_word(const struct line *l, unsigned i)
{
	return i < l->n ? l->word[i] : (struct span){"", 0};
}

/* Whether the last word is "noreply"; memcached looks for it there only. */
static inline bool
line_noreply(const struct line *l)
{
	return l->n > 0 && l->word[l->n - 1].len == 7 && memcmp(l->word[l->n - 1].p, "noreply", 7) == 0;
}

/* The first ' ' or '\n' from p on, or `end`. */
static inline const char *
line_blank(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i space = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');

	for (; end - p >= 16; p += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned found = (unsigned)_mm_movemask_epi8(
		    _mm_or_si128(_mm_cmpeq_epi8(bytes, space), _mm_cmpeq_epi8(bytes, newline)));

		if (found)
			return p + __builtin_ctz(found);
	}
#endif
	while (p < end && *p != ' ' && *p != '\n')
		p++;
	return p;
}

/* The four bytes at p as a number to switch on, and the same of four characters. */
static inline uint32_t
line_four(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

#define LINE_FOUR(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

#endif
