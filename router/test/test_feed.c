#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/test/lists.h"
#include "lib/wire/record.h"
#include "router/feed.h"

struct fixture {
	struct topology *topology;
	struct route *route;
	struct router_options opt;
	struct clock_fake clock;
	struct outbox_metrics outbox_metrics[2];
	struct outbox *outboxes[2];
	struct feed_metrics metrics;
	struct feed *feed;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	f->topology = test_topology(test_lists[0].servers, test_lists[0].n, "ketama", "default");
	assert_int_equal(route_create(&f->route, &f->topology->clusters[0], NULL, 0, &why), ERR_OK);
	f->opt.window_keys = 100;
	f->opt.windows = 1;
	clock_fake_init(&f->clock);
	for (size_t i = 0; i < 2; i++) {
		struct outbox_context ctx = {.opt = &f->opt,
					     .clock = &f->clock.clock,
					     .metrics = &f->outbox_metrics[i],
					     .server = "s"};

		f->outboxes[i] = outbox_create(&ctx, 0);
		outbox_connected(f->outboxes[i], true);
	}
	f->feed = feed_create(f->route, f->outboxes, 2, &f->metrics, NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	feed_destroy(&f->feed);
	outbox_destroy(&f->outboxes[0]);
	outbox_destroy(&f->outboxes[1]);
	route_destroy(&f->route);
	topology_destroy(&f->topology);
	free(f);
	return 0;
}

static err_t
feed(struct fixture *f, const struct record_txn *txns, size_t n, const bool *takes_part)
{
	struct record rec = {.version = RECORD_VERSION,
			     .source = SPAN_LIT("main"),
			     .position = SPAN_LIT("p"),
			     .txns = txns,
			     .ntxns = n};
	struct err_detail why = {0};
	struct buf bytes = BUF_INIT;
	err_t err;

	record_encode(&rec, &bytes);
	err = feed_record(f->feed, 5, 0, buf_span(&bytes), takes_part, &why);
	buf_fini(&bytes);
	return err;
}

static size_t
server_of(struct fixture *f, struct span key)
{
	struct route_answer a = {0};
	size_t s;

	route_key(f->route, key, SPAN_LIT(""), &a);
	assert_int_equal(a.n, 1);
	s = a.hops[0].server;
	route_answer_fini(&a);
	return s;
}

static size_t
deletes_on(struct fixture *f, size_t s, const char *key)
{
	struct buf out = BUF_INIT;
	bool found;

	outbox_disconnected(f->outboxes[s]); /* so that it sends all again */
	outbox_connected(f->outboxes[s], true);
	outbox_send(f->outboxes[s], &out);
	found = out.len > 0 && strstr(buf_str(&out), key) != NULL;
	buf_fini(&out);
	return found;
}

static void
keys_and_markers_become_deletes_on_the_server_that_has_them(void **state)
{
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("user:0"), SPAN_LIT("user:71271")}; /* 1 and 0 by the golden table */
	struct span markers[] = {SPAN_LIT("marker:1")};
	struct record_txn txn = {.keys = keys,
				 .nkeys = 2,
				 .markers = markers,
				 .nmarkers = 1,
				 .holdoff_ms = 5,
				 .pool = SPAN_LIT("p")};
	bool both[] = {true, true};

	assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
	assert_true(deletes_on(f, 1, "md user:0 q"));
	assert_true(deletes_on(f, 0, "md user:71271 q"));
	assert_true(deletes_on(f, server_of(f, markers[0]), "md marker:1 q"));
	assert_int_equal(metric_get(&f->metrics.router_keys), 3);
	assert_int_equal(metric_get(&f->metrics.router_markers), 1);
	assert_int_equal(metric_get(&f->metrics.router_pool_unknown), 3);
}

static void
servers_that_do_not_take_part_get_nothing(void **state)
{
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("user:0"), SPAN_LIT("user:71271"), SPAN_LIT("not a key")};
	struct record_txn txn = {.keys = keys, .nkeys = 3};
	bool neither[] = {false, false};
	bool first[] = {true, false};

	assert_int_equal(feed(f, &txn, 1, neither), ERR_OK);
	assert_true(outbox_is_empty(f->outboxes[0]) && outbox_is_empty(f->outboxes[1]));
	assert_int_equal(metric_get(&f->metrics.router_keys_invalid), 0);
	assert_int_equal(feed(f, &txn, 1, first), ERR_OK);
	assert_true(outbox_is_empty(f->outboxes[1]));
	assert_false(outbox_is_empty(f->outboxes[0]));
}

static void
bytes_that_are_no_record_put_nothing_in(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	bool both[] = {true, true};

	assert_int_equal(feed_record(f->feed, 5, 0, SPAN_LIT("\xff\xff\xff"), both, &why), ERR_BAD_RECORD);
	assert_true(outbox_is_empty(f->outboxes[0]) && outbox_is_empty(f->outboxes[1]));
	assert_true(why.text[0] != '\0');
}

/* --- other routes -----------------------------------------------------------------------------------------
 */

/* The feed gets the route of another cluster of at most two servers, and one of before. */
static void
reroute(struct fixture *f, const char *now, const char *was)
{
	struct err_detail why = {0};
	struct topology *before = NULL;
	const struct cluster *old;
	struct route *former = f->route;

	topology_destroy(&f->topology);
	if (topology_parse(&f->topology, span_of(now), "now", &why) != ERR_OK ||
	    (was != NULL && topology_parse(&before, span_of(was), "was", &why) != ERR_OK))
		fail_msg("%s", err_why(&why));
	old = before != NULL ? &before->clusters[0] : NULL;
	assert_int_equal(route_create(&f->route, &f->topology->clusters[0], &old, old != NULL, &why), ERR_OK);
	assert_true(route_nservers(f->route) <= 2);
	feed_route(f->feed, f->route, f->outboxes, 2);
	route_destroy(&former);
	topology_destroy(&before);
}

#define LOG "log: {path: /l}\nclusters:\n  - name: a\n"

static void
a_new_route_counts_from_the_next_record(void **state)
{
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("user:1"), SPAN_LIT("x:1")};
	struct record_txn txn = {.keys = keys, .nkeys = 2};
	bool both[] = {true, true};

	reroute(f,
		LOG "    servers: [d:1]\n"
		    "    pools: [{name: users, prefixes: ['user:'], namespace: 'n:', servers: [u:1]}]\n",
		NULL);
	assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
	assert_true(deletes_on(f, 1, "md n:user:1 q"));
	assert_false(deletes_on(f, 1, "x:1"));
	assert_true(deletes_on(f, 0, "md x:1 q"));
	assert_false(deletes_on(f, 0, "user:1"));
}

static void
old_owners_and_shadows_get_deletes_that_are_counted(void **state)
{
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("k")};
	struct record_txn txn = {.keys = keys, .nkeys = 1};
	bool both[] = {true, true};

	reroute(f, LOG "    servers: [d:1]\n", LOG "    servers: [e:1]\n");
	assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
	assert_true(deletes_on(f, 0, "md k q") && deletes_on(f, 1, "md k q"));
	assert_int_equal(metric_get(&f->metrics.router_deletes_extra), 1);
	assert_int_equal(metric_get(&f->metrics.router_keys), 2);
	reroute(f, LOG "    servers: [d:1]\n    pools: [{name: s, role: shadow, servers: [s:1]}]\n", NULL);
	assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
	assert_int_equal(metric_get(&f->metrics.router_deletes_extra), 1);
	assert_int_equal(metric_get(&f->metrics.router_deletes_shadow), 1);
}

static void
keys_that_are_not_for_us_go_nowhere_and_are_counted(void **state)
{
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("/east/a/user:1"), SPAN_LIT("/west/a/user:2"), SPAN_LIT("other"),
			      SPAN_LIT("/east/a/")};
	struct record_txn txn = {.keys = keys, .nkeys = 4};
	bool both[] = {true, true};

	reroute(
	    f,
	    LOG
	    "    mcrouter_prefix: /east/a/\n"
	    "    pools: [{name: users, prefixes: ['user:'], servers: [u:1]}, {name: none, prefixes: ['zz'], "
	    "servers: [z:1]}]\n",
	    NULL);
	assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
	assert_true(deletes_on(f, 0, "md user:1 q"));
	assert_false(deletes_on(f, 0, "user:2"));
	assert_int_equal(metric_get(&f->metrics.router_keys_foreign), 1);
	assert_int_equal(metric_get(&f->metrics.router_keys_homeless), 2); /* "other", and nothing at all */
	assert_int_equal(metric_get(&f->metrics.router_keys), 1);
}

static void
what_is_nothing_without_its_routing_prefix_is_invalid(void **state)
{
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("/east/a/"), SPAN_LIT("good")};
	struct record_txn txn = {.keys = keys, .nkeys = 2};
	bool both[] = {true, true};

	reroute(f, LOG "    mcrouter_prefix: /east/a/\n    servers: [u:1]\n", NULL);
	assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
	assert_true(deletes_on(f, 0, "md good q"));
	assert_int_equal(metric_get(&f->metrics.router_keys_invalid), 1);
}

static void
the_longest_hold_off_counts(void **state)
{
	static const struct {
		uint32_t txn, cold;
		const char *sent;
	} cases[] = {{0, 0, "md k q H300"},
		     {200, 0, "md k q H300"},
		     {400, 0, "md k q H400"},
		     {400, 2000, "md k q H2000"},
		     {0, 100, "md k q H300"}};
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("k")};
	bool both[] = {true, true};

	reroute(f, LOG "    pools: [{name: p, action: holdoff, holdoff: 300ms, servers: [d:1]}]\n", NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct record_txn txn = {.keys = keys, .nkeys = 1, .holdoff_ms = cases[i].txn};
		struct buf out = BUF_INIT;

		outbox_restart(f->outboxes[0], 0);
		outbox_disconnected(f->outboxes[0]);
		outbox_abilities(f->outboxes[0], OUTBOX_HOLDOFF);
		outbox_connected(f->outboxes[0], true);
		feed_cold(f->feed, cases[i].cold);
		assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
		outbox_send(f->outboxes[0], &out);
		if (strstr(buf_str(&out), cases[i].sent) == NULL)
			fail_msg("%s, not %s", buf_str(&out), cases[i].sent);
		buf_fini(&out);
	}
}

static void
the_story_hears_of_every_key_on_every_server(void **state)
{
	struct fixture *f = *state;
	struct story_metrics metrics = {0};
	struct story *story = story_create(65536, &f->clock.clock, &metrics);
	struct span keys[] = {SPAN_LIT("k")};
	struct record_txn txn = {.keys = keys, .nkeys = 1, .gtid = SPAN_LIT("0-1-7")};
	bool both[] = {true, true};
	struct buf out = BUF_INIT;
	struct json j;

	reroute(f, LOG "    pools: [{name: hot, kind: replicated, servers: [d:1, e:1]}]\n", NULL);
	feed_story(f->feed, story, 3);
	assert_int_equal(feed(f, &txn, 1, both), ERR_OK);
	json_init(&j, &out);
	json_object(&j);
	story_json(story, keys[0], 10, &j);
	json_object_end(&j);
	assert_non_null(strstr(buf_str(&out), "\"server\":\"d:1\""));
	assert_non_null(strstr(buf_str(&out), "\"server\":\"e:1\""));
	assert_non_null(strstr(buf_str(&out), "\"pool\":\"hot\""));
	assert_non_null(strstr(buf_str(&out), "\"gtid\":\"0-1-7\""));
	assert_non_null(strstr(buf_str(&out), "\"partition\":3"));
	buf_fini(&out);
	feed_story(f->feed, NULL, 0);
	story_destroy(&story);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(keys_and_markers_become_deletes_on_the_server_that_has_them),
	    TEST(servers_that_do_not_take_part_get_nothing),
	    TEST(bytes_that_are_no_record_put_nothing_in),
	    TEST(a_new_route_counts_from_the_next_record),
	    TEST(old_owners_and_shadows_get_deletes_that_are_counted),
	    TEST(keys_that_are_not_for_us_go_nowhere_and_are_counted),
	    TEST(what_is_nothing_without_its_routing_prefix_is_invalid),
	    TEST(the_longest_hold_off_counts),
	    TEST(the_story_hears_of_every_key_on_every_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
