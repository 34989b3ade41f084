/*
 * scan - makes the plan: runs the tape once, in a thread, while progress is shown.
 *
 * Threads: one of its own reads; the caller's shows.   Blocks: until the tape was run, or *stop became true.
 * Clock: that of the screen; pauses are real time.
 */
#ifndef SQUEAL_REPLAY_COMMAND_SCAN_H
#define SQUEAL_REPLAY_COMMAND_SCAN_H

#include <signal.h>

#include "replay/command/stage.h"
#include "replay/plan/plan.h"
#include "replay/send/screen.h"

/* The plan is initialised.  ERR_CLOSED: it was stopped.  Errors of tape_run(). */
err_t scan_run(struct stage *stage, struct plan *plan, uint64_t seed, size_t remember, struct screen *screen,
	       const volatile sig_atomic_t *stop, struct err_detail *why) MUST_CHECK;

#endif
