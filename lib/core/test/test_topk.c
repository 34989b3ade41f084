#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/hash.h"
#include "lib/core/test/test.h"
#include "lib/core/topk.h"

enum { SEED = 12345 };

static void
note(struct topk *t, const char *name, uint32_t weight)
{
	topk_note(t, span_of(name), hash_span(span_of(name), 0), weight);
}

static void
expect_row(const struct topk_row *row, const char *name, uint64_t count)
{
	assert_string_equal(row->name, name);
	assert_int_equal(row->len, strlen(name));
	assert_int_equal(row->count, count);
}

/* With few names and every call looked at, counts are exact. */
static void
few_names_are_counted_exactly(void **state)
{
	struct topk *t = topk_create(1, 1, SEED);
	struct topk_row rows[8];
	uint64_t total;

	assert_int_equal(topk_top(&t, 1, rows, 8, &total), 0);
	assert_int_equal(total, 0);
	for (int i = 0; i < 5; i++)
		note(t, "a", 1);
	for (int i = 0; i < 7; i++)
		note(t, "b", 1);
	note(t, "", 100);
	note(t, "c", 0);
	assert_int_equal(topk_top(&t, 1, rows, 8, &total), 3);
	expect_row(&rows[0], "", 100);
	expect_row(&rows[1], "b", 7);
	expect_row(&rows[2], "a", 5);
	assert_int_equal(rows[2].error, 0);
	assert_int_equal(total, 112);
	assert_int_equal(topk_top(&t, 1, rows, 2, NULL), 2);
	assert_int_equal(topk_top(&t, 1, rows, 0, NULL), 0);
	topk_destroy(&t);
	assert_null(t);
	topk_destroy(&t);
}

static void
sketches_of_several_threads_are_added_up(void **state)
{
	struct topk *ts[3];
	struct topk_row rows[4];
	uint64_t total;

	for (size_t i = 0; i < 3; i++) {
		ts[i] = topk_create(4, 1, SEED + i);
		note(ts[i], "everywhere", 2);
	}
	note(ts[1], "here", 5);
	assert_int_equal(topk_top(ts, 3, rows, 4, &total), 2);
	expect_row(&rows[0], "everywhere", 6);
	expect_row(&rows[1], "here", 5);
	assert_int_equal(total, 11);
	for (size_t i = 0; i < 3; i++)
		topk_destroy(&ts[i]);
}

static void
names_of_one_hash_are_not_mixed_up(void **state)
{
	struct topk *t = topk_create(4, 1, SEED);
	struct topk_row rows[4];

	for (int i = 0; i < 3; i++)
		topk_note(t, SPAN_LIT("a"), 7, 1);
	topk_note(t, SPAN_LIT("ab"), 7, 1);
	topk_note(t, SPAN_LIT("b"), 7, 2);
	assert_int_equal(topk_top(&t, 1, rows, 4, NULL), 3);
	expect_row(&rows[0], "a", 3);
	expect_row(&rows[1], "b", 2);
	expect_row(&rows[2], "ab", 1);
	topk_destroy(&t);
}

static void
names_of_every_length_are_kept_whole_and_longer_ones_cut(void **state)
{
	struct topk *t = topk_create(64, 1, SEED);
	char name[TOPK_NAME_MAX + 20];
	struct topk_row rows[TOPK_NAME_MAX + 20];
	size_t n;

	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = (char)('a' + i % 26);
	for (size_t len = 1; len <= 40; len++)
		topk_note(t, span_make(name, len), len, 1000 - (uint32_t)len);
	topk_note(t, span_make(name, sizeof(name)), 99, 2000);
	topk_note(t, SPAN_LIT("a\0b\xff"), 98, 3000);
	n = topk_top(&t, 1, rows, 50, NULL);
	assert_int_equal(n, 42);
	assert_int_equal(rows[0].len, 4);
	assert_memory_equal(rows[0].name, "a\0b\xff", 5);
	assert_int_equal(rows[1].len, TOPK_NAME_MAX);
	assert_memory_equal(rows[1].name, name, TOPK_NAME_MAX);
	for (size_t len = 1; len <= 40; len++) {
		assert_int_equal(rows[len + 1].len, len);
		assert_memory_equal(rows[len + 1].name, name, len);
	}
	topk_destroy(&t);
}

static void
decay_halves_and_forgets(void **state)
{
	struct topk *t = topk_create(1, 1, SEED);
	struct topk_row rows[4];
	uint64_t total;

	note(t, "a", 9);
	note(t, "b", 1);
	topk_decay(t);
	assert_int_equal(topk_top(&t, 1, rows, 4, &total), 1);
	expect_row(&rows[0], "a", 4);
	assert_int_equal(total, 5);
	for (int i = 0; i < 4; i++)
		topk_decay(t);
	assert_int_equal(topk_top(&t, 1, rows, 4, &total), 0);
	note(t, "c", 1);
	assert_int_equal(topk_top(&t, 1, rows, 4, &total), 1);
	expect_row(&rows[0], "c", 1);
	topk_destroy(&t);
}

static void
a_sample_of_nothing_notes_nothing(void **state)
{
	struct topk *t = topk_create(1, 0, SEED);
	struct topk_row rows[4];

	for (int i = 0; i < 100000; i++)
		note(t, "a", 1);
	topk_take(t, SPAN_LIT("a"), 1, 1);
	assert_int_equal(topk_top(&t, 1, rows, 4, NULL), 0);
	topk_destroy(&t);
}

/* One name in ten calls among a million that come once each, as a scan of the whole key space would bring. */
static void
a_stream_of_names_that_come_once_washes_nobody_out(void **state)
{
	struct topk *t = topk_create(8, 1, SEED); /* 64 names */
	struct topk_row rows[4];
	char name[32];
	uint64_t total;

	for (int i = 0; i < 200000; i++) {
		snprintf(name, sizeof(name), i % 10 == 0 ? "hot" : "once:%d", i);
		note(t, name, 1);
	}
	assert_int_equal(topk_top(&t, 1, rows, 4, &total), 4);
	assert_int_equal(total, 200000);
	assert_string_equal(rows[0].name, "hot");
	assert_true(rows[0].count >= 19900 && rows[0].count <= 20100 + rows[0].error);
	assert_true(rows[1].count < 10000);
	topk_destroy(&t);
}

/* xorshift for tests: the same stream every time. */
static double
uniform(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (double)(*state >> 11) * 0x1p-53;
}

/* Keys of a Zipf distribution (s = 1), 100,000 of them; one request in 16 is looked at. */
static void
the_hottest_keys_of_a_zipf_stream_are_found(void **state)
{
	enum { KEYS = 100000, REQUESTS = 2000000, TOP = 20 };
	static double cumulative[KEYS];
	static unsigned exact[KEYS];
	struct topk *t = topk_create(64, 16, SEED);
	struct topk_row rows[TOP];
	uint64_t random = 88172645463325252ull;
	unsigned found = 0;
	double sum = 0;
	char name[32];

	for (int i = 0; i < KEYS; i++)
		cumulative[i] = sum += 1.0 / (i + 1);
	for (int r = 0; r < REQUESTS; r++) {
		double x = uniform(&random) * sum;
		int low = 0, high = KEYS - 1;

		while (low < high) {
			int mid = (low + high) / 2;

			if (cumulative[mid] < x)
				low = mid + 1;
			else
				high = mid;
		}
		exact[low]++;
		snprintf(name, sizeof(name), "%d", low);
		note(t, name, 1);
	}
	assert_int_equal(topk_top(&t, 1, rows, TOP, NULL), TOP);
	for (int i = 0; i < TOP; i++) {
		int key = atoi(rows[i].name);

		found += key < TOP;
		/* The noise of sampling: a few percent for names that were looked at thousands of times. */
		if (i < 5) {
			assert_int_equal(key, i);
			assert_true((double)rows[i].count > 0.9 * exact[key] &&
				    (double)rows[i].count < 1.1 * exact[key]);
		}
	}
	assert_true(found >= TOP - 3);
	topk_destroy(&t);
}

/* A client that asks for 64 keys in turn is the trap of a sample with a fixed distance. */
static void
a_cycle_of_requests_does_not_hide_keys(void **state)
{
	struct topk *t = topk_create(64, 64, SEED);
	struct topk_row rows[64];
	char name[32];
	uint64_t total;

	for (int i = 0; i < 64 * 20000; i++) {
		snprintf(name, sizeof(name), "%d", i % 64);
		note(t, name, 1);
	}
	assert_int_equal(topk_top(&t, 1, rows, 64, &total), 64);
	assert_true(total > 64 * 20000 * 0.97 && total < 64 * 20000 * 1.03);
	assert_true(rows[63].count > 20000 * 0.7 && rows[0].count < 20000 * 1.3);
	topk_destroy(&t);
}

/* --- readers beside the writer ---------------------------------------------------------------------- */

struct race {
	struct topk *t[2];
	_Atomic bool stop;
	_Atomic uint64_t noted[2];
};

struct writer {
	struct race *race;
	size_t which;
};

/* A name says its own length and letter: "x" 1 to 200 times, so that a torn one shows. */
static void *
write_names(void *arg)
{
	struct writer *w = arg;
	struct topk *t = w->race->t[w->which];
	char name[200];
	uint64_t n = 0;

	while (!atomic_load_explicit(&w->race->stop, memory_order_relaxed)) {
		size_t len = 1 + n % sizeof(name);

		memset(name, 'a' + (int)(n % 26), len);
		topk_note(t, span_make(name, len), n * 0x9e3779b97f4a7c15ull, 1);
		if (++n % 4096 == 0) {
			topk_decay(t);
			atomic_store_explicit(&w->race->noted[w->which], n, memory_order_relaxed);
		}
	}
	return NULL;
}

static void
a_reader_beside_the_writers_never_sees_a_torn_name(void **state)
{
	struct race race = {.stop = false};
	struct writer writers[2];
	pthread_t threads[2];
	struct topk_row *rows = calloc(64, sizeof(*rows));
	uint64_t seen = 0;

	for (size_t i = 0; i < 2; i++) {
		race.t[i] = topk_create(4, 2, SEED + i);
		writers[i] = (struct writer){&race, i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_names, &writers[i]), 0);
	}
	while (atomic_load(&race.noted[0]) < 200000 || atomic_load(&race.noted[1]) < 200000 || seen == 0) {
		size_t n = topk_top(race.t, 2, rows, 64, NULL);

		for (size_t i = 0; i < n; i++) {
			assert_true(rows[i].len >= 1 && rows[i].len <= 200 && rows[i].error <= rows[i].count);
			for (size_t j = 1; j < rows[i].len; j++)
				assert_int_equal(rows[i].name[j], rows[i].name[0]);
		}
		seen += n;
	}
	atomic_store(&race.stop, true);
	for (size_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		topk_destroy(&race.t[i]);
	}
	free(rows);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(few_names_are_counted_exactly),
	    cmocka_unit_test(sketches_of_several_threads_are_added_up),
	    cmocka_unit_test(names_of_one_hash_are_not_mixed_up),
	    cmocka_unit_test(names_of_every_length_are_kept_whole_and_longer_ones_cut),
	    cmocka_unit_test(decay_halves_and_forgets),
	    cmocka_unit_test(a_sample_of_nothing_notes_nothing),
	    cmocka_unit_test(a_stream_of_names_that_come_once_washes_nobody_out),
	    cmocka_unit_test(the_hottest_keys_of_a_zipf_stream_are_found),
	    cmocka_unit_test(a_cycle_of_requests_does_not_hide_keys),
	    cmocka_unit_test(a_reader_beside_the_writers_never_sees_a_torn_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
