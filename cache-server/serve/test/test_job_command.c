#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/serve/job_command.h"

/* "" when it is a command of ours that is right, its error otherwise, NULL: another command. */
static const char *
parse(const char *text, struct job_command *out)
{
	static struct err_detail why;

	why = (struct err_detail){0};
	if (!job_command_parse(span_of(text), out, &why))
		return NULL;
	return why.code == ERR_OK ? "" : err_why(&why);
}

static void
each_command_gives_its_words(void **state)
{
	struct job_command c;

	(void)state;
	assert_string_equal(parse("backup monday", &c), "");
	assert_int_equal(c.kind, JOB_BACKUP);
	assert_int_equal(c.nfiles, 1);
	assert_true(span_is(c.files[0], "monday"));
	assert_string_equal(parse("backup  tuesday since  monday", &c), "");
	assert_int_equal(c.nfiles, 2);
	assert_true(span_is(c.files[1], "monday"));
	assert_string_equal(parse("backup -", &c), "");
	assert_int_equal(c.kind, JOB_STREAM);
	assert_string_equal(parse("restore b a", &c), "");
	assert_int_equal(c.kind, JOB_RESTORE);
	assert_int_equal(c.nfiles, 2);
	assert_string_equal(parse("clone 127.0.0.1:11211", &c), "");
	assert_int_equal(c.kind, JOB_CLONE);
	assert_string_equal(parse("job stop", &c), "");
	assert_int_equal(c.kind, JOB_STOP);
	assert_string_equal(parse("jobs", &c), "");
	assert_int_equal(c.kind, JOB_LIST);
}

static void
other_commands_are_not_ours(void **state)
{
	static const char *const texts[] = {"", "jobs now", "bogus", "backups", "restored x"};
	struct job_command c;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_null(parse(texts[i], &c));
}

static void
what_is_wrong_is_said(void **state)
{
	static const char *const texts[] = {"backup",
					    "backup a since",
					    "backup a before b",
					    "backup a since b c",
					    "backup - x",
					    "backup ../a",
					    "backup .a",
					    "backup a/b",
					    "backup a.part",
					    "backup a since -",
					    "backup a since .b",
					    "restore",
					    "restore a /etc/x",
					    "restore a.part",
					    "clone",
					    "clone host",
					    "clone host:0",
					    "clone host:65536",
					    "clone :11211",
					    "clone [::1]",
					    "clone [::1]11",
					    "clone h:1 more",
					    "job",
					    "job start",
					    "restore -"};
	struct job_command c;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		const char *said = parse(texts[i], &c);

		assert_non_null(said);
		if (said[0] == '\0')
			fail_msg("%s was taken", texts[i]);
	}
}

static void
names_and_lists_are_bounded(void **state)
{
	char text[512] = "backup ";
	struct job_command c;

	(void)state;
	memset(text + 7, 'x', JOB_MAX_NAME);
	text[7 + JOB_MAX_NAME] = '\0';
	assert_string_equal(parse(text, &c), "");
	memset(text + 7, 'x', JOB_MAX_NAME + 1);
	text[8 + JOB_MAX_NAME] = '\0';
	assert_string_not_equal(parse(text, &c), "");
	snprintf(text, sizeof text, "restore");
	for (int i = 0; i < JOB_MAX_FILES; i++)
		strcat(text, " f");
	assert_string_equal(parse(text, &c), "");
	strcat(text, " f");
	assert_string_not_equal(parse(text, &c), "");
}

static void
addresses_are_taken_apart(void **state)
{
	struct job_address a;

	(void)state;
	assert_int_equal(job_address_parse(SPAN_LIT("cache-1.local:11211"), &a, NULL), ERR_OK);
	assert_string_equal(a.host, "cache-1.local");
	assert_string_equal(a.port, "11211");
	assert_int_equal(job_address_parse(SPAN_LIT("[::1]:1"), &a, NULL), ERR_OK);
	assert_string_equal(a.host, "::1");
	assert_string_equal(a.port, "1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_command_gives_its_words), cmocka_unit_test(other_commands_are_not_ours),
	    cmocka_unit_test(what_is_wrong_is_said),	    cmocka_unit_test(names_and_lists_are_bounded),
	    cmocka_unit_test(addresses_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
