/*
 * prefix - gets, hits, sets and deletes per key prefix: memcached's `stats detail`.
 *
 * The prefix of a key is what stands before the first delimiter (-D, ":"); a key without one, or with a NUL
 * before it, has none and is not counted (memcached 1.6.45, stats_prefix.c).  The text of the dump is
 * memcached's:
 *
 *     PREFIX user get 2 hit 1 set 1 del 0
 *     END
 *
 * One table per worker thread, added up when it is dumped.  It holds `max` prefixes; what comes later is
 * counted in one more row, "(others)" and the delimiter, which no prefix can be.  Its memory (about 300 bytes
 * per prefix) is taken at the first note.  Bytes of a prefix that would break the line are dumped as %XX.
 *
 * Threads: prefix_note() by the thread that owns the table; prefix_dump() and prefix_reset() by any at any
 * time, without locks.   Blocks: never.   Whether details are on is for the caller to know.
 */
#ifndef SQUEAL_CACHE_SERVER_SIGHT_PREFIX_H
#define SQUEAL_CACHE_SERVER_SIGHT_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

enum { PREFIX_NAME_MAX = 250, PREFIX_MAX = 1 << 16, PREFIX_DEFAULT = 4096 };

enum prefix_event { PREFIX_MISS, PREFIX_HIT, PREFIX_SET, PREFIX_DELETE };

struct prefix; /* opaque */

/* `max`: 1 to PREFIX_MAX. */
struct prefix *prefix_create(char delimiter, size_t max);
void prefix_destroy(struct prefix **p); /* NULL is fine; no other thread may be using it */

void prefix_note(struct prefix *p, struct span key, enum prefix_event event);

/* `stats reset`: from now on all tables dump nothing of what was noted before. */
void prefix_reset(struct prefix *const *ps, size_t n);

/* Appends the rows of all tables together and "END\r\n"; prefixes in the order of their bytes. */
void prefix_dump(struct prefix *const *ps, size_t n, struct buf *out);

/* The same for the admin port and other readers; valid during the call.  `name` is as it is in the keys; the
 * row of the overflow comes last, with `others` set. */
struct prefix_row {
	struct span name;
	bool others;
	uint64_t gets, hits, sets, deletes;
};
typedef void prefix_row_fn(void *arg, const struct prefix_row *row);
void prefix_each(struct prefix *const *ps, size_t n, prefix_row_fn *fn, void *arg);

#endif
