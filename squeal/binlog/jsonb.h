/*
 * jsonb - MySQL's binary JSON to text, as MySQL prints it.
 *
 * Depth, the number of values and the length of the text are bounded by the length of the bytes, also where
 * offsets lead to the same bytes again and again.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_JSONB_H
#define SQUEAL_BINLOG_JSONB_H

#include "lib/core/buf.h"
#include "lib/core/span.h"

/* Appends to `out`; false, and nothing appended, when the bytes make no sense.  Empty bytes are null. */
bool jsonb_text(struct span doc, struct buf *out);

#endif
