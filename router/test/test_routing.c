#include "router/routing.h"

#include <sys/stat.h>

#include "router/test/fixture.h"

/* Two partitions of the same log, as far as routing is concerned: both read all of it. */
struct pair {
	struct fixture *f;
	struct topology *topology;
	struct routing *routing;
	struct delivery *deliveries[2];
	struct cursor_store *cursors[2];
};

/* The first `n` servers; `auth` NULL: without a password. */
static struct topology *
parse(struct fixture *f, size_t n, const char *auth)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct topology *t;

	buf_printf(&text, "{log: {path: \"%s\"}, clusters: [{name: test, cursors: \"%s\"", f->log_path,
		   f->cursor_path);
	if (auth != NULL)
		buf_printf(&text, ", auth_file: \"%s\"", auth);
	buf_put_str(&text, ", servers: [");
	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "%s{host: %s, connect: \"%s\"}", i > 0 ? ", " : "", f->servers[i].host,
			   f->connect[i]);
	buf_put_str(&text, "]}]}");
	if (topology_parse(&t, buf_span(&text), "test", &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	buf_fini(&text);
	return t;
}

static struct routing_users
users_of(struct pair *p)
{
	return (struct routing_users){p->deliveries, 2};
}

static void
open_routing(struct pair *p, size_t n)
{
	struct err_detail why = {0};

	p->topology = parse(p->f, n, NULL);
	if (routing_open(&p->routing, p->topology, &p->topology->clusters[0], clock_system(), NULL, &why) !=
	    ERR_OK)
		fail_msg("%s", err_why(&why));
}

static void
open_pair(struct pair *p, struct fixture *f, size_t n)
{
	struct err_detail why = {0};
	char path[128];

	memset(p, 0, sizeof(*p));
	p->f = f;
	open_routing(p, n);
	for (size_t i = 0; i < 2; i++) {
		struct delivery_context ctx = {.loop = f->loop,
					       .log_opt = &f->log_opt,
					       .opt = &f->opt,
					       .partitions = 1,
					       .route = routing_route(p->routing),
					       .anew = routing_anew(p->routing),
					       .turns = &f->turns,
					       .seed = i};

		snprintf(path, sizeof(path), "%s.%zu", f->cursor_path, i);
		assert_int_equal(cursor_open(&p->cursors[i], path, "test", &why), ERR_OK);
		ctx.cursors = p->cursors[i];
		assert_int_equal(delivery_create(&p->deliveries[i], &ctx, &why), ERR_OK);
		delivery_start(p->deliveries[i]);
	}
	/* The peers have room for one connection each. */
	delivery_connect(p->deliveries[0], NULL);
	WAIT_FOR(f->loop,
		 delivery_log(p->deliveries[0]).id != NULL && delivery_log(p->deliveries[1]).id != NULL);
}

static void
close_pair(struct pair *p)
{
	for (size_t i = 0; i < 2; i++) {
		delivery_destroy(&p->deliveries[i]);
		cursor_close(&p->cursors[i]);
	}
	routing_close(&p->routing);
	topology_destroy(&p->topology);
}

/* As router.c does after a change. */
static void
keep(struct pair *p, struct topology *fresh)
{
	topology_destroy(&p->topology);
	p->topology = fresh;
}

static size_t
unsealed(const struct pair *p)
{
	size_t n;

	rings_before(routing_rings(p->routing), &n);
	return n;
}

static void
a_changed_ring_is_taken_by_everybody_and_the_former_one_is_kept_until_it_is_sealed(void **state)
{
	struct pair p;
	struct err_detail why = {0};
	struct topology *fresh;
	struct routing_users users;
	size_t sealed;

	open_pair(&p, *state, 2);
	users = users_of(&p);
	fresh = parse(p.f, 1, NULL);
	assert_int_equal(routing_change(p.routing, &fresh->clusters[0], &users, &why), ERR_OK);
	keep(&p, fresh);
	/* The other server is an owner by the former ring. */
	assert_int_equal(unsealed(&p), 1);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(delivery_nservers(p.deliveries[i]), 2);
	assert_int_equal(routing_seal(p.routing, &p.topology->clusters[0], &users, &sealed, &why), ERR_OK);
	assert_int_equal(sealed, 1);
	assert_int_equal(unsealed(&p), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(delivery_nservers(p.deliveries[i]), 1);
	assert_int_equal(routing_seal(p.routing, &p.topology->clusters[0], &users, &sealed, &why), ERR_OK);
	assert_int_equal(sealed, 0);
	close_pair(&p);
}

static void
a_server_that_was_sealed_out_is_flushed_by_all_before_it_is_trusted(void **state)
{
	struct pair p;
	struct err_detail why = {0};
	struct topology *fresh;
	struct routing_users users;
	size_t sealed;

	open_pair(&p, *state, 2);
	users = users_of(&p);
	fresh = parse(p.f, 1, NULL);
	assert_int_equal(routing_change(p.routing, &fresh->clusters[0], &users, &why), ERR_OK);
	keep(&p, fresh);
	assert_int_equal(routing_seal(p.routing, &p.topology->clusters[0], &users, &sealed, &why), ERR_OK);
	p.f->peers[1].no_flush = true;
	fresh = parse(p.f, 2, NULL);
	assert_int_equal(routing_change(p.routing, &fresh->clusters[0], &users, &why), ERR_OK);
	keep(&p, fresh);
	assert_true(routing_anew(p.routing)[1]);
	assert_false(routing_anew(p.routing)[0]);
	routing_look(p.routing, &users);
	assert_true(rings_was_out(routing_rings(p.routing), "cache-b:11211"));
	p.f->peers[1].no_flush = false;
	WAIT_FOR(p.f->loop, !lane_in_gap(delivery_lane(p.deliveries[0], 1)));
	/* One of two is not enough. */
	if (lane_in_gap(delivery_lane(p.deliveries[1], 1))) {
		routing_look(p.routing, &users);
		assert_true(rings_was_out(routing_rings(p.routing), "cache-b:11211"));
	}
	WAIT_FOR(p.f->loop, !lane_in_gap(delivery_lane(p.deliveries[1], 1)));
	WAIT_FOR(p.f->loop, !delivery_lane(p.deliveries[0], 1)->unproven &&
				!delivery_lane(p.deliveries[1], 1)->unproven);
	routing_look(p.routing, &users);
	assert_false(rings_was_out(routing_rings(p.routing), "cache-b:11211"));
	assert_false(routing_anew(p.routing)[1]);
	assert_true(p.f->peers[1].nflushes >= 2);
	assert_int_equal(p.f->peers[0].nflushes, 0);
	close_pair(&p);
}

static void
a_configuration_that_cannot_be_put_to_work_changes_nothing(void **state)
{
	struct pair p;
	struct err_detail why = {0};
	struct topology *fresh;
	struct routing_users users;
	const struct route *before;

	open_pair(&p, *state, 1);
	users = users_of(&p);
	before = routing_route(p.routing);
	fresh = parse(p.f, 2, "/nowhere/at/all");
	assert_int_not_equal(routing_change(p.routing, &fresh->clusters[0], &users, &why), ERR_OK);
	assert_non_null(strstr(err_why(&why), "/nowhere/at/all"));
	topology_destroy(&fresh);
	assert_ptr_equal(routing_route(p.routing), before);
	assert_int_equal(unsealed(&p), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(delivery_nservers(p.deliveries[i]), 1);
	append_numbered(p.f, 0, 10);
	WAIT_FOR(p.f->loop,
		 delivery_acked(p.deliveries[0], 0) == 11 && delivery_acked(p.deliveries[1], 0) == 11);
	close_pair(&p);
}

static void
a_ring_that_cannot_be_written_down_is_not_used(void **state)
{
	struct pair p;
	struct err_detail why = {0};
	struct topology *fresh;
	struct routing_users users;
	char command[400];

	open_pair(&p, *state, 1);
	users = users_of(&p);
	/* A folder in its place: the file cannot be replaced, by root neither. */
	snprintf(command, sizeof(command), "rm -f %s.rings && mkdir -p %s.rings/x", p.f->cursor_path,
		 p.f->cursor_path);
	assert_int_equal(system(command), 0);
	fresh = parse(p.f, 2, NULL);
	assert_int_not_equal(routing_change(p.routing, &fresh->clusters[0], &users, &why), ERR_OK);
	topology_destroy(&fresh);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(delivery_nservers(p.deliveries[i]), 1);
	close_pair(&p);
}

static void
a_ring_that_changed_while_nobody_looked_counts_as_changed(void **state)
{
	struct pair p;

	memset(&p, 0, sizeof(p));
	p.f = *state;
	open_routing(&p, 2);
	assert_int_equal(unsealed(&p), 0);
	routing_close(&p.routing);
	topology_destroy(&p.topology);
	open_routing(&p, 1);
	assert_int_equal(unsealed(&p), 1);
	assert_int_equal(route_nservers(routing_route(p.routing)), 2);
	routing_close(&p.routing);
	topology_destroy(&p.topology);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_changed_ring_is_taken_by_everybody_and_the_former_one_is_kept_until_it_is_sealed),
	    TEST(a_server_that_was_sealed_out_is_flushed_by_all_before_it_is_trusted),
	    TEST(a_configuration_that_cannot_be_put_to_work_changes_nothing),
	    TEST(a_ring_that_cannot_be_written_down_is_not_used),
	    TEST(a_ring_that_changed_while_nobody_looked_counts_as_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
