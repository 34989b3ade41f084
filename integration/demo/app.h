/*
 * app - the demo application: what its threads share.
 *
 * An ordinary user of a database and a cache.  Writers send SQL whose comments name the cache keys that the
 * statement makes wrong; they never talk to memcached.  Readers look aside: cache, else database, then fill.
 *
 *     item:<id>    the row's v, or "-" when there is no such row
 *     shelf:<n>    count and sum of v of ten rows
 *     tx:<n>       never cached: rides in transaction n, so that its delete can be timed and missed
 *     rb:<n>       rides in work that is rolled back: nobody must ever delete it
 *
 * all with the prefix APP_PREFIX.  The journal holds a line per transaction:
 *
 *     C <n> <us> <keys>    the commit returned at this time (microseconds since 1970), with so many keys
 *     R <n>                rolled back, or broken before COMMIT was sent
 *     I <n>                the connection broke during the commit: it may or may not have happened
 */
#ifndef SQUEAL_INTEGRATION_DEMO_APP_H
#define SQUEAL_INTEGRATION_DEMO_APP_H

#include <mysql.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "integration/demo/cache.h"

#define APP_PREFIX "demo:"

enum {
	APP_SHELF = 10, /* items on a shelf */
	APP_MAX_THREADS = 64,
	APP_MAX_FAULTS = 1024,
};

struct app {
	const char *socket, *user, *database, *journal_path;
	char *traces[CACHE_MAX_CLUSTERS]; /* file names with commas between */
	struct cache_cluster clusters[CACHE_MAX_CLUSTERS];
	size_t nclusters;
	unsigned writers, readers, items;
	double rate, reads_per_s, seconds, after, wait;
	uint64_t seed, first;
	struct {
		uint64_t from_us, to_us;
	} faults[APP_MAX_FAULTS];
	size_t nfaults;

	FILE *journal;
	_Atomic bool stop_writing, stop_reading;
	_Atomic uint64_t next;
	_Atomic uint64_t commits, keys, rollbacks, indeterminate, unchanged, sql_errors;
	_Atomic uint64_t reads, hits, fills, refused, cache_down;
};

struct app_thread {
	struct app *app;
	uint64_t random;
	double step_ns; /* between two of its actions */
	struct timespec due;
	MYSQL *db;
};

/* Microseconds since 1970. */
uint64_t app_now_us(void);

/* Waits until it is time for the thread's next action. */
void app_pace(struct app_thread *t);

uint64_t app_random(struct app_thread *t, uint64_t below);

/* Connects when there is no connection; false after a pause when that fails. */
bool app_connect(struct app_thread *t);
void app_disconnect(struct app_thread *t);

/* The value that a cache should hold for item `id` or shelf `id`; false when the database does not answer. */
bool app_read_item(struct app_thread *t, unsigned id, char *value);
bool app_read_shelf(struct app_thread *t, unsigned shelf, char *value);

void *writer_main(void *thread);
void *reader_main(void *thread);

/* Compares journal, traces, caches and database, and prints what was found.  0 when nothing is lost or stale.
 */
int check_main(struct app *app);

#endif
