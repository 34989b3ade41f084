#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/lane.h"

struct fixture {
	struct loop *loop;
	struct router_options opt;
	struct server_options server_opt;
	struct lane lane;
};

static void
on_progress(void *arg, struct server *s)
{
	(void)arg;
	(void)s;
}

/* The server is never started: nothing leaves the outbox but by the test's hand. */
static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct server_context ctx = {.opt = &f->opt, .seed = 1, .on_progress = on_progress};
	struct err_detail why = {0};

	assert_int_equal(loop_create(&f->loop, clock_system(), &why), ERR_OK);
	ctx.loop = f->loop;
	f->opt.queue_bytes = 500;
	f->opt.window_keys = 1000;
	f->opt.windows = 1;
	f->server_opt =
	    (struct server_options){.host = (char *)"h", .port = 1, .weight = 1, .connect = (char *)""};
	lane_init(&f->lane, server_create(&f->server_opt, &ctx), &f->opt, NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	lane_fini(&f->lane);
	loop_destroy(&f->loop);
	free(f);
	return 0;
}

static void
load_cursor(struct fixture *f, const char *log_id, uint64_t offset)
{
	f->lane.had_cursor = true;
	snprintf(f->lane.cursor.log_id, sizeof(f->lane.cursor.log_id), "%s", log_id);
	f->lane.cursor.offset = offset;
}

static void
acknowledge(struct fixture *f)
{
	struct buf out = BUF_INIT;
	struct err_detail why = {0};

	outbox_connected(f->lane.outbox, true);
	while (outbox_send(f->lane.outbox, &out)) {
		struct mc_reply ok = {.kind = MC_REPLY_OK}, mn = {.kind = MC_REPLY_MN};

		if (strncmp(out.p, "flush_all", 9) == 0)
			assert_int_equal(outbox_reply(f->lane.outbox, &ok, &why), ERR_OK);
		assert_int_equal(outbox_reply(f->lane.outbox, &mn, &why), ERR_OK);
		buf_clear(&out);
	}
	buf_fini(&out);
}

static void
a_server_without_a_cursor_starts_at_the_first_record(void **state)
{
	struct fixture *f = *state;
	struct cursor c;

	assert_false(lane_cursor(&f->lane, &c));
	lane_place(&f->lane, "one", 17);
	assert_int_equal(f->lane.next_read, 17);
	assert_false(lane_in_gap(&f->lane));
	assert_true(lane_cursor(&f->lane, &c));
	assert_int_equal(c.offset, 17);
	assert_string_equal(c.log_id, "one");
}

static void
a_server_with_a_cursor_starts_there_and_stays_where_it_is_when_the_log_is_opened_again(void **state)
{
	struct fixture *f = *state;
	struct cursor c;

	load_cursor(f, "one", 30);
	lane_place(&f->lane, "one", 17);
	assert_int_equal(f->lane.next_read, 30);
	assert_false(lane_cursor(&f->lane, &c));
	lane_advance(&f->lane, 31);
	lane_place(&f->lane, "one", 18);
	assert_int_equal(f->lane.next_read, 31);
	assert_true(lane_cursor(&f->lane, &c));
	assert_int_equal(c.offset, 31);
}

static void
in_another_log_the_cursor_means_nothing_before_the_flush(void **state)
{
	struct fixture *f = *state;
	struct cursor c;

	load_cursor(f, "one", 30);
	lane_place(&f->lane, "two", 5);
	assert_true(lane_in_gap(&f->lane));
	assert_int_equal(f->lane.next_read, 5);
	lane_advance(&f->lane, 6);
	lane_look(&f->lane, 6, 6, 0);
	assert_false(lane_cursor(&f->lane, &c));
	acknowledge(f);
	lane_look(&f->lane, 6, 6, 0);
	assert_false(lane_in_gap(&f->lane));
	assert_true(lane_cursor(&f->lane, &c));
	assert_int_equal(c.offset, 6);
	assert_string_equal(c.log_id, "two");
}

static void
a_full_lane_stays_full_until_half_of_it_is_gone(void **state)
{
	struct fixture *f = *state;

	f->opt.window_keys = 1;
	lane_place(&f->lane, "one", 1);
	for (uint64_t i = 1; !f->lane.full; i++) {
		assert_true(i < 20);
		struct outbox_key k = {.prefix = SPAN_LIT(""), .key = span_make("0123456789abcdefghij", i)};

		assert_int_equal(outbox_put(f->lane.outbox, &k), ERR_OK);
		lane_advance(&f->lane, i + 1);
	}
	assert_true(f->lane.heavy);
	outbox_connected(f->lane.outbox, true);
	while (outbox_bytes(f->lane.outbox) > 250) {
		struct mc_reply mn = {.kind = MC_REPLY_MN};
		struct err_detail why = {0};
		struct buf out = BUF_INIT;

		lane_look(&f->lane, 20, 20, 0);
		assert_true(f->lane.full);
		assert_true(outbox_send(f->lane.outbox, &out));
		assert_int_equal(outbox_reply(f->lane.outbox, &mn, &why), ERR_OK);
		buf_fini(&out);
	}
	lane_look(&f->lane, 20, 20, 0);
	assert_false(f->lane.full);
	assert_false(f->lane.heavy);
}

static void
gaps_that_follow_each_other_are_told_as_one(void **state)
{
	struct fixture *f = *state;

	lane_place(&f->lane, "one", 1);
	lane_gap(&f->lane, 1, 5, "trimmed");
	lane_gap(&f->lane, 5, 9, "trimmed");
	assert_int_equal(f->lane.gap.from, 1);
	assert_int_equal(f->lane.gap.to, 9);
	acknowledge(f);
	lane_gap(&f->lane, 9, 10, "damaged");
	assert_int_equal(f->lane.gap.from, 9);
	assert_int_equal(metric_get(&f->lane.metrics.router_gaps), 3);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_server_without_a_cursor_starts_at_the_first_record),
	    TEST(a_server_with_a_cursor_starts_there_and_stays_where_it_is_when_the_log_is_opened_again),
	    TEST(in_another_log_the_cursor_means_nothing_before_the_flush),
	    TEST(a_full_lane_stays_full_until_half_of_it_is_gone),
	    TEST(gaps_that_follow_each_other_are_told_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
