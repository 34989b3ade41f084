#include "replay/tape/list_line.h"

#include "lib/core/test/test.h"

static err_t
parse(struct list_line *l, const char *text, struct err_detail *why)
{
	err_clear(why);
	return list_line_parse(l, span_of(text), why);
}

static void
a_plain_line_is_a_key(void **state)
{
	struct list_line l = {0};
	struct err_detail why = {0};

	(void)state;
	assert_int_equal(parse(&l, "  user:42\r", &why), ERR_OK);
	assert_int_equal(l.nkeys, 1);
	assert_false(l.is_json);
	assert_true(span_is(l.keys[0], "user:42"));
	list_line_fini(&l);
}

static void
empty_lines_and_comments_have_no_keys(void **state)
{
	struct list_line l = {0};
	struct err_detail why = {0};

	(void)state;
	assert_int_equal(parse(&l, "", &why), ERR_OK);
	assert_int_equal(l.nkeys, 0);
	assert_int_equal(parse(&l, "# of Tuesday", &why), ERR_OK);
	assert_int_equal(l.nkeys, 0);
	list_line_fini(&l);
}

static void
a_line_of_squeal_keys_gives_keys_markers_and_what_belongs_to_them(void **state)
{
	struct list_line l = {0};
	struct err_detail why = {0};

	(void)state;
	assert_int_equal(parse(&l,
			       "{\"file\":\"b.000001\",\"pos\":12,\"gtid\":\"0-1-100\",\"time_us\":"
			       "1795210680000000,\"holdoff_ms\":2000,"
			       "\"pool\":\"feed\",\"keys\":[\"a\",\"b\\u00ff\"],\"markers\":[\"m\"],\"xa\":"
			       "\"commit\",\"x\":{\"y\":[1]}}",
			       &why),
			 ERR_OK);
	assert_true(l.is_json);
	assert_int_equal(l.nkeys, 3);
	assert_true(span_is(l.keys[0], "a") && span_is(l.keys[1], "b\xff") && span_is(l.keys[2], "m"));
	assert_true(span_is(l.gtid, "0-1-100") && span_is(l.pool, "feed"));
	assert_int_equal(l.time_us, 1795210680000000);
	assert_int_equal(l.holdoff_ms, 2000);
	/* Nothing of it stays for the next line. */
	assert_int_equal(parse(&l, "k", &why), ERR_OK);
	assert_true(l.nkeys == 1 && l.gtid.len == 0 && l.time_us == 0 && l.holdoff_ms == 0);
	list_line_fini(&l);
}

static void
lines_that_are_no_whole_object_or_have_no_keys_are_refused(void **state)
{
	static const char *const bad[] = {"{",
					  "{\"keys\":[\"a\"]",
					  "{\"keys\":[\"a\"]} x",
					  "{\"keys\":\"a\"}",
					  "{\"keys\":[1]}",
					  "{\"a\":1}",
					  "{\"keys\":[],\"time_us\":-1}"};
	struct list_line l = {0};
	struct err_detail why = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(&l, bad[i], &why), ERR_BAD_RECORD);
		assert_true(why.text[0] != '\0');
	}
	list_line_fini(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_plain_line_is_a_key),
	    cmocka_unit_test(empty_lines_and_comments_have_no_keys),
	    cmocka_unit_test(a_line_of_squeal_keys_gives_keys_markers_and_what_belongs_to_them),
	    cmocka_unit_test(lines_that_are_no_whole_object_or_have_no_keys_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
