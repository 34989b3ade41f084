/* Which definitions hold where: a stream of places, and a server that is somewhere else in it. */
#include "squeal/schema/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "lib/core/test/test.h"

/* A server at `now`, whose table shop.t has the columns that `columns` names: "id,name". */
struct fake {
	uint64_t now;
	uint64_t before; /* what it says first; 0: the same */
	const char *columns;
	unsigned asked;
	unsigned pauses;
	err_t err;
};

struct fixture {
	struct fake server;
	struct schema *schema;
	struct schema_metrics metrics;
	char path[64];
	struct err_detail why;
	struct table_column columns[2];
	struct table table;
};

static struct position
place(uint64_t seq)
{
	struct position p = {.kind = POSITION_EMPTY};

	if (seq > 0)
		position_advance(&p, &(struct gtid){.kind = GTID_MARIADB, .server = 1, .seq = seq},
				 SPAN_LIT(""), 0);
	return p;
}

static void
set_place(struct position *p, uint64_t seq)
{
	struct position now = place(seq);

	position_copy(p, &now);
	position_fini(&now);
}

static err_t
fake_ask(void *arg, enum position_kind kind, struct span db, struct span table, struct position *before,
	 struct schema_def **def, struct position *after, struct err_detail *why)
{
	struct fake *f = arg;
	const char *name = f->columns;

	(void)kind;
	(void)db;
	(void)table;
	f->asked++;
	*def = NULL;
	if (f->err != ERR_OK)
		return err_set(why, f->err, "the server is away");
	set_place(before, f->before != 0 ? f->before : f->now);
	set_place(after, f->now);
	if (name == NULL)
		return ERR_OK;
	*def = schema_def_create();
	for (size_t n; *name != '\0'; name += n + (name[n] == ',')) {
		n = strcspn(name, ",");
		schema_def_add(*def, span_make(name, n), SPAN_LIT("int(11)"), 0, SPAN_LIT(""));
	}
	return ERR_OK;
}

static bool
fake_pause(void *arg)
{
	struct fake *f = arg;

	f->pauses++;
	f->before++; /* it catches up */
	return true;
}

static void
fake_interrupt(void *arg)
{
	((struct fake *)arg)->err = ERR_CLOSED;
}

static const struct schema_ops fake_ops = {fake_ask, fake_pause, fake_interrupt};

/* The daemon starts at `seq`. */
static void
start(struct fixture *f, uint64_t seq, bool resumed)
{
	struct position at = place(seq);

	schema_close(&f->schema);
	err_clear(&f->why);
	if (schema_open(&f->schema,
			&(struct schema_parts){
			    .ops = &fake_ops,
			    .arg = &f->server,
			    .path = f->path,
			    .resumed = resumed,
			    .metrics = &f->metrics,
			},
			&f->why) != ERR_OK)
		fail_msg("%s", f->why.text);
	schema_start(f->schema, &at);
	position_fini(&at);
}

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	if (f == NULL)
		return 1;
	snprintf(f->path, sizeof(f->path), "/tmp/squeal-test-schema-XXXXXX");
	fd = mkstemp(f->path);
	if (fd < 0)
		return 1;
	close(fd);
	for (size_t i = 0; i < 2; i++)
		f->columns[i] = (struct table_column){.type = COLUMN_LONG, .size = 4};
	f->table = (struct table){
	    .db = SPAN_LIT("shop"),
	    .name = SPAN_LIT("t"),
	    .ncolumns = 2,
	    .columns = f->columns,
	    .has_layout = true,
	};
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	schema_close(&f->schema);
	unlink(f->path);
	free(f);
	return 0;
}

/* A row of the table after transaction `seq`: its columns' names, or the error. */
static const char *
row(struct fixture *f, uint64_t seq)
{
	static char text[64];
	struct position at = place(seq);
	struct table *named;
	err_t err;

	err_clear(&f->why);
	err = schema_name(f->schema, &at, &f->table, &named, &f->why);
	position_fini(&at);
	if (err != ERR_OK)
		return err_name(err);
	snprintf(text, sizeof(text), "%.*s,%.*s", SPAN_FMT(named->columns[0].name),
		 SPAN_FMT(named->columns[1].name));
	schema_table_destroy(&named);
	return text;
}

/* Transaction `seq` is this statement. */
static err_t
ddl(struct fixture *f, uint64_t seq, const char *sql)
{
	struct position at = place(seq - 1);
	struct gtid gtid = {.kind = GTID_MARIADB, .server = 1, .seq = seq};
	struct binlog_event ev = {.file = SPAN_LIT("binlog.000001"), .end = seq * 100};
	err_t err;

	ev.u.query.db = SPAN_LIT("shop");
	ev.u.query.sql = span_of(sql);
	err_clear(&f->why);
	err = schema_statement(f->schema, &at, &gtid, &ev, &f->why);
	position_fini(&at);
	return err;
}

static void
serve(struct fixture *f, uint64_t now, const char *columns)
{
	f->server.now = now;
	f->server.columns = columns;
}

static void
a_table_is_asked_for_once(void **state)
{
	struct fixture *f = *state;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	assert_string_equal(row(f, 11), "id,name");
	assert_int_equal(f->server.asked, 1);
	assert_int_equal(f->metrics.schema_known, 1);
}

static void
a_ddl_ends_a_definition(void **state)
{
	struct fixture *f = *state;
	uint64_t generation;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	generation = schema_generation(f->schema);
	assert_int_equal(ddl(f, 11, "ALTER TABLE other ADD x INT"), ERR_OK);
	assert_string_equal(row(f, 11), "id,name");
	assert_int_equal(ddl(f, 12, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_OK);
	assert_true(schema_generation(f->schema) != generation);
	serve(f, 12, "id,nick");
	assert_string_equal(row(f, 12), "id,nick");
	assert_int_equal(f->server.asked, 2);
}

static void
rows_between_the_place_and_the_answer_are_in_doubt(void **state)
{
	struct fixture *f = *state;

	/* The stream is at 10, the server at 20: was 15 a DDL of the table? */
	serve(f, 20, "id,nick");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,nick");
	assert_int_equal(ddl(f, 15, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_KEYS_UNKNOWN);
	assert_non_null(strstr(f->why.text, "shop.t changed at 0-1-15 (ALTER TABLE t RENAME COLUMN"));
	assert_non_null(strstr(f->why.text, "since gtid:0-1-10"));
	assert_non_null(strstr(f->why.text, "at gtid:0-1-20"));
	assert_non_null(strstr(f->why.text, "SET GLOBAL binlog_row_metadata=FULL"));
}

static void
the_doubt_ends_where_the_answer_was(void **state)
{
	struct fixture *f = *state;

	serve(f, 20, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(ddl(f, 21, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_OK);
	serve(f, 22, "id,nick");
	assert_string_equal(row(f, 21), "id,nick");
	/* And the next one. */
	assert_int_equal(ddl(f, 22, "RENAME TABLE t TO u, v TO t"), ERR_KEYS_UNKNOWN);
}

static void
every_way_to_name_the_table_ends_it(void **state)
{
	static const char *const sql[] = {
	    "ALTER TABLE t ADD x INT",
	    "alter table `shop`.`T` add x int",
	    "DROP TABLE a, t",
	    "DROP DATABASE shop",
	    "RENAME TABLE u TO t",
	    "CREATE TABLE t (a INT)",
	    "CREATE THING",
	    "CREATE OR REPLACE TABLE IF NOT EXISTS t (a INT)",
	    "ALTER TABLE u RENAME t",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
		serve(f, 10, "id,name");
		start(f, 10, false);
		assert_string_equal(row(f, 10), "id,name");
		assert_int_equal(ddl(f, 11, sql[i]), ERR_OK);
		serve(f, 11, "a,b");
		assert_string_equal(row(f, 11), "a,b");
	}
}

static void
create_if_not_exists_does_nothing_to_a_table_that_is_there(void **state)
{
	struct fixture *f = *state;

	serve(f, 20, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(ddl(f, 15, "CREATE TABLE IF NOT EXISTS t (a INT)"), ERR_OK);
	assert_string_equal(row(f, 15), "id,name");
	assert_int_equal(f->server.asked, 1);
}

static void
what_does_not_agree_makes_no_key(void **state)
{
	struct fixture *f = *state;

	serve(f, 20, "id,name,more");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "ERR_KEYS_UNKNOWN");
	assert_non_null(
	    strstr(f->why.text, "shop.t at gtid:0-1-10 are not known: it has 3 columns now and 2"));
	serve(f, 20, NULL);
	assert_string_equal(row(f, 10), "ERR_KEYS_UNKNOWN");
	assert_non_null(strstr(f->why.text, "not there any more"));
	serve(f, 20, "id,name");
	f->columns[1].type = COLUMN_SHORT;
	assert_string_equal(row(f, 10), "ERR_KEYS_UNKNOWN");
	assert_non_null(strstr(f->why.text, "its column 2 is name int(11) now"));
}

static void
a_change_without_a_statement_is_found_where_it_can_be(void **state)
{
	struct fixture *f = *state;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	f->columns[1].type = COLUMN_SHORT;
	assert_string_equal(row(f, 12), "ERR_KEYS_UNKNOWN");
	assert_non_null(strstr(f->why.text, "sql_log_bin"));
}

static void
a_server_that_is_behind_is_waited_for(void **state)
{
	struct fixture *f = *state;

	serve(f, 12, "id,name");
	f->server.before = 9;
	start(f, 12, false);
	assert_string_equal(row(f, 12), "id,name");
	assert_int_equal(f->server.pauses, 3);
}

static void
an_error_of_the_server_is_passed_on_and_tried_again(void **state)
{
	struct fixture *f = *state;

	serve(f, 10, "id,name");
	start(f, 10, false);
	f->server.err = ERR_CONN;
	assert_string_equal(row(f, 10), "ERR_CONN");
	f->server.err = ERR_OK;
	assert_string_equal(row(f, 10), "id,name");
	schema_interrupt(f->schema);
	assert_int_equal(ddl(f, 11, "ALTER TABLE t ADD x INT"), ERR_OK);
	assert_string_equal(row(f, 11), "ERR_CLOSED");
}

static void
a_restart_goes_on_with_what_was_right_at_the_checkpoint(void **state)
{
	struct fixture *f = *state;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	/* Stopped at 12; the table changes at 15; the server is at 20. */
	serve(f, 20, "id,nick");
	start(f, 12, true);
	assert_string_equal(row(f, 12), "id,name");
	assert_int_equal(f->server.asked, 1);
	assert_int_equal(ddl(f, 15, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_OK);
	assert_string_equal(row(f, 15), "id,nick");
	assert_int_equal(f->server.asked, 2);
	/* A second change before 20 would have been seen by the answer. */
	assert_int_equal(ddl(f, 18, "ALTER TABLE t RENAME COLUMN nick TO alias"), ERR_KEYS_UNKNOWN);
}

static void
a_restart_does_not_forget_a_doubt(void **state)
{
	struct fixture *f = *state;

	serve(f, 20, "id,nick");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,nick");
	start(f, 13, true);
	assert_int_equal(ddl(f, 15, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_KEYS_UNKNOWN);
	start(f, 14, true);
	assert_int_equal(ddl(f, 15, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_KEYS_UNKNOWN);
	/* Somebody flushed the caches and begins at a place of his own. */
	start(f, 14, false);
	assert_int_equal(ddl(f, 15, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_OK);
	assert_string_equal(row(f, 15), "id,nick");
}

static void
a_restart_behind_a_ddl_does_not_use_what_ended_there(void **state)
{
	struct fixture *f = *state;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(ddl(f, 11, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_OK);
	serve(f, 12, "id,nick");
	start(f, 11, true);
	assert_string_equal(row(f, 11), "id,nick");
	start(f, 12, true);
	assert_string_equal(row(f, 12), "id,nick");
	assert_int_equal(f->server.asked, 2);
}

static void
a_checkpoint_before_a_ddl_that_was_read_finds_both_definitions(void **state)
{
	struct fixture *f = *state;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(ddl(f, 12, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_OK);
	serve(f, 14, "id,nick");
	assert_string_equal(row(f, 14), "id,nick");
	/* Killed; the log's checkpoint is 11. */
	for (int i = 0; i < 2; i++) {
		start(f, 11, true);
		serve(f, 30, "wrong,names");
		assert_string_equal(row(f, 11), "id,name");
		assert_int_equal(ddl(f, 12, "ALTER TABLE t RENAME COLUMN name TO nick"), ERR_OK);
		assert_string_equal(row(f, 14), "id,nick");
	}
	assert_int_equal(f->server.asked, 2);
}

static void
rows_of_the_transaction_of_the_ddl_itself_are_behind_it(void **state)
{
	struct fixture *f = *state;

	/* CREATE TABLE ... SELECT: statement and rows in one transaction, the server is far ahead. */
	serve(f, 20, "id,name");
	start(f, 10, false);
	assert_int_equal(ddl(f, 11, "CREATE TABLE t (id INT, name INT)"), ERR_OK);
	assert_string_equal(row(f, 10), "id,name");
	/* The link is lost, and it is read again. */
	assert_int_equal(ddl(f, 11, "CREATE TABLE t (id INT, name INT)"), ERR_OK);
	assert_string_equal(row(f, 10), "id,name");
	start(f, 10, true);
	assert_int_equal(ddl(f, 11, "CREATE TABLE t (id INT, name INT)"), ERR_OK);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(f->server.asked, 1);
}

static void
a_stream_that_goes_on_elsewhere_knows_nothing(void **state)
{
	struct fixture *f = *state;
	struct position at = place(40);

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	schema_start(f->schema, &at);
	position_fini(&at);
	serve(f, 40, "id,nick");
	assert_string_equal(row(f, 40), "id,nick");
	start(f, 40, true);
	assert_string_equal(row(f, 40), "id,nick");
	assert_int_equal(f->server.asked, 2);
}

static void
half_a_line_at_the_end_of_the_file_is_left_out(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(ddl(f, 11, "DROP TABLE t"), ERR_OK);
	schema_close(&f->schema);
	assert_int_equal(file_read(f->path, 1 << 20, &text, &f->why), ERR_OK);
	assert_int_equal(truncate(f->path, (off_t)text.len - 3), 0);
	start(f, 10, true);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(f->server.asked, 1);
	buf_fini(&text);
}

static void
a_damaged_file_is_refused_and_another_start_takes_no_notice(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT;

	serve(f, 10, "id,name");
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	assert_int_equal(ddl(f, 11, "DROP TABLE t"), ERR_OK);
	schema_close(&f->schema);
	assert_int_equal(file_read(f->path, 1 << 20, &text, &f->why), ERR_OK);
	text.p[30] ^= 1;
	assert_int_equal(file_replace(f->path, buf_span(&text), &f->why), ERR_OK);
	assert_int_equal(schema_open(&f->schema,
				     &(struct schema_parts){.ops = &fake_ops,
							    .arg = &f->server,
							    .path = f->path,
							    .resumed = true,
							    .metrics = &f->metrics},
				     &f->why),
			 ERR_CORRUPT);
	assert_non_null(strstr(f->why.text, "line 1"));
	start(f, 10, false);
	assert_string_equal(row(f, 10), "id,name");
	buf_fini(&text);
}

static void
without_gtids_file_and_offset_tell(void **state)
{
	struct fixture *f = *state;
	struct position at = {.kind = POSITION_FILE, .pos = 400};
	struct gtid none = {.kind = GTID_NONE};
	struct binlog_event ev = {.file = SPAN_LIT("binlog.000001"), .end = 500};
	struct table *named;

	buf_put_str(&at.file, "binlog.000001");
	serve(f, 10, "id,name");
	start(f, 0, false);
	/* The fake answers in GTIDs: nobody can compare, so nothing is taken for certain. */
	f->server.err = ERR_OK;
	err_clear(&f->why);
	assert_int_equal(schema_name(f->schema, &at, &f->table, &named, &f->why), ERR_TIMEOUT);
	assert_non_null(strstr(f->why.text, "has not yet got to"));
	ev.u.query.db = SPAN_LIT("shop");
	ev.u.query.sql = SPAN_LIT("DROP TABLE t");
	err_clear(&f->why);
	assert_int_equal(schema_statement(f->schema, &at, &none, &ev, &f->why), ERR_OK);
	position_fini(&at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make, drop)
	    T(a_table_is_asked_for_once),
	    T(a_ddl_ends_a_definition),
	    T(rows_between_the_place_and_the_answer_are_in_doubt),
	    T(the_doubt_ends_where_the_answer_was),
	    T(every_way_to_name_the_table_ends_it),
	    T(create_if_not_exists_does_nothing_to_a_table_that_is_there),
	    T(what_does_not_agree_makes_no_key),
	    T(a_change_without_a_statement_is_found_where_it_can_be),
	    T(a_server_that_is_behind_is_waited_for),
	    T(an_error_of_the_server_is_passed_on_and_tried_again),
	    T(a_restart_goes_on_with_what_was_right_at_the_checkpoint),
	    T(a_restart_does_not_forget_a_doubt),
	    T(a_restart_behind_a_ddl_does_not_use_what_ended_there),
	    T(a_checkpoint_before_a_ddl_that_was_read_finds_both_definitions),
	    T(rows_of_the_transaction_of_the_ddl_itself_are_behind_it),
	    T(a_stream_that_goes_on_elsewhere_knows_nothing),
	    T(half_a_line_at_the_end_of_the_file_is_left_out),
	    T(a_damaged_file_is_refused_and_another_start_takes_no_notice),
	    T(without_gtids_file_and_offset_tell),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
