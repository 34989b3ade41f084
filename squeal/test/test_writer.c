/* The writing side over a real SQLite log, without a gate. */
#include "squeal/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/arena.h"
#include "lib/core/test/test.h"
#include "lib/wire/record.h"
#include "squeal/lost.h"

struct fixture {
	char folder[64];
	char path[96];
	struct log_options log_opt;
	struct squeal_options opt;
	struct broker_metrics broker_metrics;
	struct state_metrics state_metrics;
	struct batch_metrics batch_metrics;
	struct prepared_metrics prepared_metrics;
	struct broker_context context;
	struct broker_writer *broker;
	struct queue *queue;
	struct state *state;
	struct writer *writer;
	pthread_t thread;
	unsigned failures;
};

static void
on_failed(void *arg, const struct err_detail *why)
{
	((struct fixture *)arg)->failures++;
}

static void *
run(void *arg)
{
	writer_run(((struct fixture *)arg)->writer);
	return NULL;
}

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	if (f == NULL)
		return 1;
	snprintf(f->folder, sizeof(f->folder), "/tmp/squeal-test-writer-XXXXXX");
	if (mkdtemp(f->folder) == NULL)
		return 1;
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->log_opt = (struct log_options){.type = (char *)"sqlite",
					  .path = f->path,
					  .retention = 86400,
					  .max_size = 1 << 30,
					  .sync = (char *)"normal"};
	f->opt = (struct squeal_options){.batch_keys = 100, .batch_bytes = 65536};
	f->context = (struct broker_context){clock_system(), NULL, &f->broker_metrics};
	if (broker_writer_open(&f->broker, &f->log_opt, "main", &f->context, &why) != ERR_OK) {
		print_error("%s\n", why.text);
		return 1;
	}
	f->queue = queue_create(1 << 20);
	f->state = state_create("main", clock_system(), &f->state_metrics);
	f->writer = writer_create(
	    &(struct writer_parts){
		.clock = clock_system(),
		.queue = f->queue,
		.broker = f->broker,
		.state = f->state,
		.state_metrics = &f->state_metrics,
		.batch_metrics = &f->batch_metrics,
		.prepared_metrics = &f->prepared_metrics,
		.source = "main",
		.failed = on_failed,
		.arg = f,
	    },
	    &f->opt);
	pthread_create(&f->thread, NULL, run, f);
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;
	char command[128];

	writer_destroy(&f->writer);
	queue_destroy(&f->queue);
	state_destroy(&f->state);
	broker_writer_close(&f->broker);
	snprintf(command, sizeof(command), "rm -rf %s", f->folder);
	free(f);
	return system(command);
}

static struct queue_item *
item(uint64_t seq, int nkeys)
{
	struct queue_item *it = queue_item_create();
	struct keyset *s = keyset_create(2000, "/tmp");
	struct err_detail why = {0};
	char key[32];
	bool added;

	it->gtid = (struct gtid){.kind = GTID_MARIADB, .server = 1, .seq = seq};
	for (int i = 0; i < nkeys; i++) {
		snprintf(key, sizeof(key), "k%d-%d", (int)seq, i);
		assert_int_equal(keyset_add(s, KEY_DELETE, span_of(key), &added, &why), ERR_OK);
	}
	keyset_take(s, &it->keys);
	keyset_destroy(&s);
	return it;
}

static bool
count_keys(void *arg, const struct broker_record *rec)
{
	struct arena arena = ARENA_INIT;
	struct err_detail why = {0};
	struct record r;

	assert_false(rec->damaged);
	assert_int_equal(record_decode(rec->bytes, &arena, &r, &why), ERR_OK);
	for (size_t i = 0; i < r.ntxns; i++)
		*(uint64_t *)arg += r.txns[i].nkeys;
	arena_fini(&arena);
	return true;
}

static void
count_name(void *arg, struct span name)
{
	*(unsigned *)arg += span_starts(name, SPAN_LIT("xa:"));
}

static uint64_t
keys_in_log(struct fixture *f)
{
	struct broker_reader *r;
	struct err_detail why = {0};
	uint64_t first, end, next, keys = 0;

	assert_int_equal(broker_reader_open(&r, &f->log_opt, &f->context, &why), ERR_OK);
	assert_int_equal(broker_bounds(r, &first, &end, &why), ERR_OK);
	assert_int_equal(broker_read(r, first, 1000000, 1 << 30, count_keys, &keys, &next, &why), ERR_OK);
	assert_int_equal(next, end);
	broker_reader_close(&r);
	return keys;
}

static void
finish(struct fixture *f)
{
	queue_close(f->queue);
	pthread_join(f->thread, NULL);
}

static void
assert_checkpoint(struct fixture *f, const char *expected)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};

	assert_int_equal(broker_checkpoint(f->broker, &text, &why), ERR_OK);
	assert_string_equal(buf_str(&text), expected);
	buf_fini(&text);
}

static void
everything_put_before_the_close_is_in_the_log(void **state)
{
	struct fixture *f = *state;
	uint64_t expected = 0;

	for (uint64_t i = 1; i <= 500; i++) {
		int n = (int)(i % 4);

		assert_true(queue_put(f->queue, item(i, n)));
		expected += (uint64_t)n;
	}
	finish(f);
	assert_int_equal(keys_in_log(f), expected);
	assert_int_equal(f->batch_metrics.batch_key, expected);
	assert_checkpoint(f, "gtid:0-1-500");
	assert_int_equal(queue_bytes(f->queue), 0);
	assert_true(state_has_checkpoint(f->state));
	assert_int_equal(f->failures, 0);
}

static void
a_transaction_of_many_records_arrives_whole(void **state)
{
	struct fixture *f = *state;

	assert_true(queue_put(f->queue, item(1, 1)));
	assert_true(queue_put(f->queue, item(2, 30000)));
	assert_true(queue_put(f->queue, item(3, 1)));
	finish(f);
	assert_int_equal(keys_in_log(f), 30002);
	assert_checkpoint(f, "gtid:0-1-3");
}

/* What comes while it lingers goes into the same record, instead of lingering once more itself. */
static void
what_comes_while_it_lingers_goes_along(void **state)
{
	struct fixture *f = *state;

	f->opt.linger = 1000;
	writer_reload(f->writer, &f->opt);
	assert_true(queue_put(f->queue, item(1, 1)));
	usleep(5000); /* most often the first is taken by now; when it is not, both are taken together */
	assert_true(queue_put(f->queue, item(2, 1)));
	while (!state_has_checkpoint(f->state))
		usleep(1000);
	finish(f);
	assert_int_equal(keys_in_log(f), 2);
	assert_int_equal(f->batch_metrics.batch_record, 1);
}

/* As item(), of an XA transaction. */
static struct queue_item *
xa(uint64_t seq, enum queue_kind kind, const char *name, int nkeys)
{
	struct queue_item *it = item(seq, nkeys);

	it->kind = kind;
	it->xid = calloc(1, sizeof(*it->xid));
	assert_true(xid_make(it->xid, 1, span_of(name), (struct span){"", 0}));
	return it;
}

static unsigned
notes_in_log(struct fixture *f)
{
	struct err_detail why = {0};
	unsigned n = 0;

	assert_int_equal(broker_note_names(f->broker, count_name, &n, &why), ERR_OK);
	return n;
}

static void
keys_of_a_prepared_transaction_wait_for_its_commit(void **state)
{
	struct fixture *f = *state;

	assert_true(queue_put(f->queue, xa(1, QUEUE_PREPARED, "a", 30000)));
	assert_true(queue_put(f->queue, item(2, 1)));
	assert_true(queue_put(f->queue, xa(3, QUEUE_PREPARED, "b", 5)));
	finish(f);
	assert_int_equal(keys_in_log(f), 1);
	assert_int_equal(notes_in_log(f), 2);
	assert_int_equal(metric_get(&f->prepared_metrics.xa_kept), 2);
	assert_checkpoint(f, "gtid:0-1-3");
}

static void
both_ends_in_one_go_deliver_each_transaction_once(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 100; i++) {
		assert_true(queue_put(f->queue, xa(4 * i + 1, QUEUE_PREPARED, "a", 3)));
		assert_true(queue_put(f->queue, xa(4 * i + 2, QUEUE_XA_COMMIT, "a", 0)));
		assert_true(queue_put(f->queue, xa(4 * i + 3, QUEUE_PREPARED, "a", 2)));
		assert_true(queue_put(f->queue, xa(4 * i + 4, QUEUE_XA_ROLLBACK, "a", 0)));
	}
	finish(f);
	assert_int_equal(keys_in_log(f), 300);
	assert_int_equal(notes_in_log(f), 0);
	assert_int_equal(metric_get(&f->prepared_metrics.xa_delivered), 100);
	assert_int_equal(metric_get(&f->prepared_metrics.xa_unknown), 0);
	assert_int_equal(metric_get(&f->prepared_metrics.xa_kept), 0);
	assert_checkpoint(f, "gtid:0-1-400");
}

static void
a_large_prepared_transaction_is_delivered_whole(void **state)
{
	struct fixture *f = *state;

	assert_true(queue_put(f->queue, xa(1, QUEUE_PREPARED, "a", 300000)));
	assert_true(queue_put(f->queue, item(2, 7)));
	assert_true(queue_put(f->queue, xa(3, QUEUE_XA_COMMIT, "a", 0)));
	assert_true(queue_put(f->queue, item(4, 1)));
	finish(f);
	assert_int_equal(keys_in_log(f), 300008);
	assert_int_equal(notes_in_log(f), 0);
	assert_int_equal(f->failures, 0);
	assert_checkpoint(f, "gtid:0-1-4");
}

static void
a_commit_whose_prepare_was_not_read_is_counted(void **state)
{
	struct fixture *f = *state;

	assert_true(queue_put(f->queue, xa(1, QUEUE_XA_COMMIT, "a", 0)));
	finish(f);
	assert_int_equal(metric_get(&f->prepared_metrics.xa_unknown), 1);
	assert_int_equal(keys_in_log(f), 0);
	assert_checkpoint(f, "gtid:0-1-1");
}

/* The note; empty when there is none. */
static void
assert_since(struct fixture *f, const char *expected)
{
	struct err_detail why = {0};
	struct buf text = BUF_INIT;
	bool found;

	assert_int_equal(broker_note_read(f->broker, SPAN_LIT(LOST_SINCE), 0, &text, &found, &why), ERR_OK);
	assert_string_equal(buf_str(&text), expected);
	buf_fini(&text);
}

static struct queue_item *
whole(const char *text)
{
	struct queue_item *it = queue_item_create();

	it->whole = calloc(1, sizeof(*it->whole));
	assert_int_equal(position_parse(span_of(text), it->whole, NULL), ERR_OK);
	return it;
}

/* Another writer on the same log, as after a restart. */
static void
restart(struct fixture *f)
{
	finish(f);
	writer_destroy(&f->writer);
	queue_destroy(&f->queue);
	f->queue = queue_create(1 << 20);
	f->writer = writer_create(
	    &(struct writer_parts){
		.clock = clock_system(),
		.queue = f->queue,
		.broker = f->broker,
		.state = f->state,
		.state_metrics = &f->state_metrics,
		.batch_metrics = &f->batch_metrics,
		.prepared_metrics = &f->prepared_metrics,
		.source = "main",
		.failed = on_failed,
		.arg = f,
	    },
	    &f->opt);
	pthread_create(&f->thread, NULL, run, f);
}

static void
the_log_knows_since_when_all_is_in_ordinary_transactions(void **state)
{
	struct fixture *f = *state;

	assert_true(queue_put(f->queue, whole("gtid:0-1-5")));
	restart(f);
	assert_since(f, "gtid:0-1-5");
	/* It goes on from the checkpoint. */
	assert_true(queue_put(f->queue, whole("gtid:0-1-5")));
	assert_true(queue_put(f->queue, item(6, 1)));
	restart(f);
	assert_since(f, "gtid:0-1-5");
	/* It is not, so the end of a transaction that was kept is behind it. */
	assert_true(queue_put(f->queue, whole("gtid:0-1-6")));
	assert_true(queue_put(f->queue, xa(7, QUEUE_PREPARED, "a", 1)));
	restart(f);
	assert_since(f, "gtid:0-1-5");
	assert_true(queue_put(f->queue, whole("gtid:0-1-7")));
	assert_true(queue_put(f->queue, xa(8, QUEUE_XA_COMMIT, "a", 0)));
	restart(f);
	assert_since(f, "gtid:0-1-8");
	/* A start elsewhere: what is between was not read. */
	assert_true(queue_put(f->queue, whole("gtid:0-1-20")));
	finish(f);
	assert_since(f, "gtid:0-1-20");
}

static void
hurrying_leaves_a_checkpoint_that_covers_only_what_is_in_the_log(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct position pos = {0};
	uint64_t last = 0;

	for (uint64_t i = 1; i <= 3000; i++) {
		if (!queue_put(f->queue, item(i, 1)))
			break;
		if (i == 2000)
			writer_hurry(f->writer);
		last = i;
		if (i >= 2000 && queue_bytes(f->queue) > 500000)
			break;
	}
	finish(f);
	assert_true(last >= 2000);
	assert_int_equal(broker_checkpoint(f->broker, &text, &why), ERR_OK);
	if (text.len > 0) {
		assert_int_equal(position_parse(buf_span(&text), &pos, &why), ERR_OK);
		assert_int_equal(keys_in_log(f), pos.mariadb.ids[0].seq);
	}
	position_fini(&pos);
	buf_fini(&text);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    EACH(everything_put_before_the_close_is_in_the_log),
	    EACH(a_transaction_of_many_records_arrives_whole),
	    EACH(what_comes_while_it_lingers_goes_along),
	    EACH(keys_of_a_prepared_transaction_wait_for_its_commit),
	    EACH(both_ends_in_one_go_deliver_each_transaction_once),
	    EACH(a_large_prepared_transaction_is_delivered_whole),
	    EACH(a_commit_whose_prepare_was_not_read_is_counted),
	    EACH(the_log_knows_since_when_all_is_in_ordinary_transactions),
	    EACH(hurrying_leaves_a_checkpoint_that_covers_only_what_is_in_the_log),
	};

	return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
