/*
 * screen - where lines and progress go: a terminal, whose last line is the bar, or a pipe.
 *
 * Threads: one at a time per object.   Blocks: as the output does.   Clock: injected.
 */
#ifndef SQUEAL_REPLAY_SEND_SCREEN_H
#define SQUEAL_REPLAY_SEND_SCREEN_H

#include <stdio.h>

#include "lib/core/clock.h"
#include "replay/send/progress.h"

/* Filled by its owner, the last three zero. */
struct screen {
	FILE *out;
	const struct clock *clock;
	enum progress_form form;
	unsigned width;
	uint64_t every_ms; /* progress is shown at most this often */

	uint64_t shown_ms;
	size_t bar; /* columns of the bar that is there */
	struct buf line;
};

/* Is it time for another progress? */
bool screen_is_due(const struct screen *s);
void screen_progress(struct screen *s, const struct progress *p);

/* Whole lines, above the bar. */
void screen_text(struct screen *s, struct span text);

/* The bar goes. */
void screen_clear(struct screen *s);
void screen_fini(struct screen *s);

#endif
