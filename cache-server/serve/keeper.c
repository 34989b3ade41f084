#include "cache-server/serve/keeper.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/mem.h"
#include "lib/core/thread.h"

struct keeper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop; /* under the lock */
	struct quiesce *quiesce;
	struct quiesce_thread *me;
	struct cache *const *caches;
	size_t n;
};

/* False: stop. */
static bool
rest(struct keeper *k, bool more)
{
	struct timespec until;
	bool stop;

	pthread_mutex_lock(&k->lock);
	if (!more && !k->stop) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += KEEPER_REST_MS * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&k->wake, &k->lock, &until);
	}
	stop = k->stop;
	pthread_mutex_unlock(&k->lock);
	return !stop;
}

static void *
work(void *arg)
{
	struct keeper *k = arg;
	bool more;

	do {
		more = false;
		for (size_t i = 0; i < k->n; i++) {
			quiesce_online(k->quiesce, k->me);
			more |= store_upkeep(cache_store(k->caches[i]), k->me);
			quiesce_offline(k->me);
		}
	} while (rest(k, more));
	return NULL;
}

err_t
keeper_start(struct keeper **out, struct quiesce *q, struct cache *const *caches, size_t n,
	     struct err_detail *why)
{
	struct keeper *k = MEM_NEW(struct keeper);
	pthread_condattr_t attr;
	err_t err;

	*out = NULL;
	k->quiesce = q;
	k->caches = caches;
	k->n = n;
	k->me = quiesce_join(q);
	if (k->me == NULL) {
		free(k);
		return err_set(why, ERR_CONFIG, "too many threads; use fewer (-t)");
	}
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = thread_start(&k->thread, "upkeep", work, k, why);
	if (err != ERR_OK) {
		quiesce_leave(q, &k->me);
		free(k);
		return err;
	}
	*out = k;
	return ERR_OK;
}

void
keeper_stop(struct keeper **kp)
{
	struct keeper *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	quiesce_leave(k->quiesce, &k->me);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
