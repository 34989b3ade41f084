#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "markers/rule.h"

/*
 * Tables have the columns id, a, b; a row is written "1,x,NULL": its values in order, "-" for one that the
 * image does not hold, "!" for one without text, "" for the empty text.  What comes out is one word per key
 * or issue: "key", "key@pool", "key+holdoff", "!reason(column)".
 */
static const struct span names[] = {{"id", 2}, {"a", 1}, {"b", 1}};

enum { NNAMES = 3 };

struct seen {
	struct buf text;
	size_t keys;
	size_t stop_after; /* key() fails then */
};

struct images {
	const struct rule_table *t;
	unsigned op;
	const char *image[2]; /* NULL: may not be asked for */
	char handed[1000];
};

static err_t
on_key(void *arg, struct span key, const struct rule_group *group)
{
	struct seen *s = arg;

	buf_printf(&s->text, "%s%.*s", s->text.len > 0 ? " " : "", SPAN_FMT(key));
	if (group->pool.len > 0)
		buf_printf(&s->text, "@%.*s", SPAN_FMT(group->pool));
	if (group->holdoff_ms > 0)
		buf_printf(&s->text, "+%u", group->holdoff_ms);
	return ++s->keys == s->stop_after ? ERR_CLOSED : ERR_OK;
}

static void
on_issue(void *arg, const struct rule_issue *issue)
{
	struct seen *s = arg;

	assert_true(issue->rule.len > 0);
	buf_printf(&s->text, "%s!%s(%.*s)", s->text.len > 0 ? " " : "", rule_reason_label(issue->reason),
		   SPAN_FMT(issue->column));
}

static const struct rule_ops ops = {on_key, on_issue};

static enum rule_value
get(void *arg, enum rule_image image, size_t column, struct span *text)
{
	struct images *r = arg;
	const char *v = r->image[image], *end;
	size_t nwords, len;
	const uint64_t *words = rule_table_columns(r->t, r->op, image, &nwords);

	assert_non_null(v);
	/* Only what was announced is asked for. */
	assert_non_null(words);
	assert_true(column / 64 < nwords && (words[column / 64] >> (column % 64) & 1));
	for (size_t i = 0; i < column; i++)
		v = strchr(v, ',') + 1;
	end = strchr(v, ',');
	len = end != NULL ? (size_t)(end - v) : strlen(v);
	if (span_is(span_make(v, len), "-"))
		return RULE_NOT_THERE;
	if (span_is(span_make(v, len), "!"))
		return RULE_NO_TEXT;
	if (span_is(span_make(v, len), "NULL"))
		return RULE_NULL;
	/* The same place each time: what was handed out before is gone. */
	memset(r->handed, '#', sizeof(r->handed));
	memcpy(r->handed, v, len);
	*text = span_make(r->handed, len);
	return RULE_TEXT;
}

static struct rule_set *
made(const char *yaml)
{
	struct rules *rules;
	struct rule_set *s = NULL;
	struct err_detail why = {0};

	if (rules_parse(&rules, span_of(yaml), "r", &why) != ERR_OK ||
	    rule_set_create(&s, rules, &why) != ERR_OK)
		fail_msg("%s\n%s", yaml, why.text);
	rules_destroy(&rules);
	return s;
}

/* One change of shop.t, by the rules' own words. */
static void
check_row(const char *rest, const char *before, const char *after, const char *expected,
	  struct rule_counts *counts)
{
	struct seen seen = {0};
	struct buf scratch = BUF_INIT, yaml = BUF_INIT;
	unsigned op = before == NULL ? RULES_INSERT : after == NULL ? RULES_DELETE : RULES_UPDATE;
	struct images images = {.op = op, .image = {before, after}};
	struct rule_row row = {.op = op, .get = get, .arg = &images, .scratch = &scratch};
	struct rule_set *set;
	struct rule_table *t;

	buf_printf(&yaml, "rules:\n- {table: shop.t, %s}\n", rest);
	set = made(buf_str(&yaml));
	t = rule_table_match(set, SPAN_LIT("shop"), SPAN_LIT("t"), names, NNAMES, &ops, &seen);
	assert_non_null(t);
	images.t = t;
	assert_int_equal(rule_apply(t, &row, &ops, &seen, counts), ERR_OK);
	if (strcmp(buf_str(&seen.text), expected) != 0)
		fail_msg("%s\n%s -> %s\n expected %s\n got      %s", rest, before, after, expected,
			 buf_str(&seen.text));
	rule_table_destroy(&t);
	rule_set_release(&set);
	buf_fini(&seen.text);
	buf_fini(&scratch);
	buf_fini(&yaml);
}

struct row_case {
	const char *rule, *before, *after, *expected;
};

static void
check_rows(const struct row_case *rows, size_t n, struct rule_counts *counts)
{
	for (size_t i = 0; i < n; i++)
		check_row(rows[i].rule, rows[i].before, rows[i].after, rows[i].expected, counts);
}

#define CHECK_ROWS(rows, counts) check_rows(rows, sizeof(rows) / sizeof((rows)[0]), counts)

static void
images_give_the_keys_that_the_header_says(void **state)
{
	static const struct row_case rows[] = {
	    {"keys: ['u:{id}', 'f:{a}']", NULL, "1,x,y", "u:1 f:x"},
	    {"keys: ['u:{id}', 'f:{a}']", "1,x,y", NULL, "u:1 f:x"},
	    {"keys: ['u:{id}', 'f:{a}']", "1,x,y", "1,x,z", "u:1 f:x"},
	    /* a changed key column deletes both */
	    {"keys: ['u:{id}', 'f:{a}']", "1,x,y", "1,z,y", "u:1 f:x f:z"},
	    {"keys: 'u:{id}:{a}'", "1,x,y", "2,z,y", "u:1:x u:2:z"},
	    {"keys: 'f:{a}', image: before", "1,x,y", "1,z,y", "f:x"},
	    {"keys: 'f:{a}', image: after", "1,x,y", "1,z,y", "f:z"},
	    /* `image` is about updates */
	    {"keys: 'f:{a}', image: before", NULL, "1,z,y", "f:z"},
	    {"keys: 'f:{a}', image: after", "1,x,y", NULL, "f:x"},
	    {"keys: 'm:{old.a}:{new.a}'", "1,x,y", "1,z,y", "m:x:z"},
	    {"keys: 'm:{old.a}:{new.a}'", NULL, "1,z,y", ""},
	    {"keys: 'm:{old.a}:{new.a}'", "1,x,y", NULL, ""},
	    {"keys: ['o:{old.a}', 'n:{new.a}']", NULL, "1,z,y", "n:z"},
	    {"keys: ['o:{old.a}', 'n:{new.a}']", "1,x,y", NULL, "o:x"},
	    {"keys: ['o:{old.a}', 'n:{new.a}'], image: after", "1,x,y", "1,z,y", "o:x n:z"},
	    {"keys: '{old.id}:{a}'", "1,x,y", "2,z,y", "1:x 1:z"},
	    {"keys: '{old.id}:{a}', image: before", "1,x,y", "2,z,y", "1:x"},
	    {"keys: ['all', '{db}.{table}:{id}']", "1,x,y", "1,z,y", "all shop.t:1"},
	    {"keys: '{DB}', on: insert", NULL, "1,x,y", "!no_column(DB)"},
	    {"keys: '{a|upper}:{b|or:none|hex}'", NULL, "1,x,NULL", "X:6e6f6e65"},
	    {"keys: 'k{ID}'", NULL, "1,x,y", "k1"}, /* names of columns in either case */
	    {"keys: 'k{`a`}'", NULL, "1,x,y", "kx"},
	    {"keys: 'k', pool: eu, holdoff: 2s", NULL, "1,x,y", "k@eu+2000"},
	};
	struct rule_counts counts = {0};

	CHECK_ROWS(rows, &counts);
	assert_int_equal(rule_counts_lost(&counts), 1);
	assert_int_equal(counts.no_column, 1);
}

static void
only_the_changes_that_a_rule_is_about_make_keys(void **state)
{
	static const struct row_case rows[] = {
	    {"keys: k, on: insert", NULL, "1,x,y", "k"},
	    {"keys: k, on: insert", "1,x,y", "1,x,y", ""},
	    {"keys: k, on: insert", "1,x,y", NULL, ""},
	    {"keys: k, on: [update, delete]", NULL, "1,x,y", ""},
	    {"keys: k, on: [update, delete]", "1,x,y", "1,x,y", "k"},
	    {"keys: k, on: [update, delete]", "1,x,y", NULL, "k"},
	    {"keys: k, when_changed: a", "1,x,y", "1,x,z", ""},
	    {"keys: k, when_changed: a", "1,x,y", "1,X,y", "k"},
	    {"keys: k, when_changed: a", "1,x,y", "1,NULL,y", "k"},
	    {"keys: k, when_changed: a", "1,NULL,y", "1,,y", "k"},
	    {"keys: k, when_changed: a", "1,NULL,y", "1,NULL,y", ""},
	    {"keys: k, when_changed: a", "1,,y", "1,,y", ""},
	    {"keys: k, when_changed: [a, b]", "1,x,y", "1,x,z", "k"},
	    {"keys: k, when_changed: [a, b]", "1,x,y", "2,x,y", ""},
	    /* only updates */
	    {"keys: k, when_changed: a", NULL, "1,x,y", "k"},
	    {"keys: k, when_changed: a", "1,x,y", NULL, "k"},
	    /* MINIMAL, NOBLOB: what is not in a row may have changed */
	    {"keys: k, when_changed: a", "1,-,-", "-,-,z", "k"},
	    {"keys: k, when_changed: a", "1,-,-", "-,x,-", "k"},
	    {"keys: k, when_changed: a", "1,x,-", "-,-,z", "k"},
	    {"keys: k, when_changed: a", "1,x,-", "1,x,z", ""},
	    /* what cannot be compared may have changed */
	    {"keys: k, when_changed: a", "1,!,y", "1,!,y", "k"},
	    {"keys: k, when_changed: a", "1,x,y", "1,!,y", "k"},
	};
	struct rule_counts counts = {0};

	CHECK_ROWS(rows, &counts);
	assert_int_equal(rule_counts_lost(&counts), 0);
	assert_int_equal(counts.keys, 14);
	assert_int_equal(counts.rows, 14);
}

static void
null_makes_no_key_unless_the_template_has_a_text_for_it(void **state)
{
	static const struct row_case rows[] = {
	    {"keys: ['f:{a}', 'u:{id}']", NULL, "1,NULL,y", "u:1"},
	    {"keys: 'f:{a}'", "1,NULL,y", "1,x,y", "f:x"},
	    {"keys: 'f:{a}'", "1,x,y", "1,NULL,y", "f:x"},
	    {"keys: 'f:{a|or:0}'", "1,NULL,y", "1,x,y", "f:0 f:x"},
	    {"keys: 'f:{a|or:0}'", "1,NULL,y", "1,NULL,y", "f:0"},
	    {"keys: 'f:{a|or:}'", "1,NULL,y", NULL, "f:"},
	    {"keys: '{a}{b}'", NULL, "1,x,NULL", ""},
	};
	struct rule_counts counts = {0};

	CHECK_ROWS(rows, &counts);
	assert_int_equal(counts.nulls, 4);
	assert_int_equal(rule_counts_lost(&counts), 0);
	assert_int_equal(counts.bad_keys, 0);
}

static void
columns_that_an_image_leaves_out_are_taken_from_the_old_row_only(void **state)
{
	static const struct row_case rows[] = {
	    /* MINIMAL, update of b: the primary key is in the old row, b in the new one */
	    {"keys: 'u:{id}'", "1,-,-", "-,-,z", "u:1"},
	    {"keys: 'u:{id}', image: after", "1,-,-", "-,-,z", "u:1"},
	    {"keys: 'u:{new.id}'", "1,-,-", "-,-,z", "u:1"},
	    /* the primary key itself */
	    {"keys: 'u:{id}'", "1,-,-", "2,-,-", "u:1 u:2"},
	    /* the new value is there, the old one is not: it was another key */
	    {"keys: 'f:{b}'", "1,-,-", "-,-,z", "!absent(b) f:z"},
	    {"keys: 'f:{b}', image: after", "1,-,-", "-,-,z", "f:z"},
	    {"keys: 'f:{b}', image: before", "1,-,-", "-,-,z", "!absent(b)"},
	    {"keys: 'f:{new.b}'", "1,-,-", "-,-,z", "f:z"},
	    {"keys: 'f:{old.b}'", "1,-,-", "-,-,z", "!absent(b)"},
	    /* untouched, and so in neither */
	    {"keys: 'f:{a}'", "1,-,-", "-,-,z", "!absent(a) !absent(a)"},
	    {"keys: 'f:{a}'", "1,-,-", NULL, "!absent(a)"},
	    {"keys: 'f:{a}'", NULL, "1,-,-", "!absent(a)"},
	    /* costs no other key */
	    {"keys: ['f:{a}', 'u:{id}']", "1,-,-", NULL, "!absent(a) u:1"},
	};
	struct rule_counts counts = {0};

	CHECK_ROWS(rows, &counts);
	assert_int_equal(counts.absent, 8);
	assert_int_equal(rule_counts_lost(&counts), 8);
}

static void
keys_that_memcached_cannot_hold_are_reported_and_cost_no_other(void **state)
{
	char row[600];
	struct rule_counts counts = {0};

	check_row("keys: ['{a}', 'u:{id}']", NULL, "1,,y", "!key_empty() u:1", &counts);
	check_row("keys: ['{a}', 'u:{id}']", NULL, "1,x y,z", "!key_control() u:1", &counts);
	check_row("keys: ['{a|url}', 'u:{id}']", NULL, "1,x y,z", "x%20y u:1", &counts);
	check_row("keys: ['{a}', 'u:{id}']", "1,x y,z", "1,x y,w", "!key_control() u:1", &counts);
	snprintf(row, sizeof(row), "1,%0*d,z", 251, 0);
	check_row("keys: ['{a}', 'u:{id}']", NULL, row, "!key_long() u:1", &counts);
	snprintf(row, sizeof(row), "1,%0*d,z", 126, 0);
	check_row("keys: ['{a|hex}', 'u:{id}']", NULL, row, "!key_long() u:1", &counts);
	assert_int_equal(counts.bad_keys, 5);
	check_row("keys: ['{a}', 'u:{id}']", NULL, "1,!,z", "!unreadable(a) u:1", &counts);
	assert_int_equal(counts.unreadable, 1);
	assert_int_equal(rule_counts_lost(&counts), 1);
}

static void
a_missing_column_is_reported_once_and_counted_at_each_row(void **state)
{
	struct rule_set *set = made("rules:\n"
				    "- {name: one, table: shop.t, keys: ['k:{nope}', 'u:{id}'], on: update}\n"
				    "- {name: two, table: shop.*, keys: v, when_changed: [a, gone]}\n");
	struct seen seen = {0};
	struct buf scratch = BUF_INIT;
	struct rule_counts counts = {0};
	struct rule_table *t =
	    rule_table_match(set, SPAN_LIT("shop"), SPAN_LIT("t"), names, NNAMES, &ops, &seen);
	struct images images = {.t = t, .op = RULES_UPDATE, .image = {"1,x,y", "1,x,y"}};
	struct rule_row row = {.op = RULES_UPDATE, .get = get, .arg = &images, .scratch = &scratch};

	assert_string_equal(buf_str(&seen.text), "!no_column(nope) !no_change_column(gone)");
	buf_clear(&seen.text);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rule_apply(t, &row, &ops, &seen, &counts), ERR_OK);
	assert_string_equal(buf_str(&seen.text), "u:1 v u:1 v u:1 v");
	assert_int_equal(counts.no_column, 3);
	/* A change that the rule is not about loses nothing. */
	images = (struct images){.t = t, .op = RULES_INSERT, .image = {NULL, "1,x,y"}};
	row.op = RULES_INSERT;
	assert_int_equal(rule_apply(t, &row, &ops, &seen, &counts), ERR_OK);
	assert_int_equal(counts.no_column, 3);
	assert_int_equal(rule_reason_err(RULE_NO_COLUMN), ERR_GAP);
	rule_table_destroy(&t);
	rule_set_release(&set);
	buf_fini(&seen.text);
	buf_fini(&scratch);
}

static void
without_column_names_only_keys_without_columns_can_be_made(void **state)
{
	struct rule_set *set = made("rules: [{table: shop.t, keys: ['{db}', 'u:{id}'], when_changed: a}]");
	struct seen seen = {0};
	struct buf scratch = BUF_INIT;
	struct rule_counts counts = {0};
	struct rule_table *t = rule_table_match(set, SPAN_LIT("shop"), SPAN_LIT("t"), NULL, 3, &ops, &seen);
	struct images images = {.t = t, .op = RULES_UPDATE};
	struct rule_row row = {.op = RULES_UPDATE, .get = get, .arg = &images, .scratch = &scratch};
	size_t nwords;

	assert_string_equal(buf_str(&seen.text), "!no_names(id) !no_names(a)");
	buf_clear(&seen.text);
	assert_null(rule_table_columns(t, RULES_UPDATE, RULE_BEFORE, &nwords));
	assert_int_equal(rule_apply(t, &row, &ops, &seen, &counts), ERR_OK);
	assert_string_equal(buf_str(&seen.text), "shop");
	assert_int_equal(rule_counts_lost(&counts), 1);
	rule_table_destroy(&t);
	rule_set_release(&set);
	buf_fini(&seen.text);
	buf_fini(&scratch);
}

static void
tables_without_rules_cost_nothing_and_all_matching_rules_speak(void **state)
{
	struct rule_set *set = made("rules:\n"
				    "- {table: shop.t, keys: one, on: insert}\n"
				    "- {table: other.*, keys: two}\n"
				    "- {table: '*.t', keys: 'three:{b}', on: delete}\n");
	struct seen seen = {0};
	size_t nwords;
	struct rule_table *t;

	assert_null(rule_table_match(set, SPAN_LIT("shop"), SPAN_LIT("users"), names, NNAMES, &ops, &seen));
	t = rule_table_match(set, SPAN_LIT("other"), SPAN_LIT("t"), names, NNAMES, &ops, &seen);
	assert_int_equal(rule_table_on(t), RULES_ALL);
	rule_table_destroy(&t);
	t = rule_table_match(set, SPAN_LIT("shop"), SPAN_LIT("t"), names, NNAMES, &ops, &seen);
	assert_int_equal(rule_table_on(t), RULES_INSERT | RULES_DELETE);
	assert_ptr_equal(rule_table_set(t), set);
	assert_null(rule_table_columns(t, RULES_INSERT, RULE_AFTER, &nwords));
	assert_null(rule_table_columns(t, RULES_UPDATE, RULE_BEFORE, &nwords));
	assert_int_equal(*rule_table_columns(t, RULES_DELETE, RULE_BEFORE, &nwords), 4);
	assert_int_equal(nwords, 1);
	/* A table keeps its set. */
	rule_set_release(&set);
	rule_table_destroy(&t);
	rule_table_destroy(&t);
	assert_int_equal(seen.text.len, 0);
	buf_fini(&seen.text);
}

static void
an_error_of_the_callback_ends_the_row(void **state)
{
	struct rule_set *set = made("rules: [{table: shop.t, keys: [a, b, c]}, {table: shop.t, keys: d}]");
	struct seen seen = {.stop_after = 2};
	struct buf scratch = BUF_INIT;
	struct rule_counts counts = {0};
	struct rule_table *t =
	    rule_table_match(set, SPAN_LIT("shop"), SPAN_LIT("t"), names, NNAMES, &ops, &seen);
	struct images images = {.t = t, .op = RULES_INSERT, .image = {NULL, "1,x,y"}};
	struct rule_row row = {.op = RULES_INSERT, .get = get, .arg = &images, .scratch = &scratch};

	assert_int_equal(rule_apply(t, &row, &ops, &seen, &counts), ERR_CLOSED);
	assert_string_equal(buf_str(&seen.text), "a b");
	rule_table_destroy(&t);
	rule_set_release(&set);
	buf_fini(&seen.text);
	buf_fini(&scratch);
}

static void
columns_far_to_the_right_are_announced_in_their_own_word(void **state)
{
	static const struct span column = {"c", 1};
	struct span many[200];
	struct rule_set *set = made("rules: [{table: a.b, keys: '{c}', image: after, on: update}]");
	struct rule_table *t;
	size_t nwords;

	for (size_t i = 0; i < 200; i++)
		many[i] = i == 130 ? column : SPAN_LIT("x");
	t = rule_table_match(set, SPAN_LIT("a"), SPAN_LIT("b"), many, 200, &ops, NULL);
	assert_int_equal(rule_table_columns(t, RULES_UPDATE, RULE_AFTER, &nwords)[2], 4);
	assert_int_equal(nwords, 4);
	/* It stands in when the new row does not hold it. */
	assert_int_equal(rule_table_columns(t, RULES_UPDATE, RULE_BEFORE, &nwords)[2], 4);
	rule_table_destroy(&t);
	rule_set_release(&set);
}

static void
names_that_make_a_key_too_long_make_no_key(void **state)
{
	struct buf yaml = BUF_INIT;
	struct seen seen = {0};
	struct buf scratch = BUF_INIT;
	struct rule_counts counts = {0};
	struct rule_set *set;
	struct rule_table *t;
	struct images images = {.op = RULES_INSERT, .image = {NULL, "1,x,y"}};
	struct rule_row row = {.op = RULES_INSERT, .get = get, .arg = &images, .scratch = &scratch};
	struct span name = SPAN_LIT("a_table_name_of_64_characters_that_nobody_would_want_to_type_twice");

	set = made("rules: [{table: '*.*', keys: ['{table|hex}{table|hex}', '{table|hex|hex}', 'ok']}]");
	t = rule_table_match(set, SPAN_LIT("d"), name, names, NNAMES, &ops, &seen);
	images.t = t;
	assert_int_equal(rule_apply(t, &row, &ops, &seen, &counts), ERR_OK);
	assert_string_equal(buf_str(&seen.text), "!key_long() !key_long() ok");
	rule_table_destroy(&t);
	rule_set_release(&set);
	buf_fini(&yaml);
	buf_fini(&seen.text);
	buf_fini(&scratch);
}

static void
counts_go_to_the_metrics_once(void **state)
{
	struct rule_metrics m = {0};
	struct rule_counts c = {
	    .rows = 1, .keys = 2, .nulls = 3, .absent = 4, .unreadable = 5, .no_column = 6, .bad_keys = 7};

	rule_counts_flush(&c, &m);
	rule_counts_flush(&c, &m);
	assert_int_equal(metric_get(&m.rule_row), 1);
	assert_int_equal(metric_get(&m.rule_key), 2);
	assert_int_equal(metric_get(&m.rule_null), 3);
	assert_int_equal(metric_get(&m.rule_absent), 4);
	assert_int_equal(metric_get(&m.rule_unreadable), 5);
	assert_int_equal(metric_get(&m.rule_no_column), 6);
	assert_int_equal(metric_get(&m.rule_key_bad), 7);
	assert_int_equal(rule_metric_nrows, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(images_give_the_keys_that_the_header_says),
	    cmocka_unit_test(only_the_changes_that_a_rule_is_about_make_keys),
	    cmocka_unit_test(null_makes_no_key_unless_the_template_has_a_text_for_it),
	    cmocka_unit_test(columns_that_an_image_leaves_out_are_taken_from_the_old_row_only),
	    cmocka_unit_test(keys_that_memcached_cannot_hold_are_reported_and_cost_no_other),
	    cmocka_unit_test(a_missing_column_is_reported_once_and_counted_at_each_row),
	    cmocka_unit_test(without_column_names_only_keys_without_columns_can_be_made),
	    cmocka_unit_test(tables_without_rules_cost_nothing_and_all_matching_rules_speak),
	    cmocka_unit_test(an_error_of_the_callback_ends_the_row),
	    cmocka_unit_test(columns_far_to_the_right_are_announced_in_their_own_word),
	    cmocka_unit_test(names_that_make_a_key_too_long_make_no_key),
	    cmocka_unit_test(counts_go_to_the_metrics_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
