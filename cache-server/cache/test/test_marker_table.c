#include "cache-server/cache/marker_table.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache-server/cache/marker.h"
#include "lib/core/test/test.h"

enum { BYTES = 64 * 1024 };
#define NAME(text) ((struct marker_name){span_of(text), 77})

static struct marker_table *
open_table(void *region, bool trust)
{
	struct err_detail why = {0};
	struct marker_table *m;

	assert_int_equal(marker_table_create(&m, region, BYTES, trust, &why), ERR_OK);
	return m;
}

static unsigned
count(struct marker_table *m, const char *key, uint32_t now)
{
	uint64_t expired = 0;

	return marker_table_list(m, NAME(key), NULL, now, &expired);
}

static void
tokens_of_keys_with_the_same_hash_do_not_mix(void **state)
{
	void *region = calloc(1, BYTES);
	struct marker_table *m = open_table(region, false);
	struct buf text = BUF_INIT;
	uint64_t x = 0;

	assert_int_equal(marker_table_put(m, NAME("a"), SPAN_LIT("1"), 0, 5, &x), MARKER_ADDED);
	assert_int_equal(marker_table_put(m, NAME("a"), SPAN_LIT("2"), 0, 5, &x), MARKER_ADDED);
	assert_int_equal(marker_table_put(m, NAME("b"), SPAN_LIT("1"), 0, 5, &x), MARKER_ADDED);
	assert_int_equal(marker_table_put(m, NAME("a"), SPAN_LIT("1"), 0, 5, &x), MARKER_RENEWED);
	assert_true(marker_table_take(m, NAME("a"), SPAN_LIT("1"), 5, &x));
	assert_false(marker_table_take(m, NAME("a"), SPAN_LIT("1"), 5, &x));
	assert_int_equal(count(m, "a", 5), 1);
	assert_int_equal(count(m, "b", 5), 1);
	assert_int_equal(marker_table_list(m, NAME("a"), &text, 5, &x), 1);
	assert_true(span_is(buf_span(&text), "2"));
	assert_int_equal(marker_table_take_all(m, NAME("a"), 5, &x), 1);
	assert_int_equal(x, 0);
	buf_fini(&text);
	marker_table_destroy(&m);
	free(region);
}

static void
each_token_has_a_time_of_its_own(void **state)
{
	void *region = calloc(1, BYTES);
	struct marker_table *m = open_table(region, false);
	uint64_t x = 0;

	marker_table_put(m, NAME("a"), SPAN_LIT("1"), 10, 5, &x);
	marker_table_put(m, NAME("a"), SPAN_LIT("2"), 20, 5, &x);
	marker_table_put(m, NAME("a"), SPAN_LIT("2"), 15, 5, &x); /* not shortened */
	assert_int_equal(count(m, "a", 9), 2);
	assert_int_equal(count(m, "a", 19), 1);
	assert_int_equal(marker_table_sweep(m, 20), 1);
	assert_int_equal(count(m, "a", 20), 0);
	marker_table_destroy(&m);
	free(region);
}

static void
a_full_table_refuses_and_evicts_nothing(void **state)
{
	void *region = calloc(1, BYTES);
	struct marker_table *m = open_table(region, false);
	uint64_t x = 0, keys, tokens;
	char key[16];
	unsigned n = 0, i;

	for (;; n++) {
		snprintf(key, sizeof key, "k%u", n);
		if (marker_table_put(m, (struct marker_name){span_of(key), n}, SPAN_LIT("t"), 0, 5, &x) ==
		    MARKER_FULL)
			break;
	}
	assert_true(n > 500);
	for (i = 0; i < n; i++) {
		snprintf(key, sizeof key, "k%u", i);
		assert_int_equal(marker_table_list(m, (struct marker_name){span_of(key), i}, NULL, 5, &x), 1);
	}
	marker_table_count(m, &keys, &tokens);
	assert_int_equal(keys, n);
	assert_int_equal(tokens, n);
	assert_true(marker_table_take(m, (struct marker_name){SPAN_LIT("k3"), 3}, SPAN_LIT("t"), 5, &x));
	assert_int_equal(marker_table_put(m, NAME("more"), SPAN_LIT("t"), 0, 5, &x), MARKER_ADDED);
	assert_int_equal(marker_table_clear(m), n);
	marker_table_count(m, &keys, &tokens);
	assert_int_equal(keys + tokens, 0);
	marker_table_destroy(&m);
	free(region);
}

static void
a_key_has_so_many_tokens_and_no_more(void **state)
{
	void *region = calloc(1, 1 << 20);
	struct err_detail why = {0};
	struct marker_table *m;
	uint64_t x = 0;
	char token[16];
	unsigned i;

	assert_int_equal(marker_table_create(&m, region, 1 << 20, false, &why), ERR_OK);
	for (i = 0; i < MARKER_MAX_TOKENS; i++) {
		snprintf(token, sizeof token, "t%u", i);
		assert_int_equal(marker_table_put(m, NAME("a"), span_of(token), 0, 5, &x), MARKER_ADDED);
	}
	assert_int_equal(marker_table_put(m, NAME("a"), SPAN_LIT("x"), 0, 5, &x), MARKER_TOO_MANY);
	assert_int_equal(count(m, "a", 5), MARKER_MAX_TOKENS);
	marker_table_destroy(&m);
	free(region);
}

static void
a_killed_process_leaves_its_markers(void **state)
{
	void *region = calloc(1, BYTES);
	struct marker_table *m = open_table(region, true);
	uint64_t x = 0, keys, tokens;
	char key[16];
	unsigned i;

	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "k%u", i);
		marker_table_put(m, (struct marker_name){span_of(key), i}, SPAN_LIT("t"), 0, 5, &x);
	}
	marker_table_destroy(&m); /* leaves the region as it is */
	m = open_table(region, true);
	marker_table_count(m, &keys, &tokens);
	assert_int_equal(tokens, 100);
	assert_true(marker_table_take(m, (struct marker_name){SPAN_LIT("k7"), 7}, SPAN_LIT("t"), 5, &x));
	marker_table_destroy(&m);
	m = open_table(region, false);
	marker_table_count(m, &keys, &tokens);
	assert_int_equal(tokens, 0);
	marker_table_destroy(&m);
	free(region);
}

struct acknowledged {		   /* shared with the process that is killed */
	_Atomic uint32_t has[100]; /* bit 0: there; bit 1: changing */
	_Atomic uint64_t steps;
};

static void
work_until_killed(void *region, struct acknowledged *done, uint64_t rnd)
{
	struct err_detail why = {0};
	struct marker_table *m;
	uint64_t x = 0;

	if (marker_table_create(&m, region, BYTES, true, &why))
		_exit(1);
	for (;;) {
		char token[16];
		unsigned n;

		rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
		n = (unsigned)((rnd >> 33) % 100);
		snprintf(token, sizeof token, "t%u", n);
		atomic_fetch_or(&done->has[n], 2);
		if (rnd >> 63) {
			if (marker_table_put(m, (struct marker_name){SPAN_LIT("k"), n % 3}, span_of(token), 0,
					     5, &x) > MARKER_RENEWED)
				_exit(1);
			atomic_store(&done->has[n], 1);
		} else {
			marker_table_take(m, (struct marker_name){SPAN_LIT("k"), n % 3}, span_of(token), 5,
					  &x);
			atomic_store(&done->has[n], 0);
		}
		atomic_fetch_add(&done->steps, 1);
	}
}

static void
what_was_acknowledged_before_a_kill_holds_after_it(void **state)
{
	void *region = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct acknowledged *done =
	    mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned round, i;

	for (round = 0; round < 40; round++) {
		uint64_t before = atomic_load(&done->steps), x = 0;
		struct marker_table *m;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			work_until_killed(region, done, round);
		while (atomic_load(&done->steps) < before + 500 + round * 37) {
			assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
			sched_yield();
		}
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		m = open_table(region, true);
		for (i = 0; i < 100; i++) {
			struct marker_name name = {SPAN_LIT("k"), i % 3};
			char token[16];
			bool there;

			snprintf(token, sizeof token, "t%u", i);
			there = marker_table_take(m, name, span_of(token), 5, &x);
			if (!(atomic_load(&done->has[i]) & 2) && there != (atomic_load(&done->has[i]) == 1))
				fail_msg("token %u is %s", i, there ? "back" : "lost");
			atomic_store(&done->has[i], 0);
		}
		assert_int_equal(marker_table_clear(m), 0);
		marker_table_destroy(&m);
	}
	munmap(region, BYTES);
	munmap(done, sizeof *done);
}

static void
damage_is_cut_off_and_does_no_harm(void **state)
{
	unsigned round, i;

	for (round = 0; round < 200; round++) {
		unsigned char *region = calloc(1, BYTES);
		struct marker_table *m = open_table(region, true);
		uint64_t x = 0, keys, tokens;
		char key[16];

		for (i = 0; i < 200; i++) {
			snprintf(key, sizeof key, "k%u", i);
			marker_table_put(m, (struct marker_name){span_of(key), i % 40}, SPAN_LIT("t"), 0, 5,
					 &x);
		}
		marker_table_destroy(&m);
		srand(round);
		for (i = 0; i < 50; i++)
			region[4096 + rand() % (BYTES - 4096)] = (unsigned char)rand();
		m = open_table(region, true);
		for (i = 0; i < 1000; i++) {
			snprintf(key, sizeof key, "k%u", i);
			marker_table_put(m, (struct marker_name){span_of(key), i % 40}, SPAN_LIT("t"), 0, 5,
					 &x);
			marker_table_take(m, (struct marker_name){span_of(key), i % 40}, SPAN_LIT("t"), 5,
					  &x);
		}
		marker_table_count(m, &keys, &tokens);
		assert_true(keys <= tokens);
		marker_table_destroy(&m);
		free(region);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tokens_of_keys_with_the_same_hash_do_not_mix),
	    cmocka_unit_test(each_token_has_a_time_of_its_own),
	    cmocka_unit_test(a_full_table_refuses_and_evicts_nothing),
	    cmocka_unit_test(a_key_has_so_many_tokens_and_no_more),
	    cmocka_unit_test(a_killed_process_leaves_its_markers),
	    cmocka_unit_test(what_was_acknowledged_before_a_kill_holds_after_it),
	    cmocka_unit_test(damage_is_cut_off_and_does_no_harm),
	};

	return cmocka_run_group_tests_name("marker_table", tests, NULL, NULL);
}
