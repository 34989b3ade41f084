#include "replay/tape/tape.h"

#include "lib/core/test/test.h"

static void
marks_are_read_as_they_are_written(void **state)
{
	static const struct tape_mark marks[] = {
	    {SPAN_LIT("mariadb-bin.000007"), 4711, 0}, {{"", 0}, 1234, 2}, {SPAN_LIT("/a:b/c"), 0, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		struct tape_mark back;
		struct buf b = BUF_INIT;

		tape_mark_format(&marks[i], &b);
		assert_true(tape_mark_parse(buf_span(&b), &back));
		assert_true(tape_mark_same(&back, &marks[i]));
		buf_fini(&b);
	}
}

static void
texts_that_are_no_marks_are_refused(void **state)
{
	static const char *const bad[] = {"",	     "file",	 "file:",    "file:x",
					  "file:1/", "file:1/0", "file:1/x", "file:-1"};
	struct tape_mark m;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(tape_mark_parse(span_of(bad[i]), &m));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(marks_are_read_as_they_are_written),
	    cmocka_unit_test(texts_that_are_no_marks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
