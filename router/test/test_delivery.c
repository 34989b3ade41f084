#include "router/test/fixture.h"

#include <fcntl.h>

#include "lib/core/file.h"

/* --- tests ------------------------------------------------------------------------------------------------
 */

static void
every_key_goes_to_its_server_and_the_cursors_follow(void **state)
{
	struct fixture *f = *state;

	append_numbered(f, 0, 50);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 51));
	append_numbered(f, 50, 100);
	WAIT_FOR(f->loop, all_acked(f, 101));
	assert_all_deleted(f, 0, 100);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 101 && saved_cursor(f, 1) == 101);
	assert_int_equal(f->peers[0].ndeleted + f->peers[1].ndeleted, 100);
	assert_true(f->settled > 0);
}

static void
a_restart_goes_on_at_the_cursor(void **state)
{
	struct fixture *f = *state;

	append_numbered(f, 0, 20);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 21));
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 21 && saved_cursor(f, 1) == 21);
	stop(f);
	append_numbered(f, 20, 40);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 41));
	assert_all_deleted(f, 0, 40);
	assert_int_equal(f->peers[0].ndeleted + f->peers[1].ndeleted, 40);
}

static void
a_cursor_never_covers_what_is_not_acknowledged(void **state)
{
	struct fixture *f = *state;

	f->peers[0].silent = true;
	append(f, key_on(f, 0, "a"));
	append(f, key_on(f, 1, "b"));
	start(f);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == 3 && saved_cursor(f, 1) == 3);
	assert_int_equal(delivery_acked(f->d, 0), 1);
	assert_int_equal(saved_cursor(f, 0), 1);
	stop(f);
	f->peers[0].silent = false;
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 3));
	assert_int_equal(f->peers[0].ndeleted, 1);
}

static void
a_dead_server_costs_no_memory_and_holds_nobody_up(void **state)
{
	struct fixture *f = *state;

	peer_stop(&f->peers[0]);
	append_numbered(f, 0, MANY);
	start(f);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 1);
	assert_true(outbox_bytes(server_outbox(delivery_server(f->d, 0))) < f->opt.queue_bytes + 200);
	assert_true(delivery_acked(f->d, 0) < 10);
	peer_start(&f->peers[0], f->loop);
	WAIT_FOR(f->loop, all_acked(f, MANY + 1));
	assert_all_deleted(f, 0, MANY);
	assert_int_equal(f->peers[0].ndeleted + f->peers[1].ndeleted, MANY);
	assert_true(metric_get(&delivery_metrics(f->d)->router_catch_up_reads) > 0);
	assert_int_equal(metric_get(&delivery_metrics(f->d)->router_live_offset), MANY + 1);
}

static void
the_live_feed_goes_on_while_a_server_catches_up(void **state)
{
	struct fixture *f = *state;

	peer_stop(&f->peers[0]);
	append_numbered(f, 0, MANY);
	start(f);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 1);
	peer_start(&f->peers[0], f->loop);
	WAIT_FOR(f->loop, delivery_acked(f->d, 0) > 100);
	for (int i = 0; i < 20; i++) {
		append(f, key_on(f, 1, "live"));
		WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 2 + (uint64_t)i);
	}
	WAIT_FOR(f->loop, all_acked(f, MANY + 21));
	assert_all_deleted(f, 0, MANY);
}

static void
records_without_keys_move_every_cursor(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 10; i++)
		append_keys(f, NULL, 0, 0);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 11));
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 11 && saved_cursor(f, 1) == 11);
	assert_int_equal(f->peers[0].ndeleted, 0);
}

static void
keys_that_cannot_be_sent_are_skipped_and_counted(void **state)
{
	struct fixture *f = *state;
	struct span keys[] = {SPAN_LIT("good"), SPAN_LIT("bad key"), SPAN_LIT("bad\r\nflush_all"),
			      SPAN_LIT("fine")};
	uint64_t unsupported = 0;

	append_keys(f, keys, 4, 2000);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 2));
	assert_true(peer_saw(&f->peers[server_of(f, keys[0])], "good"));
	assert_true(peer_saw(&f->peers[server_of(f, keys[3])], "fine"));
	assert_int_equal(metric_get(&delivery_feed_metrics(f->d)->router_keys_invalid), 2);
	for (size_t i = 0; i < delivery_nservers(f->d); i++)
		unsupported +=
		    metric_get(&server_outbox_metrics(delivery_server(f->d, i))->router_holdoff_unsupported);
	assert_int_equal(unsupported, 2);
	assert_int_equal(f->peers[0].nflushes + f->peers[1].nflushes, 0);
}

static void
a_log_trimmed_beyond_a_cursor_flushes_the_server_first(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	size_t removed = 0;

	append_numbered(f, 0, 10);
	start(f);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 11 && saved_cursor(f, 1) == 11);
	stop(f);
	append_numbered(f, 10, 100);
	f->log_opt.max_size = 1;
	broker_writer_close(&f->writer);
	open_writer(f);
	assert_int_equal(broker_trim(f->writer, 60, &removed, &why), ERR_OK);
	assert_true(removed > 20);
	peer_stop(&f->peers[0]);
	start(f);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == 101);
	assert_int_equal(f->peers[1].nflushes, 1);
	assert_int_equal(metric_get(&delivery_lane_metrics(f->d, 0)->router_in_gap), 1);
	WAIT_FOR(f->loop, saved_cursor(f, 1) == 101);
	assert_int_equal(saved_cursor(f, 0), 11);
	/* killed before the flush: the gap is found again */
	stop(f);
	start(f);
	WAIT_FOR(f->loop, metric_get(&delivery_lane_metrics(f->d, 0)->router_in_gap) == 1);
	peer_start(&f->peers[0], f->loop);
	WAIT_FOR(f->loop, all_acked(f, 101));
	assert_int_equal(f->peers[0].nflushes, 1);
	assert_int_equal(f->peers[1].nflushes, 1);
	assert_int_equal(metric_get(&delivery_lane_metrics(f->d, 0)->router_in_gap), 0);
	assert_int_equal(metric_get(&delivery_lane_metrics(f->d, 0)->router_gaps), 1);
}

static void
a_log_trimmed_in_front_of_a_dead_server_is_noticed_at_once(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	size_t removed = 0;

	peer_stop(&f->peers[0]);
	append_numbered(f, 0, MANY);
	start(f);
	WAIT_FOR(f->loop, delivery_acked(f->d, 1) == MANY + 1);
	broker_writer_close(&f->writer);
	f->log_opt.max_size = 1;
	open_writer(f);
	assert_int_equal(broker_trim(f->writer, MANY - 10, &removed, &why), ERR_OK);
	WAIT_FOR(f->loop, metric_get(&delivery_lane_metrics(f->d, 0)->router_in_gap) == 1);
	peer_start(&f->peers[0], f->loop);
	WAIT_FOR(f->loop, all_acked(f, MANY + 1));
	assert_int_equal(f->peers[0].nflushes, 1);
	assert_int_equal(f->peers[1].nflushes, 0);
	assert_all_deleted(f, MANY - 5, MANY);
}

static void
a_record_that_cannot_be_decoded_flushes_everybody_and_the_rest_goes_on(void **state)
{
	struct fixture *f = *state;

	append_numbered(f, 0, 5);
	append_bytes(f, SPAN_LIT("\xff\xff\xff this is no record"));
	append_numbered(f, 5, 10);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 12));
	assert_all_deleted(f, 0, 10);
	assert_int_equal(f->peers[0].nflushes, 1);
	assert_int_equal(f->peers[1].nflushes, 1);
	assert_int_equal(metric_get(&delivery_metrics(f->d)->router_bad_records), 1);
}

/* Flips a byte of a record in the file itself. */
static void
damage(const char *path, const char *key)
{
	struct err_detail why = {0};
	struct buf bytes = BUF_INIT;
	ptrdiff_t at;
	int fd;

	assert_int_equal(file_read(path, 100 << 20, &bytes, &why), ERR_OK);
	at = span_find(buf_span(&bytes), span_of(key));
	assert_true(at >= 0);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "X", 1, at), 1);
	close(fd);
	buf_fini(&bytes);
}

static void
a_damaged_record_flushes_everybody_and_the_rest_goes_on(void **state)
{
	struct fixture *f = *state;

	append_numbered(f, 0, 5);
	append(f, "victim-of-the-disk");
	append_numbered(f, 5, 10);
	broker_writer_close(&f->writer);
	damage(f->log_path, "victim-of-the-disk");
	open_writer(f);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 12));
	assert_all_deleted(f, 0, 10);
	assert_int_equal(f->peers[0].nflushes, 1);
	assert_int_equal(f->peers[1].nflushes, 1);
}

static void
another_log_in_the_same_place_flushes_and_is_read_from_its_start(void **state)
{
	struct fixture *f = *state;
	char command[400];

	append_numbered(f, 0, 10);
	start(f);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 11 && saved_cursor(f, 1) == 11);
	broker_writer_close(&f->writer);
	snprintf(command, sizeof(command), "rm -f %s %s-wal %s-shm", f->log_path, f->log_path, f->log_path);
	assert_int_equal(system(command), 0);
	open_writer(f);
	append_numbered(f, 10, 13);
	WAIT_FOR(f->loop, f->peers[0].nflushes == 1 && f->peers[1].nflushes == 1);
	WAIT_FOR(f->loop, all_acked(f, 4));
	assert_all_deleted(f, 0, 13);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 4 && saved_cursor(f, 1) == 4);
	/* and the same when it happens while the router is down */
	stop(f);
	broker_writer_close(&f->writer);
	assert_int_equal(system(command), 0);
	open_writer(f);
	append_numbered(f, 13, 20);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 8));
	assert_int_equal(f->peers[0].nflushes, 2);
	assert_int_equal(f->peers[1].nflushes, 2);
	assert_all_deleted(f, 0, 20);
}

static void
a_cursor_stays_in_the_old_log_until_the_flush_is_acknowledged(void **state)
{
	struct fixture *f = *state;
	char command[400];

	append_numbered(f, 0, 10);
	start(f);
	WAIT_FOR(f->loop, saved_cursor(f, 0) == 11 && saved_cursor(f, 1) == 11);
	stop(f);
	peer_stop(&f->peers[0]);
	broker_writer_close(&f->writer);
	snprintf(command, sizeof(command), "rm -f %s %s-wal %s-shm", f->log_path, f->log_path, f->log_path);
	assert_int_equal(system(command), 0);
	open_writer(f);
	append_numbered(f, 10, 15);
	start(f);
	WAIT_FOR(f->loop, saved_cursor(f, 1) == 6);
	assert_int_equal(saved_cursor(f, 0), 11);
	stop(f);
	peer_start(&f->peers[0], f->loop);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 6));
	assert_int_equal(f->peers[0].nflushes, 1);
	assert_int_equal(f->peers[1].nflushes, 1);
	assert_all_deleted(f, 0, 15);
}

static void
a_log_that_is_not_there_yet_is_waited_for(void **state)
{
	struct fixture *f = *state;
	char command[400];

	broker_writer_close(&f->writer);
	snprintf(command, sizeof(command), "rm -f %s*", f->log_path);
	assert_int_equal(system(command), 0);
	start(f);
	WAIT_FOR(f->loop, metric_get(&delivery_metrics(f->d)->router_log_errors) >= 2);
	open_writer(f);
	append_numbered(f, 0, 5);
	WAIT_FOR(f->loop, all_acked(f, 6));
	assert_all_deleted(f, 0, 5);
}

static void
draining_ends_when_everything_is_acknowledged(void **state)
{
	struct fixture *f = *state;

	start(f);
	WAIT_FOR(f->loop, server_is_up(delivery_server(f->d, 0)) && server_is_up(delivery_server(f->d, 1)));
	append_numbered(f, 0, 30);
	WAIT_FOR(f->loop, outbox_bytes(server_outbox(delivery_server(f->d, 0))) > 0 || all_acked(f, 31));
	delivery_drain(f->d, note_drained, f);
	WAIT_FOR(f->loop, f->drained);
	assert_true(outbox_is_empty(server_outbox(delivery_server(f->d, 0))));
	delivery_save(f->d);
	assert_int_equal(saved_cursor(f, 0), delivery_acked(f->d, 0));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(every_key_goes_to_its_server_and_the_cursors_follow),
	    TEST(a_restart_goes_on_at_the_cursor),
	    TEST(a_cursor_never_covers_what_is_not_acknowledged),
	    TEST(a_dead_server_costs_no_memory_and_holds_nobody_up),
	    TEST(the_live_feed_goes_on_while_a_server_catches_up),
	    TEST(records_without_keys_move_every_cursor),
	    TEST(keys_that_cannot_be_sent_are_skipped_and_counted),
	    TEST(a_log_trimmed_beyond_a_cursor_flushes_the_server_first),
	    TEST(a_log_trimmed_in_front_of_a_dead_server_is_noticed_at_once),
	    TEST(a_record_that_cannot_be_decoded_flushes_everybody_and_the_rest_goes_on),
	    TEST(a_damaged_record_flushes_everybody_and_the_rest_goes_on),
	    TEST(another_log_in_the_same_place_flushes_and_is_read_from_its_start),
	    TEST(a_cursor_stays_in_the_old_log_until_the_flush_is_acknowledged),
	    TEST(a_log_that_is_not_there_yet_is_waited_for),
	    TEST(draining_ends_when_everything_is_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
