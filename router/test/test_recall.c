#include "router/recall.h"

#include "router/test/fixture.h"

/* One partition, and what the router remembers. */
struct place {
	struct fixture *f;
	struct router_setup setup;
	struct recall *recall;
};

static struct routing_users
users_of(struct place *p)
{
	return (struct routing_users){&p->f->d, 1};
}

static struct topology *
parse(struct fixture *f, const char *log, const char *cursors)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct topology *t;

	buf_printf(
	    &text,
	    "{log: {%s}, clusters: [{name: test, %s servers: [\"cache-a:11211\", \"cache-b:11211\"]}]}", log,
	    cursors);
	if (topology_parse(&t, buf_span(&text), "test", &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	buf_fini(&text);
	return t;
}

/* The router begins. */
static void
begin(struct place *p, struct fixture *f)
{
	struct err_detail why = {0};
	struct buf log = BUF_INIT;

	*p = (struct place){.f = f};
	buf_printf(&log, "path: \"%s\"", f->log_path);
	p->setup.topology = parse(f, buf_str(&log), "");
	p->setup.cluster = &p->setup.topology->clusters[0];
	p->setup.instance = "one";
	p->setup.clock = clock_system();
	if (recall_open(&p->recall, &p->setup, &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	f->idle = true;
	start(f);
	recall_tell(p->recall, f->d);
	recall_own(p->recall);
	delivery_connect(f->d, NULL);
	buf_fini(&log);
}

/* It ends in order; or, as kill -9 does it, a copy of the file is what stays. */
static void
end(struct place *p, bool crash)
{
	struct routing_users users = users_of(p);
	struct buf command = BUF_INIT, path = BUF_INIT;

	recall_path(p->setup.topology, p->setup.cluster, "one", &path);
	if (crash) {
		buf_printf(&command, "cp %s %s.kept", buf_str(&path), buf_str(&path));
		assert_int_equal(system(buf_str(&command)), 0);
	} else {
		recall_look(p->recall, &users);
		delivery_save(p->f->d);
	}
	stop(p->f);
	recall_close(&p->recall);
	if (crash) {
		buf_clear(&command);
		buf_printf(&command, "mv %s.kept %s", buf_str(&path), buf_str(&path));
		assert_int_equal(system(buf_str(&command)), 0);
	}
	topology_destroy(&p->setup.topology);
	buf_fini(&command);
	buf_fini(&path);
}

static void
look(struct place *p)
{
	struct routing_users users = users_of(p);

	recall_look(p->recall, &users);
}

static void
assert_path(struct fixture *f, const char *log, const char *cursors, const char *wanted)
{
	struct topology *t = parse(f, log, cursors);
	struct buf path = BUF_INIT;

	recall_path(t, &t->clusters[0], "host/a b", &path);
	assert_string_equal(buf_str(&path), wanted);
	buf_fini(&path);
	topology_destroy(&t);
}

static void
each_instance_has_a_file_of_its_own_beside_the_cursors(void **state)
{
	static const char kafka[] = "type: kafka, topic: t, brokers: \"h:9092\", state: /v/state";
	struct fixture *f = *state;

	start(f);
	assert_path(f, "path: /v/log", "", "/v/log.test.cursors.memory");
	assert_path(f, "path: /v/log", "cursors: /v/c,", "/v/c.memory");
	assert_path(f, kafka, "cursors: /v/c,", "/v/c.host_a_b.memory");
	assert_path(f, kafka, "", "");
}

/* A partition that moves here, or a server that is new, is paused like the others. */
static void
a_pause_is_told_to_deliveries_that_come_later(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct routing_users users;
	const char *name;
	struct place p;

	begin(&p, f);
	users = users_of(&p);
	name = server_name(delivery_server(f->d, 0));
	assert_int_equal(recall_pause(p.recall, name, true, &users, &why), ERR_OK);
	assert_true(delivery_lane(f->d, 0)->paused);
	assert_false(delivery_lane(f->d, 1)->paused);
	stop(f);
	start(f);
	recall_tell(p.recall, f->d);
	assert_true(delivery_lane(f->d, 0)->paused);
	assert_false(delivery_lane(f->d, 1)->paused);
	end(&p, true);
	/* And over a crash. */
	begin(&p, f);
	users = users_of(&p);
	assert_true(delivery_lane(f->d, 0)->paused);
	append_numbered(f, 0, 50);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == 51);
	assert_int_equal(f->peers[0].ndeleted, 0);
	/* Another route with the same servers changes nothing. */
	recall_changed(p.recall, f->route, &users);
	assert_true(delivery_lane(f->d, 0)->paused);
	assert_int_equal(recall_pause(p.recall, NULL, false, &users, &why), ERR_OK);
	WAIT_FOR(f->loop, all_acked(f, 51));
	assert_all_deleted(f, 0, 50);
	end(&p, false);
	start(f);
}

/* What another process held must be gone before it is the one that is known. */
static void
another_process_is_known_once_its_flush_is_acknowledged(void **state)
{
	struct fixture *f = *state;
	struct place p;

	f->peers[0].pid = f->peers[1].pid = 100;
	f->peers[0].uptime_s = f->peers[1].uptime_s = 5000;
	begin(&p, f);
	append_numbered(f, 0, 10);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 11 && saved_cursor(f, 1) == 11);
	look(&p);
	end(&p, true);
	/* While it is down another one takes the place of one of them. */
	f->peers[0].pid = 200;
	f->peers[0].uptime_s = 9000;
	f->peers[0].no_flush = true;
	for (int i = 0; i < 2; i++) {
		begin(&p, f);
		WAIT_FOR(f->loop, server_is_up(delivery_server(f->d, 0)) &&
				      metric_get(&delivery_lane_metrics(f->d, 0)->router_in_gap) == 1);
		assert_int_equal(server_identity(delivery_server(f->d, 0))->changed, SERVER_OTHER);
		/* A crash before the flush: it is met again. */
		look(&p);
		end(&p, true);
	}
	f->peers[0].no_flush = false;
	begin(&p, f);
	WAIT_FOR(f->loop, f->peers[0].nflushes == 1);
	WAIT_FOR(f->loop, all_acked(f, 11));
	look(&p);
	end(&p, true);
	/* From now on it is the one. */
	begin(&p, f);
	append_numbered(f, 10, 20);
	WAIT_FOR(f->loop, all_acked(f, 21));
	assert_int_equal(server_identity(delivery_server(f->d, 0))->changed, SERVER_SAME);
	assert_int_equal(f->peers[0].nflushes, 1);
	assert_int_equal(f->peers[1].nflushes, 0);
	end(&p, false);
	start(f);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(each_instance_has_a_file_of_its_own_beside_the_cursors),
	    TEST(a_pause_is_told_to_deliveries_that_come_later),
	    TEST(another_process_is_known_once_its_flush_is_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
