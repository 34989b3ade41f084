#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/deliver/entry.h"
#include "lib/deliver/unsent.h"

struct fixture {
	struct buf queue;
	uint64_t base, from;
	struct unsent u;
};

static struct span
name(char room[24], uint64_t i)
{
	return span_make(room, (size_t)snprintf(room, 24, "key:%llu", (unsigned long long)i));
}

static char *
find(struct fixture *f, struct span key)
{
	struct unsent_queue q = {&f->queue, f->base, f->from};

	return unsent_find(&f->u, &q, key);
}

/* Finds the key, or puts it at the queue's end. */
static bool
was_there(struct fixture *f, uint64_t i)
{
	char room[24];
	struct span key = name(room, i);
	struct entry_key e = {.kind = ENTRY_KEY, .len = (uint8_t)key.len, .offset = i};
	char *found = find(f, key);

	if (found != NULL) {
		ENTRY_LOAD(entry_key, there, found);
		assert_int_equal(there.offset, i);
		return true;
	}
	unsent_add(&f->u, f->base + f->queue.len);
	buf_put(&f->queue, &e, sizeof(e));
	buf_put_span(&f->queue, key);
	return false;
}

/* The first n entries that wait were sent; the queue forgets them now or later. */
static void
send(struct fixture *f, size_t n, bool forget)
{
	while (n-- > 0)
		f->from += entry_bytes(f->queue.p + (f->from - f->base));
	if (forget) {
		buf_take(&f->queue, (size_t)(f->from - f->base));
		f->base = f->from;
	}
}

static void
fini(struct fixture *f)
{
	buf_fini(&f->queue);
	unsent_fini(&f->u);
}

static void
keys_are_found_until_they_are_sent(void **state)
{
	struct fixture f = {.base = 1000, .from = 1000};

	(void)state;
	unsent_init(&f.u, 3, 4096);
	for (uint64_t i = 0; i < 500; i++)
		assert_false(was_there(&f, i));
	for (uint64_t i = 0; i < 500; i++)
		assert_true(was_there(&f, i));
	send(&f, 400, false);
	for (uint64_t i = 400; i < 500; i++)
		assert_true(was_there(&f, i));
	for (uint64_t i = 0; i < 400; i++)
		assert_false(was_there(&f, i));
	send(&f, 300, true);
	for (uint64_t i = 300; i < 400; i++)
		assert_true(was_there(&f, i));
	f.base = f.from = 0;
	buf_clear(&f.queue);
	unsent_clear(&f.u);
	assert_false(was_there(&f, 399));
	fini(&f);
}

static void
the_keys_that_came_last_are_found_however_many_wait(void **state)
{
	struct fixture f = {0};
	size_t missed = 0;

	(void)state;
	unsent_init(&f.u, 3, 4096);
	for (uint64_t i = 0; i < 100000; i++)
		assert_false(was_there(&f, i));
	for (uint64_t i = 99000; i < 100000; i++) {
		char room[24];

		missed += find(&f, name(room, i)) == NULL;
	}
	assert_in_range(missed, 0, 10);
	fini(&f);
}

static void
a_hot_key_among_many_is_put_in_now_and_then(void **state)
{
	struct fixture f = {0};
	size_t puts = 0;

	(void)state;
	unsent_init(&f.u, 3, 4096);
	for (uint64_t i = 1; i < 100000; i++) {
		assert_false(was_there(&f, i));
		puts += !was_there(&f, 0);
	}
	assert_in_range(puts, 1, 60);
	fini(&f);
}

/* A position in the index is 40 bits: what is left of one from a round before must not seem to wait. */
static void
positions_beyond_40_bits_are_told_apart(void **state)
{
	struct fixture f = {.base = (1ull << 40) - 500, .from = (1ull << 40) - 500};

	(void)state;
	unsent_init(&f.u, 3, 4096);
	for (uint64_t i = 0; i < 100; i++)
		assert_false(was_there(&f, i));
	for (uint64_t i = 0; i < 100; i++)
		assert_true(was_there(&f, i));
	send(&f, 100, true);
	for (uint64_t i = 0; i < 100; i++)
		assert_false(was_there(&f, i));
	fini(&f);
}

static void
old_positions_are_taken_out_after_as_many_puts_as_there_are_slots(void **state)
{
	struct fixture f = {0};
	size_t taken = 0;

	(void)state;
	unsent_init(&f.u, 3, 64);
	for (uint64_t i = 0; i < 64; i++) {
		assert_false(was_there(&f, i));
		send(&f, 1, true);
	}
	assert_false(was_there(&f, 64));
	for (size_t i = 0; i < 64; i++)
		taken += f.u.slots[i] != 0;
	assert_int_equal(taken, 1);
	fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_are_found_until_they_are_sent),
	    cmocka_unit_test(the_keys_that_came_last_are_found_however_many_wait),
	    cmocka_unit_test(a_hot_key_among_many_is_put_in_now_and_then),
	    cmocka_unit_test(positions_beyond_40_bits_are_told_apart),
	    cmocka_unit_test(old_positions_are_taken_out_after_as_many_puts_as_there_are_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
