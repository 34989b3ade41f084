/*
 * epoch - the logical time of a source's binlog, as clients and routers write it: source, term, count.
 *
 *     main:3:81723        term 3, pulse 81723 of the source "main"
 *
 * Epochs are compared within one source only, term first.  What cannot be compared counts as older: a fill
 * with such an epoch is refused wherever an invalidation was seen.
 *
 * Source: docs/architecture.md, "the pulse"; schemas/cache-protocol.md.
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_EPOCH_H
#define SQUEAL_CACHE_SERVER_CACHE_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/span.h"

enum { EPOCH_MAX_SOURCE = 64, EPOCH_MAX_TEXT = 64 + 1 + 10 + 1 + 20 };

struct epoch {
	struct span source; /* 1 to 64 bytes of A-Z a-z 0-9 - _ . */
	uint32_t term;
	uint64_t count;
};

/* False: not of this form.  `out->source` points into `text`. */
bool epoch_parse(struct span text, struct epoch *out);

/* Writes at most EPOCH_MAX_TEXT bytes, no terminator; returns how many. */
unsigned epoch_print(const struct epoch *e, char *out);

#endif
