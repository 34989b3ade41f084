#include "cache-server/cache/guard.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/test/test.h"

#define T(term, count) ((struct source_time){(count), (term)})
#define NOW	       1000000

/* One bucket, so that all keys are in it. */
static struct guard *
made(void)
{
	struct err_detail why = {0};
	struct guard *g;

	assert_int_equal(guard_create(&g, NULL, GUARD_MIN_BYTES, 0, false, NOW, &why), ERR_OK);
	assert_true(g->fresh);
	g->nbuckets = 1;
	assert_int_equal(source_intern(g->sources, SPAN_LIT("main")), 1);
	source_watermark(g->sources, 1, T(1, 10));
	return g;
}

static void
give(struct guard *g, uint64_t hash, uint64_t token, uint64_t now)
{
	struct guard_bucket *b = guard_lock(g, hash);

	guard_give(g, guard_take(g, b, hash, now), token, now);
	guard_unlock(b);
}

static bool
is_good(struct guard *g, uint64_t hash, uint64_t token)
{
	struct guard_bucket *b = guard_lock(g, hash);
	bool good = guard_is_good(g, guard_find(b, hash), token);

	guard_unlock(b);
	return good;
}

static bool
is_held(struct guard *g, uint64_t hash, uint64_t now)
{
	struct guard_bucket *b = guard_lock(g, hash);
	bool held = guard_is_held(g, b, guard_find(b, hash), now);

	guard_unlock(b);
	return held;
}

static void
hold(struct guard *g, uint64_t hash, uint64_t until)
{
	struct guard_bucket *b = guard_lock(g, hash);

	guard_hold(g, guard_take(g, b, hash, NOW), until);
	guard_unlock(b);
}

static void
invalidate(struct guard *g, uint64_t hash, uint32_t source, struct source_time h)
{
	struct guard_bucket *b = guard_lock(g, hash);

	guard_invalidate(g, b, guard_take(g, b, hash, NOW), source, h);
	guard_unlock(b);
}

static enum guard_fence
fence(struct guard *g, uint64_t hash, uint32_t source, struct source_time e)
{
	struct guard_bucket *b = guard_lock(g, hash);
	enum guard_fence f = guard_fence(g, b, guard_find(b, hash), source, e);

	guard_unlock(b);
	return f;
}

static void
a_token_is_good_for_its_key_until_voided(void **state)
{
	struct guard *g = made();
	struct guard_bucket *b;

	assert_false(guard_may_lease(g));
	give(g, 5, 4711, NOW);
	assert_true(guard_may_lease(g));
	assert_true(is_good(g, 5, 4711));
	assert_false(is_good(g, 5, 4712));
	assert_false(is_good(g, 6, 4711));
	b = guard_lock(g, 5);
	assert_true(guard_is_hot(g, guard_find(b, 5), NOW + 9999));
	assert_false(guard_is_hot(g, guard_find(b, 5), NOW + 10000));
	guard_void(g, guard_find(b, 5));
	guard_settle(g, b, guard_find(b, 5), NOW);
	assert_null(guard_find(b, 5));
	guard_unlock(b);
	assert_false(is_good(g, 5, 4711));
	/* 0 and 1 are never good, whatever a record says. */
	give(g, 5, 1, NOW);
	assert_false(is_good(g, 5, 1));
	assert_false(is_good(g, 5, 0));
	give(g, 7, 4711, NOW);
	guard_void_all(g);
	assert_false(is_good(g, 7, 4711));
	guard_destroy(&g);
}

static void
hash_zero_is_a_key_like_others(void **state)
{
	struct guard *g = made();

	hold(g, 0, NOW + 10);
	assert_true(is_held(g, 0, NOW));
	assert_false(is_held(g, 3, NOW));
	guard_destroy(&g);
}

static void
a_hold_off_is_prolonged_and_never_shortened(void **state)
{
	struct guard *g = made();

	assert_false(guard_may_hold(g, NOW));
	hold(g, 5, NOW + 500);
	hold(g, 5, NOW + 100);
	assert_true(guard_may_hold(g, NOW + 499));
	assert_true(is_held(g, 5, NOW + 499));
	assert_false(is_held(g, 5, NOW + 500));
	assert_false(guard_may_hold(g, NOW + 700));
	guard_destroy(&g);
}

static void
a_fill_must_be_newer_than_the_invalidation(void **state)
{
	struct guard *g = made();

	assert_int_equal(fence(g, 5, 1, T(1, 11)), GUARD_FINE);
	invalidate(g, 5, 1, T(1, 20));
	invalidate(g, 5, 1, T(1, 15));
	assert_int_equal(fence(g, 5, 1, T(1, 20)), GUARD_OLD);
	assert_int_equal(fence(g, 5, 1, T(1, 21)), GUARD_FINE);
	assert_int_equal(fence(g, 5, 1, T(2, 0)), GUARD_FINE);
	assert_int_equal(fence(g, 6, 1, T(1, 11)), GUARD_FINE);
	/* What cannot be compared is older. */
	assert_int_equal(source_intern(g->sources, SPAN_LIT("other")), 2);
	source_watermark(g->sources, 2, T(1, 1));
	assert_int_equal(fence(g, 5, 2, T(9, 9)), GUARD_OLD);
	assert_int_equal(fence(g, 6, 2, T(9, 9)), GUARD_FINE);
	invalidate(g, 5, 2, T(1, 3));
	assert_int_equal(fence(g, 5, 1, T(1, 99)), GUARD_OLD);
	assert_int_equal(fence(g, 5, 2, T(1, 99)), GUARD_OLD);
	guard_destroy(&g);
}

static void
overflow_raises_floors_and_forgets_nothing(void **state)
{
	struct guard *g = made();
	uint64_t i;

	for (i = 1; i <= 100; i++)
		invalidate(g, i, 1, T(1, 100 + i));
	for (i = 1; i <= 100; i++)
		if (fence(g, i, 1, T(1, 100 + i)) == GUARD_FINE)
			fail_msg("the invalidation of key %d is forgotten", (int)i);
	/* The oldest went, so what is newer than all of them is fine. */
	assert_int_equal(fence(g, 1, 1, T(1, 201)), GUARD_FINE);
	assert_int_equal(fence(g, 4000, 1, T(1, 192)), GUARD_BELOW);
	assert_int_equal(fence(g, 4000, 1, T(1, 193)), GUARD_FINE);
	assert_int_equal(atomic_load(&g->overflows), 92);
	guard_destroy(&g);
}

static void
more_sources_than_floors_raise_the_floor_everywhere(void **state)
{
	struct guard *g = made();
	char name[2] = "a";
	uint64_t i;
	uint32_t s;

	for (i = 0; i < 20; i++, name[0]++) {
		s = source_intern(g->sources, span_of(name));
		source_watermark(g->sources, s, T(1, 1));
		invalidate(g, 100 + i, s, T(1, 50 + i));
	}
	for (i = 0; i < 20; i++) {
		s = source_find(g->sources, span_make((char[1]){(char)('a' + i)}, 1));
		if (fence(g, 100 + i, s, T(1, 50 + i)) == GUARD_FINE)
			fail_msg("the invalidation by source %d is forgotten", (int)i);
		assert_int_equal(fence(g, 4000, s, T(1, 90)), GUARD_FINE);
	}
	guard_destroy(&g);
}

static void
hold_offs_that_must_go_hold_off_the_bucket(void **state)
{
	struct guard *g = made();
	uint64_t i;

	for (i = 1; i <= 20; i++)
		hold(g, i, NOW + 100 * i);
	for (i = 1; i <= 20; i++)
		assert_true(is_held(g, i, NOW + 100 * i - 1));
	assert_true(is_held(g, 999, NOW + 1199));
	assert_false(is_held(g, 999, NOW + 1200));
	guard_destroy(&g);
}

static void
leases_go_before_hold_offs_and_after_invalidations(void **state)
{
	struct guard *g = made();
	uint64_t i;

	for (i = 1; i <= 4; i++)
		hold(g, i, NOW + 5000);
	for (i = 11; i <= 12; i++)
		invalidate(g, i, 1, T(1, 20 + i));
	for (i = 21; i <= 24; i++)
		give(g, i, 1000 + i, NOW + i);
	for (i = 21; i <= 24; i++)
		assert_true(is_good(g, i, 1000 + i)); /* the invalidations went */
	assert_int_equal(fence(g, 99, 1, T(1, 32)), GUARD_BELOW);
	give(g, 25, 1025, NOW + 25);
	assert_false(is_good(g, 21, 1021));
	assert_true(is_good(g, 25, 1025));
	assert_false(is_held(g, 99, NOW));
	guard_destroy(&g);
}

static void
a_killed_process_leaves_all_but_leases(void **state)
{
	struct err_detail why = {0};
	struct guard *g;
	struct guard_bucket *b;
	void *region =
	    mmap(NULL, GUARD_MIN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(guard_create(&g, region, GUARD_MIN_BYTES, 0, true, NOW, &why), ERR_OK);
	assert_true(g->fresh);
	assert_int_equal(source_intern(g->sources, SPAN_LIT("main")), 1);
	source_watermark(g->sources, 1, T(1, 10));
	invalidate(g, 5, 1, T(1, 20));
	hold(g, 6, NOW + 5000);
	give(g, 7, 4711, NOW);
	b = guard_lock(g, 5); /* and never unlocked */
	assert_non_null(b);
	free(g);

	assert_int_equal(guard_create(&g, region, GUARD_MIN_BYTES, 0, true, NOW, &why), ERR_OK);
	assert_false(g->fresh);
	assert_int_equal(fence(g, 5, 1, T(1, 20)), GUARD_OLD);
	assert_int_equal(fence(g, 5, 1, T(1, 21)), GUARD_FINE);
	assert_true(guard_may_hold(g, NOW + 4999));
	assert_true(is_held(g, 6, NOW + 4999));
	assert_false(is_good(g, 7, 4711));
	guard_destroy(&g);

	/* One that is not believed begins anew, and refuses fills until a watermark comes. */
	assert_int_equal(guard_create(&g, region, GUARD_MIN_BYTES, 0, false, NOW, &why), ERR_OK);
	assert_true(g->fresh);
	assert_int_equal(source_find(g->sources, SPAN_LIT("main")), 0);
	guard_destroy(&g);
	munmap(region, GUARD_MIN_BYTES);
}

enum { KILLS = 40, KILL_KEYS = 200, SMALL = 24576 };

struct acknowledged { /* shared with the process that is killed */
	_Atomic uint64_t epoch[KILL_KEYS + 1], held[KILL_KEYS + 1], steps;
};

static void
work_until_killed(void *region, struct acknowledged *done, uint64_t rnd)
{
	struct err_detail why = {0};
	struct guard *g;
	uint64_t n = atomic_load(&done->steps) + 100;

	if (guard_create(&g, region, SMALL, 0, true, NOW, &why))
		_exit(1);
	for (;; n++) {
		uint64_t key;

		rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
		key = 1 + (rnd >> 33) % KILL_KEYS;
		if (rnd >> 63) {
			/* Of two terms, so that records and floors change in both words. */
			struct source_time h = T((uint32_t)(n >> 8), n & 0xFF);

			invalidate(g, key, 1, h);
			atomic_store(&done->epoch[key], n);
		} else {
			hold(g, key, NOW + n);
			atomic_store(&done->held[key], NOW + n);
		}
		atomic_store(&done->steps, n);
	}
}

static void
what_was_acknowledged_before_a_kill_holds_after_it(void **state)
{
	void *region = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct acknowledged *done =
	    mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct err_detail why = {0};
	struct guard *g;
	uint64_t key, before = 0;
	unsigned round;

	assert_int_equal(guard_create(&g, region, SMALL, 0, true, NOW, &why), ERR_OK);
	assert_int_equal(source_intern(g->sources, SPAN_LIT("main")), 1);
	source_watermark(g->sources, 1, T(0, 0));
	guard_destroy(&g);
	for (round = 0; round < KILLS; round++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			work_until_killed(region, done, round);
		/* It is somewhere in the middle of something when it has done a few thousand. */
		while (atomic_load(&done->steps) < before + 500 + round * 37) {
			assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
			sched_yield();
		}
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		before = atomic_load(&done->steps);
		assert_int_equal(guard_create(&g, region, SMALL, 0, true, NOW, &why), ERR_OK);
		assert_false(g->fresh);
		for (key = 1; key <= KILL_KEYS; key++) {
			uint64_t n = atomic_load(&done->epoch[key]), until = atomic_load(&done->held[key]);

			if (n && fence(g, key, 1, T((uint32_t)(n >> 8), n & 0xFF)) == GUARD_FINE)
				fail_msg("an invalidation is forgotten");
			if (until && (!is_held(g, key, until - 1) || !guard_may_hold(g, until - 1)))
				fail_msg("a hold-off is forgotten");
		}
		guard_destroy(&g);
	}
	munmap(region, SMALL);
	munmap(done, sizeof *done);
}

static void
the_sweep_takes_what_has_run_out(void **state)
{
	struct guard *g = made();
	struct guard_figures f;
	uint64_t cursor = 0;

	hold(g, 1, NOW + 100);
	give(g, 2, 99, NOW);
	invalidate(g, 3, 1, T(1, 20));
	guard_figures(g, NOW, &f);
	assert_int_equal(f.slots, GUARD_RECORDS);
	assert_int_equal(f.holdoffs, 1);
	assert_int_equal(f.leases, 1);
	assert_int_equal(f.epochs, 1);
	guard_sweep(g, &cursor, 10, NOW + 100000);
	guard_figures(g, NOW + 100000, &f);
	assert_int_equal(f.holdoffs, 0);
	assert_int_equal(f.leases, 0);
	assert_int_equal(f.epochs, 1);
	guard_destroy(&g);
}

static void
too_little_memory_is_an_error_that_says_so(void **state)
{
	struct err_detail why = {0};
	struct guard *g;

	assert_int_equal(guard_create(&g, NULL, 8192, 0, false, NOW, &why), ERR_CONFIG);
	assert_null(g);
	assert_non_null(strstr(why.text, "at least"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_token_is_good_for_its_key_until_voided),
	    cmocka_unit_test(hash_zero_is_a_key_like_others),
	    cmocka_unit_test(a_hold_off_is_prolonged_and_never_shortened),
	    cmocka_unit_test(a_fill_must_be_newer_than_the_invalidation),
	    cmocka_unit_test(overflow_raises_floors_and_forgets_nothing),
	    cmocka_unit_test(more_sources_than_floors_raise_the_floor_everywhere),
	    cmocka_unit_test(hold_offs_that_must_go_hold_off_the_bucket),
	    cmocka_unit_test(leases_go_before_hold_offs_and_after_invalidations),
	    cmocka_unit_test(a_killed_process_leaves_all_but_leases),
	    cmocka_unit_test(what_was_acknowledged_before_a_kill_holds_after_it),
	    cmocka_unit_test(the_sweep_takes_what_has_run_out),
	    cmocka_unit_test(too_little_memory_is_an_error_that_says_so),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
