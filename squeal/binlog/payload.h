/*
 * payload - the events inside of a TRANSACTION_PAYLOAD, one at a time.
 *
 * MySQL's binlog_transaction_compression puts the events of a transaction into one event, compressed with
 * zstd or as they are.  The inner events can be far larger together than their outer event, so they are taken
 * from the decompressor one by one: memory is bounded by one inner event and by the decompressor's window,
 * which grows with the server's compression level: 2 MiB at MySQL's default of 3, 128 MiB at 22.
 *
 * What makes more bytes than the payload says it holds, or fewer, or ends in the middle of an event, is
 * refused.
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_PAYLOAD_H
#define SQUEAL_BINLOG_PAYLOAD_H

#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

struct payload; /* opaque */

/* `max_event` bounds an inner event. */
struct payload *payload_create(size_t max_event);

/* NULL is fine. */
void payload_destroy(struct payload **p);

/*
 * Begins with the body of a TRANSACTION_PAYLOAD event, whose bytes must stay until the last payload_next().
 * ERR_BAD_EVENT, ERR_UNKNOWN_EVENT (a compression that did not exist yet); *why says what, not where.
 */
err_t payload_open(struct payload *p, struct span body, struct err_detail *why) MUST_CHECK;

/*
 * The next inner event, header first; empty at the end.  Valid until the next call.
 * ERR_BAD_EVENT, ERR_TOO_LONG (an event beyond max_event).  After an error there are no more.
 */
err_t payload_next(struct payload *p, struct span *event, struct err_detail *why) MUST_CHECK;

/* True when nothing is left but what payload_next() would say about the end. */
bool payload_is_done(const struct payload *p);

/* Forgets what is left. */
void payload_close(struct payload *p);

/* Bytes that came out since payload_open(). */
uint64_t payload_size(const struct payload *p);

#endif
