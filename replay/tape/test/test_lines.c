#include "replay/tape/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/test/test.h"

static char path[] = "/tmp/squeal-test-lines-XXXXXX";

static void
put(const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void
next(struct lines *l, const char *text, bool whole)
{
	struct err_detail why = {0};
	struct span line;
	bool is_whole, more;

	assert_int_equal(lines_next(l, &line, &is_whole, &more, &why), ERR_OK);
	assert_true(more);
	assert_true(span_is(line, text));
	assert_int_equal(is_whole, whole);
}

static void
end(struct lines *l)
{
	struct err_detail why = {0};
	struct span line;
	bool whole, more;

	assert_int_equal(lines_next(l, &line, &whole, &more, &why), ERR_OK);
	assert_false(more);
	lines_close(l);
}

static void
lines_come_without_their_ends_and_are_numbered(void **state)
{
	struct lines l = {0};
	struct err_detail why = {0};

	(void)state;
	put("one\n\nthree\r\nlast", 16);
	assert_int_equal(lines_open(&l, path, 100, &why), ERR_OK);
	assert_int_equal(l.file_size, 16);
	next(&l, "one", true);
	next(&l, "", true);
	next(&l, "three\r", true);
	assert_int_equal(l.number, 3);
	next(&l, "last", false);
	end(&l);
}

static void
a_line_of_a_megabyte_comes_whole_and_one_beyond_the_limit_is_cut(void **state)
{
	size_t n = 1 << 20;
	char *text = malloc(n + 2);
	struct lines l = {0};
	struct err_detail why = {0};
	struct span line;
	bool whole, more;

	(void)state;
	memset(text, 'x', n);
	text[n] = '\n';
	put(text, n + 1);
	assert_int_equal(lines_open(&l, path, n, &why), ERR_OK);
	assert_int_equal(lines_next(&l, &line, &whole, &more, &why), ERR_OK);
	assert_true(more && whole && line.len == n);
	end(&l);
	assert_int_equal(lines_open(&l, path, 1000, &why), ERR_OK);
	assert_int_equal(lines_next(&l, &line, &whole, &more, &why), ERR_OK);
	assert_true(more && !whole && line.len == 1000);
	lines_close(&l);
	free(text);
}

static void
what_cannot_be_opened_is_named(void **state)
{
	struct lines l = {0};
	struct err_detail why = {0};

	(void)state;
	assert_int_equal(lines_open(&l, "/nowhere/at/all", 10, &why), ERR_NOT_FOUND);
	assert_non_null(strstr(why.text, "/nowhere/at/all"));
	err_clear(&why);
	assert_int_equal(lines_open(&l, "/tmp", 10, &why), ERR_SYS);
	assert_non_null(strstr(why.text, "folder"));
}

static int
make(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int
clean(void **state)
{
	(void)state;
	return unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_come_without_their_ends_and_are_numbered),
	    cmocka_unit_test(a_line_of_a_megabyte_comes_whole_and_one_beyond_the_limit_is_cut),
	    cmocka_unit_test(what_cannot_be_opened_is_named),
	};

	return cmocka_run_group_tests(tests, make, clean);
}
