/*
 * lenenc - MySQL's length-encoded integers and strings, read with the promises of reader.h.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_LENENC_H
#define SQUEAL_BINLOG_LENENC_H

#include "lib/core/reader.h"

/* 1, 3, 4 or 9 bytes.  The two bytes that do not begin an integer are short reads. */
static inline uint64_t
lenenc_u64(struct reader *r)
{
	uint8_t first = reader_u8(r);

	if (first < 0xfb)
		return first;
	switch (first) {
	case 0xfc:
		return reader_u16(r);
	case 0xfd:
		return reader_le(r, 3);
	case 0xfe:
		return reader_u64(r);
	default:
		r->short_read = true;
		r->left = 0;
		return 0;
	}
}

/* A length and that many bytes. */
static inline struct span
lenenc_span(struct reader *r)
{
	uint64_t n = lenenc_u64(r);

	return reader_span(r, n > SIZE_MAX ? SIZE_MAX : (size_t)n);
}

#endif
