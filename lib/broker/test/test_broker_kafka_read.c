/* The reading side over librdkafka's mock cluster. */
#include <poll.h>

#include "lib/broker/test/mock.h"

static struct broker_writer *
fill(struct mock *m, unsigned n)
{
	struct broker_writer *w = fixture_writer(m->f);

	for (unsigned i = 0; i < n; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%u", i);
		fixture_append(m->f, w, text, text);
	}
	return w;
}

static void
partitions_are_logs_of_their_own(void **state)
{
	struct mock *m = *state;
	struct broker_reader *a, *b, *again, *none;

	assert_ok(m->f, broker_reader_open_partition(&a, &m->f->opt, 0, &m->f->ctx, &m->f->why));
	assert_ok(m->f, broker_reader_open_partition(&b, &m->f->opt, 1, &m->f->ctx, &m->f->why));
	assert_ok(m->f, broker_reader_open_partition(&again, &m->f->opt, 0, &m->f->ctx, &m->f->why));
	assert_int_equal(strlen(broker_reader_log_id(a)), 32);
	assert_string_not_equal(broker_reader_log_id(a), broker_reader_log_id(b));
	assert_string_equal(broker_reader_log_id(a), broker_reader_log_id(again));
	assert_err(m->f,
		   broker_reader_open_partition(&none, &m->f->opt, MOCK_PARTITIONS, &m->f->ctx, &m->f->why),
		   ERR_NOT_FOUND, "there is no partition 3");
	broker_reader_close(&a);
	broker_reader_close(&b);
	broker_reader_close(&again);
}

static void
brokers_that_do_not_answer_are_named_and_may_be_asked_again(void **state)
{
	struct mock *m = *state;
	struct broker_reader *r;
	err_t err;

	free(m->f->opt.brokers);
	m->f->opt.brokers = mem_strdup("127.0.0.1:1");
	err_clear(&m->f->why);
	err = broker_reader_open(&r, &m->f->opt, &m->f->ctx, &m->f->why);
	assert_int_equal(err_action(err), ERR_DO_RETRY);
	assert_non_null(strstr(m->f->why.text, "topic squeal"));
}

static void
bounds_say_what_is_there(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fill(m, 3);
	struct broker_reader *r = mock_reader(m);
	uint64_t first, end;

	assert_ok(m->f, broker_bounds(r, &first, &end, &m->f->why));
	assert_int_equal(first, 0);
	assert_int_equal(end, 3);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
the_fd_wakes_for_every_append(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fill(m, 1);
	struct broker_reader *r = mock_reader(m);
	struct pollfd p = {.fd = broker_reader_fd(r), .events = POLLIN};
	struct seen seen = {0};
	uint64_t next = 0;

	for (unsigned i = 0; i < 20; i++) {
		while (seen.n <= i) {
			broker_reader_woken(r);
			assert_ok(m->f,
				  broker_read(r, next, 1000, 1 << 20, fixture_see, &seen, &next, &m->f->why));
			if (seen.n <= i)
				assert_int_equal(poll(&p, 1, MOCK_PATIENCE_MS), 1);
		}
		assert_int_equal(next, i + 1);
		fixture_append(m->f, w, "x", "p");
	}
	buf_fini(&seen.text);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_reader_stops_where_it_is_told_and_goes_on_there(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fill(m, 5);
	struct broker_reader *r = mock_reader(m);
	struct seen seen = {.stop_after = 2};
	uint64_t next;

	assert_ok(m->f, broker_read_wait(r, 0, 1000, 1 << 20, fixture_see, &seen, &next, MOCK_PATIENCE_MS,
					 &m->f->why));
	assert_true(next >= 1 && next <= 2);
	while (next < 2)
		assert_ok(m->f, broker_read_wait(r, next, 1000, 1 << 20, fixture_see, &seen, &next,
						 MOCK_PATIENCE_MS, &m->f->why));
	assert_string_equal(buf_str(&seen.text), "0:main:0 1:main:1 ");
	assert_mock_reads(m, r, next, "2:main:2 3:main:3 4:main:4 ");
	buf_fini(&seen.text);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

/* More places than there are streams: they take turns, and each gets everything in order. */
static void
many_places_are_followed_at_the_same_time(void **state)
{
	enum { PLACES = 7, RECORDS = 60 };
	uint64_t end_ms = clock_mono_ms(clock_system()) + 30000;
	struct seen seen[PLACES] = {{.n = 0}};
	struct mock *m = *state;
	struct broker_writer *w = fill(m, RECORDS);
	struct broker_reader *r = mock_reader(m);
	uint64_t at[PLACES];
	unsigned done = 0;

	for (unsigned i = 0; i < PLACES; i++)
		at[i] = i * 5;
	while (done < PLACES) {
		struct pollfd p = {.fd = broker_reader_fd(r), .events = POLLIN};

		if (clock_mono_ms(clock_system()) > end_ms)
			fail_msg("not all of them came");
		poll(&p, 1, 20);
		broker_reader_woken(r);
		done = 0;
		for (unsigned i = 0; i < PLACES; i++) {
			if (at[i] < RECORDS)
				assert_ok(m->f, broker_read(r, at[i], 4, 1 << 20, fixture_see, &seen[i],
							    &at[i], &m->f->why));
			done += at[i] >= RECORDS;
		}
	}
	for (unsigned i = 0; i < PLACES; i++) {
		struct buf want = BUF_INIT;

		for (unsigned n = i * 5; n < RECORDS; n++)
			buf_printf(&want, "%u:main:%u ", n, n);
		assert_string_equal(buf_str(&seen[i].text), buf_str(&want));
		buf_fini(&want);
		buf_fini(&seen[i].text);
	}
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_place_beyond_the_end_is_a_gap(void **state)
{
	uint64_t end_ms = clock_mono_ms(clock_system()) + 20000;
	struct mock *m = *state;
	struct broker_writer *w = fill(m, 3);
	struct broker_reader *r = mock_reader(m);
	struct seen seen = {0};
	uint64_t next = 50;
	err_t err;

	do {
		struct pollfd p = {.fd = broker_reader_fd(r), .events = POLLIN};

		err_clear(&m->f->why);
		broker_reader_woken(r);
		err = broker_read(r, 50, 10, 1000, fixture_see, &seen, &next, &m->f->why);
		poll(&p, 1, 20);
	} while (err == ERR_OK && clock_mono_ms(clock_system()) < end_ms);
	assert_int_equal(err, ERR_GAP);
	assert_int_equal(next, 0); /* it may be another log: nothing of that is passed over */
	assert_int_equal(seen.n, 0);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
errors_of_a_fetch_pass_and_lose_nothing(void **state)
{
	static const rd_kafka_resp_err_t passing[] = {
	    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
	    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
	    RD_KAFKA_RESP_ERR__TRANSPORT,
	};
	struct mock *m = *state;
	struct broker_writer *w = fill(m, 3);

	for (unsigned i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		struct broker_reader *r = mock_reader(m);

		rd_kafka_mock_push_request_errors(m->cluster, MOCK_FETCH, 1, passing[i]);
		assert_mock_reads(m, r, 0, "0:main:0 1:main:1 2:main:2 ");
		broker_reader_close(&r);
	}
	broker_writer_close(&w);
}

static void
a_leader_that_moves_is_followed(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fill(m, 2);
	struct broker_reader *r = mock_reader(m);

	assert_mock_reads(m, r, 0, "0:main:0 1:main:1 ");
	for (int32_t p = 0; p < MOCK_PARTITIONS; p++)
		rd_kafka_mock_partition_set_leader(m->cluster, "squeal", p, 1 + p % MOCK_BROKERS);
	for (int32_t p = 0; p < MOCK_PARTITIONS; p++)
		rd_kafka_mock_partition_set_leader(m->cluster, "squeal", p, 1 + (p + 1) % MOCK_BROKERS);
	fixture_append(m->f, w, "2", "p");
	{
		struct seen seen = {0};
		uint64_t next = 2, end_ms = clock_mono_ms(clock_system()) + 20000;

		while (next < 3 && clock_mono_ms(clock_system()) < end_ms)
			assert_ok(m->f, broker_read_wait(r, next, 10, 1000, fixture_see, &seen, &next,
							 MOCK_PATIENCE_MS, &m->f->why));
		assert_string_equal(buf_str(&seen.text), "2:main:2 ");
		buf_fini(&seen.text);
	}
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
the_checkpoint_of_a_source_is_read_without_being_its_writer(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fill(m, 12);
	struct broker_reader *r = mock_reader(m);
	struct buf text = BUF_INIT;

	assert_ok(m->f, broker_reader_checkpoint(r, "main", &text, &m->f->why));
	assert_string_equal(buf_str(&text), "11");
	buf_clear(&text);
	assert_ok(m->f, broker_reader_checkpoint(r, "other", &text, &m->f->why));
	assert_string_equal(buf_str(&text), "");
	buf_fini(&text);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    mock_test(partitions_are_logs_of_their_own),
	    mock_test(brokers_that_do_not_answer_are_named_and_may_be_asked_again),
	    mock_test(bounds_say_what_is_there),
	    mock_test(the_fd_wakes_for_every_append),
	    mock_test(a_reader_stops_where_it_is_told_and_goes_on_there),
	    mock_test(many_places_are_followed_at_the_same_time),
	    mock_test(a_place_beyond_the_end_is_a_gap),
	    mock_test(errors_of_a_fetch_pass_and_lose_nothing),
	    mock_test(a_leader_that_moves_is_followed),
	    mock_test(the_checkpoint_of_a_source_is_read_without_being_its_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
