#include "squeal/pause.h"

#include <pthread.h>
#include <time.h>

#include "lib/core/clock.h"
#include "lib/core/test/test.h"

static void
a_pause_lasts_as_long_as_it_was_told(void **state)
{
	const _Atomic bool stop = false;
	uint64_t began = clock_mono_ms(clock_system());

	pause_ms(&stop, 60);
	assert_true(clock_mono_ms(clock_system()) - began >= 60);
}

static void
a_pause_that_is_not_wanted_does_not_begin(void **state)
{
	const _Atomic bool stop = true;
	uint64_t began = clock_mono_ms(clock_system());

	pause_ms(&stop, 3600000);
	assert_true(clock_mono_ms(clock_system()) - began < 3600000);
}

static void *
set(void *arg)
{
	atomic_store((_Atomic bool *)arg, true);
	return NULL;
}

static void
another_thread_ends_a_pause(void **state)
{
	_Atomic bool stop = false;
	pthread_t thread;

	pthread_create(&thread, NULL, set, &stop);
	pause_ms(&stop, 3600000); /* the test would last an hour */
	pthread_join(thread, NULL);
	assert_true(stop);
}

static void
pauses_grow_to_their_limit(void **state)
{
	assert_int_equal(pause_longer(50, 1000), 100);
	assert_int_equal(pause_longer(800, 1000), 1000);
	assert_int_equal(pause_longer(1000, 1000), 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_pause_lasts_as_long_as_it_was_told),
	    cmocka_unit_test(a_pause_that_is_not_wanted_does_not_begin),
	    cmocka_unit_test(another_thread_ends_a_pause),
	    cmocka_unit_test(pauses_grow_to_their_limit),
	};

	return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
