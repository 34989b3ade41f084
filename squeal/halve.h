/*
 * halve - makes records smaller that a log takes no more.
 *
 * A record of many keys becomes two with half of them each.  Like one that batch makes of a part of a
 * transaction, the first of the two has no position and its last transaction may go on in the second
 * (record.h); the position is in the second alone, so a reader that stops in between reads both again.
 *
 * Threads: one at a time.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_HALVE_H
#define SQUEAL_HALVE_H

#include "lib/core/arena.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

struct halve {
	struct span *records; /* what to append now */
	size_t n;
	/* private: two texts, the records' own and the one that the next step reads from */
	size_t cap;
	struct buf bytes[2];
	unsigned at;
	struct arena arena;
};

#define HALVE_INIT ((struct halve){0})

/*
 * Starts with these records (borrowed until the first halve_step()).  An object can be used again and again;
 * the caller calls halve_fini() at the end.
 */
void halve_begin(struct halve *h, const struct span *records, size_t n);
void halve_fini(struct halve *h);

/*
 * Cuts in two every record that is more than half as long as the longest.  *cut is how many were cut: 0 when
 * the longest has one key only.  ERR_BAD_RECORD: one of them is no record.
 */
err_t halve_step(struct halve *h, size_t *cut, struct err_detail *why) MUST_CHECK;

#endif
