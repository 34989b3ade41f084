#include "replay/command/scan.h"

#include <pthread.h>
#include <time.h>

#include "lib/core/thread.h"

enum { LOOK_MS = 50, QUIET_MS = 1000 };

struct scan {
	struct stage *stage;
	struct select *select;
	struct plan *plan;
	_Atomic uint64_t keys;
	/* Released when everything else was written, acquired by the thread that looks. */
	_Atomic bool is_over;
	err_t err;
	struct err_detail why;
};

static bool
take_key(void *arg, struct span key, const struct targets_answer *to)
{
	struct scan *scan = arg;

	atomic_store_explicit(&scan->keys, select_keys(scan->select), memory_order_relaxed);
	return plan_key(scan->plan, key, to);
}

static void *
run(void *arg)
{
	struct scan *scan = arg;

	scan->err = select_run(scan->select, scan->stage->tape, &scan->why);
	atomic_store_explicit(&scan->is_over, true, memory_order_release);
	return NULL;
}

static void
show(struct scan *scan, struct screen *screen, const struct eta *eta)
{
	const struct tape *tape = scan->stage->tape;
	uint64_t done = atomic_load_explicit(&tape->done, memory_order_relaxed);
	uint64_t total = atomic_load_explicit(&tape->total, memory_order_relaxed);
	struct progress p = {
	    .verb = "planning",
	    .unit = "",
	    .done = done,
	    .total = total,
	    .keys = atomic_load_explicit(&scan->keys, memory_order_relaxed),
	    .per_s = -1,
	    .guess = eta_guess(eta, total > done ? total - done : 0),
	    .throttled = "",
	    .waiting = "",
	    .job = "",
	};

	screen_progress(screen, &p);
}

static void
watch(struct scan *scan, struct screen *screen, const volatile sig_atomic_t *stop)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
	uint64_t began = clock_mono_ms(screen->clock);
	struct eta eta = {0};
	bool stopped = false;

	while (!atomic_load_explicit(&scan->is_over, memory_order_acquire)) {
		nanosleep(&pause, NULL);
		eta_see(&eta, clock_mono_ms(screen->clock),
			atomic_load_explicit(&scan->stage->tape->done, memory_order_relaxed));
		if (*stop && !stopped) {
			stopped = true;
			tape_stop(scan->stage->tape);
		}
		/* What is over in a moment needs no progress. */
		if (clock_mono_ms(screen->clock) - began > QUIET_MS && screen_is_due(screen))
			show(scan, screen, &eta);
	}
	screen_clear(screen);
}

err_t
scan_run(struct stage *stage, struct plan *plan, uint64_t seed, size_t remember, struct screen *screen,
	 const volatile sig_atomic_t *stop, struct err_detail *why)
{
	struct scan scan = {.stage = stage, .plan = plan};
	pthread_t thread;
	err_t err = ERR_OK;

	scan.select = select_create(&(struct select_options){
	    .filter = &stage->filter,
	    .targets = stage->targets,
	    .seed = seed,
	    .remember = remember,
	    .key = take_key,
	    .arg = &scan,
	});
	err = thread_start(&thread, "replay-scan", run, &scan, why);
	if (err != ERR_OK)
		goto done;
	watch(&scan, screen, stop);
	pthread_join(thread, NULL);
	if (scan.err != ERR_OK)
		err = err_set(why, scan.err, "%s", err_why(&scan.why));
	else if (*stop)
		err = err_set(why, ERR_CLOSED, "stopped while planning; nothing was deleted");
	plan_finish(plan, scan.select, &stage->filter, stage->targets, stage->tape);
done:
	select_destroy(&scan.select);
	return err;
}
