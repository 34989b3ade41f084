/*
 * thread - threads that get no signals.
 *
 * Signals belong to a program's main thread, which has them from its event loop or waits for them: a signal
 * that the kernel hands to another thread would interrupt that one's calls, or be lost.  So all of them are
 * blocked in the new thread before it runs; the caller's own mask stays as it is.
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_LIB_CORE_THREAD_H
#define SQUEAL_LIB_CORE_THREAD_H

#include <pthread.h>

#include "lib/core/err.h"

enum { THREAD_NAME_MAX = 15 }; /* what is longer is cut */

typedef void *thread_fn(void *arg);

/*
 * Starts fn(arg) in a thread that debuggers, top and ps call `name`; the caller joins it with pthread_join().
 * ERR_SYS: the system gives no more threads; *id is unset.
 */
err_t thread_start(pthread_t *id, const char *name, thread_fn *fn, void *arg,
		   struct err_detail *why) MUST_CHECK;

/* One that nobody joins and that ends by itself; it has the program's name. */
err_t thread_start_detached(thread_fn *fn, void *arg, struct err_detail *why) MUST_CHECK;

#endif
