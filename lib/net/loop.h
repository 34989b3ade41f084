/*
 * loop - waits for timers, descriptors, signals and calls from other threads, and runs one callback at a
 * time.
 *
 * The structs that are waited with (loop_timer, loop_fd, loop_signal) are owned by the caller and usually lie
 * inside his own; they must be stopped before they are freed, and any callback may stop, change or free any
 * of them, itself included.  A callback that waits for anything makes everybody wait.
 *
 * Timers follow the injected clock and fire in the order of their deadlines: with a fake clock and
 * loop_step() a test moves time by hand.
 *
 * Threads: everything on the thread that runs the loop, except loop_post() and loop_stop(): any thread.
 * Blocks: loop_run() only.   Clock: injected.
 */
#ifndef SQUEAL_LIB_NET_LOOP_H
#define SQUEAL_LIB_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/clock.h"
#include "lib/core/err.h"

struct loop; /* opaque */
struct event;

err_t loop_create(struct loop **out, const struct clock *clock, struct err_detail *why) MUST_CHECK;

/* Everything that uses the loop must be gone.  Posted calls that have not run are dropped. */
void loop_destroy(struct loop **l);

/* Runs callbacks until loop_stop().  May be called again afterwards. */
void loop_run(struct loop *l);

/* Runs what is ready now, timers that are due included, and returns without waiting.  Nothing while a stop is
 * pending. */
void loop_step(struct loop *l);

/* Makes loop_run() return after the callback that runs now; before a loop_run() it makes that one return at
 * once. */
void loop_stop(struct loop *l);

const struct clock *loop_clock(const struct loop *l);

/* --- calls from other threads -------------------------------------------------------------------- */

typedef void loop_post_fn(void *arg);

/* Runs fn(arg) soon on the loop's thread; calls of one thread run in their order. */
void loop_post(struct loop *l, loop_post_fn *fn, void *arg);

/* --- timers -------------------------------------------------------------------------------------- */

typedef void loop_timer_fn(void *arg);

struct loop_timer {
	struct loop *loop;
	loop_timer_fn *fn;
	void *arg;
	uint64_t at_ns;	   /* monotonic time of the next call */
	uint64_t every_ns; /* 0: once */
	uint64_t order;	   /* tells equal deadlines apart: first set, first called */
	size_t slot;	   /* place in the loop's heap; 0: not set */
};

void loop_timer_init(struct loop_timer *t, struct loop *l, loop_timer_fn *fn, void *arg);

/* Calls once, `ms` from now; a timer that is set already is set anew.  0: in the next round of the loop. */
void loop_timer_once(struct loop_timer *t, uint64_t ms);
void loop_timer_once_us(struct loop_timer *t, uint64_t us);

/* Calls every `ms` (at least 1) from now on.  Calls that were missed are not made up for. */
void loop_timer_every(struct loop_timer *t, uint64_t ms);

/* A timer that is not set is fine, and so is a zeroed one. */
void loop_timer_stop(struct loop_timer *t);

static inline bool
loop_timer_is_set(const struct loop_timer *t)
{
	return t->slot != 0;
}

/* --- descriptors --------------------------------------------------------------------------------- */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

/* `what`: LOOP_READ or LOOP_WRITE.  Called again and again until the descriptor is not ready or not wanted.
 */
typedef void loop_fd_fn(void *arg, int what);

struct loop_fd {
	struct loop *loop;
	loop_fd_fn *fn;
	void *arg;
	int fd; /* never closed here */
	int wanted;
	struct event *read_event, *write_event;
};

/* Nothing is wanted yet. */
void loop_fd_init(struct loop_fd *w, struct loop *l, int fd, loop_fd_fn *fn, void *arg);

/* Replaces what is waited for: LOOP_READ, LOOP_WRITE, both, or 0. */
void loop_fd_want(struct loop_fd *w, int what);

/* Call it before the descriptor is closed.  A zeroed struct is fine. */
void loop_fd_fini(struct loop_fd *w);

/* --- signals ------------------------------------------------------------------------------------- */

typedef void loop_signal_fn(void *arg, int signo);

struct loop_signal {
	struct loop *loop;
	loop_signal_fn *fn;
	void *arg;
	int signo;
	struct event *event;
};

/* Only one loop of a process can watch signals. */
err_t loop_signal_init(struct loop_signal *s, struct loop *l, int signo, loop_signal_fn *fn, void *arg,
		       struct err_detail *why) MUST_CHECK;

/* The signal's former disposition is restored.  A zeroed struct is fine. */
void loop_signal_fini(struct loop_signal *s);

/* --- for lib/net ------------------------------------------------------------------------------- */

/* One object that lives as long as the loop: its name resolver.  NULL before it is set. */
void *loop_part(const struct loop *l);
void loop_set_part(struct loop *l, void *part, void (*destroy)(void *part));

#endif
