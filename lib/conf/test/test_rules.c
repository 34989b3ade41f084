#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/conf/rules.h"
#include "lib/core/test/files.h"

#define DATA "lib/conf/test/rules"

static err_t
refuse(struct span text, struct err_detail *why)
{
	struct rules *r;
	err_t err = rules_parse(&r, text, "rules.yaml", why);

	assert_null(r);
	return err;
}

static void
every_bad_file_says_where_what_and_what_would_be_right(void **state)
{
	files_assert_bad(DATA, 39, refuse);
}

static err_t
take(const char *path, struct err_detail *why)
{
	struct rules *r;
	err_t err = rules_load(&r, path, why);

	if (err != ERR_OK)
		return err;
	assert_string_equal(r->file, path);
	rules_destroy(&r);
	assert_null(r);
	rules_destroy(&r);
	return ERR_OK;
}

static void
every_good_file_is_taken(void **state)
{
	files_assert_good(DATA, 3, take);
}

static void
assert_text(struct rules_text t, const char *text, unsigned line, unsigned column)
{
	if (!span_is(t.text, text))
		fail_msg("\"%.*s\" is not \"%s\"", SPAN_FMT(t.text), text);
	assert_int_equal(t.line, line);
	assert_int_equal(t.column, column);
}

static void
the_full_file_is_read_to_the_last_value_with_its_place(void **state)
{
	struct rules *r;
	struct err_detail why = {0};
	const struct rules_rule *rule;

	assert_int_equal(rules_load(&r, DATA "/good.full.yaml", &why), ERR_OK);
	assert_int_equal(r->n, 3);
	rule = &r->rules[0];
	assert_int_equal(rule->line, 3);
	assert_text(rule->table, "shop.users", 3, 12);
	assert_text(rule->name, "users", 4, 11);
	assert_int_equal(rule->keys.n, 3);
	assert_text(rule->keys.items[0], "user:{id}", 5, 12);
	assert_text(rule->keys.items[1], "feed:{owner_id}", 5, 25);
	assert_text(rule->keys.items[2], "{db}:{table}:{old.email|lower|url}", 5, 44);
	assert_int_equal(rule->on, RULES_ALL);
	assert_int_equal(rule->when_changed.n, 2);
	assert_text(rule->when_changed.items[1], "owner_id", 7, 27);
	assert_string_equal(rule->opt.image, "both");
	assert_int_equal(rule->opt.holdoff, 2000);
	assert_text(rule->pool, "eu", 10, 11);
	assert_false(rule->opt.ignore_case);

	rule = &r->rules[1];
	assert_text(rule->name, "", 0, 0);
	assert_int_equal(rule->keys.n, 2);
	assert_text(rule->keys.items[1], "{table}", 15, 9);
	assert_int_equal(rule->on, RULES_UPDATE);
	assert_int_equal(rule->when_changed.n, 1);
	assert_string_equal(rule->opt.image, "before");
	assert_int_equal(rule->opt.holdoff, 250);
	assert_true(rule->opt.ignore_case);

	rule = &r->rules[2];
	assert_int_equal(rule->name.text.len, 0);
	assert_int_equal(rule->pool.text.len, 0);
	assert_int_equal(rule->keys.n, 1);
	assert_int_equal(rule->on, RULES_ALL);
	assert_int_equal(rule->when_changed.n, 0);
	rules_destroy(&r);
}

static void
a_file_that_is_not_there_is_named(void **state)
{
	struct rules *r;
	struct err_detail why = {0};

	assert_int_equal(rules_load(&r, "/nowhere/rules.yaml", &why), ERR_NOT_FOUND);
	assert_null(r);
	assert_non_null(strstr(why.text, "/nowhere/rules.yaml"));
}

static void
more_rules_than_the_limit_are_refused(void **state)
{
	struct buf text = BUF_INIT;
	struct rules *r;
	struct err_detail why = {0};

	for (int over = 0; over < 2; over++) {
		buf_clear(&text);
		buf_put_str(&text, "rules:\n");
		for (int i = 0; i < RULES_MAX + over; i++)
			buf_put_str(&text, "- {table: a.b, keys: x}\n");
		assert_int_equal(rules_parse(&r, buf_span(&text), "r", &why), over ? ERR_CONFIG : ERR_OK);
		rules_destroy(&r);
	}
	assert_string_equal(why.text, "r:2:1: more than 4096 rules; patterns of tables make do with fewer");
	buf_fini(&text);
}

static void
the_schema_in_the_repository_is_what_the_tables_say(void **state)
{
	struct buf made = BUF_INIT, kept = BUF_INIT;

	rules_json_schema(&made);
	files_read("schemas/rules.schema.json", &kept);
	if (!span_eq(buf_span(&made), buf_span(&kept)))
		fail_msg("schemas/rules.schema.json is out of date: run make docs");
	buf_fini(&made);
	buf_fini(&kept);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_bad_file_says_where_what_and_what_would_be_right),
	    cmocka_unit_test(every_good_file_is_taken),
	    cmocka_unit_test(the_full_file_is_read_to_the_last_value_with_its_place),
	    cmocka_unit_test(a_file_that_is_not_there_is_named),
	    cmocka_unit_test(more_rules_than_the_limit_are_refused),
	    cmocka_unit_test(the_schema_in_the_repository_is_what_the_tables_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
