/*
 * pace - how many deletes may go now: the rate that was asked for, and a throttle that looks at what it does.
 *
 *     slow servers     a server needs longer than max_ack_us for an acknowledgement (99 of 100)
 *     missing readers  a cluster's readers miss more than max_misses keys a second
 *     busy database    more than max_threads threads run in it
 *
 * Every look that finds one of these takes the rate down by three tenths, from what was really sent; every
 * look that finds none brings it up by a tenth, up to the rate that was asked for.  It never stands still: at
 * least PACE_LEAST deletes a second go, since what stands still is not seen to get better.
 *
 * Threads: one at a time per object.   Blocks: never.   Clock: the caller's.
 */
#ifndef SQUEAL_REPLAY_SEND_PACE_H
#define SQUEAL_REPLAY_SEND_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_LEAST = 10 };

/* Where 0 is no bound. */
struct pace_options {
	uint64_t rate; /* deletes per second, all servers together */
	uint64_t max_ack_us;
	uint64_t max_misses;
	uint64_t max_threads;
};

/* What was seen since the last look. */
struct pace_look {
	uint64_t ack_us;     /* of the slowest server */
	const char *slowest; /* its name */
	uint64_t misses;     /* per second, of the cluster with the most */
	const char *missing; /* its name */
	uint64_t threads;    /* that run in the database */
	double sent;	     /* deletes per second */
};

struct pace {
	struct pace_options opt;
	double limit; /* deletes per second now; 0: none */
	double tokens;
	uint64_t at_ns; /* of the tokens */
	bool is_throttled;
	char reason[160]; /* of the throttle; "" */
	uint64_t throttled_looks, looks;
};

void pace_init(struct pace *p, const struct pace_options *opt, uint64_t now_ns);

/* How many may go now; UINT64_MAX: as many as there are. */
uint64_t pace_now(struct pace *p, uint64_t now_ns);
void pace_spend(struct pace *p, uint64_t n);

/* A few times a second. */
void pace_see(struct pace *p, const struct pace_look *look);

#endif
