#include "lib/broker/test/fixture.h"

#include <poll.h>

#include "lib/broker/wake.h"

static bool
readable(struct wake *w)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void
a_ring_is_heard_once_by_everybody_who_waits(void **state)
{
	struct fixture *f = *state;
	struct wake a = WAKE_INIT, b = WAKE_INIT;

	assert_ok(f, wake_ring(f->path, &f->why));
	assert_ok(f, wake_open(&a, f->path, &f->why));
	assert_ok(f, wake_open(&b, f->path, &f->why));
	assert_false(readable(&a));
	assert_ok(f, wake_ring(f->path, &f->why));
	assert_true(readable(&a));
	assert_true(readable(&b));
	wake_clear(&a);
	assert_false(readable(&a));
	assert_true(readable(&b));
	wake_close(&a);
	wake_close(&a);
	wake_close(&b);
}

static void
who_waits_before_the_file_is_there_finds_it_later(void **state)
{
	struct fixture *f = *state;
	struct wake w = WAKE_INIT;

	assert_ok(f, wake_open(&w, f->path, &f->why));
	assert_int_equal(w.watch, -1);
	assert_ok(f, wake_ring(f->path, &f->why));
	wake_heal(&w);
	assert_false(readable(&w));
	assert_ok(f, wake_ring(f->path, &f->why));
	assert_true(readable(&w));
	wake_close(&w);
}

static void
giving_up_a_removed_file_is_not_a_ring_for_ever(void **state)
{
	struct fixture *f = *state;
	struct wake w = WAKE_INIT;

	assert_ok(f, wake_ring(f->path, &f->why));
	assert_ok(f, wake_open(&w, f->path, &f->why));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(unlink(f->path), 0);
		assert_ok(f, wake_ring(f->path, &f->why));
		assert_true(readable(&w));
		for (unsigned n = 0; n < 3 && readable(&w); n++)
			wake_clear(&w);
		assert_false(readable(&w));
		assert_ok(f, wake_ring(f->path, &f->why));
		assert_true(readable(&w));
		wake_clear(&w);
	}
	wake_close(&w);
}

static void
a_ring_that_cannot_be_made_says_so(void **state)
{
	struct fixture *f = *state;

	assert_err(f, wake_ring("build/no/such/folder/x", &f->why), ERR_SYS, "once a second");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(a_ring_is_heard_once_by_everybody_who_waits),
	    fixture_test(who_waits_before_the_file_is_there_finds_it_later),
	    fixture_test(giving_up_a_removed_file_is_not_a_ring_for_ever),
	    fixture_test(a_ring_that_cannot_be_made_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
