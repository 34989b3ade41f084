#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/test/files.h"
#include "markers/rule_set.h"

#define DATA "markers/test/rules"

static err_t
compile(struct rule_set **out, struct span yaml, struct err_detail *why)
{
	struct rules *rules;
	err_t err = rules_parse(&rules, yaml, "rules.yaml", why);

	*out = NULL;
	if (err == ERR_OK)
		err = rule_set_create(out, rules, why);
	rules_destroy(&rules);
	return err;
}

static struct rule_set *
made(const char *yaml)
{
	struct rule_set *s;
	struct err_detail why = {0};

	if (compile(&s, span_of(yaml), &why) != ERR_OK)
		fail_msg("%s", why.text);
	return s;
}

static err_t
refuse(struct span text, struct err_detail *why)
{
	struct rule_set *s;
	struct rules *r;
	err_t err;

	/* Its structure is right; what is wrong is what the texts mean. */
	assert_int_equal(rules_parse(&r, text, "rules.yaml", why), ERR_OK);
	rules_destroy(&r);
	err = compile(&s, text, why);
	assert_null(s);
	return err;
}

static void
every_bad_file_says_where_what_and_what_would_be_right(void **state)
{
	files_assert_bad(DATA, 33, refuse);
}

static err_t
take(const char *path, struct err_detail *why)
{
	struct rule_set *s;
	err_t err = rule_set_load(&s, path, why);

	if (err != ERR_OK)
		return err;
	assert_true(s->n > 0);
	rule_set_release(&s);
	assert_null(s);
	rule_set_release(&s);
	return ERR_OK;
}

static void
every_good_file_is_taken(void **state)
{
	files_assert_good(DATA, 2, take);
}

static void
every_example_of_the_manual_is_taken(void **state)
{
	static const struct span begin = {"```yaml\n", 8};
	struct buf text = BUF_INIT;
	struct span rest;
	int n = 0;

	files_read("docs/rules.md", &text);
	rest = buf_span(&text);
	for (ptrdiff_t at; (at = span_find(rest, begin)) >= 0;) {
		struct rule_set *s;
		struct err_detail why = {0};
		ptrdiff_t end;

		rest = span_from(rest, (size_t)at + begin.len);
		if (!span_starts(span_trim(rest), SPAN_LIT("rules:")))
			continue;
		n++;
		end = span_find(rest, SPAN_LIT("```"));
		assert_true(end > 0);
		if (compile(&s, span_first(rest, (size_t)end), &why) != ERR_OK)
			fail_msg("%.*s\n%s", SPAN_FMT(span_first(rest, (size_t)end)), why.text);
		rule_set_release(&s);
	}
	assert_true(n >= 11);
	buf_fini(&text);
}

static void
a_rule_says_what_its_file_says(void **state)
{
	struct rule_set *s;
	struct err_detail why = {0};

	assert_int_equal(rule_set_load(&s, DATA "/good.full.yaml", &why), ERR_OK);
	assert_int_equal(s->n, 3);
	assert_true(span_is(s->rules[0].name, "users"));
	assert_true(span_is(s->rules[0].pool, "eu"));
	assert_int_equal(s->rules[0].holdoff_ms, 2000);
	assert_int_equal(s->rules[0].nkeys, 3);
	assert_int_equal(s->rules[0].nwhen_changed, 2);
	assert_true(span_is(s->rules[0].when_changed[1], "owner_id"));
	assert_true(s->rules[0].before && s->rules[0].after && s->rules[0].pattern.exact);
	assert_true(span_is(s->rules[1].name, "shard_[0-9]*.users"));
	assert_true(s->rules[1].before && !s->rules[1].after && !s->rules[1].pattern.exact);
	assert_int_equal(s->rules[1].on, RULES_UPDATE);
	assert_true(!s->rules[2].before && s->rules[2].after);
	assert_true(span_is(s->rules[2].name, "*.users"));
	rule_set_release(&s);
}

static void
names_are_needed_where_a_matching_rule_names_a_column(void **state)
{
	struct rule_set *s = made("rules:\n"
				  "- {table: a.constant, keys: ['all', '{db}:{table|upper}']}\n"
				  "- {table: a.*_column, keys: ['all', 'x:{id}']}\n"
				  "- {table: a.old_column, keys: ['x:{old.id}']}\n"
				  "- {table: a.changed, keys: all, when_changed: x}\n");

	assert_false(rule_set_needs_names(s, SPAN_LIT("a"), SPAN_LIT("constant")));
	assert_true(rule_set_needs_names(s, SPAN_LIT("a"), SPAN_LIT("a_column")));
	assert_true(rule_set_needs_names(s, SPAN_LIT("a"), SPAN_LIT("old_column")));
	assert_true(rule_set_needs_names(s, SPAN_LIT("a"), SPAN_LIT("changed")));
	assert_false(rule_set_needs_names(s, SPAN_LIT("b"), SPAN_LIT("changed")));
	rule_set_release(&s);
}

static void
write_file(const char *path, const char *text)
{
	struct err_detail why = {0};

	if (file_replace(path, span_of(text), &why) != ERR_OK)
		fail_msg("%s", why.text);
}

static void
a_wrong_file_leaves_the_old_rules_in_force_and_says_why(void **state)
{
	char folder[] = "/tmp/squeal-rules-XXXXXX", path[64];
	struct rule_live live;
	struct rule_set *old, *now;
	struct err_detail why = {0};
	uint64_t generation;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/rules.yaml", folder);
	rule_live_init(&live, NULL);
	assert_null(rule_live_acquire(&live));

	write_file(path, "rules: [{table: a.b, keys: x}]");
	assert_int_equal(rule_live_load(&live, path, &why), ERR_OK);
	old = rule_live_acquire(&live);
	assert_int_equal(old->n, 1);
	generation = rule_live_generation(&live);

	write_file(path, "rules: [{table: a.b, keys: '{x'}]");
	assert_int_equal(rule_live_load(&live, path, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "rules.yaml:1:28: key template"));
	assert_true(rule_live_generation(&live) == generation);
	now = rule_live_acquire(&live);
	assert_ptr_equal(now, old);
	rule_set_release(&now);
	assert_int_equal(unlink(path), 0);
	err_clear(&why);
	assert_int_equal(rule_live_load(&live, path, &why), ERR_NOT_FOUND);
	assert_true(rule_live_generation(&live) == generation);

	write_file(path, "rules: [{table: a.b, keys: x}, {table: a.c, keys: y}]");
	err_clear(&why);
	assert_int_equal(rule_live_load(&live, path, &why), ERR_OK);
	assert_true(rule_live_generation(&live) != generation);
	now = rule_live_acquire(&live);
	assert_int_equal(now->n, 2);
	rule_set_release(&now);
	/* Whoever has the old set still has it. */
	assert_true(span_is(old->rules[0].keys[0].text, "x"));
	rule_set_release(&old);
	rule_live_fini(&live);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void *
read_rules(void *arg)
{
	struct rule_live *live = arg;
	uintptr_t seen = 0;

	for (int i = 0; i < 20000; i++) {
		struct rule_set *s = rule_live_acquire(live);

		seen += s->n + rule_set_needs_names(s, SPAN_LIT("a"), SPAN_LIT("b"));
		rule_set_release(&s);
	}
	return (void *)seen;
}

static void
rules_are_replaced_while_others_read_them(void **state)
{
	struct rule_live live;
	pthread_t readers[2];
	void *seen;

	rule_live_init(&live, made("rules: [{table: a.b, keys: '{x}'}]"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_rules, &live), 0);
	for (int i = 0; i < 300; i++)
		rule_live_replace(&live, made("rules: [{table: a.b, keys: '{x}'}]"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(readers[i], &seen), 0);
		assert_int_equal((uintptr_t)seen, 40000);
	}
	rule_live_fini(&live);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_bad_file_says_where_what_and_what_would_be_right),
	    cmocka_unit_test(every_good_file_is_taken),
	    cmocka_unit_test(every_example_of_the_manual_is_taken),
	    cmocka_unit_test(a_rule_says_what_its_file_says),
	    cmocka_unit_test(names_are_needed_where_a_matching_rule_names_a_column),
	    cmocka_unit_test(a_wrong_file_leaves_the_old_rules_in_force_and_says_why),
	    cmocka_unit_test(rules_are_replaced_while_others_read_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
