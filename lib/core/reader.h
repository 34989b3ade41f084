/*
 * reader - takes little-endian fields from a span and never reads past its end.
 *
 * A read past the end gives zero (or an empty span) and sets `short_read`; every later read then does the
 * same, so a parser reads all its fields and asks once at the end.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_READER_H
#define SQUEAL_LIB_CORE_READER_H

#include "lib/core/span.h"

struct reader {
	const unsigned char *p;
	size_t left;
	bool short_read;
};

static inline struct reader
reader_of(struct span s)
{
	return (struct reader){(const unsigned char *)s.p, s.len, false};
}

static inline const unsigned char *
reader_take(struct reader *r, size_t n)
{
	const unsigned char *p = r->p;

	if (r->short_read || n > r->left) {
		r->short_read = true;
		r->left = 0;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

/* Unsigned little-endian integer of 1..8 bytes. */
static inline uint64_t
reader_le(struct reader *r, size_t bytes)
{
	const unsigned char *p = reader_take(r, bytes);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (size_t i = bytes; i > 0; i--)
		v = v << 8 | p[i - 1];
	return v;
}

static inline uint8_t
reader_u8(struct reader *r)
{
	return (uint8_t)reader_le(r, 1);
}

static inline uint16_t
reader_u16(struct reader *r)
{
	return (uint16_t)reader_le(r, 2);
}

static inline uint32_t
reader_u32(struct reader *r)
{
	return (uint32_t)reader_le(r, 4);
}

static inline uint64_t
reader_u64(struct reader *r)
{
	return reader_le(r, 8);
}

static inline struct span
reader_span(struct reader *r, size_t n)
{
	const unsigned char *p = reader_take(r, n);

	return p == NULL ? (struct span){"", 0} : span_make(p, n);
}

static inline struct span
reader_rest(struct reader *r)
{
	return reader_span(r, r->left);
}

#endif
