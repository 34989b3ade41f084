/* What changes under a delivery: partitions, servers, the route, and who says pause. */
#include "router/test/fixture.h"

static struct outbox *
outbox_of(struct fixture *f, size_t s)
{
	return server_outbox(delivery_server(f->d, s));
}

static void
an_empty_partition_costs_no_connection_until_its_first_record(void **state)
{
	struct fixture *f = *state;

	f->idle = true;
	start(f);
	WAIT_FOR(f->loop, delivery_log(f->d).id != NULL);
	/* It looks at the log once a second: by then it would have. */
	WAIT_FOR(f->loop, metric_get(&delivery_metrics(f->d)->router_log_end) == 1);
	assert_string_equal(server_state(delivery_server(f->d, 0)), "away");
	assert_int_equal(f->peers[0].nconnections + f->peers[1].nconnections, 0);
	append_numbered(f, 0, 20);
	WAIT_FOR(f->loop, all_acked(f, 21));
	assert_all_deleted(f, 0, 20);
	stop(f);
	/* One that holds records is worth a connection, also when all of them are delivered. */
	f->peers[0].nconnections = 0;
	start(f);
	WAIT_FOR(f->loop, f->peers[0].nconnections > 0);
}

static void
labels_tell_partitions_apart_where_there_are_several(void **state)
{
	struct fixture *f = *state;
	struct buf out = BUF_INIT;

	f->registry = metric_registry_create();
	f->partition = 3;
	f->partitions = 1;
	start(f);
	metric_registry_render(f->registry, &out);
	assert_null(strstr(buf_str(&out), "partition="));
	delivery_partitions(f->d, 4);
	buf_clear(&out);
	metric_registry_render(f->registry, &out);
	assert_non_null(strstr(buf_str(&out), "squeal_router_records_total{partition=\"3\"} 0\n"));
	assert_non_null(
	    strstr(buf_str(&out), "squeal_router_gaps_total{server=\"cache-a:11211\",partition=\"3\"} 0\n"));
	assert_non_null(
	    strstr(buf_str(&out), "squeal_router_server_up{server=\"cache-b:11211\",partition=\"3\"} 0\n"));
	delivery_destroy(&f->d);
	buf_clear(&out);
	metric_registry_render(f->registry, &out);
	assert_null(strstr(buf_str(&out), "router_records"));
	buf_fini(&out);
	metric_registry_destroy(&f->registry);
}

/* Two partitions in one loop, each with a log, cursors and connections of its own. */
static void
a_partition_that_goes_saves_its_cursors_and_the_other_one_goes_on(void **state)
{
	struct fixture *a = *state;
	struct fixture b = *a;
	struct err_detail why = {0};

	snprintf(b.log_path, sizeof(b.log_path), "%s/log-b", a->dir);
	snprintf(b.cursor_path, sizeof(b.cursor_path), "%s/cursors-b", a->dir);
	b.log_opt.path = b.log_path;
	memset(b.peers, 0, sizeof(b.peers));
	for (size_t i = 0; i < NPEERS; i++) {
		peer_start(&b.peers[i], b.loop);
		snprintf(b.connect[i], sizeof(b.connect[i]), "127.0.0.1:%u", b.peers[i].port);
		b.servers[i].connect = b.connect[i];
	}
	b.topology = test_topology(b.servers, NPEERS, "ketama", "default");
	assert_int_equal(route_create(&b.route, &b.topology->clusters[0], NULL, 0, &why), ERR_OK);
	open_writer(&b);
	/* Nobody saves but who is told to. */
	a->opt.cursor_interval = b.opt.cursor_interval = 3600000;
	start(a);
	start(&b);
	append(a, "a:1");
	append(&b, "b:1");
	WAIT_FOR(a->loop, all_acked(a, 2) && all_acked(&b, 2));
	/* One that does not answer holds up nobody. */
	a->peers[0].silent = true;
	append(a, key_on(a, 0, "a"));
	delivery_save(a->d);
	delivery_destroy(&a->d);
	append(&b, "b:2");
	WAIT_FOR(a->loop, all_acked(&b, 3));
	cursor_close(&a->cursors);
	start(a);
	assert_int_equal(saved_cursor(a, 0), 2);
	assert_int_equal(saved_cursor(a, 1), 2);
	assert_int_equal(saved_cursor(&b, 0), 0);
	stop(&b);
	broker_writer_close(&b.writer);
	route_destroy(&b.route);
	topology_destroy(&b.topology);
	for (size_t i = 0; i < NPEERS; i++)
		peer_fini(&b.peers[i]);
}

static void
a_paused_server_falls_behind_alone_and_catches_up(void **state)
{
	struct fixture *f = *state;
	size_t before;

	start(f);
	append_numbered(f, 0, 10);
	WAIT_FOR(f->loop, all_acked(f, 11));
	before = f->peers[0].ndeleted;
	assert_false(delivery_pause(f->d, "nobody:1", true));
	assert_true(delivery_pause(f->d, "cache-a:11211", true));
	append_numbered(f, 10, MANY);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 1);
	assert_int_equal(f->peers[0].ndeleted, before);
	assert_true(delivery_acked(f->d, 0) < 40);
	assert_true(outbox_bytes(outbox_of(f, 0)) < f->opt.queue_bytes + 200);
	assert_int_equal(metric_get(&delivery_lane_metrics(f->d, 0)->router_paused), 1);
	assert_true(delivery_pause(f->d, "cache-a:11211", false));
	WAIT_FOR(f->loop, all_acked(f, MANY + 1));
	assert_all_deleted(f, 0, MANY);
	assert_int_equal(f->peers[0].ndeleted + f->peers[1].ndeleted, MANY);
}

static void
draining_does_not_wait_for_a_paused_server(void **state)
{
	struct fixture *f = *state;

	start(f);
	WAIT_FOR(f->loop, server_is_up(delivery_server(f->d, 0)) && server_is_up(delivery_server(f->d, 1)));
	delivery_pause(f->d, NULL, true);
	append_numbered(f, 0, 30);
	WAIT_FOR(f->loop, outbox_bytes(outbox_of(f, 0)) > 0 && outbox_bytes(outbox_of(f, 1)) > 0);
	delivery_drain(f->d, note_drained, f);
	WAIT_FOR(f->loop, f->drained);
	assert_int_equal(f->peers[0].ndeleted + f->peers[1].ndeleted, 0);
}

static void
one_that_is_behind_takes_no_more_than_catch_up_rate_and_the_live_feed_all_it_wants(void **state)
{
	struct fixture *f = *state;
	uint64_t begin, keys;

	f->opt.catch_up_rate = 2000;
	start(f);
	WAIT_FOR(f->loop, server_is_up(delivery_server(f->d, 0)) && server_is_up(delivery_server(f->d, 1)));
	peer_stop(&f->peers[0]);
	WAIT_FOR(f->loop, !server_is_up(delivery_server(f->d, 0)));
	append_numbered(f, 0, MANY);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 1);
	begin = clock_mono_ms(clock_system());
	peer_start(&f->peers[0], f->loop);
	WAIT_FOR(f->loop, f->peers[0].ndeleted > 100);
	append(f, key_on(f, 1, "live"));
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 2);
	assert_true(delivery_acked(f->d, 0) < MANY);
	WAIT_FOR(f->loop, all_acked(f, MANY + 2));
	keys = f->peers[0].ndeleted;
	assert_true(keys > MANY / 4);
	/* The last queueful is no longer behind. */
	assert_true(clock_mono_ms(clock_system()) - begin >= (keys * 1000 / 2000) / 2);
}

static void
how_far_behind_is_said_in_seconds_too(void **state)
{
	struct fixture *f = *state;

	start(f);
	append_numbered(f, 0, 10);
	WAIT_FOR(f->loop, all_acked(f, 11));
	assert_int_equal(metric_get(&delivery_lane_metrics(f->d, 0)->router_behind_seconds), 0);
	delivery_pause(f->d, "cache-a:11211", true);
	append(f, key_on(f, 0, "waits"));
	WAIT_FOR(f->loop, metric_get(&delivery_lane_metrics(f->d, 0)->router_behind_seconds) >= 1);
	assert_int_equal(metric_get(&delivery_lane_metrics(f->d, 0)->router_behind), 1);
	assert_int_equal(metric_get(&delivery_lane_metrics(f->d, 1)->router_behind_seconds), 0);
	delivery_pause(f->d, NULL, false);
	WAIT_FOR(f->loop, metric_get(&delivery_lane_metrics(f->d, 0)->router_behind_seconds) == 0);
}

/* --- servers that change ----------------------------------------------------------------------------------
 */

static void
a_cache_is_told_that_it_has_caught_up_with_this_part_of_the_log(void **state)
{
	struct fixture *f = *state;

	f->peers[0].version = "1.6.45 squeal-cache/1 holdoff epoch parts";
	f->peers[1].version = "1.6.45 squeal-cache/1 holdoff epoch"; /* knows no parts: cannot be told */
	f->partitions = 3;
	append_numbered(f, 0, MANY);
	start(f);
	WAIT_FOR(f->loop, f->peers[0].ndeleted > 0);
	assert_int_equal(f->peers[0].told.len, 0);
	WAIT_FOR(f->loop, f->peers[0].told.len > 0);
	assert_int_equal(f->peers[0].ndeleted + f->peers[1].ndeleted, MANY);
	assert_string_equal(buf_str(&f->peers[0].told), "caughtup 0/3;");
	/* A new connection is told anew, when all of it has come. */
	peer_stop(&f->peers[0]);
	append_numbered(f, MANY, MANY + 10);
	peer_start(&f->peers[0], f->loop);
	WAIT_FOR(f->loop, f->peers[0].told.len > 14);
	assert_string_equal(buf_str(&f->peers[0].told), "caughtup 0/3;caughtup 0/3;");
	assert_int_equal(f->peers[0].ndeleted + f->peers[1].ndeleted, MANY + 10);
	assert_int_equal(f->peers[1].told.len, 0);
}

static void
where_another_server_answers_it_is_flushed_and_the_cursor_waits_for_that(void **state)
{
	struct fixture *f = *state;

	f->peers[0].pid = f->peers[1].pid = 100;
	f->peers[0].uptime_s = f->peers[1].uptime_s = 5000;
	start(f);
	append_numbered(f, 0, 10);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 11 && saved_cursor(f, 1) == 11);
	/* The network breaks: the same server, nothing to flush. */
	peer_hang_up(&f->peers[0]);
	append_numbered(f, 10, 20);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 21 && saved_cursor(f, 1) == 21);
	assert_int_equal(f->peers[0].nflushes, 0);
	/* Another one, which ran already while the former was there, answers; but no flush for now. */
	f->peers[0].pid = 200;
	f->peers[0].uptime_s = 9000;
	f->peers[0].no_flush = true;
	peer_hang_up(&f->peers[0]);
	for (int i = 0; i < 10; i++)
		append(f, key_on(f, 0, "a"));
	WAIT_FOR(f->loop, metric_get(&delivery_lane_metrics(f->d, 0)->router_in_gap) == 1);
	WAIT_FOR(f->loop, saved_cursor(f, 1) == 31);
	assert_int_equal(saved_cursor(f, 0), 21);
	f->peers[0].no_flush = false;
	WAIT_FOR(f->loop, all_acked(f, 31));
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 31);
	assert_int_equal(f->peers[0].nflushes, 1);
	assert_int_equal(f->peers[1].nflushes, 0);
	assert_all_deleted(f, 0, 20);
	assert_true(peer_saw(&f->peers[0], key_on(f, 0, "a")));
}

static void
a_server_that_was_restarted_keeps_its_cursor_and_is_not_flushed(void **state)
{
	struct fixture *f = *state;

	f->peers[0].pid = f->peers[1].pid = 100;
	f->peers[0].uptime_s = f->peers[1].uptime_s = 5000;
	start(f);
	append_numbered(f, 0, 10);
	WAIT_FOR(f->loop, all_acked(f, 11));
	/* To the microsecond: that is what a squeal-cache says. */
	f->peers[0].pid = 101;
	f->peers[0].version = "1.6.45 squeal-cache/1 holdoff epoch parts";
	f->peers[0].age_us = 1;
	peer_hang_up(&f->peers[0]);
	append_numbered(f, 10, 20);
	WAIT_FOR(f->loop, all_acked(f, 21));
	assert_int_equal(server_identity(delivery_server(f->d, 0))->changed, SERVER_RESTARTED);
	assert_int_equal(f->peers[0].nflushes, 0);
	assert_all_deleted(f, 0, 20);
}

/* --- the route --------------------------------------------------------------------------------------------
 */

/* Takes the route of these servers. */
static void
take_route(struct fixture *f, const struct server_options *servers, size_t n, const bool *anew)
{
	struct topology *t = test_topology(servers, n, "ketama", "default");
	struct route *fresh, *former = f->route;
	struct err_detail why = {0};

	assert_int_equal(route_create(&fresh, &t->clusters[0], NULL, 0, &why), ERR_OK);
	if (delivery_stage(f->d, fresh, anew, &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	delivery_commit(f->d);
	f->route = fresh;
	route_destroy(&former);
	topology_destroy(&f->topology);
	f->topology = t;
	f->cluster = &t->clusters[0];
}

static bool
has_cursor(struct fixture *f, const char *server)
{
	struct cursor c = {.server = server};
	struct err_detail why = {0};
	bool found;

	assert_int_equal(cursor_load(f->cursors, &c, &found, &why), ERR_OK);
	return found;
}

static void
a_server_that_leaves_goes_with_its_cursor_and_one_that_comes_gets_the_whole_log(void **state)
{
	struct fixture *f = *state;
	size_t before;

	start(f);
	append_numbered(f, 0, 100);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 101 && saved_cursor(f, 1) == 101);
	before = f->peers[0].ndeleted;
	take_route(f, &f->servers[0], 1, NULL);
	assert_int_equal(delivery_nservers(f->d), 1);
	assert_false(has_cursor(f, "cache-b:11211"));
	assert_true(has_cursor(f, "cache-a:11211"));
	append_numbered(f, 100, 150);
	WAIT_FOR(f->loop, delivery_acked(f->d, 0) == 151);
	/* All keys are its own now; it was neither disturbed nor given anything twice. */
	assert_int_equal(f->peers[0].ndeleted, before + 50);
	assert_int_equal(f->peers[0].nconnections, 1);
	before = f->peers[1].ndeleted;
	take_route(f, f->servers, 2, NULL);
	WAIT_FOR(f->loop, all_acked(f, 151));
	assert_int_equal(f->peers[1].nflushes, 0);
	assert_true(f->peers[1].ndeleted > before);
	append_numbered(f, 150, 200);
	WAIT_FOR(f->loop, all_acked(f, 201));
	assert_int_equal(f->peers[0].nconnections, 1);
	for (int i = 150; i < 200; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key:%d", i);
		assert_true(peer_saw(&f->peers[server_of(f, span_of(key))], key));
	}
}

static void
a_server_that_was_out_is_flushed_before_anything_counts(void **state)
{
	struct fixture *f = *state;
	bool anew[NPEERS] = {false, true};

	start(f);
	append_numbered(f, 0, 100);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 101 && saved_cursor(f, 1) == 101);
	take_route(f, &f->servers[0], 1, NULL);
	f->peers[1].no_flush = true;
	take_route(f, f->servers, 2, anew);
	append_numbered(f, 100, 110);
	WAIT_FOR(f->loop, delivery_acked(f->d, 0) == 111);
	WAIT_FOR(f->loop, server_is_up(delivery_server(f->d, 1)));
	assert_true(lane_in_gap(delivery_lane(f->d, 1)));
	assert_false(has_cursor(f, "cache-b:11211"));
	f->peers[1].no_flush = false;
	WAIT_FOR(f->loop, all_acked(f, 111));
	assert_int_equal(f->peers[1].nflushes, 1);
	assert_int_equal(f->peers[0].nflushes, 0);
	WAIT_FOR(f->loop, saved_cursor(f, 1) == 111);
}

static void
the_same_name_at_another_address_is_flushed_and_goes_on_there(void **state)
{
	struct fixture *f = *state;
	struct server_options moved[NPEERS];
	struct peer third = {0};
	char connect[32];

	peer_start(&third, f->loop);
	snprintf(connect, sizeof(connect), "127.0.0.1:%u", third.port);
	memcpy(moved, f->servers, sizeof(moved));
	moved[1].connect = connect;
	start(f);
	append_numbered(f, 0, 50);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 51 && saved_cursor(f, 1) == 51);
	take_route(f, moved, 2, NULL);
	append(f, key_on(f, 1, "after"));
	WAIT_FOR(f->loop, all_acked(f, 52));
	assert_int_equal(third.nflushes, 1);
	assert_true(peer_saw(&third, key_on(f, 1, "after")));
	assert_false(peer_saw(&f->peers[1], key_on(f, 1, "after")));
	stop(f);
	peer_fini(&third);
	start(f);
}

static void
what_was_staged_and_abandoned_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct topology *t = test_topology(f->servers, 1, "ketama", "default");
	struct route *other;
	struct err_detail why = {0};

	start(f);
	append_numbered(f, 0, 10);
	WAIT_FOR(f->loop, all_acked(f, 11));
	assert_int_equal(route_create(&other, &t->clusters[0], NULL, 0, &why), ERR_OK);
	assert_int_equal(delivery_stage(f->d, other, NULL, &why), ERR_OK);
	delivery_abandon(f->d);
	route_destroy(&other);
	topology_destroy(&t);
	assert_int_equal(delivery_nservers(f->d), 2);
	append_numbered(f, 10, 20);
	WAIT_FOR(f->loop, all_acked(f, 21));
	assert_all_deleted(f, 0, 20);
	assert_int_equal(f->peers[0].nconnections, 1);
	assert_int_equal(f->peers[1].nconnections, 1);
}

/* The ring changes again and again while records come and a server is away: in the end every key was deleted
 * on the server that has it by the route of its time. */
static void
routes_that_change_under_load_lose_nothing(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (int round = 0; round < 6; round++) {
		int from = round * 200;

		take_route(f, f->servers, round % 2 == 0 ? 2 : 1, NULL);
		if (round == 2)
			peer_stop(&f->peers[0]);
		append_numbered(f, from, from + 200);
		if (round == 4)
			peer_start(&f->peers[0], f->loop);
		/* The only one that is left in round 3 is away. */
		if (round != 3)
			WAIT_FOR(f->loop, delivery_log(f->d).live == (uint64_t)from + 201);
	}
	take_route(f, f->servers, 2, NULL);
	WAIT_FOR(f->loop, all_acked(f, 1201));
	for (int i = 0; i < 1200; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key:%d", i);
		/* By the last route; a server that came back had the whole log. */
		if (server_of(f, span_of(key)) == 1 && !peer_saw(&f->peers[1], key))
			fail_msg("%s was never deleted on server 1", key);
		if (!peer_saw(&f->peers[0], key) && !peer_saw(&f->peers[1], key))
			fail_msg("%s was never deleted", key);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(an_empty_partition_costs_no_connection_until_its_first_record),
	    TEST(labels_tell_partitions_apart_where_there_are_several),
	    TEST(a_partition_that_goes_saves_its_cursors_and_the_other_one_goes_on),
	    TEST(a_paused_server_falls_behind_alone_and_catches_up),
	    TEST(draining_does_not_wait_for_a_paused_server),
	    TEST(one_that_is_behind_takes_no_more_than_catch_up_rate_and_the_live_feed_all_it_wants),
	    TEST(how_far_behind_is_said_in_seconds_too),
	    TEST(a_cache_is_told_that_it_has_caught_up_with_this_part_of_the_log),
	    TEST(where_another_server_answers_it_is_flushed_and_the_cursor_waits_for_that),
	    TEST(a_server_that_was_restarted_keeps_its_cursor_and_is_not_flushed),
	    TEST(a_server_that_leaves_goes_with_its_cursor_and_one_that_comes_gets_the_whole_log),
	    TEST(a_server_that_was_out_is_flushed_before_anything_counts),
	    TEST(the_same_name_at_another_address_is_flushed_and_goes_on_there),
	    TEST(what_was_staged_and_abandoned_changes_nothing),
	    TEST(routes_that_change_under_load_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
