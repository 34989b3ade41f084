#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/report/watch.h"
#include "lib/core/buf.h"

struct fixture {
	struct clock_fake clock;
	struct watch *watch;
	struct watch_ring *ring;
	unsigned woken;
};

static void
wake(void *arg)
{
	((struct fixture *)arg)->woken++;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	clock_fake_init(&f->clock);
	f->clock.epoch_us = 1700000000000123;
	assert_int_equal(
	    watch_create(
		&f->watch,
		&(struct watch_options){.ring_bytes = 4096, .watcher_bytes = 4096, .clock = &f->clock.clock},
		NULL),
	    ERR_OK);
	f->ring = watch_ring_create(f->watch);
	assert_non_null(f->ring);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	watch_destroy(&f->watch);
	free(f);
	return 0;
}

static const char *
take(struct watcher *wr)
{
	static char text[65536];

	text[watcher_take(wr, text, sizeof text - 1)] = '\0';
	return text;
}

static void
get(struct fixture *f, const char *key, bool hit, uint64_t size)
{
	watch_log(f->ring,
		  &(struct session_log){
		      .kind = SESSION_LOG_FETCHERS, .key = span_of(key), .status = hit, .size = size},
		  25);
}

/* The lines of memcached 1.6.45's logger.c. */
static void
lines_are_memcached_s(void **state)
{
	struct fixture *f = *state;
	struct watcher *wr = watch_add(f->watch, ~0u, wake, f);

	get(f, "foo", true, 4);
	get(f, "b r#", false, 0);
	watch_log(f->ring,
		  &(struct session_log){.kind = SESSION_LOG_MUTATIONS,
					.command = SESSION_LOG_CAS,
					.key = SPAN_LIT("k"),
					.status = CACHE_NOT_FOUND,
					.ttl_s = 60,
					.size = 5},
		  7);
	watch_log(
	    f->ring,
	    &(struct session_log){
		.kind = SESSION_LOG_DELETIONS, .command = SESSION_LOG_MD, .key = SPAN_LIT("k"), .size = 5},
	    7);
	/* Its ring is not this thread's: order is only kept within one. */
	assert_true(watch_collect(f->watch));
	watch_log_eviction(f->watch, &(struct watch_eviction){.key = SPAN_LIT("old"),
							      .fetched = true,
							      .ttl_s = -1,
							      .idle_s = 9,
							      .class_id = 3,
							      .size = 12});
	assert_true(watch_collect(f->watch));
	watch_log_open(f->ring, "127.0.0.1", 40000, "tcp", 9);
	watch_log_close(f->ring, "unix", 0, "local", WATCH_CLOSE_IDLE, 9);
	assert_true(watch_collect(f->watch));
	assert_string_equal(
	    take(wr),
	    "ts=1700000001.123 gid=1 type=item_get key=foo status=found clsid=1 cfd=25 size=4\n"
	    "ts=1700000001.123 gid=2 type=item_get key=b%20r%23 status=not_found clsid=0 cfd=25 size=0\n"
	    "ts=1700000001.123 gid=3 type=item_store key=k status=not_found cmd=cas ttl=60 clsid=1 cfd=7 "
	    "size=5\n"
	    "ts=1700000001.123 gid=4 type=deleted key=k cmd=md clsid=1 size=5\n"
	    "ts=1700000001.123 gid=5 type=eviction key=old fetch=yes ttl=-1 la=9 clsid=3 size=12\n"
	    "ts=1700000001.123 gid=6 type=conn_new rip=127.0.0.1 rport=40000 transport=tcp cfd=9\n"
	    "ts=1700000001.123 gid=7 type=conn_close rip=unix rport=0 transport=local reason=idle_timeout "
	    "cfd=9\n");
	assert_int_equal(f->woken, 1);
	watch_remove(f->watch, &wr);
}

static void
nothing_is_written_while_nobody_watches(void **state)
{
	struct fixture *f = *state;
	struct watch_figures figures;
	struct watcher *wr;

	assert_int_equal(watch_wants(f->watch), 0);
	get(f, "foo", true, 4);
	wr = watch_add(f->watch, WATCH_MUTATIONS, wake, f);
	assert_int_equal(watch_wants(f->watch), WATCH_MUTATIONS);
	get(f, "foo", true, 4);
	watch_remove(f->watch, &wr);
	assert_int_equal(watch_wants(f->watch), 0);
	assert_false(watch_collect(f->watch));
	watch_figures(f->watch, &figures);
	assert_int_equal(figures.written, 0);
	assert_int_equal(figures.watchers, 0);
}

static void
each_watcher_gets_what_it_asked_for(void **state)
{
	struct fixture *f = *state;
	struct watcher *one = watch_add(f->watch, WATCH_FETCHERS, wake, f), *two, *late;

	two = watch_add(f->watch, WATCH_CONNEVENTS, wake, f);
	get(f, "foo", true, 4);
	late = watch_add(f->watch, WATCH_FETCHERS, wake, f);
	watch_log_open(f->ring, "unix", 0, "local", 9);
	watch_collect(f->watch);
	assert_non_null(strstr(take(one), "item_get"));
	assert_non_null(strstr(take(two), "conn_new"));
	assert_string_equal(take(late), "");
	watch_remove(f->watch, &one);
	watch_remove(f->watch, &two);
	watch_remove(f->watch, &late);
}

/* A watcher that does not read loses lines, and is told how many. */
static void
lines_that_do_not_fit_are_counted(void **state)
{
	struct fixture *f = *state;
	struct watcher *wr = watch_add(f->watch, WATCH_FETCHERS, wake, f);
	struct watch_figures figures;
	char line[64];
	uint64_t skipped;

	for (int i = 0; i < 100; i++) {
		get(f, "foo", true, 4);
		watch_collect(f->watch);
	}
	watch_figures(f->watch, &figures);
	skipped = figures.skipped;
	assert_true(skipped > 0);
	assert_int_equal(figures.sent + figures.skipped, 100);
	assert_int_equal(figures.dropped, 0);
	assert_null(strstr(take(wr), "skipped="));
	get(f, "foo", true, 4);
	watch_collect(f->watch);
	snprintf(line, sizeof line, "skipped=%d\nts=", (int)skipped);
	assert_int_equal(strncmp(take(wr), line, strlen(line)), 0);
	watch_remove(f->watch, &wr);
}

static void
records_that_do_not_fit_into_a_ring_are_counted(void **state)
{
	struct fixture *f = *state;
	struct watcher *wr = watch_add(f->watch, WATCH_FETCHERS, wake, f);
	struct watch_figures figures;

	for (int i = 0; i < 1000; i++)
		get(f, "foo", true, 4);
	watch_collect(f->watch);
	watch_figures(f->watch, &figures);
	assert_int_equal(figures.dropped + figures.written, 1000);
	assert_true(figures.dropped > 900 && figures.written > 20);
	watch_remove(f->watch, &wr);
}

/* Keys of every length: records end everywhere in the ring. */
static void
a_ring_goes_round_with_records_of_any_length(void **state)
{
	struct fixture *f = *state;
	struct watcher *wr = watch_add(f->watch, WATCH_FETCHERS, wake, f);
	char key[STORE_MAX_KEY + 1];

	for (unsigned i = 0; i < 5000; i++) {
		unsigned len = 1 + i * 7 % STORE_MAX_KEY;
		char want[STORE_MAX_KEY + 64];

		memset(key, 'a' + (int)(i % 26), len);
		key[len] = '\0';
		get(f, key, true, i);
		assert_true(watch_collect(f->watch));
		snprintf(want, sizeof want, "key=%s status=found clsid=1 cfd=25 size=%u\n", key, i);
		assert_non_null(strstr(take(wr), want));
	}
	watch_remove(f->watch, &wr);
}

static void
kinds_are_words(void **state)
{
	unsigned kinds;

	assert_true(watch_parse(SPAN_LIT(""), &kinds));
	assert_int_equal(kinds, WATCH_FETCHERS);
	assert_true(watch_parse(SPAN_LIT("mutations evictions"), &kinds));
	assert_int_equal(kinds, WATCH_MUTATIONS | WATCH_EVICTIONS);
	assert_true(watch_parse(SPAN_LIT(" connevents  deletions "), &kinds));
	assert_int_equal(kinds, WATCH_CONNEVENTS | WATCH_DELETIONS);
	assert_false(watch_parse(SPAN_LIT("fetchers what"), &kinds));
}

static void
there_are_so_many_watchers_and_no_more(void **state)
{
	struct fixture *f = *state;
	struct watcher *all[WATCH_MAX_WATCHERS];

	for (int i = 0; i < WATCH_MAX_WATCHERS; i++)
		assert_non_null(all[i] = watch_add(f->watch, WATCH_FETCHERS, wake, f));
	assert_null(watch_add(f->watch, WATCH_FETCHERS, wake, f));
	for (int i = 0; i < WATCH_MAX_WATCHERS; i++)
		watch_remove(f->watch, &all[i]);
}

enum { RACE_LINES = 20000, RACE_THREADS = 3 };

struct race {
	struct watch_ring *ring;
	_Atomic int *done;
};

static void *
log_many(void *arg)
{
	struct race *r = arg;

	for (unsigned i = 0; i < RACE_LINES; i++)
		watch_log(
		    r->ring,
		    &(struct session_log){.kind = SESSION_LOG_FETCHERS, .key = SPAN_LIT("race"), .size = i},
		    1);
	atomic_fetch_add(r->done, 1);
	return NULL;
}

/* Threads log while watchers come and go and lines are collected: every record is counted once. */
static void
threads_log_while_lines_are_collected(void **state)
{
	struct fixture *f = *state;
	struct watcher *wr = watch_add(f->watch, WATCH_FETCHERS, wake, f), *other;
	pthread_t threads[RACE_THREADS];
	struct race races[RACE_THREADS];
	_Atomic int done = 0;
	struct watch_figures figures;
	uint64_t lines = 0;

	for (int i = 0; i < RACE_THREADS; i++) {
		races[i] = (struct race){watch_ring_create(f->watch), &done};
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, &races[i]), 0);
	}
	while (atomic_load(&done) < RACE_THREADS || watch_collect(f->watch)) {
		other = watch_add(f->watch, WATCH_FETCHERS, wake, f);
		watch_collect(f->watch);
		for (const char *p = take(wr); (p = strchr(p, '\n')) != NULL; p++)
			lines++;
		watch_remove(f->watch, &other);
	}
	for (int i = 0; i < RACE_THREADS; i++)
		pthread_join(threads[i], NULL);
	watch_figures(f->watch, &figures);
	assert_int_equal(figures.written + figures.dropped, RACE_LINES * RACE_THREADS);
	assert_true(lines > 0);
	watch_remove(f->watch, &wr);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(lines_are_memcached_s, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_is_written_while_nobody_watches, setup, teardown),
	    cmocka_unit_test_setup_teardown(each_watcher_gets_what_it_asked_for, setup, teardown),
	    cmocka_unit_test_setup_teardown(lines_that_do_not_fit_are_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(records_that_do_not_fit_into_a_ring_are_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_ring_goes_round_with_records_of_any_length, setup, teardown),
	    cmocka_unit_test(kinds_are_words),
	    cmocka_unit_test_setup_teardown(there_are_so_many_watchers_and_no_more, setup, teardown),
	    cmocka_unit_test_setup_teardown(threads_log_while_lines_are_collected, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
