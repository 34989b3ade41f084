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

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(keys_and_markers_become_deletes_on_the_server_that_has_them),
	    TEST(servers_that_do_not_take_part_get_nothing),
	    TEST(bytes_that_are_no_record_put_nothing_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
