/*
 * marker_table - sets of tokens for keys, in a region of fixed size that survives kill -9.
 *
 * One record for each token: 128 bits of the key's hash (64 of them keyed with a seed of the region's own, so
 * that nobody can make two keys meet), the token, when it ends.  Records of a bucket are chained.  Nothing is
 * ever evicted; without a free record a token is refused.
 *
 * A record is complete before it is chained, and unchained before it is used again; the chains alone say what
 * is there.  The list of free records is in ordinary memory and found anew at each start.
 *
 * Threads: any.   Blocks: on other threads in the same bucket (no I/O).   Clock: passed in, store seconds.
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_MARKER_TABLE_H
#define SQUEAL_CACHE_SERVER_CACHE_MARKER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

struct marker_table; /* opaque */

/* `trust`: takes over what is in the region when it is such a table; what is not whole is dropped.
 * ERR_CONFIG: too small. */
err_t marker_table_create(struct marker_table **out, void *region, uint64_t bytes, bool trust,
			  struct err_detail *why) MUST_CHECK;
void marker_table_destroy(struct marker_table **m);

struct marker_name {
	struct span key;
	uint64_t hash; /* of the key, the store's */
};

enum marker_put { MARKER_ADDED, MARKER_RENEWED, MARKER_TOO_MANY, MARKER_FULL };

/* `*expired` counts the tokens of the bucket that were found to have ended.  expiry 0: never. */
enum marker_put marker_table_put(struct marker_table *m, struct marker_name name, struct span token,
				 uint32_t expiry, uint32_t now, uint64_t *expired);
bool marker_table_take(struct marker_table *m, struct marker_name name, struct span token, uint32_t now,
		       uint64_t *expired);
/* Removes all of the key; how many. */
uint64_t marker_table_take_all(struct marker_table *m, struct marker_name name, uint32_t now,
			       uint64_t *expired);
/* How many there are; appended to `tokens`, separated by commas, when it is not NULL. */
unsigned marker_table_list(struct marker_table *m, struct marker_name name, struct buf *tokens, uint32_t now,
			   uint64_t *expired);

/* All tokens go; how many they were. */
uint64_t marker_table_clear(struct marker_table *m);

/* Removes what has ended in some buckets, from where it stopped the last time; how many.  One thread. */
uint64_t marker_table_sweep(struct marker_table *m, uint32_t now);

void marker_table_count(struct marker_table *m, uint64_t *keys, uint64_t *tokens);

#endif
