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

#include <endian.h>

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
	const unsigned char *p = reader_take(r, 1);

	return p != NULL ? *p : 0;
}

/* The usual sizes in one load each: binlog events are little but such fields. */
#define READER_FIXED(name, type, swap)                                                                       \
	static inline type name(struct reader *r)                                                            \
	{                                                                                                    \
		const unsigned char *p = reader_take(r, sizeof(type));                                       \
		type v = 0;                                                                                  \
                                                                                                             \
		if (p != NULL)                                                                               \
			memcpy(&v, p, sizeof(v));                                                            \
		return swap(v);                                                                              \
	}

READER_FIXED(reader_u16, uint16_t, le16toh)
READER_FIXED(reader_u32, uint32_t, le32toh)
READER_FIXED(reader_u64, uint64_t, le64toh)
#undef READER_FIXED

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
