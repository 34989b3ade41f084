/*
 * places - where the lanes of one log stand, and which place is read next.
 *
 * The foremost place is the live feed's.  Behind it the lanes that have room share readings: lanes that are
 * near each other wait at most PLACES_NEAR records for the hindmost of them, so that they meet and are fed
 * together; and PLACES_MAX places take turns, the hindmost and the one nearest to the live feed: a log that
 * is elsewhere delivers few places at a time.  Others come to their turn when these have enough for the
 * moment.  A lane without room (its server is slow, away or paused) is waited for by nobody.
 *
 * Threads: the loop's.   Blocks: never.
 */
#ifndef SQUEAL_ROUTER_PLACES_H
#define SQUEAL_ROUTER_PLACES_H

#include "router/lane.h"

enum { PLACES_NEAR = 1024, PLACES_MAX = 2, PLACES_HOLD_MS = 300 };

struct places {
	struct lane **lanes; /* the owner's */
	size_t n;
	struct lane **order; /* the same, by place: sorted anew at each question, nearly sorted before */
	bool *takes;	     /* who takes the next record; places_choose() */
	size_t turn;
};

/* Takes other lanes: those at `lanes` until the next call. */
void places_set(struct places *p, struct lane **lanes, size_t n);
void places_fini(struct places *p);

/* The foremost place; 0 without lanes. */
uint64_t places_live(const struct places *p);

/*
 * Is a server that is up behind `live`?  Then those ahead take no more than half a queue, so that servers of
 * equal speed meet again and share one reading.  Nobody is ever short of work for that.
 */
bool places_followed(const struct places *p, uint64_t live);

/* Notes in `takes` who of those at from .. upto has room for the next record; false when nobody has.
 * `patient`: half a queue is enough. */
bool places_choose(struct places *p, uint64_t from, uint64_t upto, bool patient);

/* Whose place is read next of those behind `live`, the places taking turns; NULL when nobody there has room.
 */
struct lane *places_behind(struct places *p, uint64_t live, uint64_t now_ms);

/* More of the log has arrived. */
void places_arrived(struct places *p);

#endif
