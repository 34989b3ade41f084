/* Over a real SQLite log. */
#include "squeal/prepared.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/test/test.h"
#include "squeal/prepared_note.h"

struct fixture {
	char folder[64];
	char path[96];
	struct log_options opt;
	struct broker_metrics broker_metrics;
	struct batch_metrics batch_metrics;
	struct prepared_metrics metrics;
	struct broker_writer *broker;
	struct batch *batch;
	struct prepared *prepared;
	struct err_detail why;
};

static void
open_log(struct fixture *f)
{
	const struct broker_context context = {clock_system(), NULL, &f->broker_metrics};

	assert_int_equal(broker_writer_open(&f->broker, &f->opt, "main", &context, &f->why), ERR_OK);
	f->batch = batch_create("main", (struct batch_limits){100, 65536}, &f->batch_metrics);
	f->prepared = prepared_create(f->broker, NULL, &f->metrics);
}

static void
close_log(struct fixture *f)
{
	prepared_destroy(&f->prepared);
	batch_destroy(&f->batch);
	broker_writer_close(&f->broker);
}

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->folder, sizeof(f->folder), "/tmp/squeal-test-prepared-XXXXXX");
	if (mkdtemp(f->folder) == NULL)
		return 1;
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->opt = (struct log_options){.type = (char *)"sqlite",
				      .path = f->path,
				      .retention = 86400,
				      .max_size = 1 << 30,
				      .sync = (char *)"normal"};
	open_log(f);
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;
	char command[128];

	close_log(f);
	snprintf(command, sizeof(command), "rm -rf %s", f->folder);
	free(f);
	return system(command);
}

/* Transaction `seq` that ends as `kind` under the id "NAME". */
static struct queue_item *
item(enum queue_kind kind, uint64_t seq, const char *name, unsigned nkeys)
{
	struct queue_item *it = queue_item_create();
	struct keyset *s = keyset_create(1000, "/tmp");
	struct err_detail why = {0};
	char key[32];
	bool added;

	it->kind = kind;
	it->xid = malloc(sizeof(*it->xid));
	assert_true(xid_make(it->xid, 1, span_of(name), (struct span){"", 0}));
	it->gtid = (struct gtid){.kind = GTID_MARIADB, .server = 1, .seq = seq};
	for (unsigned i = 0; i < nkeys; i++) {
		snprintf(key, sizeof(key), "%s-%u", name, i);
		assert_int_equal(
		    keyset_add(s, i % 10 == 9 ? KEY_MARKER : KEY_DELETE, span_of(key), &added, &why), ERR_OK);
	}
	keyset_take(s, &it->keys);
	keyset_destroy(&s);
	return it;
}

/* One batch_take() into the log; returns how many changes of notes it had. */
static size_t
flush(struct fixture *f)
{
	struct batch_output out;
	uint64_t first;
	size_t n;

	batch_take(f->batch, &out);
	assert_int_equal(broker_append_notes(f->broker, out.records, out.nrecords, out.checkpoint, out.notes,
					     out.nnotes, &first, &f->why),
			 ERR_OK);
	n = out.nnotes;
	batch_clear(f->batch);
	return n;
}

/* Adds an item and writes it, as the writer does; returns how many appends it took. */
static unsigned
put(struct fixture *f, struct queue_item *it)
{
	unsigned appends = 1;
	bool done = false;

	if (it->kind == QUEUE_PREPARED)
		prepared_add(f->prepared, it);
	else
		assert_int_equal(prepared_find(f->prepared, it, &f->why), ERR_OK);
	for (;;) {
		assert_int_equal(batch_add(f->batch, it, &done, &f->why), ERR_OK);
		if (done)
			break;
		flush(f);
		appends++;
	}
	flush(f);
	return appends;
}

static void
prepare(struct fixture *f, uint64_t seq, const char *name, unsigned nkeys)
{
	struct queue_item *it = item(QUEUE_PREPARED, seq, name, nkeys);

	put(f, it);
	queue_item_destroy(&it);
}

/* Finds what is kept for the other end and compares its keys with what item() made. */
static void
assert_finds(struct fixture *f, enum queue_kind kind, const char *name, unsigned nkeys)
{
	struct queue_item *it = item(kind, 100, name, 0);
	struct keyset_cursor c = KEYSET_CURSOR_INIT;
	enum key_kind key_kind;
	struct span key;
	char want[32];
	bool more = true;
	unsigned n = 0;

	assert_int_equal(prepared_find(f->prepared, it, &f->why), ERR_OK);
	assert_int_equal(it->keys.nkeys, nkeys);
	for (;;) {
		assert_int_equal(keyset_next(&it->keys, &c, &key_kind, &key, &more, &f->why), ERR_OK);
		if (!more)
			break;
		snprintf(want, sizeof(want), "%s-%u", name, n);
		assert_true(span_is(key, want));
		assert_int_equal(key_kind, n % 10 == 9 ? KEY_MARKER : KEY_DELETE);
		n++;
	}
	assert_int_equal(n, nkeys);
	keyset_cursor_fini(&c);
	queue_item_destroy(&it);
}

static void
load(struct fixture *f, bool unsure)
{
	assert_int_equal(prepared_load(f->prepared, unsure, f->batch, &f->why), ERR_OK);
}

static void
count_name(void *arg, struct span name)
{
	++*(unsigned *)arg;
}

static unsigned
names(struct fixture *f)
{
	unsigned n = 0;

	assert_int_equal(broker_note_names(f->broker, count_name, &n, &f->why), ERR_OK);
	return n;
}

static void
keys_are_found_again_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct queue_item *it = item(QUEUE_PREPARED, 1, "a", 20);

	it->holdoff_ms = 300;
	it->pool = span_dup(SPAN_LIT("users"));
	put(f, it);
	queue_item_destroy(&it);
	prepare(f, 2, "b", 3);
	assert_int_equal(metric_get(&f->metrics.xa_kept), 2);
	close_log(f);
	f->metrics = (struct prepared_metrics){0};
	open_log(f);
	load(f, false);
	assert_false(batch_has_news(f->batch));
	assert_int_equal(metric_get(&f->metrics.xa_kept), 2);
	assert_finds(f, QUEUE_XA_COMMIT, "a", 20);
	it = item(QUEUE_XA_COMMIT, 3, "a", 0);
	assert_int_equal(prepared_find(f->prepared, it, &f->why), ERR_OK);
	assert_int_equal(it->holdoff_ms, 300);
	assert_string_equal(it->pool, "users");
	put(f, it);
	queue_item_destroy(&it);
	assert_int_equal(names(f), 1);
	assert_int_equal(metric_get(&f->metrics.xa_kept), 1);
	assert_finds(f, QUEUE_XA_COMMIT, "b", 3);
	assert_int_equal(metric_get(&f->metrics.xa_unknown), 0);
}

static void
many_keys_take_several_parts_and_appends(void **state)
{
	struct fixture *f = *state;
	struct queue_item *it = item(QUEUE_PREPARED, 1, "many", 600000);

	assert_true(put(f, it) >= 2);
	queue_item_destroy(&it);
	assert_finds(f, QUEUE_XA_COMMIT, "many", 600000);
	it = item(QUEUE_XA_COMMIT, 2, "many", 0);
	assert_true(put(f, it) >= 2);
	queue_item_destroy(&it);
	assert_int_equal(names(f), 0);
	assert_int_equal(metric_get(&f->batch_metrics.batch_key), 600000);
	assert_int_equal(metric_get(&f->batch_metrics.batch_txn), 1);
}

static void
half_a_transaction_does_not_count_and_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct queue_item *it = item(QUEUE_PREPARED, 1, "many", 600000);
	bool done;

	assert_int_equal(batch_add(f->batch, it, &done, &f->why), ERR_OK);
	assert_false(done);
	flush(f);
	queue_item_destroy(&it);
	close_log(f);
	open_log(f);
	assert_finds(f, QUEUE_XA_COMMIT, "many", 0);
	assert_int_equal(metric_get(&f->metrics.xa_unknown), 1);
	/* Read again: what was there is no part of it. */
	prepare(f, 1, "many", 5);
	assert_finds(f, QUEUE_XA_COMMIT, "many", 5);
}

static void
what_has_no_head_is_dropped_at_the_start(void **state)
{
	struct fixture *f = *state;
	struct queue_item *it = item(QUEUE_PREPARED, 1, "many", 600000);
	bool done;

	prepare(f, 1, "whole", 2);
	assert_int_equal(batch_add(f->batch, it, &done, &f->why), ERR_OK);
	flush(f);
	queue_item_destroy(&it);
	close_log(f);
	open_log(f);
	assert_int_equal(names(f), 2);
	load(f, false);
	assert_int_equal(flush(f), 1);
	assert_int_equal(names(f), 1);
	assert_finds(f, QUEUE_XA_COMMIT, "whole", 2);
}

static void
preparing_again_replaces(void **state)
{
	struct fixture *f = *state;

	prepare(f, 1, "a", 500);
	prepare(f, 2, "a", 4);
	assert_int_equal(metric_get(&f->metrics.xa_kept), 1);
	assert_finds(f, QUEUE_XA_COMMIT, "a", 4);
}

static void
an_unknown_commit_is_counted_and_an_unknown_rollback_is_not(void **state)
{
	struct fixture *f = *state;

	assert_finds(f, QUEUE_XA_ROLLBACK, "a", 0);
	assert_int_equal(metric_get(&f->metrics.xa_unknown), 0);
	assert_finds(f, QUEUE_XA_COMMIT, "a", 0);
	assert_int_equal(metric_get(&f->metrics.xa_unknown), 1);
}

static void
an_unknown_commit_is_a_gap_where_a_state_file_was_lost_until_reading_begins_elsewhere(void **state)
{
	const struct broker_note note = {.change = BROKER_NOTE_PUT, .name = SPAN_LIT(BROKER_NOTE_REBUILT)};
	struct fixture *f = *state;
	struct queue_item *it = item(QUEUE_XA_COMMIT, 3, "a", 0);
	uint64_t first;

	assert_int_equal(
	    broker_append_notes(f->broker, NULL, 0, (struct span){"", 0}, &note, 1, &first, &f->why), ERR_OK);
	assert_int_equal(prepared_find(f->prepared, it, &f->why), ERR_GAP);
	queue_item_destroy(&it);
	assert_int_equal(metric_get(&f->metrics.xa_unknown), 0);
	load(f, true);
	flush(f);
	assert_finds(f, QUEUE_XA_COMMIT, "a", 0);
	assert_int_equal(metric_get(&f->metrics.xa_unknown), 1);
}

static void
a_rollback_delivers_only_what_could_not_be_undone(void **state)
{
	struct fixture *f = *state;
	struct queue_item *it = item(QUEUE_PREPARED, 2, "b", 3);

	prepare(f, 1, "a", 3);
	it->cannot_be_undone = true;
	put(f, it);
	queue_item_destroy(&it);
	assert_finds(f, QUEUE_XA_ROLLBACK, "a", 0);
	assert_int_equal(metric_get(&f->metrics.xa_not_undone), 0);
	assert_finds(f, QUEUE_XA_ROLLBACK, "b", 3);
	assert_int_equal(metric_get(&f->metrics.xa_not_undone), 1);
	it = item(QUEUE_XA_ROLLBACK, 3, "a", 0);
	put(f, it);
	queue_item_destroy(&it);
	assert_int_equal(names(f), 1);
}

static void
after_a_gap_they_are_unsure_until_they_are_prepared_again(void **state)
{
	struct fixture *f = *state;

	prepare(f, 1, "a", 3);
	prepare(f, 2, "b", 3);
	close_log(f);
	open_log(f);
	load(f, true);
	assert_int_equal(flush(f), 2);
	close_log(f);
	open_log(f);
	load(f, false);
	prepare(f, 3, "b", 2);
	assert_finds(f, QUEUE_XA_COMMIT, "b", 2);
	assert_int_equal(metric_get(&f->metrics.xa_unsure), 0);
	assert_finds(f, QUEUE_XA_COMMIT, "a", 3);
	assert_int_equal(metric_get(&f->metrics.xa_unsure), 1);
	assert_int_equal(metric_get(&f->metrics.xa_unknown), 0);
}

static void
a_part_that_is_gone_is_an_error(void **state)
{
	struct fixture *f = *state;
	const struct broker_note notes[] = {{.change = BROKER_NOTE_DROP, .name = SPAN_LIT("xa:X'61',X'',1")},
					    {.change = BROKER_NOTE_PUT, .name = SPAN_LIT("xa:X'61',X'',1")}};
	struct queue_item *it = item(QUEUE_XA_COMMIT, 3, "a", 0);
	const struct prepared_note_head head = {.nparts = 1, .nkeys = 3};
	struct broker_note again = notes[1];
	struct buf value = BUF_INIT;
	bool done;

	prepared_note_encode(&head, &value);
	again.value = buf_span(&value);
	batch_change_note(f->batch, &notes[0]);
	batch_change_note(f->batch, &again);
	flush(f);
	assert_int_equal(prepared_find(f->prepared, it, &f->why), ERR_OK);
	assert_int_equal(batch_add(f->batch, it, &done, &f->why), ERR_CORRUPT);
	queue_item_destroy(&it);
	buf_fini(&value);
}

#define T(test) cmocka_unit_test_setup_teardown(test, make, drop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(keys_are_found_again_after_a_restart),
	    T(many_keys_take_several_parts_and_appends),
	    T(half_a_transaction_does_not_count_and_is_replaced),
	    T(what_has_no_head_is_dropped_at_the_start),
	    T(preparing_again_replaces),
	    T(an_unknown_commit_is_counted_and_an_unknown_rollback_is_not),
	    T(an_unknown_commit_is_a_gap_where_a_state_file_was_lost_until_reading_begins_elsewhere),
	    T(a_rollback_delivers_only_what_could_not_be_undone),
	    T(after_a_gap_they_are_unsure_until_they_are_prepared_again),
	    T(a_part_that_is_gone_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
