/* reader - reads through the cache of a cluster, as cache.h says it must be done. */
#include <stdlib.h>
#include <string.h>

#include "integration/demo/app.h"

static bool
read_database(struct app_thread *t, bool shelf, unsigned id, char *value)
{
	return app_connect(t) && (shelf ? app_read_shelf(t, id, value) : app_read_item(t, id, value));
}

static void
read_one(struct app_thread *t, struct cache *cache)
{
	struct app *a = t->app;
	char key[64], value[CACHE_MAX_VALUE];
	struct cache_token token;
	bool shelf = app_random(t, 4) == 0;
	unsigned n = shelf ? a->items / APP_SHELF : a->items;
	unsigned id = (unsigned)(app_random(t, 4) == 0 ? app_random(t, n < 50 ? n : 50) : app_random(t, n));
	enum cache_result found;

	snprintf(key, sizeof(key), APP_PREFIX "%s:%u", shelf ? "shelf" : "item", id);
	found = cache_lease(cache, key, value, &token);
	a->reads++;
	if (found == CACHE_HIT) {
		a->hits++;
		return;
	}
	if (found == CACHE_DOWN)
		a->cache_down++;
	if (!read_database(t, shelf, id, value) || found != CACHE_WON)
		return;
	switch (cache_fill(cache, key, value, &token)) {
	case CACHE_STORED:
		a->fills++;
		break;
	case CACHE_REFUSED:
		a->refused++;
		break;
	default:
		a->cache_down++;
	}
}

void *
reader_main(void *thread)
{
	struct app_thread *t = thread;
	struct app *a = t->app;
	struct cache *caches[CACHE_MAX_CLUSTERS];

	mysql_thread_init();
	for (size_t i = 0; i < a->nclusters; i++)
		caches[i] = cache_create(&a->clusters[i]);
	while (!a->stop_reading) {
		app_pace(t);
		read_one(t, caches[app_random(t, a->nclusters)]);
	}
	for (size_t i = 0; i < a->nclusters; i++)
		cache_destroy(&caches[i]);
	app_disconnect(t);
	mysql_thread_end();
	return NULL;
}
