#include "router/pace.h"

#include "router/test/fixture.h"

/* A second partition, as far as the pace is concerned; its servers are never connected. */
struct second {
	struct cursor_store *cursors;
	struct delivery *d;
};

static void
start_second(struct second *s, struct fixture *f)
{
	struct delivery_context ctx = {.loop = f->loop,
				       .log_opt = &f->log_opt,
				       .opt = &f->opt,
				       .route = f->route,
				       .turns = &f->turns,
				       .seed = 5};
	struct err_detail why = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s.second", f->cursor_path);
	assert_int_equal(cursor_open(&s->cursors, path, "test", &why), ERR_OK);
	ctx.cursors = s->cursors;
	assert_int_equal(delivery_create(&s->d, &ctx, &why), ERR_OK);
	delivery_pause(s->d, NULL, true);
	delivery_start(s->d);
}

static void
stop_second(struct second *s)
{
	delivery_destroy(&s->d);
	cursor_close(&s->cursors);
}

/* Milliseconds that server 0 takes for what it has missed, when it shares its rate with others. */
static uint64_t
catch_up_ms(struct fixture *f, unsigned sharers, int from, int to)
{
	uint64_t begin;

	delivery_pause(f->d, "cache-a:11211", true);
	append_numbered(f, from, to);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == (uint64_t)to + 1);
	WAIT_FOR(f->loop, delivery_lane(f->d, 0)->behind);
	delivery_sharers(f->d, 0, sharers);
	begin = clock_mono_ms(clock_system());
	delivery_pause(f->d, "cache-a:11211", false);
	WAIT_FOR(f->loop, all_acked(f, (uint64_t)to + 1));
	return clock_mono_ms(clock_system()) - begin;
}

/* However slow the machine is, it is not faster than the rate. */
static void
a_share_of_the_rate_is_slower(void **state)
{
	struct fixture *f = *state;
	uint64_t shared;

	f->opt.catch_up_rate = 4000;
	start(f);
	shared = catch_up_ms(f, 4, 0, MANY);
	assert_true(shared > 1000); /* 370 without */
}

static void
those_that_are_behind_share_the_rate_of_their_server(void **state)
{
	struct fixture *f = *state;
	struct delivery *deliveries[2];
	const struct routing_users users = {deliveries, 2};
	struct second s;

	f->opt.catch_up_rate = 2000;
	start(f);
	start_second(&s, f);
	deliveries[0] = f->d;
	deliveries[1] = s.d;
	delivery_pause(f->d, "cache-a:11211", true);
	append_numbered(f, 0, MANY);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 1);
	WAIT_FOR(f->loop, delivery_lane(f->d, 0)->behind && delivery_lane(s.d, 0)->behind);
	pace_share(&users);
	/* Server 0 is behind in both, server 1 in one: it was not held back there. */
	assert_int_equal(delivery_lane(f->d, 0)->sharers, 2);
	assert_int_equal(delivery_lane(s.d, 0)->sharers, 2);
	assert_false(delivery_lane(f->d, 1)->behind);
	assert_int_equal(delivery_lane(f->d, 1)->sharers, delivery_lane(s.d, 1)->behind);
	delivery_pause(f->d, "cache-a:11211", false);
	WAIT_FOR(f->loop, all_acked(f, MANY + 1));
	WAIT_FOR(f->loop, !delivery_lane(f->d, 0)->behind);
	pace_share(&users);
	assert_int_equal(delivery_lane(s.d, 0)->sharers, 1);
	stop_second(&s);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_share_of_the_rate_is_slower),
	    TEST(those_that_are_behind_share_the_rate_of_their_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
