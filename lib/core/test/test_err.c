#include "lib/core/err.h"

#include <string.h>

#include "lib/core/test/test.h"

static void
every_row_has_a_name_a_text_and_an_action(void **state)
{
#define CHECK_ROW(code, act, txt)                                                                            \
	assert_string_equal(err_name(code), #code);                                                          \
	assert_string_equal(err_text(code), txt);                                                            \
	assert_int_equal(err_action(code), act);
	ERR_TABLE(CHECK_ROW)
}

static void
a_code_outside_the_table_means_stop(void **state)
{
	assert_int_equal(err_action((err_t)9999), ERR_DO_STOP);
	assert_string_equal(err_name((err_t)-1), "ERR_?");
}

static void
the_first_sentence_is_kept(void **state)
{
	struct err_detail why = {0};

	assert_int_equal(err_set(&why, ERR_CONN, "cannot reach %s", "db"), ERR_CONN);
	assert_int_equal(err_set(&why, ERR_IO, "later"), ERR_IO);
	assert_int_equal(why.code, ERR_CONN);
	assert_string_equal(err_why(&why), "cannot reach db");
	assert_int_equal(err_set(NULL, ERR_IO, "nobody listens"), ERR_IO);
}

static void
wrapping_puts_a_prefix_before_the_sentence(void **state)
{
	struct err_detail why = {0};

	err_set(&why, ERR_CONFIG, "port: \"x\" is not a whole number");
	err_wrap(&why, "%s:%d", "squeal.yaml", 7);
	assert_string_equal(why.text, "squeal.yaml:7: port: \"x\" is not a whole number");
	err_wrap(NULL, "x");
}

static void
a_very_long_sentence_is_cut_and_terminated(void **state)
{
	struct err_detail why = {0};
	char longer[2000];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_set(&why, ERR_IO, "%s", longer);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
	err_wrap(&why, "%s", "p");
	assert_memory_equal(why.text, "p: aaa", 6);
}

static void
a_sentence_is_made_one_line(void **state)
{
	struct err_detail why = {0};

	err_set(&why, ERR_IO, "%s", "a\r\nb\x1b[1m\x7f\xc3\xa4");
	err_one_line(&why);
	assert_string_equal(why.text, "a??b?[1m?\xc3\xa4");
	err_one_line(NULL);
}

static void
without_a_sentence_the_code_speaks(void **state)
{
	struct err_detail why = {.code = ERR_GAP};

	assert_string_equal(err_why(&why), err_text(ERR_GAP));
	err_clear(&why);
	assert_int_equal(why.code, ERR_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_row_has_a_name_a_text_and_an_action),
	    cmocka_unit_test(a_code_outside_the_table_means_stop),
	    cmocka_unit_test(the_first_sentence_is_kept),
	    cmocka_unit_test(wrapping_puts_a_prefix_before_the_sentence),
	    cmocka_unit_test(a_very_long_sentence_is_cut_and_terminated),
	    cmocka_unit_test(a_sentence_is_made_one_line),
	    cmocka_unit_test(without_a_sentence_the_code_speaks),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
