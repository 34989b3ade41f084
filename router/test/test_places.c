#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/places.h"

enum { MOST = 40 };

struct fixture {
	struct loop *loop;
	struct router_options opt;
	struct server_options servers[MOST];
	char names[MOST][16];
	struct lane lane[MOST];
	struct lane *lanes[MOST];
	struct places places;
	uint64_t now_ms;
};

static void
on_progress(void *arg, struct server *s)
{
	(void)arg;
	(void)s;
}

/* Servers that are never started: where they stand is the test's to say. */
static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	assert_int_equal(loop_create(&f->loop, clock_system(), &why), ERR_OK);
	for (size_t i = 0; i < MOST; i++) {
		struct server_context ctx = {
		    .loop = f->loop, .opt = &f->opt, .seed = 1, .on_progress = on_progress};

		snprintf(f->names[i], sizeof(f->names[i]), "h%zu", i);
		f->servers[i] = (struct server_options){
		    .host = f->names[i], .port = 1, .weight = 1, .connect = (char *)""};
		lane_init(&f->lane[i], server_create(&f->servers[i], &ctx), &f->opt, NULL);
		f->lanes[i] = &f->lane[i];
	}
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	places_fini(&f->places);
	for (size_t i = 0; i < MOST; i++)
		lane_fini(&f->lane[i]);
	loop_destroy(&f->loop);
	free(f);
	return 0;
}

static void
put(struct fixture *f, const uint64_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		f->lane[i].next_read = at[i];
	places_set(&f->places, f->lanes, n);
}

#define PUT(f, ...) put(f, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

/* How often each lane's place is read in `turns` turns. */
static void
count(struct fixture *f, size_t turns, size_t *served)
{
	memset(served, 0, MOST * sizeof(served[0]));
	for (size_t i = 0; i < turns; i++) {
		struct lane *lane = places_behind(&f->places, places_live(&f->places), ++f->now_ms);

		if (lane != NULL)
			served[lane - f->lane]++;
	}
}

static void
without_anybody_behind_nothing_is_read_but_the_live_feed(void **state)
{
	struct fixture *f = *state;

	places_set(&f->places, f->lanes, 0);
	assert_int_equal(places_live(&f->places), 0);
	assert_null(places_behind(&f->places, 0, 1));
	PUT(f, 50, 50, 50);
	assert_int_equal(places_live(&f->places), 50);
	assert_null(places_behind(&f->places, 50, 1));
	assert_true(places_choose(&f->places, 50, 50, false));
	assert_true(f->places.takes[0] && f->places.takes[1] && f->places.takes[2]);
}

static void
those_without_room_are_waited_for_by_nobody(void **state)
{
	struct fixture *f = *state;
	size_t served[MOST];

	PUT(f, 10, 20, 9000);
	f->lane[0].full = true;
	count(f, 10, served);
	assert_int_equal(served[0], 0);
	assert_int_equal(served[1], 10);
	f->lane[1].full = true;
	assert_null(places_behind(&f->places, 9000, 5000));
	f->lane[2].full = true;
	assert_false(places_choose(&f->places, 9000, 9000, false));
}

static void
those_that_are_near_wait_for_the_hindmost_and_the_far_ones_do_not(void **state)
{
	struct fixture *f = *state;
	size_t served[MOST];

	PUT(f, 10 + PLACES_NEAR, 10, 5, 100000);
	count(f, 30, served);
	assert_int_equal(served[1], 0);
	assert_int_equal(served[2], 15);
	/* More than PLACES_NEAR before the hindmost. */
	assert_int_equal(served[0], 15);
	assert_int_equal(served[3], 0);
}

static void
however_many_places_there_are_the_first_and_the_last_take_turns(void **state)
{
	struct fixture *f = *state;
	uint64_t at[MOST];
	size_t served[MOST];

	for (size_t i = 0; i < MOST; i++)
		at[i] = 1 + (MOST - i) * 10 * PLACES_NEAR;
	put(f, at, MOST);
	count(f, 400, served);
	assert_int_equal(served[0], 0); /* live */
	for (size_t i = 1; i < MOST; i++)
		assert_int_equal(served[i], i == 1 || i == MOST - 1 ? 200 : 0);
	/* Both have enough: somebody else gets something, and they keep their places. */
	f->lane[1].full = f->lane[MOST - 1].full = true;
	count(f, 10, served);
	assert_int_equal(served[2], 10);
	f->lane[1].full = f->lane[MOST - 1].full = false;
	count(f, 10, served);
	assert_int_equal(served[1], 5);
	assert_int_equal(served[MOST - 1], 5);
}

static void
a_server_that_takes_nothing_for_long_loses_its_place(void **state)
{
	struct fixture *f = *state;
	size_t served[MOST];

	PUT(f, 10, 20000, 40000, 60000, 900000);
	count(f, 10, served);
	assert_int_equal(served[0], 5);
	assert_int_equal(served[3], 5);
	f->lane[0].full = true;
	f->now_ms += PLACES_HOLD_MS;
	count(f, 10, served);
	assert_int_equal(served[1], 5);
	assert_int_equal(served[3], 5);
}

static void
a_place_whose_records_have_not_arrived_is_left_alone_until_they_have(void **state)
{
	struct fixture *f = *state;

	PUT(f, 10, 20000);
	f->lane[0].dry = true;
	assert_null(places_behind(&f->places, 20000, 1));
	/* Nor does one that is near ask elsewhere for what is on its way. */
	PUT(f, 10, 20000, 20);
	assert_null(places_behind(&f->places, 20000, 1));
	places_arrived(&f->places);
	assert_ptr_equal(places_behind(&f->places, 20000, 1), &f->lane[0]);
}

/* Puts all lanes at random places and reads until everybody is at the live feed; returns the records read.
 * Every other lane is slow, if any are: it has no room most of the time. */
static uint64_t
come_together(struct fixture *f, bool slow, uint64_t live)
{
	uint64_t at[MOST], reads = 0;

	srand(11);
	for (size_t i = 0; i < MOST; i++)
		at[i] = i == 0 ? live : 1 + (uint64_t)rand() % live;
	put(f, at, MOST);
	for (size_t turns = 0;; turns++) {
		struct lane *head;
		uint64_t from;
		bool done = true;

		for (size_t i = 0; i < MOST; i++) {
			done &= f->lane[i].next_read == live;
			f->lane[i].full = slow && i % 2 == 1 && rand() % 4 != 0;
		}
		if (done)
			return reads;
		assert_true(turns < 200000);
		head = places_behind(&f->places, live, ++f->now_ms);
		if (head == NULL)
			continue;
		from = head->next_read;
		assert_true(from < live);
		for (size_t i = 0; i < 64 && from < live && places_choose(&f->places, from, from, false);
		     i++, from++) {
			reads++;
			for (size_t k = 0; k < MOST; k++)
				f->lane[k].next_read += f->places.takes[k];
		}
	}
}

static void
all_of_them_come_to_the_live_feed_and_share_readings(void **state)
{
	struct fixture *f = *state;
	uint64_t live = 50000, one_by_one = 0;

	/* One reading serves them all, but for what the ones nearest to the live feed read ahead of the rest.
	 */
	assert_true(come_together(f, false, live) < 4 * live);
	for (size_t i = 1; i < MOST; i++)
		one_by_one += live / 2;
	assert_true(come_together(f, true, live) < one_by_one * 3 / 4);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(without_anybody_behind_nothing_is_read_but_the_live_feed),
	    TEST(those_without_room_are_waited_for_by_nobody),
	    TEST(those_that_are_near_wait_for_the_hindmost_and_the_far_ones_do_not),
	    TEST(however_many_places_there_are_the_first_and_the_last_take_turns),
	    TEST(a_server_that_takes_nothing_for_long_loses_its_place),
	    TEST(a_place_whose_records_have_not_arrived_is_left_alone_until_they_have),
	    TEST(all_of_them_come_to_the_live_feed_and_share_readings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
