/*
 * eta - when it will be done, and how sure that is.
 *
 * From how much was done in each of the last seconds: the mean gives the estimate, and how far the seconds
 * lie apart gives the range in which the end lies with 95 % (mean ± 2 standard errors), if it goes on like
 * this.
 *
 * Threads: one at a time per object.   Blocks: never.   Clock: the caller's.
 */
#ifndef SQUEAL_REPLAY_SEND_ETA_H
#define SQUEAL_REPLAY_SEND_ETA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ETA_SAMPLES = 30, ETA_EVERY_MS = 1000 };

/* {0} is a new one. */
struct eta {
	double rates[ETA_SAMPLES]; /* per second */
	size_t n, next;
	uint64_t last_ms, last_done;
	bool began;
};

/* As often as one likes. */
void eta_see(struct eta *e, uint64_t now_ms, uint64_t done);

struct eta_guess {
	bool known;
	uint64_t ms, soonest_ms, latest_ms; /* latest 0: no end in sight */
	double rate;			    /* per second */
};

struct eta_guess eta_guess(const struct eta *e, uint64_t left);

#endif
