#include "lib/core/sealed.h"

#include "lib/core/test/test.h"

static void
put(struct buf *text)
{
	buf_put_str(text, "things 1\nname some body\nother\n");
	sealed_end(text, 0);
}

static void
what_was_sealed_is_taken_apart(void **state)
{
	struct buf text = BUF_INIT;
	struct span lines;

	(void)state;
	put(&text);
	assert_null(sealed_lines(buf_span(&text), "things 1", &lines));
	assert_true(span_is(lines, "name some body\nother\n"));
	buf_fini(&text);
}

static void
what_stands_before_the_text_does_not_count(void **state)
{
	struct buf text = BUF_INIT;
	struct span lines;
	size_t begin;

	(void)state;
	buf_put_str(&text, "before");
	begin = text.len;
	buf_put_str(&text, "things 1\n");
	sealed_end(&text, begin);
	assert_null(sealed_lines(span_from(buf_span(&text), begin), "things 1", &lines));
	assert_int_equal(lines.len, 0);
	assert_non_null(sealed_lines(buf_span(&text), "things 1", &lines));
	buf_fini(&text);
}

static void
any_changed_or_missing_byte_is_noticed(void **state)
{
	struct buf text = BUF_INIT;
	struct span lines;

	(void)state;
	put(&text);
	for (size_t i = 0; i < text.len; i++) {
		assert_non_null(sealed_lines(span_first(buf_span(&text), i), "things 1", &lines));
		text.p[i] ^= 1;
		assert_non_null(sealed_lines(buf_span(&text), "things 1", &lines));
		text.p[i] ^= 1;
	}
	assert_string_equal(sealed_lines(buf_span(&text), "things 2", &lines),
			    "it is of a version that this program does not know");
	buf_fini(&text);
}

static void
a_line_is_known_by_its_first_word(void **state)
{
	struct span rest;

	(void)state;
	assert_true(sealed_line_is(SPAN_LIT("name some body"), "name", &rest));
	assert_true(span_is(rest, "some body"));
	assert_false(sealed_line_is(SPAN_LIT("names some body"), "name", &rest));
	assert_false(sealed_line_is(SPAN_LIT("name"), "name", &rest));
	assert_false(sealed_line_is(SPAN_LIT(""), "name", &rest));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_sealed_is_taken_apart),
	    cmocka_unit_test(what_stands_before_the_text_does_not_count),
	    cmocka_unit_test(any_changed_or_missing_byte_is_noticed),
	    cmocka_unit_test(a_line_is_known_by_its_first_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
