#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/deliver/server.h"
#include "lib/deliver/test/peer.h"

struct fixture {
	struct router_options opt;
	struct server_options server_opt;
	char connect[32];
	struct loop *loop;
	struct peer peer;
	struct server *s;
	size_t progress;
};

static void
on_progress(void *arg, struct server *s)
{
	struct fixture *f = arg;

	(void)s;
	f->progress++;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct server_context ctx = {0};
	struct err_detail why = {0};

	assert_int_equal(loop_create(&f->loop, clock_system(), &why), ERR_OK);
	peer_start(&f->peer, f->loop);
	f->opt.window_keys = 10;
	f->opt.windows = 2;
	f->opt.connect_timeout = 1000;
	f->opt.ack_timeout = 100;
	f->opt.backoff_max = 40;
	snprintf(f->connect, sizeof(f->connect), "127.0.0.1:%u", f->peer.port);
	f->server_opt.host = (char *)"cache.example";
	f->server_opt.port = 11211;
	f->server_opt.weight = 1;
	f->server_opt.connect = f->connect;
	ctx.loop = f->loop;
	ctx.opt = &f->opt;
	ctx.seed = 7;
	ctx.on_progress = on_progress;
	ctx.arg = f;
	f->s = server_create(&f->server_opt, &ctx);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	server_destroy(&f->s);
	peer_fini(&f->peer);
	loop_destroy(&f->loop);
	free(f);
	return 0;
}

static void
put(struct fixture *f, uint64_t offset, const char *key)
{
	outbox_txn(server_outbox(f->s), offset, 0, 0);
	assert_int_equal(outbox_put(server_outbox(f->s),
				    &(struct outbox_key){.prefix = SPAN_LIT(""), .key = span_of(key)}),
			 ERR_OK);
	outbox_record_end(server_outbox(f->s), offset + 1);
	server_pump(f->s);
}

static uint64_t
acked(struct fixture *f)
{
	return outbox_acked(server_outbox(f->s));
}

static void
deletes_put_in_before_and_after_the_connection_arrive(void **state)
{
	struct fixture *f = *state;

	put(f, 1, "a");
	server_start(f->s);
	WAIT_FOR(f->loop, acked(f) == 2);
	put(f, 2, "b");
	WAIT_FOR(f->loop, acked(f) == 3);
	assert_string_equal(buf_str(&f->peer.deleted), " a b ");
	assert_true(server_has_meta(f->s));
	assert_string_equal(server_version(f->s), "1.6.18");
	assert_string_equal(server_name(f->s), "cache.example:11211");
	assert_string_equal(server_state(f->s), "up");
	assert_true(f->progress > 0);
	assert_int_equal(metric_get(&server_metrics(f->s)->router_server_up), 1);
	assert_true(metric_get(&server_metrics(f->s)->router_packets) >= 3);
}

static void
a_server_without_meta_commands_gets_classic_deletes(void **state)
{
	struct fixture *f = *state;

	f->peer.no_meta = true;
	put(f, 1, "a");
	server_start(f->s);
	WAIT_FOR(f->loop, acked(f) == 2);
	assert_true(peer_saw(&f->peer, "a"));
	assert_false(server_has_meta(f->s));
}

static void
a_proxy_that_hangs_up_on_meta_commands_gets_classic_deletes(void **state)
{
	struct fixture *f = *state;

	f->peer.hangs_up_on_meta = true;
	put(f, 1, "a");
	server_start(f->s);
	WAIT_FOR(f->loop, acked(f) == 2);
	assert_true(peer_saw(&f->peer, "a"));
	assert_false(server_has_meta(f->s));
}

static void
a_server_that_dies_gets_its_deletes_when_it_is_back(void **state)
{
	struct fixture *f = *state;

	server_start(f->s);
	put(f, 1, "a");
	WAIT_FOR(f->loop, acked(f) == 2);
	peer_stop(&f->peer);
	WAIT_FOR(f->loop, !server_is_up(f->s));
	put(f, 2, "b");
	WAIT_FOR(f->loop, metric_get(&server_metrics(f->s)->router_connect_errors) >= 3);
	assert_true(server_last_error(f->s)[0] != '\0');
	assert_int_equal(acked(f), 2);
	peer_start(&f->peer, f->loop);
	WAIT_FOR(f->loop, acked(f) == 3);
	assert_true(peer_saw(&f->peer, "b"));
	assert_int_equal(metric_get(&server_metrics(f->s)->router_reconnects), 1);
}

static void
a_server_that_says_nothing_is_away_after_the_ack_timeout(void **state)
{
	struct fixture *f = *state;

	server_start(f->s);
	WAIT_FOR(f->loop, server_is_up(f->s));
	f->peer.silent = true;
	put(f, 1, "a");
	WAIT_FOR(f->loop, metric_get(&server_metrics(f->s)->router_ack_timeouts) >= 2);
	assert_int_equal(acked(f), 0);
	f->peer.silent = false;
	WAIT_FOR(f->loop, acked(f) == 2);
	assert_true(metric_get(&server_outbox_metrics(f->s)->router_retries) >= 1);
}

static void
a_server_that_answers_garbage_is_left_counted_and_tried_again(void **state)
{
	struct fixture *f = *state;

	server_start(f->s);
	f->peer.garbage = "HTTP/1.1 400 Bad Request\r\n";
	put(f, 1, "a");
	WAIT_FOR(f->loop, acked(f) == 2);
	assert_int_equal(metric_get(&server_metrics(f->s)->router_garbage), 1);
	assert_true(f->peer.ndeleted >= 2);
	f->peer.garbage = "MN\r\nMN\r\n";
	put(f, 2, "b");
	/* One answer too many: the one before it is not believed either. */
	WAIT_FOR(f->loop, metric_get(&server_metrics(f->s)->router_garbage) == 2);
	assert_int_equal(acked(f), 2);
	WAIT_FOR(f->loop, acked(f) == 3);
	assert_int_equal(f->peer.nconnections, 3);
}

static void
a_line_that_never_ends_is_garbage(void **state)
{
	struct fixture *f = *state;
	char *line = malloc(20001);

	memset(line, 'x', 20000);
	memcpy(line, "CLIENT_ERROR ", 13);
	line[20000] = '\0';
	server_start(f->s);
	f->peer.garbage = line;
	put(f, 1, "a");
	WAIT_FOR(f->loop, acked(f) == 2);
	assert_int_equal(metric_get(&server_metrics(f->s)->router_garbage), 1);
	free(line);
}

static void
poison_is_given_up_alone_and_memory_errors_are_waited_out(void **state)
{
	struct fixture *f = *state;

	f->peer.poison = "bad";
	f->peer.server_errors = 5;
	put(f, 1, "a");
	put(f, 2, "bad");
	put(f, 3, "c");
	server_start(f->s);
	WAIT_FOR(f->loop, acked(f) == 4);
	assert_true(peer_saw(&f->peer, "a"));
	assert_true(peer_saw(&f->peer, "c"));
	assert_int_equal(metric_get(&server_outbox_metrics(f->s)->router_deletes_given_up), 1);
	assert_int_equal(metric_get(&server_outbox_metrics(f->s)->router_server_errors), 5);
	assert_int_equal(f->peer.nconnections, 1);
}

static void
a_connection_can_be_dropped_on_purpose(void **state)
{
	struct fixture *f = *state;

	server_start(f->s);
	WAIT_FOR(f->loop, server_is_up(f->s));
	server_reconnect(f->s, "the test says so");
	assert_string_equal(server_state(f->s), "away");
	assert_string_equal(server_last_error(f->s), "the test says so");
	put(f, 1, "a");
	WAIT_FOR(f->loop, acked(f) == 2);
}

static void
an_address_that_is_none_is_an_error_that_is_told(void **state)
{
	struct fixture *f = *state;

	strcpy(f->connect, "no address");
	server_destroy(&f->s);
	f->server_opt.connect = f->connect;
	{
		struct server_context ctx = {
		    .loop = f->loop, .opt = &f->opt, .seed = 1, .on_progress = on_progress, .arg = f};

		f->s = server_create(&f->server_opt, &ctx);
	}
	server_start(f->s);
	WAIT_FOR(f->loop, metric_get(&server_metrics(f->s)->router_connect_errors) >= 2);
	assert_true(server_last_error(f->s)[0] != '\0');
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(deletes_put_in_before_and_after_the_connection_arrive),
	    TEST(a_server_without_meta_commands_gets_classic_deletes),
	    TEST(a_proxy_that_hangs_up_on_meta_commands_gets_classic_deletes),
	    TEST(a_server_that_dies_gets_its_deletes_when_it_is_back),
	    TEST(a_server_that_says_nothing_is_away_after_the_ack_timeout),
	    TEST(a_server_that_answers_garbage_is_left_counted_and_tried_again),
	    TEST(a_line_that_never_ends_is_garbage),
	    TEST(poison_is_given_up_alone_and_memory_errors_are_waited_out),
	    TEST(a_connection_can_be_dropped_on_purpose),
	    TEST(an_address_that_is_none_is_an_error_that_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
