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
	unsent_init(&f.u, 3);
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(was_there(&f, i));
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(was_there(&f, i));
	send(&f, 400, false);
	for (uint64_t i = 400; i < 1000; i++)
		assert_true(was_there(&f, i));
	for (uint64_t i = 0; i < 400; i++)
		assert_false(was_there(&f, i));
	unsent_clear(&f.u);
	assert_false(was_there(&f, 999));
	fini(&f);
}

static void
it_stays_as_small_as_what_waits(void **state)
{
	struct fixture f = {0};

	(void)state;
	unsent_init(&f.u, 3);
	for (uint64_t i = 0; i < 200000; i++) {
		assert_false(was_there(&f, i));
		if (i >= 100)
			send(&f, 1, i % 7 == 0);
	}
	assert_in_range(f.u.nslots, 200, 1024);
	for (uint64_t i = 199900; i < 200000; i++)
		assert_true(was_there(&f, i));
	fini(&f);
}

/* A position in the index is 40 bits: what is left of one from a round before must not seem to wait. */
static void
positions_beyond_40_bits_are_told_apart(void **state)
{
	struct fixture f = {.base = (1ull << 40) - 500, .from = (1ull << 40) - 500};

	(void)state;
	unsent_init(&f.u, 3);
	for (uint64_t i = 0; i < 100; i++)
		assert_false(was_there(&f, i));
	for (uint64_t i = 0; i < 100; i++)
		assert_true(was_there(&f, i));
	send(&f, 100, true);
	for (uint64_t i = 0; i < 100; i++)
		assert_false(was_there(&f, i));
	fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_are_found_until_they_are_sent),
	    cmocka_unit_test(it_stays_as_small_as_what_waits),
	    cmocka_unit_test(positions_beyond_40_bits_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
