#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/conf/yaml.h"
#include "lib/core/buf.h"

static void
parse(struct yaml **y, const char *text)
{
	struct err_detail why = {0};

	if (yaml_create(y, span_of(text), "t.yaml", &why) != ERR_OK)
		fail_msg("%s", why.text);
}

static void
a_tree_keeps_the_order_and_the_places(void **state)
{
	struct yaml *y;
	const struct yaml_node *n;

	parse(&y, "b: 1\na:\n  - x\n  - {k: 'v'}\n");
	n = yaml_root(y);
	assert_int_equal(n->kind, YAML_MAP);
	assert_int_equal(n->n, 2);
	assert_true(span_is(n->first->key, "b"));
	assert_true(span_is(n->first->text, "1"));
	assert_int_equal(n->first->at.line, 1);
	assert_int_equal(n->first->at.column, 4);
	n = yaml_get(n, "a");
	assert_int_equal(n->kind, YAML_LIST);
	assert_int_equal(n->key_at.line, 2);
	assert_int_equal(n->key_at.column, 1);
	assert_int_equal(n->n, 2);
	assert_true(span_is(n->first->text, "x"));
	n = yaml_get(n->first->next, "k");
	assert_true(span_is(n->text, "v"));
	assert_true(n->quoted);
	assert_int_equal(n->at.line, 4);
	assert_int_equal(n->at.column, 9);
	assert_null(yaml_get(yaml_root(y), "c"));
	assert_null(yaml_get(n, "k"));
	yaml_destroy(&y);
	assert_null(y);
	yaml_destroy(&y);
}

static void
nothing_is_told_from_empty_text(void **state)
{
	struct yaml *y;

	parse(&y, "a:\nb: ~\nc: null\nd: ''\ne: \"null\"\nf: |\n\n");
	assert_true(yaml_is_nothing(yaml_get(yaml_root(y), "a")));
	assert_true(yaml_is_nothing(yaml_get(yaml_root(y), "b")));
	assert_true(yaml_is_nothing(yaml_get(yaml_root(y), "c")));
	assert_false(yaml_is_nothing(yaml_get(yaml_root(y), "d")));
	assert_false(yaml_is_nothing(yaml_get(yaml_root(y), "e")));
	assert_false(yaml_is_nothing(yaml_get(yaml_root(y), "f")));
	assert_string_equal(yaml_kind_text(yaml_get(yaml_root(y), "a")), "nothing");
	yaml_destroy(&y);
	parse(&y, "# only a comment\n");
	assert_true(yaml_is_nothing(yaml_root(y)));
	yaml_destroy(&y);
	parse(&y, "");
	assert_true(yaml_is_nothing(yaml_root(y)));
	yaml_destroy(&y);
}

static void
words_stay_text(void **state)
{
	static const char *const words[] = {"off", "no", "1_000", "0x10", "1:30", "2026-11-20", "1e3"};
	struct yaml *y;
	char text[40];

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		snprintf(text, sizeof(text), "k: %s\n", words[i]);
		parse(&y, text);
		assert_true(span_is(yaml_get(yaml_root(y), "k")->text, words[i]));
		yaml_destroy(&y);
	}
}

static void
refused(struct buf *text, const char *with)
{
	struct yaml *y;
	struct err_detail why = {0};

	assert_int_equal(yaml_create(&y, buf_span(text), "t.yaml", &why), ERR_CONFIG);
	assert_null(y);
	if (strstr(why.text, with) == NULL)
		fail_msg("not \"%s\" but: %s", with, why.text);
	buf_clear(text);
}

static void
limits_hold(void **state)
{
	struct buf text = BUF_INIT;
	struct yaml *y;

	for (int i = 0; i < YAML_MAX_DEPTH; i++)
		buf_putc(&text, '[');
	for (int i = 0; i < YAML_MAX_DEPTH; i++)
		buf_putc(&text, ']');
	parse(&y, buf_str(&text)); /* as deep as it may be */
	yaml_destroy(&y);
	buf_clear(&text);

	for (int i = 0; i < 500000; i++)
		buf_putc(&text, '[');
	refused(&text, "t.yaml:1:21: nested deeper");
	for (int i = 0; i < 500000; i++)
		buf_put_str(&text, "{");
	refused(&text, "t.yaml:1:");
	memset(buf_room(&text, YAML_MAX_BYTES + 1), '#', YAML_MAX_BYTES + 1);
	buf_added(&text, YAML_MAX_BYTES + 1);
	refused(&text, "larger than 1 MiB");
	for (int i = 0; i <= YAML_MAX_KEYS; i++)
		buf_printf(&text, "k%d: 1\n", i);
	refused(&text, "t.yaml:1001:1: more than 1000 keys");
	/* nine levels of nine: the billion laughs */
	buf_put_str(&text, "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n");
	refused(&text, "t.yaml:1:4: anchors, aliases and tags");
	buf_fini(&text);
}

static void
a_text_cut_off_anywhere_is_an_error_or_a_tree(void **state)
{
	static const char text[] = "a: {b: [c, 'd', \"e\"], f: |\n  g\n}\nh:\n  - i: j\n    k: *l\n";

	for (size_t n = 0; n < sizeof(text); n++) {
		char *exact = malloc(n + 1);
		struct yaml *y;
		struct err_detail why = {0};

		memcpy(exact, text, n);
		if (yaml_create(&y, span_make(exact, n), "t.yaml", &why) == ERR_OK)
			assert_non_null(yaml_root(y));
		else
			assert_non_null(strstr(why.text, "t.yaml:"));
		yaml_destroy(&y);
		free(exact);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_tree_keeps_the_order_and_the_places),
	    cmocka_unit_test(nothing_is_told_from_empty_text),
	    cmocka_unit_test(words_stay_text),
	    cmocka_unit_test(limits_hold),
	    cmocka_unit_test(a_text_cut_off_anywhere_is_an_error_or_a_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
