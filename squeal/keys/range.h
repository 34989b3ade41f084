/*
 * range - which transactions of binlog files are wanted.
 *
 * A transaction is wanted, whole, when every bound that was given wants it:
 *
 *     place    --start FILE:POS   it begins at or behind this place      --stop FILE:POS    it ends at or
 * before it time     --start-datetime   it committed then or later             --stop-datetime    it
 * committed before then ids      --start-gtid       it is not in this position             --stop-gtid it is
 * in this position
 *              --gtid             it is one of these                     --exclude-gtid     it is none of
 * these
 *
 * So what was printed up to a line's "pos" or "gtid" and what is printed from there on have no transaction in
 * common and leave none out.  A transaction that a place cuts is left out, and that is logged.
 *
 * A position is what a replica at that place has: MariaDB's "0-1-100,1-2-7", in which a domain's numbers rise
 * (domains that it does not name: none of them), or a MySQL set.  A single MySQL id "uuid:5" stands for
 * everything up to it in the order of the files.  Times: see moment.h.  They need not rise in a binlog, so
 * each transaction is asked for its own.
 *
 * A start that the files do not have is an error; where earlier files would have it, before anything comes
 * out.  So is a stop that they do not reach, once they are read.
 *
 * Threads: one at a time per object.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_RANGE_H
#define SQUEAL_RANGE_H

#include "lib/core/err.h"
#include "lib/core/log.h"
#include "squeal/binlog/event.h"
#include "squeal/binlog/position.h"

enum range_bound {
	RANGE_START,
	RANGE_STOP,
	RANGE_START_TIME,
	RANGE_STOP_TIME,
	RANGE_START_GTID,
	RANGE_STOP_GTID,
	RANGE_GTID,
	RANGE_EXCLUDE_GTID,
	RANGE_NBOUNDS
};

/* "start-datetime": as on the command line, without the dashes. */
const char *range_bound_name(enum range_bound bound);

struct range; /* opaque */

/* Everything is wanted.  `log` is borrowed and may be NULL. */
struct range *range_create(struct log *log);
void range_destroy(struct range **r); /* NULL is fine */

/* Gives a bound its value.  ERR_USAGE with a sentence that says what to write. */
err_t range_set(struct range *r, enum range_bound bound, const char *text, struct err_detail *why) MUST_CHECK;

/* True until range_set(). */
bool range_is_all(const struct range *r);

/* Was a bound given that asks for ids, for times, for places? */
bool range_has_ids(const struct range *r);
bool range_has_times(const struct range *r);
bool range_has_places(const struct range *r);

/* The text of a bound; NULL where it was not given. */
const char *range_text(const struct range *r, enum range_bound bound);

/*
 * Which of the `n` files (their names, without folders, in their order) are to be read: *first up to before
 * *end.  ERR_NOT_FOUND: --start or --stop names another one.  ERR_USAGE: the stop is before the start.
 */
err_t range_files(struct range *r, const char *const *names, size_t n, size_t *first, size_t *end,
		  struct err_detail *why) MUST_CHECK;

/* The same for files that come one by one: is there a file that --start names, and is it this one; is it that
 * of
 * --stop? */
bool range_has_start_file(const struct range *r);
bool range_starts_in(const struct range *r, const char *name);
bool range_stops_in(const struct range *r, const char *name);

/* One of these files begins.  `name` must stay until the next one. */
void range_enter_file(struct range *r, const char *name);

/* A stream begins behind this position: what it has came before. */
void range_arrive(struct range *r, const struct position *at);

/* Each event, which stands from `at` on and ends at ev->end, once its transaction has had it. */
err_t range_see(struct range *r, const struct binlog_event *ev, uint64_t at,
		struct err_detail *why) MUST_CHECK;

/* A transaction begins at `at`.  *skip: it cannot be wanted, whatever else comes of it. */
err_t range_begin(struct range *r, const struct gtid *gtid, uint64_t at, bool *skip,
		  struct err_detail *why) MUST_CHECK;

/* It was committed, and ends at `end`: is it wanted?  Counted when it is. */
bool range_commit(struct range *r, uint64_t commit_us, uint64_t end);

/* It was not. */
void range_rollback(struct range *r);

/* Nothing that follows in this file, or at all, can be wanted. */
bool range_is_over(const struct range *r);

/* The file ended at `end`. */
err_t range_leave_file(struct range *r, uint64_t end, struct err_detail *why) MUST_CHECK;

/* All files were read.  ERR_NOT_FOUND: a bound was not met. */
err_t range_finish(struct range *r, struct err_detail *why) MUST_CHECK;

/* Transactions that were wanted, and that were not. */
uint64_t range_taken(const struct range *r);
uint64_t range_left_out(const struct range *r);

/* When the first and the last of all that were seen were committed, wanted or not; 0: none had a time. */
void range_seen(const struct range *r, uint64_t *first_us, uint64_t *last_us);

#endif
