#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/broker/cursor_kafka.h"

#define LOG "0123456789abcdef0123456789abcdef"

static void
count(void *arg)
{
	++*(unsigned *)arg;
}

/* A server that was dropped must not hold the group's offset back, and not come back with what was committed
 * of it. */
static void
a_server_that_is_forgotten_is_in_no_commit_and_has_no_cursor(void **state)
{
	unsigned changes = 0;
	static struct cursor_found found = {.log_id = LOG};
	struct cursor_store *s;
	const struct cursor both[] = {{"10.0.0.1:11211", LOG, 5}, {"10.0.0.2:11211", LOG, 90}};
	struct cursor c = {.server = "10.0.0.1:11211"};
	struct err_detail why = {0};
	struct buf metadata = BUF_INIT;
	uint64_t offset;
	bool is_there;

	(void)state;
	s = cursor_kafka_create(&found, count, &changes);
	assert_int_equal(cursor_save(s, both, 2, &why), ERR_OK);
	assert_true(cursor_kafka_commit(s, &offset, &metadata));
	assert_int_equal(offset, 5);
	cursor_kafka_committed(s, true);
	cursor_close(&s);
	/* The next start finds that commit. */
	found.committed = found.has_servers = true;
	found.offset = 5;
	assert_true(commit_decode(buf_span(&metadata), &found.commit));
	s = cursor_kafka_create(&found, count, &changes);
	assert_int_equal(cursor_load(s, &c, &is_there, &why), ERR_OK);
	assert_true(is_there);
	assert_int_equal(c.offset, 5);
	assert_int_equal(cursor_save(s, &both[1], 1, &why), ERR_OK);
	changes = 0;
	assert_int_equal(cursor_forget(s, "10.0.0.1:11211", &why), ERR_OK);
	assert_int_equal(changes, 1);
	assert_int_equal(cursor_load(s, &c, &is_there, &why), ERR_OK);
	assert_false(is_there);
	buf_clear(&metadata);
	assert_true(cursor_kafka_commit(s, &offset, &metadata));
	assert_int_equal(offset, 90);
	cursor_kafka_committed(s, true);
	/* It is added again, and saved. */
	assert_int_equal(cursor_save(s, &both[0], 1, &why), ERR_OK);
	assert_int_equal(cursor_load(s, &c, &is_there, &why), ERR_OK);
	assert_true(is_there);
	cursor_close(&s);
	buf_fini(&metadata);
}

/* A reader that has read one record. */
static struct broker_witness
read_one(const struct broker_reader *r)
{
	(void)r;
	return (struct broker_witness){true, 3, 0x1234};
}

static void
the_first_record_that_was_read_vouches_for_the_log(void **state)
{
	static const struct broker_reader_ops ops = {.witness = read_one};
	const struct broker_reader reader = {&ops};
	const struct cursor saved = {"10.0.0.1:11211", LOG, 5}, early = {"10.0.0.1:11211", LOG, 2};
	const struct broker_witness none = {.known = false}, newer = {true, 4, 0x5678};
	static struct cursor_found found = {.log_id = LOG};
	struct broker_witness w;
	struct err_detail why = {0};
	struct buf metadata = BUF_INIT;
	struct commit *c = calloc(1, sizeof(*c));
	struct cursor_store *s;
	unsigned changes = 0;
	uint64_t offset;

	(void)state;
	assert_non_null(c);
	s = cursor_kafka_create(&found, count, &changes);
	assert_false(cursor_kafka_witness(s).known);
	cursor_vouch(s, &reader);
	assert_int_equal(changes, 1); /* so that it is looked at soon */
	w = cursor_kafka_witness(s);
	assert_true(w.known);
	assert_int_equal(w.offset, 3);
	/* An answer to a question that was asked before it was known. */
	cursor_kafka_set_witness(s, &none, &newer);
	assert_int_equal(cursor_kafka_witness(s).offset, 3);
	/* It vouches for cursors behind it. */
	assert_int_equal(cursor_save(s, &early, 1, &why), ERR_OK);
	assert_true(cursor_kafka_commit(s, &offset, &metadata));
	assert_true(commit_decode(buf_span(&metadata), c));
	assert_false(c->has_witness);
	cursor_kafka_committed(s, true);
	assert_int_equal(cursor_save(s, &saved, 1, &why), ERR_OK);
	buf_clear(&metadata);
	assert_true(cursor_kafka_commit(s, &offset, &metadata));
	assert_true(commit_decode(buf_span(&metadata), c));
	assert_true(c->has_witness);
	assert_int_equal(c->witness_offset, 3);
	assert_int_equal(c->witness, 0x1234);
	/* A newer one takes its place, and is not replaced by the first one again. */
	cursor_kafka_set_witness(s, &w, &newer);
	cursor_vouch(s, &reader);
	assert_int_equal(cursor_kafka_witness(s).offset, 4);
	cursor_close(&s);
	buf_fini(&metadata);
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_server_that_is_forgotten_is_in_no_commit_and_has_no_cursor),
	    cmocka_unit_test(the_first_record_that_was_read_vouches_for_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
