#include "lib/core/clock.h"

#include "lib/core/test/test.h"

static void
the_fake_clock_stands_still_until_it_is_moved(void **state)
{
	struct clock_fake f;
	uint64_t ms, us;

	clock_fake_init(&f);
	ms = clock_mono_ms(&f.clock);
	us = clock_real_us(&f.clock);
	assert_int_equal(clock_mono_ms(&f.clock), ms);
	clock_fake_advance_ms(&f, 250);
	assert_int_equal(clock_mono_ms(&f.clock), ms + 250);
	assert_int_equal(clock_real_us(&f.clock), us + 250000);
}

static void
the_system_clock_never_goes_back(void **state)
{
	uint64_t before = clock_mono_ns(clock_system());

	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_mono_ns(clock_system());

		assert_true(now >= before);
		before = now;
	}
	assert_true(clock_real_us(clock_system()) > UINT64_C(1700000000000000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_fake_clock_stands_still_until_it_is_moved),
	    cmocka_unit_test(the_system_clock_never_goes_back),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
