#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/sight/latency.h"
#include "lib/core/test/test.h"

static void
add(void *arg, struct span key, struct span value)
{
	buf_printf(arg, "%.*s %.*s\n", SPAN_FMT(key), SPAN_FMT(value));
}

static void
expect_stats(struct latency *const *ls, size_t n, const char *text)
{
	struct buf out = BUF_INIT;

	latency_stats(ls, n, add, &out);
	assert_string_equal(buf_str(&out), text);
	buf_fini(&out);
}

static void
commands_that_were_timed_show_and_threads_are_added_up(void **state)
{
	struct latency *ls[2] = {latency_create(1, 1), latency_create(1, 2)};

	expect_stats(ls, 2, "");
	latency_note(ls[0], LATENCY_GET, 10);
	latency_note(ls[1], LATENCY_GET, 30);
	latency_note(ls[1], LATENCY_LEASE_SET, 7);
	expect_stats(
	    ls, 2,
	    "get_count 2\nget_mean_ns 20\nget_p50_ns 10\nget_p90_ns 30\nget_p99_ns 30\nget_p999_ns 30\n"
	    "get_max_ns 30\nlease_set_count 1\nlease_set_mean_ns 7\nlease_set_p50_ns 7\nlease_set_p90_ns 7\n"
	    "lease_set_p99_ns 7\nlease_set_p999_ns 7\nlease_set_max_ns 7\n");
	latency_reset(ls, 2);
	expect_stats(ls, 2, "");
	latency_destroy(&ls[0]);
	assert_null(ls[0]);
	latency_destroy(&ls[0]);
	latency_destroy(&ls[1]);
}

static void
one_request_in_the_sample_is_timed_at_distances_that_change(void **state)
{
	struct latency *l = latency_create(64, 99);
	unsigned timed = 0, gap = 0, shortest = 1000, longest = 0;

	for (int i = 0; i < 640000; i++) {
		gap++;
		if (!latency_due(l))
			continue;
		timed++;
		shortest = gap < shortest ? gap : shortest;
		longest = gap > longest ? gap : longest;
		gap = 0;
	}
	assert_true(timed > 9700 && timed < 10300);
	assert_int_equal(shortest, 1);
	assert_int_equal(longest, 127);
	latency_destroy(&l);
}

static void
a_sample_of_one_times_all_and_of_nothing_none(void **state)
{
	struct latency *all = latency_create(1, 5), *none = latency_create(0, 5);

	for (int i = 0; i < 10000; i++) {
		assert_true(latency_due(all));
		assert_false(latency_due(none));
	}
	assert_false(latency_again(none));
	latency_destroy(&all);
	latency_destroy(&none);
}

static void
prometheus_sees_seconds(void **state)
{
	struct latency *l = latency_create(1, 1);
	struct buf out = BUF_INIT;

	latency_note(l, LATENCY_SET, 20);
	latency_note(l, LATENCY_SET, 2000000000);
	latency_render(&l, 1, &out);
	assert_non_null(strstr(buf_str(&out), "# TYPE squeal_cache_latency_seconds summary\n"));
	assert_non_null(strstr(
	    buf_str(&out), "squeal_cache_latency_seconds{command=\"set\",quantile=\"0.5\"} 0.000000020\n"));
	assert_non_null(
	    strstr(buf_str(&out), "squeal_cache_latency_seconds_sum{command=\"set\"} 2.000000020\n"));
	assert_non_null(strstr(buf_str(&out), "squeal_cache_latency_seconds_count{command=\"set\"} 2\n"));
	assert_non_null(strstr(buf_str(&out), "squeal_cache_latency_seconds_count{command=\"get\"} 0\n"));
	buf_fini(&out);
	latency_destroy(&l);
}

static void
every_command_has_a_text_of_its_own(void **state)
{
	for (int i = 0; i < LATENCY_NCOMMANDS; i++) {
		for (int j = 0; j < i; j++)
			assert_string_not_equal(latency_command_text((enum latency_command)i),
						latency_command_text((enum latency_command)j));
	}
}

struct race {
	struct latency *l;
	_Atomic bool stop;
	_Atomic uint64_t noted;
};

static void *
write_latencies(void *arg)
{
	struct race *race = arg;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		if (latency_due(race->l))
			latency_note(race->l, LATENCY_GET, 100);
		atomic_fetch_add_explicit(&race->noted, 1, memory_order_relaxed);
	}
	return NULL;
}

static void
it_is_read_and_reset_beside_the_writer(void **state)
{
	struct race race = {.l = latency_create(4, 3)};
	struct histogram *h = malloc(sizeof(*h));
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, write_latencies, &race), 0);
	while (atomic_load(&race.noted) < 200000) {
		uint64_t p99;

		memset(h, 0, sizeof(*h));
		latency_merge(&race.l, 1, LATENCY_GET, h);
		p99 = histogram_percentile(h, 0.99);
		assert_true(p99 <= 103);
		latency_reset(&race.l, 1);
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	free(h);
	latency_destroy(&race.l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(commands_that_were_timed_show_and_threads_are_added_up),
	    cmocka_unit_test(one_request_in_the_sample_is_timed_at_distances_that_change),
	    cmocka_unit_test(a_sample_of_one_times_all_and_of_nothing_none),
	    cmocka_unit_test(prometheus_sees_seconds),
	    cmocka_unit_test(every_command_has_a_text_of_its_own),
	    cmocka_unit_test(it_is_read_and_reset_beside_the_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
