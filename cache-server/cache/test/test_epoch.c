#include "cache-server/cache/epoch.h"

#include "lib/core/test/test.h"

static void
what_is_printed_is_what_was_read(void **state)
{
	static const char *const good[] = {"main:3:81723", "a:0:0",
					   "A-b_c.9:4294967295:18446744073709551615"};
	char out[EPOCH_MAX_TEXT];
	struct epoch e;
	size_t i;

	for (i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(epoch_parse(span_of(good[i]), &e));
		assert_true(span_is(span_make(out, epoch_print(&e, out)), good[i]));
	}
	assert_true(epoch_parse(SPAN_LIT("main:3:81723"), &e));
	assert_true(span_is(e.source, "main"));
	assert_int_equal(e.term, 3);
	assert_int_equal(e.count, 81723);
}

static void
anything_else_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    ":",
	    "main",
	    "main:",
	    "main:1",
	    "main:1:",
	    ":1:2",
	    "main::2",
	    "main:1:2:3",
	    "main:01:2",
	    "main:1:02",
	    "main:-1:2",
	    "main:1: 2",
	    "ma in:1:2",
	    "main:4294967296:1",
	    "main:1:18446744073709551616",
	    "m\xc3\xa4:1:2",
	    "0123456789012345678901234567890123456789012345678901234567890123x:1:2"};
	struct epoch e;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		if (epoch_parse(span_of(bad[i]), &e))
			fail_msg("%s was taken", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_printed_is_what_was_read),
	    cmocka_unit_test(anything_else_is_refused),
	};

	return cmocka_run_group_tests_name("epoch", tests, NULL, NULL);
}
