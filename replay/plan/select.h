/*
 * select - from what a tape gives to the deletes that are to be sent: filters, repeats, routing, and where a
 * run begins and ends.
 *
 * A key that comes again, with the same pool and hold-off, is deleted once: everything in the range was
 * committed before the replay began, so one delete is behind all of its commits.  What is remembered of that
 * is bounded (distinct.h); a key that is forgotten is sent again, which does no harm.  Whether a key is a
 * repeat depends on the seed and on where a run began only, so that a plan and its execution agree to the
 * key.
 *
 * Threads: one at a time per object.   Blocks: as the receiver does.
 */
#ifndef SQUEAL_REPLAY_PLAN_SELECT_H
#define SQUEAL_REPLAY_PLAN_SELECT_H

#include "replay/plan/distinct.h"
#include "replay/plan/filter.h"
#include "replay/plan/targets.h"
#include "replay/tape/tape.h"

/* How far a run is: behind key number `keys_in` of the transaction at `mark`. */
struct select_place {
	struct tape_mark mark;
	uint64_t keys_in; /* as the tape counts them, filtered ones too */
	uint64_t commit_us;
	struct span gtid;
	uint64_t keys; /* that were wanted, so far, repeats included */
};

struct select; /* opaque */

/* A key that goes to servers: `hops` may be none.  Valid during the call.  False: stop. */
typedef bool select_key_fn(void *arg, struct span key, const struct targets_answer *to);

struct select_options {
	struct filter *filter;	 /* borrowed */
	struct targets *targets; /* borrowed */
	uint64_t seed;
	size_t remember; /* keys; 0: repeats are sent */
	select_key_fn *key;
	void *arg;
	/* Where to begin: behind this place; NULL: at the beginning.  Copied. */
	const struct select_place *from;
	/* Stop when so many keys were wanted, those before `from` included; 0: no such end. */
	uint64_t until_keys;
};

struct select *select_create(const struct select_options *opt);
void select_destroy(struct select **s); /* NULL is fine */

/* Runs the tape through it.  Errors of tape_run(); ERR_NOT_FOUND: what is at `from` is something else now. */
err_t select_run(struct select *s, struct tape *tape, struct err_detail *why) MUST_CHECK;

/* Behind the key that was taken last; spans are valid until the next key. */
const struct select_place *select_place(const struct select *s);

/* Keys that were wanted in this run; of these, those that were not repeats. */
uint64_t select_keys(const struct select *s);
uint64_t select_sent_keys(const struct select *s);

/* How many different keys there were in this run; exact up to opt.remember of them, where all have one pool
 * and one hold-off. */
uint64_t select_distinct(const struct select *s);
bool select_distinct_is_exact(const struct select *s);

/* Of the transactions with wanted keys: their number and first and last commit; 0: not known. */
uint64_t select_txns(const struct select *s);
uint64_t select_first_us(const struct select *s);
uint64_t select_last_us(const struct select *s);

#endif
