/*
 * progress - how far a replay is, in one line: a bar on a terminal, a plain line elsewhere, or JSON.
 *
 *     [########>           ]  43 %  430,000 of 1,000,000 keys, 9,800 deletes/s, 58 s left (52 s to 1 min 6 s)
 *     replaying 43 %, 430,000 of 1,000,000 keys, 9,800 deletes/s, 58 s left (52 s to 1 min 6 s); throttled: …
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_SEND_PROGRESS_H
#define SQUEAL_REPLAY_SEND_PROGRESS_H

#include "lib/core/buf.h"
#include "replay/send/eta.h"

enum progress_form { PROGRESS_LINE, PROGRESS_BAR, PROGRESS_JSON };

struct progress {
	const char *verb;     /* "planning", "replaying" */
	const char *unit;     /* of done and total: "keys"; "" where they are not for people */
	uint64_t done, total; /* total 0: not known */
	uint64_t keys;	      /* so far */
	double per_s;	      /* deletes per second; below 0: none are sent */
	struct eta_guess guess;
	const char *throttled; /* why it goes slower than asked; "" */
	const char *waiting;   /* for what nothing goes on; "" */
	const char *job;       /* id; "" */
	uint64_t acked, hits, misses;
};

/* Appends the line, without a line end; `width` bounds a bar's line, in columns. */
void progress_put(const struct progress *p, enum progress_form form, unsigned width, struct buf *out);

#endif
