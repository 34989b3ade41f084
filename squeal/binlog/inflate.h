/*
 * inflate - what MariaDB's log_bin_compress packed: one byte 0x80 | n, n bytes of length, big-endian, and a
 * zlib stream.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_INFLATE_H
#define SQUEAL_BINLOG_INFLATE_H

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

struct libdeflate_decompressor;

struct inflate {
	struct libdeflate_decompressor *z; /* made at the first use; all zero to begin with */
};

void inflate_fini(struct inflate *f);

/*
 * Replaces what `out` holds.  ERR_TOO_LONG: more than `max` bytes.   ERR_BAD_EVENT: damaged.
 * ERR_UNKNOWN_EVENT: packed in another way.  *why says what, not where.
 */
err_t inflate_unpack(struct inflate *f, struct span packed, size_t max, struct buf *out,
		     struct err_detail *why) MUST_CHECK;

#endif
