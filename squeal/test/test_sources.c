#include "squeal/sources.h"

#include "lib/core/test/test.h"

static const struct rule_group group = {
    .rule = {"people", 6},
    .template = {"user:{id}", 9},
};

static void
assert_text(const struct sources *s, const char *want)
{
	struct span text = sources_text(s);

	if (!span_is(text, want))
		fail_msg("%.*s", SPAN_FMT(text));
}

static void
a_comments_key_names_its_statement(void **state)
{
	struct sources *s = sources_create();

	sources_clear(s);
	sources_enter_event(s, 100);
	sources_enter_statement(s, SPAN_LIT("BEGIN"));
	sources_enter_event(s, 200);
	sources_enter_statement(s, SPAN_LIT(" /* a */ /*b*/UPDATE t SET x=1"));
	sources_add_comment(s, SPAN_LIT("a\"b"), false);
	sources_add_comment(s, SPAN_LIT("m"), true);
	assert_text(
	    s, "{\"key\":\"a\\\"b\",\"from\":\"comment\",\"statement\":2,\"kind\":\"update\",\"at\":200},"
	       "{\"key\":\"m\",\"from\":\"comment\",\"marker\":true,\"statement\":2,\"kind\":\"update\","
	       "\"at\":200}");
	sources_clear(s);
	assert_text(s, "");
	sources_enter_statement(s, SPAN_LIT("/* open"));
	sources_add_comment(s, SPAN_LIT("a"), false);
	assert_text(s, "{\"key\":\"a\",\"from\":\"comment\",\"statement\":1,\"at\":200}");
	sources_destroy(&s);
}

static void
a_rules_key_names_rule_template_table_and_change(void **state)
{
	struct sources *s = sources_create();
	struct table table = {.db = {"shop", 4}, .name = {"users", 5}};
	struct binlog_event ev = {.kind = BINLOG_ROWS};

	sources_clear(s);
	sources_enter_event(s, 7);
	ev.u.rows.action = BINLOG_DELETE;
	sources_enter_rows(s, &ev, &table);
	sources_add_rule(s, SPAN_LIT("user:1"), &group);
	assert_text(s, "{\"key\":\"user:1\",\"from\":\"rule\",\"rule\":\"people\",\"template\":\"user:{id}\","
		       "\"table\":\"shop.users\",\"change\":\"delete\",\"statement\":0,\"at\":7}");
	sources_destroy(&s);
}

static void
a_rollback_forgets_what_came_since_the_mark(void **state)
{
	struct sources *s = sources_create();
	size_t empty, one;

	sources_clear(s);
	empty = sources_mark(s);
	sources_add_comment(s, SPAN_LIT("a"), false);
	one = sources_mark(s);
	sources_add_comment(s, SPAN_LIT("b"), false);
	sources_rollback(s, one);
	assert_text(s, "{\"key\":\"a\",\"from\":\"comment\",\"statement\":0,\"at\":0}");
	sources_rollback(s, empty);
	sources_add_comment(s, SPAN_LIT("c"), false);
	assert_text(s, "{\"key\":\"c\",\"from\":\"comment\",\"statement\":0,\"at\":0}");
	sources_destroy(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_comments_key_names_its_statement),
	    cmocka_unit_test(a_rules_key_names_rule_template_table_and_change),
	    cmocka_unit_test(a_rollback_forgets_what_came_since_the_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
