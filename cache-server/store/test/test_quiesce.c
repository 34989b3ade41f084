#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cache-server/store/quiesce.h"

static void
what_was_unlinked_is_waited_for_until_every_thread_has_ticked_or_gone(void **state)
{
	struct quiesce *q;
	struct quiesce_thread *a, *b;
	uint64_t stamp;

	(void)state;
	assert_int_equal(quiesce_create(&q, NULL), ERR_OK);
	a = quiesce_join(q);
	b = quiesce_join(q);
	stamp = quiesce_stamp(q);
	assert_true(quiesce_passed(q, stamp)); /* both are offline */

	quiesce_online(q, a);
	quiesce_online(q, b);
	assert_true(quiesce_passed(q, stamp)); /* came after it */
	stamp = quiesce_stamp(q);
	assert_false(quiesce_passed(q, stamp));
	quiesce_tick(q, a);
	assert_false(quiesce_passed(q, stamp));
	quiesce_tick(q, b);
	assert_true(quiesce_passed(q, stamp));

	stamp = quiesce_stamp(q);
	quiesce_offline(a);
	assert_false(quiesce_passed(q, stamp));
	quiesce_leave(q, &b);
	assert_null(b);
	assert_true(quiesce_passed(q, stamp));
	quiesce_leave(q, &a);
	quiesce_destroy(&q);
}

static void
a_place_is_given_to_each_of_the_most_threads_and_to_the_next_after_one_left(void **state)
{
	struct quiesce_thread *t[QUIESCE_MAX_THREADS];
	struct quiesce *q;

	(void)state;
	assert_int_equal(quiesce_create(&q, NULL), ERR_OK);
	for (unsigned i = 0; i < QUIESCE_MAX_THREADS; i++)
		assert_non_null(t[i] = quiesce_join(q));
	assert_null(quiesce_join(q));
	quiesce_leave(q, &t[7]);
	assert_non_null(quiesce_join(q));
	quiesce_destroy(&q);
}

/* Readers look at a number behind a pointer while another thread replaces, waits, spoils and frees it. */
struct scene {
	struct quiesce *q;
	_Atomic(uint64_t *) shown;
	atomic_bool stop;
	_Atomic uint64_t bad, looks;
};

enum { GOOD = 0x600D };

static void *
reader(void *arg)
{
	struct scene *s = arg;
	struct quiesce_thread *t = quiesce_join(s->q);

	for (unsigned i = 0; !atomic_load(&s->stop); i++) {
		quiesce_online(s->q, t);
		for (unsigned j = 0; j < 8; j++) {
			uint64_t *p = atomic_load_explicit(&s->shown, memory_order_acquire);

			if (*p != GOOD || *p != GOOD)
				atomic_fetch_add(&s->bad, 1);
			if (j % 3 == i % 3)
				quiesce_tick(s->q, t);
		}
		quiesce_offline(t);
		atomic_fetch_add(&s->looks, 1);
	}
	quiesce_leave(s->q, &t);
	return NULL;
}

static void
memory_that_has_passed_is_not_seen_by_any_reader(void **state)
{
	struct scene s = {0};
	pthread_t threads[3];
	unsigned changes = 0;

	(void)state;
	assert_int_equal(quiesce_create(&s.q, NULL), ERR_OK);
	uint64_t *first = malloc(sizeof *first);
	*first = GOOD;
	atomic_store(&s.shown, first);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &s), 0);

	while (changes < 2000 || atomic_load(&s.looks) < 2000) {
		uint64_t *fresh = malloc(sizeof *fresh), *old, stamp;

		*fresh = GOOD;
		old = atomic_exchange_explicit(&s.shown, fresh, memory_order_release);
		stamp = quiesce_stamp(s.q);
		while (!quiesce_passed(s.q, stamp))
			sched_yield();
		*old = 0xBAD;
		free(old);
		changes++;
	}
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&s.bad), 0);
	free(atomic_load(&s.shown));
	quiesce_destroy(&s.q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_unlinked_is_waited_for_until_every_thread_has_ticked_or_gone),
	    cmocka_unit_test(a_place_is_given_to_each_of_the_most_threads_and_to_the_next_after_one_left),
	    cmocka_unit_test(memory_that_has_passed_is_not_seen_by_any_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
