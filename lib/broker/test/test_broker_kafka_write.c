/* The writing side over librdkafka's mock cluster. */
#include "lib/broker/kafka.h"
#include "lib/broker/test/mock.h"

static void
records_are_in_the_topic_in_order_and_the_checkpoint_is_kept(void **state)
{
	const struct span three[] = {SPAN_LIT("a"), SPAN_LIT("b"), SPAN_LIT("c")};
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct broker_reader *r;
	uint64_t first;

	assert_ok(m->f, broker_append(w, three, 3, SPAN_LIT("gtid:0-1-3"), &first, &m->f->why));
	assert_int_equal(first, 0);
	assert_ok(m->f, broker_append(w, three, 1, SPAN_LIT("gtid:0-1-4"), &first, &m->f->why));
	assert_int_equal(first, 3);
	assert_mock_checkpoint(m, w, "gtid:0-1-4");
	r = mock_reader(m);
	assert_mock_reads(m, r, 0, "0:main:a 1:main:b 2:main:c 3:main:a ");
	assert_int_equal(m->f->metrics.log_record, 4);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_writer_that_starts_again_has_its_checkpoint_and_notes(void **state)
{
	const struct broker_note note = {.name = SPAN_LIT("xa:1"), .value = SPAN_LIT("kept")};
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct buf out = BUF_INIT;
	uint64_t first;
	bool found;

	assert_ok(m->f, broker_append_notes(w, NULL, 0, SPAN_LIT("p1"), &note, 1, &first, &m->f->why));
	broker_writer_close(&w);
	w = fixture_writer(m->f);
	assert_mock_checkpoint(m, w, "p1");
	assert_ok(m->f, broker_note_read(w, SPAN_LIT("xa:1"), 0, &out, &found, &m->f->why));
	assert_true(found);
	assert_string_equal(buf_str(&out), "kept");
	buf_fini(&out);
	broker_writer_close(&w);
}

static void
count(void *arg, struct span name)
{
	++*(unsigned *)arg;
}

static void
the_mark_of_the_topic_is_no_note_of_squeal(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	unsigned n = 0;

	fixture_append(m->f, w, "a", "p");
	assert_ok(m->f, broker_note_names(w, count, &n, &m->f->why));
	assert_int_equal(n, 0);
	broker_writer_close(&w);
}

static void
a_second_writer_on_the_state_file_is_refused(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f), *other;

	assert_err(m->f, broker_writer_open(&other, &m->f->opt, "main", &m->f->ctx, &m->f->why), ERR_IN_USE,
		   "the state file of source main is in use");
	broker_writer_close(&w);
}

static void
errors_that_pass_are_survived_without_a_hole(void **state)
{
	static const rd_kafka_resp_err_t passing[] = {
	    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
	    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,	RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
	    RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,	RD_KAFKA_RESP_ERR__TRANSPORT,
	};
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct buf want = BUF_INIT;
	struct broker_reader *r;

	for (unsigned i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		const struct span record = SPAN_LIT("x");
		char checkpoint[8];
		uint64_t first;

		snprintf(checkpoint, sizeof(checkpoint), "p%u", i);
		rd_kafka_mock_push_request_errors(m->cluster, MOCK_PRODUCE, 1, passing[i]);
		mock_append(m, w, &record, 1, checkpoint, ERR_BUSY, &first);
		assert_int_equal(first, i);
		assert_mock_checkpoint(m, w, checkpoint);
		buf_printf(&want, "%u:main:x ", i);
	}
	r = mock_reader(m);
	assert_mock_reads(m, r, 0, buf_str(&want));
	buf_fini(&want);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
an_error_that_stays_moves_no_checkpoint_and_the_same_call_goes_on(void **state)
{
	const struct span record = SPAN_LIT("x");
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct broker_reader *r;
	uint64_t first;

	fixture_append(m->f, w, "first", "p0");
	rd_kafka_mock_push_request_errors(m->cluster, MOCK_PRODUCE, 1,
					  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	assert_err(m->f, broker_append(w, &record, 1, SPAN_LIT("p1"), &first, &m->f->why), ERR_PRIVILEGE,
		   "kafka-acls.sh");
	assert_mock_checkpoint(m, w, "p0");
	assert_ok(m->f, broker_append(w, &record, 1, SPAN_LIT("p1"), &first, &m->f->why));
	assert_mock_checkpoint(m, w, "p1");
	r = mock_reader(m);
	assert_mock_reads(m, r, 0, "0:main:first 1:main:x ");
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
records_too_large_together_are_written_one_by_one(void **state)
{
	const struct span three[] = {SPAN_LIT("a"), SPAN_LIT("b"), SPAN_LIT("c")};
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct buf text;
	struct broker_reader *r;
	uint64_t first;

	rd_kafka_mock_push_request_errors(m->cluster, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	assert_ok(m->f, broker_append(w, three, 3, SPAN_LIT("p"), &first, &m->f->why));
	r = mock_reader(m);
	text = mock_read_all(m, r, first);
	assert_non_null(strstr(buf_str(&text), ":main:a "));
	assert_non_null(strstr(buf_str(&text), ":main:b "));
	assert_non_null(strstr(buf_str(&text), ":main:c "));
	buf_fini(&text);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_record_that_is_too_large_alone_has_an_error_of_its_own_and_nothing_moves(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct span large = {mem_zalloc(2000000, 1), 2000000};
	const struct span small = SPAN_LIT("small");
	uint64_t first;

	fixture_append(m->f, w, "first", "p0");
	assert_err(m->f, broker_append(w, &large, 1, SPAN_LIT("p1"), &first, &m->f->why), ERR_TOO_LONG,
		   "message.max.bytes");
	assert_mock_checkpoint(m, w, "p0");
	rd_kafka_mock_push_request_errors(m->cluster, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	assert_err(m->f, broker_append(w, &small, 1, SPAN_LIT("p1"), &first, &m->f->why), ERR_TOO_LONG,
		   "max.message.bytes");
	assert_ok(m->f, broker_append(w, &small, 1, SPAN_LIT("p1"), &first, &m->f->why));
	assert_mock_checkpoint(m, w, "p1");
	free((void *)(uintptr_t)large.p);
	broker_writer_close(&w);
}

static void
a_producer_that_ended_is_replaced(void **state)
{
	const struct span record = SPAN_LIT("x");
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct broker_reader *r;
	uint64_t first;

	fixture_append(m->f, w, "first", "p0");
	/* Ends an idempotent producer for good. */
	rd_kafka_mock_push_request_errors(m->cluster, MOCK_PRODUCE, 1,
					  RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	mock_append(m, w, &record, 1, "p1", ERR_BUSY, &first);
	assert_mock_checkpoint(m, w, "p1");
	r = mock_reader(m);
	assert_mock_reads(m, r, first, "1:main:x ");
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
brokers_that_are_away_are_waited_for(void **state)
{
	const struct span record = SPAN_LIT("x");
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	uint64_t first;
	err_t err;

	fixture_append(m->f, w, "first", "p0");
	for (int i = 1; i <= MOCK_BROKERS; i++)
		rd_kafka_mock_broker_set_down(m->cluster, i);
	err_clear(&m->f->why);
	err = broker_append(w, &record, 1, SPAN_LIT("p1"), &first, &m->f->why);
	assert_int_equal(err_action(err), ERR_DO_RETRY);
	assert_mock_checkpoint(m, w, "p0");
	for (int i = 1; i <= MOCK_BROKERS; i++)
		rd_kafka_mock_broker_set_up(m->cluster, i);
	for (unsigned i = 0; err != ERR_OK && i < 20; i++) {
		err_clear(&m->f->why);
		err = broker_append(w, &record, 1, SPAN_LIT("p1"), &first, &m->f->why);
	}
	assert_int_equal(err, ERR_OK);
	assert_mock_checkpoint(m, w, "p1");
	broker_writer_close(&w);
}

static void
forget_state(struct mock *m)
{
	static const char *const ends[] = {"", "-wal", "-shm"};

	for (unsigned i = 0; i < 3; i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s%s", m->f->opt.state, ends[i]);
		(void)unlink(path);
	}
}

static void
a_lost_state_file_is_made_again_from_the_topic(void **state)
{
	const struct span two[] = {SPAN_LIT("a"), SPAN_LIT("b")};
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct buf out = BUF_INIT;
	uint64_t first;
	bool found;

	for (unsigned i = 0; i < 20; i++)
		fixture_append(m->f, w, "x", "gtid:0-1-7");
	assert_ok(m->f, broker_append(w, two, 2, SPAN_LIT("gtid:0-1-9"), &first, &m->f->why));
	/* Inside a transaction: nothing to go on from. */
	for (unsigned i = 0; i < 40; i++)
		fixture_append(m->f, w, "x", "");
	broker_writer_close(&w);
	forget_state(m);
	w = fixture_writer(m->f);
	assert_mock_checkpoint(m, w, "gtid:0-1-9");
	assert_ok(m->f, broker_note_read(w, SPAN_LIT(BROKER_NOTE_REBUILT), 0, &out, &found, &m->f->why));
	assert_true(found);
	buf_fini(&out);
	broker_writer_close(&w);
}

static void
a_state_file_is_not_made_from_another_source(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);

	fixture_append(m->f, w, "x", "gtid:0-1-7");
	broker_writer_close(&w);
	forget_state(m);
	assert_ok(m->f, broker_writer_open(&w, &m->f->opt, "other", &m->f->ctx, &m->f->why));
	assert_mock_checkpoint(m, w, "");
	broker_writer_close(&w);
}

/* The mock cluster keeps everything; so a new one is the topic made anew. */
static void
make_anew(struct mock *m)
{
	rd_kafka_mock_cluster_destroy(m->cluster);
	m->cluster = rd_kafka_mock_cluster_new(m->rk, MOCK_BROKERS);
	assert_int_equal(rd_kafka_mock_topic_create(m->cluster, "squeal", MOCK_PARTITIONS, 3), 0);
	free(m->f->opt.brokers);
	m->f->opt.brokers = mem_strdup(rd_kafka_mock_cluster_bootstraps(m->cluster));
}

static void
a_topic_made_anew_keeps_the_checkpoint_and_readers_see_a_gap(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct broker_reader *r;
	uint64_t next;
	err_t err;

	for (unsigned i = 0; i < 3; i++)
		fixture_append(m->f, w, "x", "gtid:0-1-7");
	broker_writer_close(&w);
	make_anew(m);
	w = fixture_writer(m->f);
	assert_mock_checkpoint(m, w, "gtid:0-1-7");
	assert_int_equal(fixture_append(m->f, w, "y", "gtid:0-1-8"), 1); /* behind the gap */
	r = mock_reader(m);
	do
		err = broker_read_wait(r, 0, 10, 1000, fixture_see, &(struct seen){0}, &next,
				       MOCK_PATIENCE_MS, &m->f->why);
	while (err == ERR_OK && next == 0);
	assert_int_equal(err, ERR_GAP);
	assert_int_equal(next, 1);
	assert_mock_reads(m, r, 1, "1:main:y ");
	broker_reader_close(&r);
	broker_writer_close(&w);
	/* Once is enough. */
	w = fixture_writer(m->f);
	assert_int_equal(fixture_append(m->f, w, "z", "gtid:0-1-9"), 2);
	broker_writer_close(&w);
}

static void
settings_that_a_promise_stands_on_are_refused(void **state)
{
	static const char *const refused[] = {
	    "acks=1\n",
	    "enable.idempotence=false\n",
	    "group.id=mine\n",
	    "bootstrap.servers=x:1\n",
	    "message.timeout.ms=5\n",
	    "partitioner=random\n",
	    "check.crcs=false\n",
	    "test.mock.num.brokers=3\n",
	};
	struct mock *m = *state;
	struct broker_writer *w;

	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		m->f->opt.properties = (char *)(uintptr_t)refused[i];
		assert_err(m->f, broker_writer_open(&w, &m->f->opt, "main", &m->f->ctx, &m->f->why),
			   ERR_CONFIG, "cannot be set");
	}
	m->f->opt.properties = (char *)"no.such.thing=1\n";
	assert_err(m->f, broker_writer_open(&w, &m->f->opt, "main", &m->f->ctx, &m->f->why), ERR_CONFIG,
		   "librdkafka has no setting");
	m->f->opt.properties = (char *)"compression.type=zstd\nclient.id=mine\n";
	w = fixture_writer(m->f);
	fixture_append(m->f, w, "x", "p");
	broker_writer_close(&w);
}

static void
the_partition_is_the_one_that_javas_clients_choose(void **state)
{
	/* from Kafka's UtilsTest.testMurmur2 */
	static const struct {
		const char *key;
		int32_t hash;
	} golden[] = {{"21", -973932308},
		      {"foobar", -790332482},
		      {"a-little-bit-long-string", -985981536},
		      {"a-little-bit-longer-string", -1486304829},
		      {"abc", 479470107}};

	for (unsigned i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		for (uint32_t n = 1; n < 1000; n += 7)
			assert_int_equal(kafka_partition(golden[i].key, n),
					 ((uint32_t)golden[i].hash & 0x7fffffff) % n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    mock_test(records_are_in_the_topic_in_order_and_the_checkpoint_is_kept),
	    mock_test(a_writer_that_starts_again_has_its_checkpoint_and_notes),
	    mock_test(the_mark_of_the_topic_is_no_note_of_squeal),
	    mock_test(a_second_writer_on_the_state_file_is_refused),
	    mock_test(errors_that_pass_are_survived_without_a_hole),
	    mock_test(an_error_that_stays_moves_no_checkpoint_and_the_same_call_goes_on),
	    mock_test(records_too_large_together_are_written_one_by_one),
	    mock_test(a_record_that_is_too_large_alone_has_an_error_of_its_own_and_nothing_moves),
	    mock_test(a_producer_that_ended_is_replaced),
	    mock_test(brokers_that_are_away_are_waited_for),
	    mock_test(a_lost_state_file_is_made_again_from_the_topic),
	    mock_test(a_state_file_is_not_made_from_another_source),
	    mock_test(a_topic_made_anew_keeps_the_checkpoint_and_readers_see_a_gap),
	    mock_test(settings_that_a_promise_stands_on_are_refused),
	    cmocka_unit_test(the_partition_is_the_one_that_javas_clients_choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
