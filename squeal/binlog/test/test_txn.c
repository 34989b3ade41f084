#include "squeal/binlog/test/make_event.h"

#include <stdio.h>
#include <string.h>

#include "squeal/binlog/txn.h"

/* Everything that came out, as one line of words. */
struct fixture {
	struct stream stream;
	struct txn *txn;
	struct buf out;
	struct txn_end end;
	err_t refuse; /* what statement() returns */
};

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	struct fixture *f = arg;

	buf_put_str(&f->out, "begin ");
	return ERR_OK;
}

static err_t
on_statement(void *arg, struct span sql)
{
	struct fixture *f = arg;

	buf_printf(&f->out, "[%.*s] ", SPAN_FMT(sql));
	return f->refuse;
}

static err_t
on_savepoint(void *arg, struct span name)
{
	struct fixture *f = arg;

	buf_printf(&f->out, "savepoint(%.*s) ", SPAN_FMT(name));
	return ERR_OK;
}

static err_t
on_rollback_to(void *arg, struct span name)
{
	struct fixture *f = arg;

	buf_printf(&f->out, "rollback_to(%.*s) ", SPAN_FMT(name));
	return ERR_OK;
}

static void
put_xa(struct fixture *f, const struct txn_end *e)
{
	static const char *const names[] = {
	    [TXN_PREPARED] = "prepared", [TXN_XA_COMMIT] = "xa_commit", [TXN_XA_ROLLBACK] = "xa_rollback"};

	buf_printf(&f->out, "%s%s(", names[e->kind], e->cannot_be_undone ? "!" : "");
	xid_format(e->xid, &f->out);
	buf_put_str(&f->out, ") ");
}

static err_t
on_commit(void *arg, const struct txn_end *e)
{
	struct fixture *f = arg;

	f->end = *e;
	if (e->kind == TXN_ORDINARY)
		buf_put_str(&f->out, e->rolled_back ? "commit(rolled_back) " : "commit ");
	else
		put_xa(f, e);
	return ERR_OK;
}

static err_t
on_rollback(void *arg, const struct txn_end *e)
{
	struct fixture *f = arg;

	f->end = *e;
	if (e->kind == TXN_ORDINARY)
		buf_put_str(&f->out, "rollback ");
	else
		put_xa(f, e);
	return ERR_OK;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	struct fixture *f = arg;

	buf_printf(&f->out, "moved(%.*s:%llu) ", SPAN_FMT(place->file), (unsigned long long)place->pos);
	return ERR_OK;
}

static int
setup(void **state)
{
	static const struct txn_ops ops = {
	    .begin = on_begin,
	    .statement = on_statement,
	    .savepoint = on_savepoint,
	    .rollback_to = on_rollback_to,
	    .commit = on_commit,
	    .rollback = on_rollback,
	    .moved = on_moved,
	};
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	stream_init(&f.stream);
	f.txn = txn_create(&ops, &f, &f.stream.metrics);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	txn_destroy(&f->txn);
	stream_fini(&f->stream);
	buf_fini(&f->out);
	return 0;
}

static void
feed(struct fixture *f, struct span bytes)
{
	struct err_detail why = {0};
	struct binlog_event ev = decode(&f->stream, bytes);

	assert_int_equal(txn_feed(f->txn, &ev, &why), ERR_OK);
}

static void
query(struct fixture *f, const char *sql)
{
	feed(f, make_query(&f->stream, sql));
}

static void
gtid(struct fixture *f, uint64_t seq, uint8_t flags)
{
	feed(f, make_gtid(&f->stream, seq, flags));
}

static void
xid(struct fixture *f)
{
	feed(f, make_event(&f->stream, BINLOG_TYPE_XID, "12345678", 8));
}

static void
annotate(struct fixture *f, const char *sql)
{
	feed(f, make_event(&f->stream, BINLOG_TYPE_ANNOTATE_ROWS, sql, strlen(sql)));
}

static void
rows(struct fixture *f, bool last)
{
	char body[8] = {0};

	feed(f, make_event(&f->stream, BINLOG_TYPE_TABLE_MAP, body, sizeof(body)));
	body[6] = last;
	feed(f, make_event(&f->stream, BINLOG_TYPE_WRITE_ROWS_V1, body, sizeof(body)));
}

/* What came out since the last call. */
#define assert_out(f, text)                                                                                  \
	do {                                                                                                 \
		assert_string_equal(buf_str(&(f)->out), text);                                               \
		buf_clear(&(f)->out);                                                                        \
	} while (0)

static void
a_mariadb_transaction_ends_with_its_xid(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_TRANSACTIONAL);
	query(f, "update a");
	query(f, "delete b");
	f->stream.next_pos = 4711;
	assert_true(txn_is_open(f->txn));
	xid(f);
	assert_out(f, "begin [update a] [delete b] commit ");
	assert_false(txn_is_open(f->txn));
	assert_int_equal(f->end.gtid.seq, 5);
	assert_int_equal(f->end.place.pos, 4711);
	assert_true(span_is(f->end.place.file, "bin.000001"));
	assert_int_equal(f->end.commit_us, UINT64_C(1700000000000000));
	assert_int_equal(metric_get(&f->stream.metrics.binlog_txn), 1);
}

static void
a_standalone_statement_is_a_transaction_of_its_own(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_STANDALONE | BINLOG_GTID_DDL);
	feed(f, make_event(&f->stream, BINLOG_TYPE_INTVAR, "123456789", 9));
	query(f, "alter table a");
	assert_out(f, "begin [alter table a] commit ");
}

static void
a_rollback_drops_only_what_the_source_vouches_for(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_TRANSACTIONAL);
	query(f, "update a");
	query(f, "ROLLBACK");
	assert_out(f, "begin [update a] rollback ");
	gtid(f, 6, 0);
	query(f, "update a");
	query(f, "rollback /* x */ work ;");
	assert_out(f, "begin [update a] commit(rolled_back) ");
	query(f, "BEGIN");
	query(f, "update a");
	query(f, "ROLLBACK");
	assert_out(f, "begin [update a] commit(rolled_back) ");
	assert_int_equal(metric_get(&f->stream.metrics.binlog_txn_rolled_back), 1);
}

static void
savepoints_are_recognised_however_they_are_written(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_TRANSACTIONAL);
	query(f, "SAVEPOINT `a b`");
	query(f, "savepoint x1");
	query(f, "/*c*/ Savepoint\t\"q\"\"r\"");
	query(f, "# note\nSAVEPOINT `o``o`");
	assert_out(f, "begin savepoint(a b) savepoint(x1) savepoint(q\"\"r) savepoint(o``o) ");
	query(f, "ROLLBACK TO `a b`");
	query(f, "/* leading */ rollback /*d*/ work to savepoint x1");
	query(f, "-- text\n ROLLBACK TO SAVEPOINT `o``o` ;");
	assert_out(f, "rollback_to(a b) rollback_to(x1) rollback_to(o``o) ");
	query(f, "release savepoint x1");
	assert_out(f, "[release savepoint x1] ");
	assert_true(txn_is_open(f->txn));
}

static void
a_savepoint_of_a_group_that_cannot_be_undone_keeps_its_statements(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, 0);
	query(f, "SAVEPOINT s");
	query(f, "insert into myisam");
	query(f, "ROLLBACK TO s");
	xid(f);
	assert_out(f, "begin savepoint(s) [insert into myisam] commit ");
}

static void
a_file_without_gtids_has_transactions_too(void **state)
{
	struct fixture *f = *state;

	query(f, "insert into myisam");
	assert_out(f, "begin [insert into myisam] commit ");
	assert_int_equal(f->end.gtid.kind, GTID_NONE);
	query(f, "BEGIN");
	query(f, "update a");
	xid(f);
	assert_out(f, "begin [update a] commit ");
	query(f, "COMMIT");
	xid(f);
	assert_out(f, "");
}

static void
a_mysql_group_may_have_a_begin_or_not(void **state)
{
	struct fixture *f = *state;
	char body[42] = {1};

	body[17] = 9;
	feed(f, make_event(&f->stream, BINLOG_TYPE_GTID, body, sizeof(body)));
	query(f, "BEGIN");
	query(f, "update a");
	xid(f);
	assert_out(f, "begin [update a] commit ");
	assert_int_equal(f->end.gtid.kind, GTID_MYSQL);
	assert_int_equal(f->end.ticket, 1);
	feed(f, make_event(&f->stream, BINLOG_TYPE_GTID, body, sizeof(body)));
	query(f, "create table t");
	assert_out(f, "begin [create table t] commit ");
	feed(f, make_event(&f->stream, BINLOG_TYPE_ANONYMOUS_GTID, body, sizeof(body)));
	query(f, "drop table t");
	assert_out(f, "begin [drop table t] commit ");
	assert_int_equal(f->end.gtid.kind, GTID_NONE);
	assert_int_equal(f->end.ticket, 3);
}

static void
a_group_that_the_next_one_interrupts_is_dropped(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, 0);
	query(f, "update a");
	gtid(f, 6, 0);
	query(f, "update b");
	xid(f);
	assert_out(f, "begin [update a] rollback begin [update b] commit ");
	query(f, "BEGIN");
	query(f, "update a");
	query(f, "BEGIN");
	assert_out(f, "begin [update a] rollback begin ");
	feed(f, make_rotate(&f->stream, "bin.000002", 4));
	assert_out(f, "rollback moved(bin.000002:4) ");
	gtid(f, 7, 0);
	feed(f, make_event(&f->stream, BINLOG_TYPE_STOP, "", 0));
	assert_out(f, "begin rollback ");
	assert_int_equal(metric_get(&f->stream.metrics.binlog_txn_torn), 4);
}

static void
a_rotation_between_transactions_is_a_place_to_resume_from(void **state)
{
	struct fixture *f = *state;

	feed(f, make_rotate(&f->stream, "bin.000002", 4));
	assert_out(f, "moved(bin.000002:4) ");
}

static void
the_text_of_row_changes_is_delivered_and_its_absence_counted(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_TRANSACTIONAL);
	annotate(f, "update a");
	rows(f, false);
	rows(f, true);
	rows(f, false);
	rows(f, true);
	xid(f);
	assert_out(f, "begin [update a] commit ");
	assert_int_equal(metric_get(&f->stream.metrics.binlog_rows_no_text), 1);
	assert_int_equal(metric_get(&f->stream.metrics.binlog_txn_no_text), 0);
	gtid(f, 6, BINLOG_GTID_TRANSACTIONAL);
	rows(f, true);
	xid(f);
	assert_int_equal(metric_get(&f->stream.metrics.binlog_rows_no_text), 2);
	assert_int_equal(metric_get(&f->stream.metrics.binlog_txn_no_text), 1);
}

static void
rows_outside_of_any_group_end_with_their_statement(void **state)
{
	struct fixture *f = *state;

	annotate(f, "insert into myisam");
	rows(f, false);
	assert_true(txn_is_open(f->txn));
	rows(f, true);
	assert_out(f, "begin [insert into myisam] commit ");
}

/* XA_PREPARE of X'7831',X'62',1. */
static void
xa_prepare(struct fixture *f, bool one_phase)
{
	char body[] = "\0"
		      "\1\0\0\0"
		      "\2\0\0\0"
		      "\1\0\0\0"
		      "x1b";

	body[0] = one_phase;
	feed(f, make_event(&f->stream, BINLOG_TYPE_XA_PREPARE, body, sizeof(body) - 1));
}

static void
an_xa_transaction_of_mariadb_ends_twice(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_PREPARED_XA | BINLOG_GTID_TRANSACTIONAL);
	query(f, "update a");
	query(f, "XA END X'7831',X'62',1");
	xa_prepare(f, false);
	assert_out(f, "begin [update a] prepared(X'7831',X'62',1) ");
	assert_int_equal(metric_get(&f->stream.metrics.binlog_xa_prepared), 1);
	assert_int_equal(f->end.gtid.seq, 5);
	gtid(f, 6, BINLOG_GTID_COMPLETED_XA | BINLOG_GTID_STANDALONE);
	query(f, "XA COMMIT X'7831',X'62',1");
	assert_out(f, "begin xa_commit(X'7831',X'62',1) ");
	assert_int_equal(f->end.gtid.seq, 6);
	assert_int_equal(f->end.ticket, 2);
	assert_false(txn_is_open(f->txn));
	assert_int_equal(metric_get(&f->stream.metrics.binlog_xa_commit), 1);
	gtid(f, 7, BINLOG_GTID_COMPLETED_XA | BINLOG_GTID_STANDALONE | BINLOG_GTID_TRANSACTIONAL);
	query(f, "XA ROLLBACK X'7831',X'62',1");
	assert_out(f, "begin xa_rollback(X'7831',X'62',1) ");
	assert_int_equal(f->end.gtid.seq, 7);
	assert_false(f->end.torn);
	assert_int_equal(metric_get(&f->stream.metrics.binlog_xa_rollback), 1);
}

static void
an_xa_transaction_of_mysql_ends_twice(void **state)
{
	struct fixture *f = *state;

	query(f, "XA START X'7831',X'62',1");
	query(f, "update a");
	query(f, "SAVEPOINT `s`");
	query(f, "XA END X'7831',X'62',1");
	xa_prepare(f, false);
	assert_out(f, "begin [update a] savepoint(s) prepared(X'7831',X'62',1) ");
	query(f, "XA COMMIT X'7831',X'62',1");
	assert_out(f, "begin xa_commit(X'7831',X'62',1) ");
	query(f, "XA ROLLBACK X'7831',X'62',1");
	assert_out(f, "begin xa_rollback(X'7831',X'62',1) ");
	/* Another transaction between them. */
	query(f, "BEGIN");
	query(f, "update b");
	xid(f);
	assert_out(f, "begin [update b] commit ");
}

static void
one_phase_is_an_ordinary_commit(void **state)
{
	struct fixture *f = *state;

	query(f, "XA START X'7831',X'62',1");
	query(f, "update a");
	query(f, "XA END X'7831',X'62',1");
	xa_prepare(f, true);
	assert_out(f, "begin [update a] commit ");
	query(f, "XA START 'a'");
	query(f, "update a");
	query(f, "XA COMMIT 'a' ONE PHASE");
	assert_out(f, "begin [update a] commit ");
	query(f, "XA START 'a'");
	query(f, "update a");
	query(f, "XA PREPARE 'a'");
	assert_out(f, "begin [update a] prepared(X'61',X'',1) ");
	assert_int_equal(metric_get(&f->stream.metrics.binlog_xa_prepared), 1);
}

static void
mariadb_tells_what_xa_rollback_cannot_undo(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_PREPARED_XA);
	query(f, "update myisam");
	xa_prepare(f, false);
	assert_out(f, "begin [update myisam] prepared!(X'7831',X'62',1) ");
}

static void
an_xa_end_tears_a_group_that_has_no_end(void **state)
{
	struct fixture *f = *state;

	query(f, "BEGIN");
	query(f, "update a");
	query(f, "XA COMMIT X'7831',X'62',1");
	assert_out(f, "begin [update a] rollback begin xa_commit(X'7831',X'62',1) ");
}

static void
an_xa_end_without_a_readable_id_stops_the_stream(void **state)
{
	static const char *const bad[] = {"XA COMMIT", "XA ROLLBACK x", "XA COMMIT X'6'"};
	struct fixture *f = *state;
	char body[90] = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err_detail why = {0};
		struct binlog_event ev = decode(&f->stream, make_query(&f->stream, bad[i]));

		assert_int_equal(txn_feed(f->txn, &ev, &why), ERR_BAD_EVENT);
		assert_non_null(strstr(why.text, "XA transaction"));
	}
	query(f, "XA START X'7831',X'62',1");
	body[5] = 65;
	{
		struct err_detail why = {0};
		struct binlog_event ev =
		    decode(&f->stream, make_event(&f->stream, BINLOG_TYPE_XA_PREPARE, body, sizeof(body)));

		assert_int_equal(txn_feed(f->txn, &ev, &why), ERR_BAD_EVENT);
	}
}

static void
tickets_count_what_goes_through_the_servers_group_commit(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, BINLOG_GTID_TRANSACTIONAL);
	xid(f);
	assert_int_equal(f->end.ticket, 1);
	gtid(f, 6, BINLOG_GTID_STANDALONE | BINLOG_GTID_DDL);
	query(f, "alter table a");
	assert_int_equal(f->end.ticket, 1);
	gtid(f, 7, BINLOG_GTID_STANDALONE | BINLOG_GTID_COMPLETED_XA);
	query(f, "XA COMMIT X'7831',X'',1");
	assert_int_equal(f->end.ticket, 2);
	gtid(f, 8, 0);
	query(f, "COMMIT");
	assert_int_equal(f->end.ticket, 3);
	/* Another stream: they count anew, and cannot be taken for those before. */
	txn_reset(f->txn);
	gtid(f, 8, 0);
	query(f, "COMMIT");
	assert_int_equal(f->end.ticket, (UINT64_C(1) << TXN_TICKET_BITS) + 1);
}

static void
an_incident_is_a_gap(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct binlog_event ev =
	    decode(&f->stream, make_event(&f->stream, BINLOG_TYPE_INCIDENT, "\x01\x00\x04lost", 7));

	assert_int_equal(txn_feed(f->txn, &ev, &why), ERR_INCIDENT);
	assert_non_null(strstr(why.text, "\"lost\""));
	assert_int_equal(metric_get(&f->stream.metrics.binlog_incident), 1);
}

static void
fillers_heartbeats_and_notes_say_nothing(void **state)
{
	struct fixture *f = *state;

	query(f, "# Dummy event replacing event type 160 that slave cannot handle.");
	feed(f, make_event(&f->stream, BINLOG_TYPE_HEARTBEAT, "bin.000001", 10));
	feed(f, make_event(&f->stream, BINLOG_TYPE_BINLOG_CHECKPOINT, "abcd", 4));
	assert_out(f, "");
}

static void
the_commit_time_is_that_of_the_latest_statement(void **state)
{
	struct fixture *f = *state;

	gtid(f, 5, 0);
	feed(f, make_query_typed(&f->stream, BINLOG_TYPE_QUERY, span_make("\x80\x40\xe2\x01", 4),
				 span_of("update a")));
	xid(f);
	assert_int_equal(f->end.commit_us, UINT64_C(1700000000123456));
}

static void
an_error_of_the_receiver_is_returned(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct binlog_event ev;

	f->refuse = ERR_FULL;
	gtid(f, 5, 0);
	ev = decode(&f->stream, make_query(&f->stream, "update a"));
	assert_int_equal(txn_feed(f->txn, &ev, &why), ERR_FULL);
	txn_reset(f->txn);
	assert_false(txn_is_open(f->txn));
}

static err_t
on_table(void *arg, const struct table *t)
{
	buf_printf(&((struct fixture *)arg)->out, "table(%.*s) ", SPAN_FMT(t->name));
	return ERR_OK;
}

static err_t
on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	buf_printf(&((struct fixture *)arg)->out, "rows(%.*s) ", SPAN_FMT(t->name));
	return ERR_OK;
}

static void
table_map(struct fixture *f, uint8_t id, char name)
{
	char body[] = "\x01\0\0\0\0\0\0\0\x01"
		      "d\0\x01"
		      "t\0\x01\x03\0\0";

	body[0] = (char)id;
	body[12] = name;
	feed(f, make_event(&f->stream, BINLOG_TYPE_TABLE_MAP, body, sizeof(body) - 1));
}

static err_t
rows_of(struct fixture *f, uint64_t id, uint8_t flags, struct err_detail *why)
{
	char body[] = "\0\0\0\0\0\0\0\0\x01\xff\0\x05\0\0\0";
	struct binlog_event ev;

	for (size_t i = 0; i < 6; i++)
		body[i] = (char)(id >> (8 * i));
	body[6] = (char)flags;
	ev = decode(&f->stream, make_event(&f->stream, BINLOG_TYPE_WRITE_ROWS_V1, body, sizeof(body) - 1));
	return txn_feed(f->txn, &ev, why);
}

static void
rows_come_with_the_table_that_their_number_means_now(void **state)
{
	static const struct txn_ops ops = {
	    .begin = on_begin,
	    .statement = on_statement,
	    .savepoint = on_savepoint,
	    .rollback_to = on_rollback_to,
	    .commit = on_commit,
	    .rollback = on_rollback,
	    .moved = on_moved,
	    .table = on_table,
	    .rows = on_rows,
	};
	struct fixture *f = *state;
	struct err_detail why = {0};

	txn_destroy(&f->txn);
	f->txn = txn_create(&ops, f, &f->stream.metrics);
	gtid(f, 1, 0);
	buf_clear(&f->out);
	table_map(f, 1, 'a');
	table_map(f, 2, 'b');
	assert_int_equal(rows_of(f, 2, 0, &why), ERR_OK);
	assert_int_equal(rows_of(f, 1, 1, &why), ERR_OK);
	table_map(f, 1, 'c');
	assert_int_equal(rows_of(f, 1, 1, &why), ERR_OK);
	/* One without a table, which only ends its statement. */
	assert_int_equal(rows_of(f, 0xffffff, 1, &why), ERR_OK);
	assert_string_equal(buf_str(&f->out), "table(a) table(b) rows(b) rows(a) table(c) rows(c) ");
	assert_int_equal(rows_of(f, 9, 1, &why), ERR_BAD_EVENT);
	assert_non_null(strstr(why.text, "table number 9"));
	/* The next file names its tables itself. */
	feed(f, make_rotate(&f->stream, "bin.000002", 4));
	err_clear(&why);
	assert_int_equal(rows_of(f, 1, 1, &why), ERR_BAD_EVENT);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_mariadb_transaction_ends_with_its_xid),
	    T(a_standalone_statement_is_a_transaction_of_its_own),
	    T(a_rollback_drops_only_what_the_source_vouches_for),
	    T(savepoints_are_recognised_however_they_are_written),
	    T(a_savepoint_of_a_group_that_cannot_be_undone_keeps_its_statements),
	    T(a_file_without_gtids_has_transactions_too),
	    T(a_mysql_group_may_have_a_begin_or_not),
	    T(a_group_that_the_next_one_interrupts_is_dropped),
	    T(a_rotation_between_transactions_is_a_place_to_resume_from),
	    T(the_text_of_row_changes_is_delivered_and_its_absence_counted),
	    T(rows_outside_of_any_group_end_with_their_statement),
	    T(an_xa_transaction_of_mariadb_ends_twice),
	    T(an_xa_transaction_of_mysql_ends_twice),
	    T(one_phase_is_an_ordinary_commit),
	    T(mariadb_tells_what_xa_rollback_cannot_undo),
	    T(an_xa_end_tears_a_group_that_has_no_end),
	    T(an_xa_end_without_a_readable_id_stops_the_stream),
	    T(tickets_count_what_goes_through_the_servers_group_commit),
	    T(an_incident_is_a_gap),
	    T(fillers_heartbeats_and_notes_say_nothing),
	    T(the_commit_time_is_that_of_the_latest_statement),
	    T(an_error_of_the_receiver_is_returned),
	    T(rows_come_with_the_table_that_their_number_means_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
