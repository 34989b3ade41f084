/* Rules over recorded row events: binlog to keys, without a server. */
#include "squeal/rowkeys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "lib/core/test/test.h"
#include "squeal/binlog/source_file.h"
#include "squeal/gather.h"

struct fixture {
	char rules_path[64];
	struct rule_live rules;
	struct binlog_metrics binlog;
	struct gather_metrics metrics;
	struct rule_metrics rule_metrics;
	struct markers_options markers;
	struct gather *gather;
	struct buf keys; /* "a,b;" per transaction with keys */
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

	for (bool first = true; it->keys.nkeys > 0; first = false) {
		assert_int_equal(keyset_next(&it->keys, &c, &kind, &key, &more, &why), ERR_OK);
		if (!more)
			break;
		buf_put_str(&f->keys, first ? "" : ",");
		buf_put_span(&f->keys, key);
	}
	if (it->keys.nkeys > 0)
		buf_putc(&f->keys, ';');
	keyset_cursor_fini(&c);
	queue_item_destroy(&it);
	return true;
}

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	if (f == NULL)
		return 1;
	snprintf(f->rules_path, sizeof(f->rules_path), "/tmp/squeal-test-rules-XXXXXX");
	fd = mkstemp(f->rules_path);
	if (fd < 0)
		return 1;
	close(fd);
	rule_live_init(&f->rules, NULL);
	f->markers.tag = (char *)"inv";
	f->gather = gather_create(&(struct gather_parts){
	    .clock = clock_system(),
	    .emit = emit,
	    .arg = f,
	    .metrics = &f->metrics,
	    .markers = &f->markers,
	    .spill_dir = "/tmp",
	    .txn_memory = 1 << 20,
	    .rules = &f->rules,
	    .rule_metrics = &f->rule_metrics,
	    .max_event = 1 << 24,
	});
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	gather_destroy(&f->gather);
	rule_live_fini(&f->rules);
	buf_fini(&f->keys);
	unlink(f->rules_path);
	free(f);
	return 0;
}

static void
use_rules(struct fixture *f, const char *yaml)
{
	struct err_detail why = {0};

	assert_int_equal(file_replace(f->rules_path, span_of(yaml), &why), ERR_OK);
	if (rule_live_load(&f->rules, f->rules_path, &why) != ERR_OK)
		fail_msg("%s", why.text);
}

static err_t
read_file(struct fixture *f, const char *path)
{
	struct source *src = source_file_create(path, 1 << 24);
	struct txn *txn = txn_create(&gather_row_ops, f->gather, &f->binlog);
	struct err_detail why = {0};
	struct binlog_decoder d;
	struct binlog_event ev;
	struct span bytes;
	err_t err;

	binlog_decoder_init(&d, 1 << 24, &f->binlog);
	assert_int_equal(source_open(src, (struct span){"", 0}, &why), ERR_OK);
	binlog_decoder_start(&d, SPAN_LIT("recorded"), src->info.pos, src->info.checksum);
	for (;;) {
		err = source_next(src, &bytes, &why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		err = txn_read(txn, &d, bytes, &ev, &why);
		if (err != ERR_OK)
			break;
	}
	binlog_decoder_fini(&d);
	txn_destroy(&txn);
	source_destroy(&src);
	return err;
}

#define DATA "squeal/binlog/test/data/"

static void
rows_make_the_keys_of_their_rules(void **state)
{
	struct fixture *f = *state;

	use_rules(f, "rules:\n  - table: \"*.*\"\n    keys: [\"{db}:{table}:row\"]\n");
	assert_int_equal(read_file(f, DATA "rows_full.binlog"), ERR_OK);
	assert_true(f->rule_metrics.rule_row > 0);
	assert_non_null(strstr(buf_str(&f->keys), ":row"));
	assert_int_equal(f->metrics.txn_with_keys + f->metrics.txn_without_keys, f->binlog.binlog_txn);
}

static void
a_table_without_a_rule_costs_and_gives_nothing(void **state)
{
	struct fixture *f = *state;

	use_rules(f, "rules:\n  - table: nowhere.nothing\n    keys: [\"x:{id}\"]\n");
	assert_int_equal(read_file(f, DATA "rows_full.binlog"), ERR_OK);
	assert_int_equal(f->rule_metrics.rule_row, 0);
	assert_int_equal(f->keys.len, 0);
}

/* I9: a key that nobody can name is a gap, not a line in a log. */
static void
a_column_that_is_not_there_is_a_gap(void **state)
{
	struct fixture *f = *state;

	use_rules(f, "rules:\n  - table: \"*.*\"\n    keys: [\"x:{no_such_column}\"]\n");
	assert_int_equal(read_file(f, DATA "rows_full.binlog"), ERR_KEYS_UNKNOWN);
	assert_true(f->rule_metrics.rule_no_column > 0);
}

static void
rows_without_column_names_are_a_gap_for_rules_that_need_them(void **state)
{
	struct fixture *f = *state;

	use_rules(f, "rules:\n  - table: \"*.*\"\n    keys: [\"x:{id}\"]\n");
	assert_int_equal(read_file(f, DATA "rows_bare.binlog"), ERR_KEYS_UNKNOWN);
}

static void
new_rules_are_used_from_the_next_table_on(void **state)
{
	struct fixture *f = *state;

	use_rules(f, "rules:\n  - table: \"*.*\"\n    keys: [\"one:{table}\"]\n");
	assert_int_equal(read_file(f, DATA "rows_full.binlog"), ERR_OK);
	assert_null(strstr(buf_str(&f->keys), "two:"));
	use_rules(f, "rules:\n  - table: \"*.*\"\n    keys: [\"two:{table}\"]\n");
	buf_clear(&f->keys);
	assert_int_equal(read_file(f, DATA "rows_full.binlog"), ERR_OK);
	assert_null(strstr(buf_str(&f->keys), "one:"));
	assert_non_null(strstr(buf_str(&f->keys), "two:"));
}

/* What rules cannot see is counted. */
static void
a_change_in_statement_format_is_counted(void **state)
{
	struct fixture *f = *state;

	use_rules(f, "rules:\n  - table: \"*.*\"\n    keys: [\"x:{table}\"]\n");
	assert_int_equal(read_file(f, DATA "statement.binlog"), ERR_OK);
	assert_true(f->metrics.rule_blind > 0);
	assert_int_equal(f->rule_metrics.rule_row, 0);
}

static void
keys_of_comments_and_of_rules_are_gathered_together(void **state)
{
	struct fixture *f = *state;

	use_rules(f, "rules:\n  - table: \"*.*\"\n    keys: [\"rule:{table}\"]\n");
	assert_int_equal(read_file(f, DATA "domains.binlog"), ERR_OK);
	assert_non_null(strstr(buf_str(&f->keys), "k:8,rule:"));
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    EACH(rows_make_the_keys_of_their_rules),
	    EACH(a_table_without_a_rule_costs_and_gives_nothing),
	    EACH(a_column_that_is_not_there_is_a_gap),
	    EACH(rows_without_column_names_are_a_gap_for_rules_that_need_them),
	    EACH(new_rules_are_used_from_the_next_table_on),
	    EACH(a_change_in_statement_format_is_counted),
	    EACH(keys_of_comments_and_of_rules_are_gathered_together),
	};

	return cmocka_run_group_tests_name("rowkeys", tests, NULL, NULL);
}
