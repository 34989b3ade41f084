#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "cache-server/store/index.h"

struct fixture {
	struct quiesce *q;
	struct quiesce_thread *self;
	struct index *ix;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_int_equal(quiesce_create(&f->q, NULL), ERR_OK);
	f->self = quiesce_join(f->q);
	quiesce_online(f->q, f->self);
	assert_int_equal(index_create(&f->ix, 0, f->q, NULL), ERR_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	index_destroy(&f->ix);
	quiesce_leave(f->q, &f->self);
	quiesce_destroy(&f->q);
	free(f);
	return 0;
}

/* Spreads numbers over all 64 bits. */
static uint64_t
hash_of(uint64_t n)
{
	n += 0x9E3779B97F4A7C15ull;
	n = (n ^ n >> 30) * 0xBF58476D1CE4E5B9ull;
	n = (n ^ n >> 27) * 0x94D049BB133111EBull;
	return n ^ n >> 31;
}

static uint64_t
place_of(uint64_t n)
{
	return index_place(1, 0) + n;
}

static bool
has(const struct index *ix, uint64_t hash, uint64_t place)
{
	struct index_cursor c = {0};
	uint64_t found;

	while (index_next(ix, hash, &c, &found))
		if (found == place)
			return true;
	return false;
}

static unsigned
count(const struct index *ix, uint64_t hash)
{
	struct index_cursor c = {0};
	uint64_t found;
	unsigned n = 0;

	while (index_next(ix, hash, &c, &found))
		n++;
	return n;
}

static void
insert(struct index *ix, uint64_t hash, uint64_t place)
{
	assert_true(index_reserve(ix));
	index_lock(ix, hash);
	index_insert(ix, hash, place);
	index_unlock(ix, hash);
}

static bool
remove_one(struct index *ix, uint64_t hash, uint64_t place)
{
	bool was;

	index_lock(ix, hash);
	was = index_remove(ix, hash, place);
	index_unlock(ix, hash);
	return was;
}

static void
grow_to_the_end(struct fixture *f, unsigned at_once)
{
	struct index_figures fig;

	do {
		while (index_grow(f->ix, at_once))
			quiesce_tick(f->q, f->self);
		quiesce_tick(f->q, f->self);
		index_figures(f->ix, &fig);
	} while (fig.growing || fig.items > fig.buckets * INDEX_LOAD);
}

static void
a_place_keeps_its_segment_and_offset(void **state)
{
	uint64_t p = index_place((1u << 23) - 1, (1u << 20) - 8);

	(void)state;
	assert_int_equal(p, INDEX_PLACE_MASK);
	assert_int_equal(index_place_segment(p), (1u << 23) - 1);
	assert_int_equal(index_place_offset(p), (1u << 20) - 8);
}

static void
what_was_inserted_is_found_replaced_and_removed(void **state)
{
	struct fixture *f = *state;
	uint64_t h = hash_of(1);

	assert_int_equal(count(f->ix, h), 0);
	insert(f->ix, h, 77);
	assert_true(has(f->ix, h, 77));
	assert_int_equal(count(f->ix, h ^ 1), 0);
	assert_int_equal(count(f->ix, h ^ 1ull << 12), 0);
	index_lock(f->ix, h);
	assert_false(index_replace(f->ix, h, 78, 79));
	assert_true(index_replace(f->ix, h, 77, 79));
	index_unlock(f->ix, h);
	assert_false(has(f->ix, h, 77));
	assert_true(has(f->ix, h, 79));
	assert_false(remove_one(f->ix, h, 77));
	assert_true(remove_one(f->ix, h, 79));
	assert_int_equal(count(f->ix, h), 0);
}

static void
an_empty_slot_fits_no_tag_and_the_largest_place_fits_its_own(void **state)
{
	struct fixture *f = *state;
	uint64_t all = 0xFFFFFFull << 12;

	assert_int_equal(count(f->ix, 0), 0);
	insert(f->ix, 0, INDEX_PLACE_MASK);
	insert(f->ix, all, INDEX_PLACE_MASK);
	assert_int_equal(count(f->ix, 0), 1);
	assert_int_equal(count(f->ix, all), 1);
	assert_int_equal(count(f->ix, all ^ 1ull << 35), 0);
}

static void
chains_of_many_of_one_hash_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct index_figures fig;
	uint64_t h = hash_of(2);

	for (unsigned round = 0; round < 20; round++) {
		for (uint64_t i = 1; i <= 1000; i++)
			insert(f->ix, h, i);
		assert_int_equal(count(f->ix, h), 1000);
		index_figures(f->ix, &fig);
		assert_int_equal(fig.items, 1000);
		assert_int_equal(fig.chained, (1000 + 6) / 7 - 1);
		for (uint64_t i = 1; i <= 1000; i++)
			assert_true(remove_one(f->ix, h, round % 2 ? i : 1001 - i));
		index_figures(f->ix, &fig);
		assert_int_equal(fig.items, 0);
		assert_int_equal(fig.chained, 0);
		quiesce_tick(f->q, f->self);
		index_grow(f->ix, 1);
	}
	assert_true(fig.bytes < 1 << 20); /* buckets of chains are used again */
}

static void
growing_from_12_to_16_bits_loses_and_invents_nothing(void **state)
{
	struct fixture *f = *state;
	struct index_figures fig;
	uint64_t n = 0;

	for (unsigned bits = 12; bits < 16; bits++) {
		for (; n <= (uint64_t)INDEX_LOAD << bits; n++)
			insert(f->ix, hash_of(n), place_of(n));
		/* In the middle of it some belong to the old table and some to the new one. */
		assert_true(index_grow(f->ix, 1u << (bits - 1)));
		index_figures(f->ix, &fig);
		assert_true(fig.growing);
		for (uint64_t i = 0; i < n; i++)
			assert_true(has(f->ix, hash_of(i), place_of(i)));
		for (uint64_t i = 0; i < 100; i++, n++)
			insert(f->ix, hash_of(n), place_of(n));
		grow_to_the_end(f, 100);
		index_figures(f->ix, &fig);
		assert_int_equal(fig.bits, bits + 1);
		assert_int_equal(fig.items, n);
		assert_int_equal(fig.grown, bits - 11);
	}
	for (uint64_t i = 0; i < n; i++) {
		assert_true(has(f->ix, hash_of(i), place_of(i)));
		/* The bits that the bucket's number took from the tag still tell keys apart. */
		for (unsigned bit = 12; bit < 16; bit++)
			assert_false(has(f->ix, hash_of(i) ^ 1ull << bit, place_of(i)));
		assert_true(remove_one(f->ix, hash_of(i), place_of(i)));
	}
	index_figures(f->ix, &fig);
	assert_int_equal(fig.items, 0);
}

static void
a_moved_bucket_does_not_show_what_was_removed_later(void **state)
{
	struct fixture *f = *state;
	uint64_t n = ((uint64_t)INDEX_LOAD << INDEX_MIN_BITS) + 1;

	for (uint64_t i = 0; i < n; i++)
		insert(f->ix, hash_of(i), place_of(i));
	assert_true(index_grow(f->ix, 4000));
	for (uint64_t i = 0; i < n; i++) {
		index_lock(f->ix, hash_of(i));
		if (i % 2)
			assert_true(index_remove(f->ix, hash_of(i), place_of(i)));
		else
			assert_true(index_replace(f->ix, hash_of(i), place_of(i), place_of(i + n)));
		index_unlock(f->ix, hash_of(i));
		assert_false(has(f->ix, hash_of(i), place_of(i)));
		assert_int_equal(has(f->ix, hash_of(i), place_of(i + n)), i % 2 == 0);
	}
}

static void
an_index_that_was_cleared_while_growing_is_empty_and_of_use(void **state)
{
	struct fixture *f = *state;
	struct index_figures fig;

	for (uint64_t i = 0; i < 30000; i++)
		insert(f->ix, hash_of(i), place_of(i));
	assert_true(index_grow(f->ix, 100));
	index_clear(f->ix);
	index_figures(f->ix, &fig);
	assert_int_equal(fig.items, 0);
	assert_int_equal(fig.chained, 0);
	for (uint64_t i = 0; i < 30000; i++)
		assert_int_equal(count(f->ix, hash_of(i)), 0);
	insert(f->ix, hash_of(5), 5);
	assert_true(has(f->ix, hash_of(5), 5));
}

/*
 * Constant keys are looked for all the time, others come and go, constant ones are replaced in between two
 * places, and the table doubles several times meanwhile.
 */
enum { CONSTANT = 2000, OTHERS = 80000, CHANGERS = 2 };

struct scene {
	struct fixture *f;
	atomic_bool stop;
	atomic_uint lost, wrong, rounds;
};

static void *
reader(void *arg)
{
	struct scene *s = arg;
	struct quiesce_thread *t = quiesce_join(s->f->q);

	while (!atomic_load(&s->stop)) {
		quiesce_online(s->f->q, t);
		for (uint64_t i = 0; i < CONSTANT; i++) {
			struct index_cursor c = {0};
			uint64_t p;
			bool found = false;

			while (index_next(s->f->ix, hash_of(i), &c, &p))
				found = found || p == place_of(i) || p == place_of(i + (1 << 20));
			if (!found)
				atomic_fetch_add(&s->lost, 1);
			if (i % 64 == 0)
				quiesce_tick(s->f->q, t);
		}
		quiesce_offline(t);
		atomic_fetch_add(&s->rounds, 1);
	}
	quiesce_leave(s->f->q, &t);
	return NULL;
}

struct changer {
	struct scene *scene;
	uint64_t from, n;
};

static void *
changer(void *arg)
{
	struct changer *c = arg;
	struct scene *s = c->scene;
	struct index *ix = s->f->ix;
	struct quiesce_thread *t = quiesce_join(s->f->q);

	quiesce_online(s->f->q, t);
	for (uint64_t i = 0; i < c->n; i++) {
		uint64_t key = c->from + i,
			 k = i % (CONSTANT / CHANGERS) * CHANGERS + c->from / OTHERS % CHANGERS;
		uint64_t h = hash_of(k), a = place_of(k), b = place_of(k + (1 << 20));

		if (!index_reserve(ix))
			abort();
		index_lock(ix, hash_of(key));
		index_insert(ix, hash_of(key), place_of(key));
		index_unlock(ix, hash_of(key));

		index_lock(ix, h);
		if (!index_replace(ix, h, a, b) && !index_replace(ix, h, b, a))
			atomic_fetch_add(&s->wrong, 1);
		index_unlock(ix, h);

		if (i % 4 == 3) {
			key -= 2;
			index_lock(ix, hash_of(key));
			if (!index_remove(ix, hash_of(key), place_of(key)))
				atomic_fetch_add(&s->wrong, 1);
			index_unlock(ix, hash_of(key));
			if (has(ix, hash_of(key), place_of(key)))
				atomic_fetch_add(&s->wrong, 1);
		}
		quiesce_tick(s->f->q, t);
	}
	quiesce_leave(s->f->q, &t);
	return NULL;
}

static void
what_is_there_all_the_time_is_found_while_the_table_doubles_under_changes(void **state)
{
	struct fixture *f = *state;
	struct scene s = {.f = f};
	struct changer change[CHANGERS];
	pthread_t readers[2], changers[CHANGERS];
	struct index_figures fig;
	uint64_t expect = CONSTANT + CHANGERS * (OTHERS - OTHERS / 4);

	for (uint64_t i = 0; i < CONSTANT; i++)
		insert(f->ix, hash_of(i), place_of(i));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader, &s), 0);
	for (unsigned i = 0; i < CHANGERS; i++) {
		change[i] = (struct changer){.scene = &s, .from = OTHERS * (2 + (uint64_t)i), .n = OTHERS};
		assert_int_equal(pthread_create(&changers[i], NULL, changer, &change[i]), 0);
	}
	do {
		index_grow(f->ix, 64);
		quiesce_tick(f->q, f->self);
		sched_yield();
		index_figures(f->ix, &fig);
	} while (fig.items < expect);
	for (unsigned i = 0; i < CHANGERS; i++)
		pthread_join(changers[i], NULL);
	grow_to_the_end(f, 64);
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);

	index_figures(f->ix, &fig);
	assert_int_equal(atomic_load(&s.lost), 0);
	assert_int_equal(atomic_load(&s.wrong), 0);
	assert_int_equal(fig.items, expect);
	assert_true(fig.grown >= 3);
	assert_true(atomic_load(&s.rounds) >= 2);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_place_keeps_its_segment_and_offset),
	    T(what_was_inserted_is_found_replaced_and_removed),
	    T(an_empty_slot_fits_no_tag_and_the_largest_place_fits_its_own),
	    T(chains_of_many_of_one_hash_come_and_go),
	    T(growing_from_12_to_16_bits_loses_and_invents_nothing),
	    T(a_moved_bucket_does_not_show_what_was_removed_later),
	    T(an_index_that_was_cleared_while_growing_is_empty_and_of_use),
	    T(what_is_there_all_the_time_is_found_while_the_table_doubles_under_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
