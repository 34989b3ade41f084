/*
 * plan - what a replay would do, counted before anything is done.
 *
 *     keys       in the range, after the filters; repeats included
 *     distinct   different keys: exact up to PLAN_EXACT, an estimate beyond, and where transactions name
 * several pools or hold-offs (distinct.h) deletes    what is sent: each key once (select.h), to each server
 * that has it duration   deletes at the rate, if nothing slows it down reads      what the database may have
 * to answer: a delete of a key that a cache holds makes the next reader go to the database.  At most one read
 * for each delete to a server that readers ask (not a shadow), times the share of keys that the caches hold
 * (--hit-share).  It is the worst case: a key that nobody asks for is not read.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_PLAN_PLAN_H
#define SQUEAL_REPLAY_PLAN_PLAN_H

#include "lib/core/buf.h"
#include "replay/plan/select.h"

enum { PLAN_EXACT = 1000000 };

/* {0} is an empty one. */
struct plan {
	uint64_t txns, keys, distinct, repeats;
	bool distinct_is_exact;
	uint64_t first_us, last_us; /* commits; 0: not known */
	uint64_t deletes, shadow_deletes;
	uint64_t former_deletes; /* only because a ring of before is not sealed */
	uint64_t *by_server;	 /* deletes per server of the targets */
	size_t nservers;
	/* What is not in it, and why somebody should know. */
	uint64_t filtered_txns, filtered_keys, tables_unknown;
	uint64_t foreign, homeless, elsewhere;
	struct tape_counts tape;
	const char *unit; /* of tape.bad */
	const char *noun; /* of txns */
};

/* `targets` decides how many servers there are. */
void plan_init(struct plan *p, const struct targets *targets);
void plan_fini(struct plan *p);

/* A select_key_fn; `arg` is the struct plan. */
bool plan_key(void *arg, struct span key, const struct targets_answer *to);

/* Once the tape was run. */
void plan_finish(struct plan *p, const struct select *s, const struct filter *f, const struct targets *t,
		 const struct tape *tape);

/* Seconds at so many deletes a second; 0: no limit, not known. */
uint64_t plan_seconds(const struct plan *p, uint64_t rate);

/* `hit_percent`: how many keys of a hundred the caches hold. */
uint64_t plan_reads(const struct plan *p, unsigned hit_percent);

struct plan_words {
	uint64_t rate, max_deletes;
	unsigned hit_percent;
	const char *what;	   /* "the log /var/lib/squeal/log.db" */
	const char *standing;	   /* lines about what routers know beyond squeal.yaml; may be empty */
	const char *standing_json; /* the same as an array */
};

/* For people, in lines; and one object. */
void plan_text(const struct plan *p, const struct targets *t, const struct plan_words *w, struct buf *out);
void plan_json(const struct plan *p, const struct targets *t, const struct plan_words *w, struct buf *out);

#endif
