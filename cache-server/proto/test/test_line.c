#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/line.h"

/* In memory of exactly that size, so that a look behind the end is found. */
static char *
copy_of(const char *text, size_t len)
{
	char *p = malloc(len ? len : 1);

	memcpy(p, text, len);
	return p;
}

static void
blank_is_found_at_every_place(void **state)
{
	for (size_t len = 0; len < 70; len++) {
		for (size_t at = 0; at <= len; at++) {
			char *p = malloc(len + 1);

			memset(p, 'x', len);
			if (at < len)
				p[at] = at % 2 ? ' ' : '\n';
			p = realloc(p, len ? len : 1);
			assert_ptr_equal(line_blank(p, p + len), p + at);
			free(p);
		}
	}
}

static void
other_control_bytes_are_no_blanks(void **state)
{
	for (int c = 0; c < 256; c++) {
		char text[20];

		memset(text, 'a', sizeof text);
		text[17] = (char)c;
		text[3] = (char)c;
		assert_int_equal(line_blank(text, text + 20) - text, c == ' ' || c == '\n' ? 3 : 20);
		assert_int_equal(line_blank(text + 4, text + 20) - text, c == ' ' || c == '\n' ? 17 : 20);
	}
}

static void
line_ends_with_or_without_a_return(void **state)
{
	struct line l;
	const char *text = "get a\r\nb\n\n\r\nx\r";
	char *p = copy_of(text, strlen(text)), *end = p + strlen(text);

	assert_true(line_find(p, end, &l));
	assert_int_equal(l.len, 7);
	assert_int_equal(l.text.len, 5);
	assert_true(line_find(p + 7, end, &l));
	assert_int_equal(l.len, 2);
	assert_int_equal(l.text.len, 1);
	assert_true(line_find(p + 9, end, &l));
	assert_int_equal(l.len, 1);
	assert_int_equal(l.text.len, 0);
	assert_true(line_find(p + 10, end, &l));
	assert_int_equal(l.len, 2);
	assert_int_equal(l.text.len, 0);
	assert_false(line_find(p + 12, end, &l));
	assert_false(line_find(end, end, &l));
	free(p);
}

static void
words_are_cut_at_spaces_only(void **state)
{
	struct line l;
	const char *text = "  a\tb  c\r d   \r\n";

	assert_true(line_find(text, text + strlen(text), &l));
	line_split(&l);
	assert_int_equal(l.n, 3);
	assert_true(span_is(l.word[0], "a\tb"));
	assert_true(span_is(l.word[1], "c\r"));
	assert_true(span_is(l.word[2], "d"));
	assert_int_equal(line_word(&l, 3).len, 0);
	assert_false(line_noreply(&l));
}

static void
words_beyond_the_limit_are_not_looked_at(void **state)
{
	char text[256] = "";
	struct line l;

	for (int i = 0; i < 30; i++)
		strcat(text, "w ");
	strcat(text, "noreply\r\n");
	assert_true(line_find(text, text + strlen(text), &l));
	line_split(&l);
	assert_int_equal(l.n, LINE_MAX_WORDS);
	assert_false(line_noreply(&l));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blank_is_found_at_every_place),
	    cmocka_unit_test(other_control_bytes_are_no_blanks),
	    cmocka_unit_test(line_ends_with_or_without_a_return),
	    cmocka_unit_test(words_are_cut_at_spaces_only),
	    cmocka_unit_test(words_beyond_the_limit_are_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
