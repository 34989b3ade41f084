#include "cache-server/serve/upkeep.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/mem.h"

struct upkeep {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop, woken; /* under the lock */
	struct quiesce *quiesce;
	struct quiesce_thread *me;
	struct cache *const *caches;
	size_t n;
};

/* False: stop. */
static bool
rest(struct upkeep *u, bool more)
{
	struct timespec until;
	bool stop;

	pthread_mutex_lock(&u->lock);
	if (!more && !u->stop && !u->woken) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += UPKEEP_REST_MS * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&u->wake, &u->lock, &until);
	}
	u->woken = false;
	stop = u->stop;
	pthread_mutex_unlock(&u->lock);
	return !stop;
}

static void *
work(void *arg)
{
	struct upkeep *u = arg;
	bool more;

	do {
		more = false;
		for (size_t i = 0; i < u->n; i++) {
			quiesce_online(u->quiesce, u->me);
			more |= store_upkeep(cache_store(u->caches[i]), u->me);
			quiesce_offline(u->me);
		}
	} while (rest(u, more));
	return NULL;
}

err_t
upkeep_start(struct upkeep **out, struct quiesce *q, struct cache *const *caches, size_t n,
	     struct err_detail *why)
{
	struct upkeep *u = MEM_NEW(struct upkeep);
	pthread_condattr_t attr;
	sigset_t all, old;
	int err;

	*out = NULL;
	u->quiesce = q;
	u->caches = caches;
	u->n = n;
	u->me = quiesce_join(q);
	if (u->me == NULL) {
		free(u);
		return err_set(why, ERR_CONFIG, "too many threads; use fewer (-t)");
	}
	pthread_mutex_init(&u->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&u->wake, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&u->thread, NULL, work, u);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err != 0) {
		quiesce_leave(q, &u->me);
		free(u);
		return err_set(why, ERR_SYS, "cannot start a thread: %s; raise the limit of processes",
			       strerror(err));
	}
	pthread_setname_np(u->thread, "upkeep");
	*out = u;
	return ERR_OK;
}

void
upkeep_wake(struct upkeep *u)
{
	pthread_mutex_lock(&u->lock);
	u->woken = true;
	pthread_cond_signal(&u->wake);
	pthread_mutex_unlock(&u->lock);
}

void
upkeep_stop(struct upkeep **up)
{
	struct upkeep *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	pthread_mutex_lock(&u->lock);
	u->stop = true;
	pthread_cond_signal(&u->wake);
	pthread_mutex_unlock(&u->lock);
	pthread_join(u->thread, NULL);
	quiesce_leave(u->quiesce, &u->me);
	pthread_cond_destroy(&u->wake);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
