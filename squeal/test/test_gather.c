#include "squeal/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/test/test.h"

/* What gather emitted, one line per item: "0-1-5 a,b pool=p holdoff=9" or "pos gtid:0-1-5". */
struct fixture {
	struct clock_fake clock;
	struct gather_metrics metrics;
	struct markers_options markers;
	struct gather *gather;
	struct log *log;
	unsigned log_lines;
	struct buf emitted;
	bool refuse;
	char origin[200]; /* of the last item */
	uint64_t seq;
};

static bool
emit(void *arg, struct queue_item *it)
{
	struct fixture *f = arg;
	struct keyset_cursor c = KEYSET_CURSOR_INIT;
	struct err_detail why = {0};
	enum key_kind kind;
	struct span key;
	bool more = true;
	const char *comma = " ";

	if (f->refuse) {
		queue_item_destroy(&it);
		return false;
	}
	snprintf(f->origin, sizeof(f->origin), "%s", it->origin != NULL ? it->origin : "");
	if (it->whole != NULL) {
		buf_put_str(&f->emitted, "pos ");
		position_format(it->whole, &f->emitted);
	} else {
		gtid_format(&it->gtid, &f->emitted);
	}
	for (;;) {
		assert_int_equal(keyset_next(&it->keys, &c, &kind, &key, &more, &why), ERR_OK);
		if (!more)
			break;
		buf_put_str(&f->emitted, comma);
		buf_put_str(&f->emitted, kind == KEY_MARKER ? "m:" : "");
		buf_put_span(&f->emitted, key);
		comma = ",";
	}
	if (it->kind != QUEUE_COMMIT) {
		static const char *const ends[] = {[QUEUE_PREPARED] = "prepared",
						   [QUEUE_XA_COMMIT] = "xa_commit",
						   [QUEUE_XA_ROLLBACK] = "xa_rollback"};

		buf_printf(&f->emitted, " %s%s=", ends[it->kind], it->cannot_be_undone ? "!" : "");
		xid_format(it->xid, &f->emitted);
	}
	if (it->pool != NULL)
		buf_printf(&f->emitted, " pool=%s", it->pool);
	if (it->holdoff_ms > 0)
		buf_printf(&f->emitted, " holdoff=%u", it->holdoff_ms);
	buf_putc(&f->emitted, '\n');
	keyset_cursor_fini(&c);
	queue_item_destroy(&it);
	return true;
}

static void
count_line(void *arg, enum log_level level, struct span line)
{
	((struct fixture *)arg)->log_lines++;
}

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return 1;
	clock_fake_init(&f->clock);
	f->markers.tag = (char *)"inv";
	f->log = log_create("test", LOG_INFO, &f->clock.clock, count_line, f);
	f->gather = gather_create(&(struct gather_parts){
	    .clock = &f->clock.clock,
	    .log = f->log,
	    .emit = emit,
	    .arg = f,
	    .metrics = &f->metrics,
	    .markers = &f->markers,
	    .spill_dir = "/tmp",
	    .txn_memory = 1 << 16,
	});
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	gather_destroy(&f->gather);
	log_destroy(&f->log);
	buf_fini(&f->emitted);
	free(f);
	return 0;
}

static void
begin(struct fixture *f)
{
	f->seq++;
	assert_int_equal(gather_ops.begin(f->gather, &(struct txn_begin){0}), ERR_OK);
}

static void
say(struct fixture *f, const char *sql)
{
	assert_int_equal(gather_ops.statement(f->gather, span_of(sql)), ERR_OK);
}

static struct txn_end
end_of(const struct fixture *f)
{
	return (struct txn_end){
	    .gtid = {.kind = GTID_MARIADB, .domain = 0, .server = 1, .seq = f->seq},
	    .place = {SPAN_LIT("mariadb-bin.000001"), 100 * f->seq},
	};
}

static void
commit(struct fixture *f)
{
	struct txn_end e = end_of(f);

	assert_int_equal(gather_ops.commit(f->gather, &e), ERR_OK);
}

static void
xa_end(struct fixture *f, enum txn_kind kind)
{
	struct txn_end e = end_of(f);
	struct xid xid;

	assert_true(xid_make(&xid, 1, SPAN_LIT("x"), (struct span){"", 0}));
	e.kind = kind;
	e.xid = &xid;
	if (kind == TXN_XA_ROLLBACK)
		assert_int_equal(gather_ops.rollback(f->gather, &e), ERR_OK);
	else
		assert_int_equal(gather_ops.commit(f->gather, &e), ERR_OK);
}

static void
both_ends_of_an_xa_transaction_are_emitted_with_its_id(void **state)
{
	struct fixture *f = *state;

	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a',inv_p='users'*/");
	xa_end(f, TXN_PREPARED);
	begin(f);
	xa_end(f, TXN_XA_COMMIT);
	begin(f);
	xa_end(f, TXN_PREPARED);
	begin(f);
	xa_end(f, TXN_XA_ROLLBACK);
	assert_string_equal(buf_str(&f->emitted), "0-1-1 a prepared=X'78',X'',1 pool=users\n"
						  "0-1-2 xa_commit=X'78',X'',1\n"
						  "0-1-3 prepared=X'78',X'',1\n"
						  "0-1-4 xa_rollback=X'78',X'',1\n");
	assert_int_equal(metric_get(&f->metrics.txn_with_keys), 0);
	assert_int_equal(gather_position(f->gather)->mariadb.ids[0].seq, 4);
}

static void
keys_of_all_statements_leave_at_commit(void **state)
{
	struct fixture *f = *state;

	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a,b'*/");
	say(f, "UPDATE t SET a=2");
	say(f, "DELETE FROM from_x /*inv='b,c',inv_m='r'*/");
	assert_int_equal(f->emitted.len, 0);
	commit(f);
	assert_string_equal(buf_str(&f->emitted), "0-1-1 a,b,c,m:r\n");
	assert_string_equal(f->origin, "update t, delete from_x");
	assert_int_equal(f->metrics.statement, 3);
	assert_int_equal(f->metrics.statement_with_keys, 2);
	assert_int_equal(f->metrics.key_found, 5);
	assert_int_equal(f->metrics.key_repeated, 1);
	assert_int_equal(f->metrics.txn_with_keys, 1);
}

/* I8: rolled-back work delivers nothing. */
static void
a_rollback_delivers_nothing_and_moves_the_position(void **state)
{
	struct fixture *f = *state;
	struct txn_end e;

	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a,b'*/");
	e = end_of(f);
	assert_int_equal(gather_ops.rollback(f->gather, &e), ERR_OK);
	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='c'*/");
	commit(f);
	assert_string_equal(buf_str(&f->emitted), "0-1-2 c\n");
	assert_string_equal(f->origin, "update t");
	assert_int_equal(f->metrics.key_rolled_back, 2);
	assert_int_equal(gather_position(f->gather)->mariadb.ids[0].seq, 2);
}

/* The server gives the GTID of a torn group to the next transaction: resuming behind it would lose that one.
 */
static void
a_torn_group_does_not_move_the_position(void **state)
{
	struct fixture *f = *state;
	struct txn_end e;

	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a'*/");
	commit(f);
	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='b'*/");
	e = end_of(f);
	e.torn = true;
	assert_int_equal(gather_ops.rollback(f->gather, &e), ERR_OK);
	assert_int_equal(gather_position(f->gather)->mariadb.ids[0].seq, 1);
	assert_true(gather_idle(f->gather));
	assert_string_equal(buf_str(&f->emitted), "0-1-1 a\n");
}

static void
a_savepoint_takes_back_what_came_after_it(void **state)
{
	struct fixture *f = *state;

	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a'*/");
	gather_ops.savepoint(f->gather, SPAN_LIT("s1"));
	say(f, "UPDATE t SET a=1 /*inv='b'*/");
	gather_ops.savepoint(f->gather, SPAN_LIT("s2"));
	say(f, "UPDATE t SET a=1 /*inv='c'*/");
	gather_ops.rollback_to(f->gather, SPAN_LIT("S1"));
	say(f, "UPDATE t SET a=1 /*inv='d'*/");
	gather_ops.rollback_to(f->gather, SPAN_LIT("s2")); /* gone with the rollback to s1 */
	commit(f);
	assert_string_equal(buf_str(&f->emitted), "0-1-1 a,d\n");
	assert_int_equal(f->metrics.savepoint_lost, 1);
	assert_int_equal(f->metrics.key_rolled_back, 2);
}

static void
a_savepoint_set_again_stands_where_it_was_set_last(void **state)
{
	struct fixture *f = *state;

	begin(f);
	gather_ops.savepoint(f->gather, SPAN_LIT("s"));
	say(f, "UPDATE t SET a=1 /*inv='a'*/");
	gather_ops.savepoint(f->gather, SPAN_LIT("s"));
	say(f, "UPDATE t SET a=1 /*inv='b'*/");
	gather_ops.rollback_to(f->gather, SPAN_LIT("s"));
	commit(f);
	assert_string_equal(buf_str(&f->emitted), "0-1-1 a\n");
}

/* What a non-transactional engine wrote stays, so its keys are delivered. */
static void
a_rollback_that_undoes_not_everything_delivers_its_keys(void **state)
{
	struct fixture *f = *state;
	struct txn_end e;

	begin(f);
	say(f, "UPDATE myisam SET a=1 /*inv='a'*/");
	e = end_of(f);
	e.rolled_back = true;
	assert_int_equal(gather_ops.commit(f->gather, &e), ERR_OK);
	assert_string_equal(buf_str(&f->emitted), "0-1-1 a\n");
	assert_int_equal(f->metrics.txn_kept_at_rollback, 1);
}

/* I10: one bad key costs no other key. */
static void
bad_keys_are_counted_and_the_others_delivered(void **state)
{
	struct fixture *f = *state;
	char sql[600] = "UPDATE t SET a=1 /*inv='good,with%20space,";

	memset(sql + strlen(sql), 'x', 251);
	strcat(sql, ",nul%00,nl%0a,last'*/");
	begin(f);
	say(f, sql);
	commit(f);
	assert_string_equal(buf_str(&f->emitted), "0-1-1 good,last\n");
	assert_int_equal(f->metrics.key_bad, 4);
	assert_true(f->log_lines >= 2);
}

static void
pools_that_disagree_mean_every_pool(void **state)
{
	struct fixture *f = *state;

	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a',inv_h='100',inv_p='hot'*/");
	commit(f);
	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a',inv_h='100',inv_p='hot'*/");
	say(f, "UPDATE t SET a=1 /*inv='b',inv_h='700',inv_p='cold'*/");
	say(f, "UPDATE t SET a=1 /*inv='c',inv_p='hot'*/");
	commit(f);
	assert_string_equal(buf_str(&f->emitted), "0-1-1 a pool=hot holdoff=100\n0-1-2 a,b,c holdoff=700\n");
	assert_int_equal(f->metrics.marker_pool_conflict, 1);
}

static void
transactions_without_keys_move_the_position_now_and_then(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		begin(f);
		say(f, "UPDATE t SET a=1");
		commit(f);
	}
	assert_int_equal(f->emitted.len, 0);
	assert_true(gather_idle(f->gather));
	assert_string_equal(buf_str(&f->emitted), "pos gtid:0-1-3\n");
	assert_true(gather_idle(f->gather));
	assert_string_equal(buf_str(&f->emitted), "pos gtid:0-1-3\n");
	for (int i = 0; i < 1000; i++) {
		begin(f);
		commit(f);
	}
	assert_non_null(strstr(buf_str(&f->emitted), "pos gtid:0-1-1003\n"));
	assert_int_equal(f->metrics.txn_without_keys, 1003);
}

/* The very first start is stored, so that a crash before the first commit does not start at a later "now". */
static void
the_start_is_emitted_once_and_a_return_to_the_same_place_is_not(void **state)
{
	struct fixture *f = *state;
	struct position start = {0};
	struct err_detail why = {0};

	assert_int_equal(position_parse(SPAN_LIT("0-1-40"), &start, &why), ERR_OK);
	assert_true(gather_start(f->gather, &start));
	assert_true(gather_start(f->gather, &start));
	assert_string_equal(buf_str(&f->emitted), "pos gtid:0-1-40\n");
	position_fini(&start);
}

static void
commit_as(struct fixture *f, const struct gtid *gtid, const char *file, uint64_t pos)
{
	struct txn_begin b = {.gtid = *gtid};
	struct txn_end e = {.gtid = *gtid, .place = {.file = span_of(file), .pos = pos}};

	assert_int_equal(gather_ops.begin(f->gather, &b), ERR_OK);
	assert_int_equal(gather_ops.statement(f->gather, SPAN_LIT("UPDATE t SET a=1 /*inv='k'*/")), ERR_OK);
	assert_int_equal(gather_ops.commit(f->gather, &e), ERR_OK);
}

static void
assert_position(struct fixture *f, const char *text)
{
	struct buf b = BUF_INIT;

	position_format(gather_position(f->gather), &b);
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

#define UUID "3e11fa47-71ca-11e1-9e33-c80aa9429562"

static void
without_ids_the_position_is_the_end_of_the_transaction_and_follows_rotations(void **state)
{
	struct fixture *f = *state;
	struct position start = {0};
	struct err_detail why = {0};
	const struct gtid none = {0};

	assert_int_equal(position_parse(SPAN_LIT("file:b.000001:4@" UUID), &start, &why), ERR_OK);
	assert_true(gather_start(f->gather, &start));
	commit_as(f, &none, "b.000001", 500);
	assert_position(f, "file:b.000001:500@" UUID);
	buf_clear(&f->emitted);
	assert_int_equal(gather_ops.moved(f->gather, &(struct txn_place){SPAN_LIT("b.000002"), 4}), ERR_OK);
	assert_true(gather_idle(f->gather));
	assert_string_equal(buf_str(&f->emitted), "pos file:b.000002:4@" UUID "\n");
	position_fini(&start);
}

/* I9: a set would pass over the transactions without ids. */
static void
a_file_position_becomes_a_set_at_the_first_id_behind_a_files_start(void **state)
{
	struct fixture *f = *state;
	struct position start = {0};
	struct gtid_set before = {0};
	struct err_detail why = {0};
	struct gtid g, none = {0};

	assert_int_equal(position_parse(SPAN_LIT("file:b.000001:4"), &start, &why), ERR_OK);
	assert_int_equal(gtid_set_parse(SPAN_LIT(UUID ":1-9"), &before, &why), ERR_OK);
	assert_int_equal(gtid_parse(SPAN_LIT(UUID ":10"), &g, &why), ERR_OK);
	assert_true(gather_start(f->gather, &start));
	commit_as(f, &g, "b.000001", 500);
	assert_position(f, "file:b.000001:500");
	gather_offer_gtids(f->gather, &before);
	commit_as(f, &none, "b.000002", 300);
	commit_as(f, &g, "b.000002", 600);
	assert_position(f, "file:b.000002:600");
	gather_offer_gtids(f->gather, &before);
	buf_clear(&f->emitted);
	commit_as(f, &g, "b.000003", 300);
	assert_string_equal(buf_str(&f->emitted), UUID ":10 k\npos gtid:" UUID ":1-10\n");
	gather_offer_gtids(f->gather, &before);
	g.seq = 11;
	commit_as(f, &g, "b.000004", 300);
	assert_position(f, "gtid:" UUID ":1-11");
	position_fini(&start);
	gtid_set_fini(&before);
}

static void
a_new_stream_forgets_the_unfinished_transaction(void **state)
{
	struct fixture *f = *state;
	struct position start = {0};

	assert_true(gather_start(f->gather, &start));
	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='lost link'*/");
	say(f, "UPDATE t SET a=1 /*inv='torn'*/");
	assert_true(gather_start(f->gather, &start));
	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='whole'*/");
	commit(f);
	assert_non_null(strstr(buf_str(&f->emitted), "0-1-2 whole\n"));
	assert_null(strstr(buf_str(&f->emitted), "torn"));
}

static void
when_nobody_takes_any_more_the_stream_is_told(void **state)
{
	struct fixture *f = *state;
	struct txn_end e;

	begin(f);
	say(f, "UPDATE t SET a=1 /*inv='a'*/");
	f->refuse = true;
	e = end_of(f);
	assert_int_equal(gather_ops.commit(f->gather, &e), ERR_CLOSED);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    EACH(both_ends_of_an_xa_transaction_are_emitted_with_its_id),
	    EACH(keys_of_all_statements_leave_at_commit),
	    EACH(a_rollback_delivers_nothing_and_moves_the_position),
	    EACH(a_torn_group_does_not_move_the_position),
	    EACH(a_savepoint_takes_back_what_came_after_it),
	    EACH(a_savepoint_set_again_stands_where_it_was_set_last),
	    EACH(a_rollback_that_undoes_not_everything_delivers_its_keys),
	    EACH(bad_keys_are_counted_and_the_others_delivered),
	    EACH(pools_that_disagree_mean_every_pool),
	    EACH(transactions_without_keys_move_the_position_now_and_then),
	    EACH(the_start_is_emitted_once_and_a_return_to_the_same_place_is_not),
	    EACH(without_ids_the_position_is_the_end_of_the_transaction_and_follows_rotations),
	    EACH(a_file_position_becomes_a_set_at_the_first_id_behind_a_files_start),
	    EACH(a_new_stream_forgets_the_unfinished_transaction),
	    EACH(when_nobody_takes_any_more_the_stream_is_told),
	};

	return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
