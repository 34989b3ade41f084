#include "lib/core/test/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "squeal/binlog/source_file.h"
#include "squeal/binlog/txn.h"

#define DATA "squeal/binlog/test/data/"

/* All of a file, through decoder and assembler. */
struct outcome {
	struct binlog_metrics metrics;
	struct err_detail why;
	struct buf statements; /* one a line */
	struct gtid_pos pos;
	uint64_t end, tail;
	bool in_use;
};

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	return ERR_OK;
}

static err_t
on_statement(void *arg, struct span sql)
{
	struct outcome *o = arg;

	buf_put_span(&o->statements, sql);
	buf_putc(&o->statements, '\n');
	return ERR_OK;
}

static err_t
on_savepoint(void *arg, struct span name)
{
	return ERR_OK;
}

static err_t
on_end(void *arg, const struct txn_end *e)
{
	struct outcome *o = arg;

	gtid_pos_advance(&o->pos, &e->gtid);
	o->end = e->place.pos;
	return ERR_OK;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	return ERR_OK;
}

static err_t
read_all(const char *path, size_t max_event, struct outcome *o)
{
	static const struct txn_ops ops = {
	    .begin = on_begin,
	    .statement = on_statement,
	    .savepoint = on_savepoint,
	    .rollback_to = on_savepoint,
	    .commit = on_end,
	    .rollback = on_end,
	    .moved = on_moved,
	};
	struct source *s = source_file_create(path, max_event);
	struct txn *t = txn_create(&ops, o, &o->metrics);
	struct binlog_decoder d;
	struct binlog_event ev;
	struct span bytes;
	err_t err;

	memset(o, 0, sizeof(*o));
	binlog_decoder_init(&d, max_event, &o->metrics);
	err = source_open(s, span_of("earliest"), &o->why);
	if (err != ERR_OK)
		goto done;
	binlog_decoder_start(&d, s->info.file, s->info.pos, s->info.checksum);
	do {
		err = source_next(s, &bytes, &o->why);
		if (err == ERR_OK && bytes.len > 0)
			err = txn_read(t, &d, bytes, &ev, &o->why);
	} while (err == ERR_OK && bytes.len > 0);
	o->tail = source_file_tail(s);
	o->in_use = source_file_in_use(s);
done:
	txn_destroy(&t);
	binlog_decoder_fini(&d);
	source_destroy(&s);
	return err;
}

static void
outcome_fini(struct outcome *o)
{
	buf_fini(&o->statements);
	gtid_pos_fini(&o->pos);
}

static void
assert_pos(const struct outcome *o, const char *text)
{
	struct buf b = BUF_INIT;

	gtid_pos_format(&o->pos, &b);
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

static bool
has(struct outcome *o, const char *sql)
{
	return strstr(buf_str(&o->statements), sql) != NULL;
}

static void
statements_rows_savepoints_and_xa_come_out_of_a_real_file(void **state)
{
	struct outcome o;

	assert_int_equal(read_all(DATA "mixed.binlog", 1 << 20, &o), ERR_OK);
	assert_true(has(&o, "insert into a values(1,'x') /*inv='k:1'*/\n"));
	assert_true(has(&o, "insert into a values(2,now(6)) /*inv='k:2'*/\n"));
	assert_true(has(&o, "/*inv='k:1b'*/"));
	assert_false(has(&o, "/*inv='k:2b'*/")); /* the server cut what the savepoint undid */
	assert_false(has(&o, "/*inv='k:all'*/"));
	assert_true(has(&o, "/*inv='m:1'*/")); /* MyISAM: undone, and still there */
	assert_true(has(&o, "/*inv='m:2'*/"));
	assert_true(has(&o, "/*inv='k:xa'*/"));
	assert_int_equal(metric_get(&o.metrics.binlog_txn), 12);
	assert_int_equal(metric_get(&o.metrics.binlog_xa_prepared), 2);
	assert_int_equal(metric_get(&o.metrics.binlog_txn_no_text), 0);
	assert_int_equal(o.tail, 0);
	outcome_fini(&o);
}

static void
compressed_statements_and_rows_are_read(void **state)
{
	struct outcome o;

	assert_int_equal(read_all(DATA "compressed.binlog", 1 << 20, &o), ERR_OK);
	assert_true(has(&o, "insert into t.a values(3,repeat('a',150)) /*inv='k:3'*/\n"));
	assert_true(has(&o, "delete from t.a where id=4 /*inv='k:4'*/\n"));
	assert_int_equal(metric_get(&o.metrics.binlog_txn), 4);
	assert_true(metric_get(&o.metrics.binlog_uncompressed) > 0);
	outcome_fini(&o);
}

static void
a_file_without_checksums_is_read_and_missing_texts_are_counted(void **state)
{
	struct outcome o;

	assert_int_equal(read_all(DATA "no_checksum.binlog", 1 << 20, &o), ERR_OK);
	assert_true(has(&o, "/*inv='k:5'*/"));
	assert_int_equal(metric_get(&o.metrics.binlog_txn), 3);
	assert_int_equal(metric_get(&o.metrics.binlog_txn_no_text), 2);
	assert_int_equal(metric_get(&o.metrics.binlog_rows_no_text), 3);
	outcome_fini(&o);
}

static void
two_domains_make_one_position(void **state)
{
	struct outcome o;

	assert_int_equal(read_all(DATA "domains.binlog", 1 << 20, &o), ERR_OK);
	assert_pos(&o, "0-9-1812539,7-9-2");
	assert_true(has(&o, "/*inv='ddl'*/"));
	assert_int_equal(o.end, 1019);
	outcome_fini(&o);
}

static void
parts_of_statements_are_passed_over(void **state)
{
	struct outcome o;

	assert_int_equal(read_all(DATA "statement.binlog", 1 << 20, &o), ERR_OK);
	assert_true(has(&o, "LOAD DATA INFILE"));
	assert_true(has(&o, "/*inv='k:hr'*/"));
	assert_int_equal(metric_get(&o.metrics.binlog_txn), 4);
	outcome_fini(&o);
}

/* What MySQL 9.7 wrote: in row format, the same in payloads, as statements, and without GTIDs. */
static void
transactions_of_mysql_come_out_of_a_real_file(void **state)
{
	static const char *const names[] = {"mysql_row", "mysql_payload", "mysql_mixed", "mysql_statement",
					    "mysql_anonymous"};
	static const char *const keys[] = {"k:1", "k:long", "k:5", "k:xa", "k:ctas", "k:p", "k:tr"};
	char path[100], key[40];
	struct outcome o;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		bool has_gtids = strcmp(names[i], "mysql_anonymous") != 0;

		snprintf(path, sizeof(path), DATA "%s.binlog", names[i]);
		if (read_all(path, 1 << 20, &o) != ERR_OK)
			fail_msg("%s", o.why.text);
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			snprintf(key, sizeof(key), "/*inv='%s'*/", keys[k]);
			if (!has(&o, key))
				fail_msg("%s: no %s", path, key);
		}
		assert_false(has(&o, "k:undone"));
		assert_false(has(&o, "k:all"));
		/* Undone, and still there in MyISAM. */
		assert_true(has(&o, "m:7") == !has_gtids);
		assert_true(has(&o, "k:tagged") == has_gtids);
		assert_int_equal(metric_get(&o.metrics.binlog_xa_prepared), 2);
		assert_int_equal(metric_get(&o.metrics.binlog_txn_no_text), 0);
		assert_int_equal(metric_get(&o.metrics.binlog_txn_torn), 0);
		outcome_fini(&o);
	}
}

/* Each prefix of a file that the server still writes: whole events come out, the rest is told as the tail. */
static void
a_file_that_ends_in_the_middle_of_an_event_is_read_up_to_there(void **state)
{
	struct err_detail why = {0};
	struct buf all = BUF_INIT;
	char path[] = "/tmp/squeal-binlog-XXXXXX";
	int fd = mkstemp(path);
	uint64_t txns = 0;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(file_read(DATA "in_use.binlog", 1 << 20, &all, &why), ERR_OK);
	for (size_t n = 4; n <= all.len; n++) {
		struct outcome o;
		FILE *out = fopen(path, "wb");

		assert_non_null(out);
		assert_int_equal(fwrite(all.p, 1, n, out), n);
		assert_int_equal(fclose(out), 0);
		assert_int_equal(read_all(path, 1 << 20, &o), ERR_OK);
		assert_true(metric_get(&o.metrics.binlog_txn) >= txns);
		txns = metric_get(&o.metrics.binlog_txn);
		assert_int_equal(o.tail + metric_get(&o.metrics.binlog_bytes) + 4, n);
		if (n == all.len) {
			assert_int_equal(txns, 2);
			assert_int_equal(o.tail, 0);
			assert_true(o.in_use);
		}
		outcome_fini(&o);
	}
	unlink(path);
	buf_fini(&all);
}

static void
what_is_no_binlog_file_is_refused_with_a_sentence(void **state)
{
	struct outcome o;

	assert_int_equal(read_all("squeal/binlog/no-such-file", 1 << 20, &o), ERR_NOT_FOUND);
	assert_non_null(strstr(o.why.text, "no-such-file"));
	assert_int_equal(read_all("squeal/binlog/README.md", 1 << 20, &o), ERR_BAD_EVENT);
	assert_non_null(strstr(o.why.text, "not a binlog file"));
	assert_int_equal(read_all("/dev/null", 1 << 20, &o), ERR_BAD_EVENT);
	assert_int_equal(read_all("squeal/binlog", 1 << 20, &o), ERR_SYS);
	assert_int_equal(read_all(DATA "mixed.binlog", 200, &o), ERR_BAD_EVENT);
	assert_non_null(strstr(o.why.text, "max_event"));
	outcome_fini(&o);
}

static void
a_packed_or_encrypted_file_is_refused_with_the_way_around(void **state)
{
	static const struct {
		const char *start, *says;
	} cases[] = {
	    {"\x1f\x8b\x08\x08", "zcat"},
	    {"\x28\xb5\x2f\xfd", "zstdcat"},
	    {"\xfd\x37\x7a\x58", "xzcat"},
	    {"BZh9", "bzcat"},
	    {"\xfd"
	     "bin",
	     "encrypted"},
	};
	char path[] = "/tmp/squeal-binlog-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome o;

		assert_int_equal(pwrite(fd, cases[i].start, 4, 0), 4);
		assert_int_not_equal(read_all(path, 1 << 20, &o), ERR_OK);
		assert_non_null(strstr(o.why.text, cases[i].says));
		outcome_fini(&o);
	}
	close(fd);
	unlink(path);
}

static void
an_interrupted_source_stays_closed(void **state)
{
	struct source *s = source_file_create(DATA "mixed.binlog", 1 << 20);
	struct err_detail why = {0};

	source_interrupt(s);
	assert_int_equal(source_open(s, (struct span){"", 0}, &why), ERR_CLOSED);
	source_destroy(&s);
	assert_null(s);
}

static void
a_source_can_be_opened_again_from_the_start(void **state)
{
	struct source *s = source_file_create(DATA "mixed.binlog", 1 << 20);
	struct err_detail why = {0};
	struct span first, again;

	assert_int_equal(source_open(s, (struct span){"", 0}, &why), ERR_OK);
	assert_int_equal(source_next(s, &first, &why), ERR_OK);
	assert_int_equal(first.p[4], BINLOG_TYPE_FORMAT_DESCRIPTION);
	assert_int_equal(source_next(s, &first, &why), ERR_OK);
	assert_int_equal(source_open(s, span_of("earliest"), &why), ERR_OK);
	assert_int_equal(source_next(s, &again, &why), ERR_OK);
	assert_int_equal(again.p[4], BINLOG_TYPE_FORMAT_DESCRIPTION);
	assert_true(span_is(s->info.file, "mixed.binlog"));
	assert_int_equal(source_open(s, span_of("0-1-1"), &why), ERR_USAGE);
	source_destroy(&s);
}

/* Files of many versions that are not part of this project: what each must give. */
static const struct {
	const char *name;
	err_t err;
	uint64_t txns;
} outside[] = {
    {"binlog_savepoint.000001", ERR_OK, 1},
    {"binlog_transaction.000001", ERR_OK, 9},
    {"binlog_transaction_with_GTID.000001", ERR_OK, 3},
    {"binlog_transaction_with_GTID_TAG.000001", ERR_OK, 1},
    {"binlog_transaction_with_anonymous_GTID.000001", ERR_OK, 2},
    {"binlog_truncated_event.000001", ERR_OK, 0},
    {"bug16266.000001", ERR_OK, 4},
    {"bug27213339-bin.000001", ERR_OK, 46},
    {"bug40482-bin.000001", ERR_INCIDENT, 0},
    {"corrupt-relay-bin.000624", ERR_BAD_EVENT, 228},
    {"mariadb-bin.000001", ERR_OK, 2},
    {"transaction_compression.000001", ERR_OK, 1},
    {"ver_5_1-wl2325_r.001", ERR_OK, 6},
    {"ver_5_1-wl2325_s.001", ERR_OK, 5},
    {"ver_5_1_23.001", ERR_OK, 11},
    {"ver_trunk_row_v2.001", ERR_OK, 12},
};

static void
files_of_other_servers_are_read_or_refused_for_a_reason(void **state)
{
	const char *folder = "../shared/binlogs";
	DIR *d = opendir(folder);
	struct dirent *e;
	unsigned files = 0;

	if (d == NULL) {
		print_message("skipped: %s is not there\n", folder);
		skip();
	}
	while ((e = readdir(d)) != NULL) {
		char path[600];
		struct outcome o;
		err_t err;

		if (e->d_name[0] == '.' || strcmp(e->d_name, "README.md") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		err = read_all(path, 1 << 30, &o);
		files++;
		if (err != ERR_OK && o.why.text[0] == '\0')
			fail_msg("%s: %s without a reason", path, err_name(err));
		if (err == ERR_CHECKSUM)
			fail_msg("%s: %s", path, o.why.text);
		for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
			if (strcmp(outside[i].name, e->d_name) != 0)
				continue;
			if (outside[i].err != err || outside[i].txns != metric_get(&o.metrics.binlog_txn))
				fail_msg("%s: %s, %llu transactions: %s", path, err_name(err),
					 (unsigned long long)metric_get(&o.metrics.binlog_txn),
					 err_why(&o.why));
		}
		outcome_fini(&o);
	}
	closedir(d);
	assert_true(files > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(statements_rows_savepoints_and_xa_come_out_of_a_real_file),
	    cmocka_unit_test(compressed_statements_and_rows_are_read),
	    cmocka_unit_test(a_file_without_checksums_is_read_and_missing_texts_are_counted),
	    cmocka_unit_test(two_domains_make_one_position),
	    cmocka_unit_test(parts_of_statements_are_passed_over),
	    cmocka_unit_test(transactions_of_mysql_come_out_of_a_real_file),
	    cmocka_unit_test(a_file_that_ends_in_the_middle_of_an_event_is_read_up_to_there),
	    cmocka_unit_test(what_is_no_binlog_file_is_refused_with_a_sentence),
	    cmocka_unit_test(a_packed_or_encrypted_file_is_refused_with_the_way_around),
	    cmocka_unit_test(an_interrupted_source_stays_closed),
	    cmocka_unit_test(a_source_can_be_opened_again_from_the_start),
	    cmocka_unit_test(files_of_other_servers_are_read_or_refused_for_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
