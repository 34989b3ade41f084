/*
 * mock - librdkafka's cluster of brokers inside this process, with a topic "squeal" of three partitions; for
 * the tests of lib/broker.  It speaks the real protocol over loopback and can be told to answer with errors.
 */
#ifndef SQUEAL_LIB_BROKER_TEST_MOCK_H
#define SQUEAL_LIB_BROKER_TEST_MOCK_H

#include "lib/broker/test/fixture.h"

#include <librdkafka/rdkafka.h>
/* after it */
#include <librdkafka/rdkafka_mock.h>

enum { MOCK_BROKERS = 3, MOCK_PARTITIONS = 3, MOCK_PATIENCE_MS = 10000 };

/* Request types of the protocol. */
enum { MOCK_PRODUCE = 0, MOCK_FETCH = 1, MOCK_LIST_OFFSETS = 2, MOCK_METADATA = 3, MOCK_OFFSET_COMMIT = 8 };

struct mock {
	struct fixture *f;
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
};

static inline void
mock_quiet(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
}

static inline int
mock_setup(void **state)
{
	struct mock *m = MEM_NEW(struct mock);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	static char path[160];
	void *inner = NULL;
	char text[256];

	if (fixture_setup(&inner) != 0)
		return -1;
	m->f = inner;
	rd_kafka_conf_set_log_cb(conf, mock_quiet);
	m->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	m->cluster = rd_kafka_mock_cluster_new(m->rk, MOCK_BROKERS);
	if (rd_kafka_mock_topic_create(m->cluster, "squeal", MOCK_PARTITIONS, 3) !=
	    RD_KAFKA_RESP_ERR_NO_ERROR)
		return -1;
	snprintf(path, sizeof(path), "%s/state", m->f->dir);
	m->f->opt.type = (char *)"kafka";
	m->f->opt.brokers = mem_strdup(rd_kafka_mock_cluster_bootstraps(m->cluster));
	m->f->opt.topic = (char *)"squeal";
	m->f->opt.state = path;
	m->f->opt.properties = (char *)"session.timeout.ms=6000\nheartbeat.interval.ms=200\n";
	m->f->opt.timeout = 1000;
	m->f->ctx.clock = clock_system(); /* librdkafka's threads go by it */
	*state = m;
	return 0;
}

static inline int
mock_teardown(void **state)
{
	struct mock *m = *state;
	void *inner = m->f;

	free(m->f->opt.brokers);
	rd_kafka_mock_cluster_destroy(m->cluster);
	rd_kafka_destroy(m->rk);
	free(m);
	return fixture_teardown(&inner);
}

#define mock_test(fn) cmocka_unit_test_setup_teardown(fn, mock_setup, mock_teardown)

/* Appends until it works; the number of calls that failed with `code` before (any other fails the test). */
static inline unsigned
mock_append(struct mock *m, struct broker_writer *w, const struct span *records, size_t n,
	    const char *checkpoint, err_t code, uint64_t *first)
{
	for (unsigned tries = 0;; tries++) {
		err_t err;

		err_clear(&m->f->why);
		err = broker_append(w, records, n, span_of(checkpoint), first, &m->f->why);
		if (err == ERR_OK)
			return tries;
		if (err != code || tries == 50)
			fail_msg("%s: %s", err_name(err), err_why(&m->f->why));
	}
}

static inline struct broker_reader *
mock_reader(struct mock *m)
{
	struct broker_reader *r;

	assert_ok(m->f, broker_reader_open_source(&r, &m->f->opt, "main", &m->f->ctx, &m->f->why));
	return r;
}

/* Reads from `from` to the end; the text as fixture_see() writes it.  The caller frees it. */
static inline struct buf
mock_read_all(struct mock *m, struct broker_reader *r, uint64_t from)
{
	struct seen seen = {0};
	uint64_t next = from;

	do {
		from = next;
		assert_ok(m->f, broker_read_wait(r, from, 1000, 1 << 20, fixture_see, &seen, &next,
						 MOCK_PATIENCE_MS, &m->f->why));
	} while (next > from);
	return seen.text;
}

#define assert_mock_reads(m, r, from, want)                                                                  \
	do {                                                                                                 \
		struct buf text_ = mock_read_all((m), (r), (from));                                          \
		assert_string_equal(buf_str(&text_), (want));                                                \
		buf_fini(&text_);                                                                            \
	} while (0)

#define assert_mock_checkpoint(m, w, want)                                                                   \
	do {                                                                                                 \
		struct buf text_ = BUF_INIT;                                                                 \
		assert_ok((m)->f, broker_checkpoint((w), &text_, &(m)->f->why));                             \
		assert_string_equal(buf_str(&text_), (want));                                                \
		buf_fini(&text_);                                                                            \
	} while (0)

#endif
