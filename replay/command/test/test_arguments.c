#include "replay/command/arguments.h"

#include <stdio.h>
#include <string.h>

#include "lib/core/test/test.h"

enum { WORDS = 20 };

/* Reads words that are separated by single spaces. */
static err_t
read_words(struct arguments *a, const char *text, bool is_resumed, struct err_detail *why)
{
	char copy[500], *argv[WORDS + 1] = {(char *)"squeal-replay"}, *rest = NULL;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	err_clear(why);
	return arguments_read(a, argc, argv, is_resumed, why);
}

static void
options_and_files_are_taken_and_kept_for_a_job(void **state)
{
	struct arguments a;
	struct err_detail why = {0};

	(void)state;
	arguments_init(&a);
	assert_int_equal(
	    read_words(&a,
		       "-c /etc/s.yaml --from list /a --key x* --key y --rate 5 --stale 2s --execute "
		       "--json --repeats /b",
		       false, &why),
	    ERR_OK);
	assert_int_equal(arguments_check(&a, &why), ERR_OK);
	assert_int_equal(a.from, FROM_LIST);
	assert_true(a.paths.n == 2 && a.keys.n == 2 && a.execute && a.json && a.repeats);
	assert_int_equal(a.run.rate, 5);
	assert_int_equal(a.plan.stale, 2000);
	/* What was asked for now is not kept. */
	assert_int_equal(a.kept.n, 7);
	assert_string_equal(a.kept.at[0], "--config=/etc/s.yaml");
	assert_string_equal(a.kept.at[6], "--repeats");
	arguments_fini(&a);
}

static void
a_job_that_is_resumed_takes_no_options_of_the_plan(void **state)
{
	static const char *const plan[] = {"--from log", "--key x",	 "--cluster a", "--start-gtid 0-1-1",
					   "--stale 5s", "--max-keys 5", "file"};
	struct err_detail why = {0};
	struct arguments a;

	(void)state;
	arguments_init(&a);
	for (size_t i = 0; i < sizeof(plan) / sizeof(plan[0]); i++) {
		assert_int_equal(read_words(&a, plan[i], true, &why), ERR_USAGE);
		assert_non_null(strstr(why.text, "belongs to the plan"));
	}
	/* The configuration may be named again, or lie elsewhere by now: the plan's hash tells whether it is
	 * the same. */
	assert_int_equal(read_words(&a, "--resume j -c /x --rate 7 --max-ack 5ms --json", true, &why),
			 ERR_OK);
	assert_int_equal(a.run.rate, 7);
	assert_string_equal(a.config, "/x");
	arguments_fini(&a);
}

static void
what_does_not_fit_together_is_refused_with_what_would(void **state)
{
	static const struct {
		const char *args, *words;
	} cases[] = {
	    {"--from log", "-c squeal.yaml"},
	    {"-c /s", "--from binlog"},
	    {"-c /s --from tape", "one of binlog"},
	    {"-c /s --from log /x", "takes no files"},
	    {"-c /s --from spool -", "standard input"},
	    {"-c /s --from list - /x", "do not go together"},
	    {"-c /s --from list /x --table a.b", "binlog and server"},
	    {"-c /s --from log --start f:4", "binlog and server"},
	    {"-c /s --from server --start-offset 4", "log only"},
	    {"-c /s --from log --start-offset 9 --stop-offset 9", "not behind"},
	    {"-c /s --from log --stale 5s --holdoff 2s", "choose one"},
	    {"-c /s --from log --start-datetime never", "--start-datetime"},
	    {"-c /s --from log --gtid 0-1-1 --gtid 0-1-2", "twice"},
	    {"-c /s --from log --rate", "needs a value"},
	    {"-c /s --from log --execute=yes", "takes no value"},
	    {"-c /s --from log --clutser a", "did you mean --cluster"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err_detail why = {0};
		struct arguments a;
		err_t err;

		arguments_init(&a);
		err = read_words(&a, cases[i].args, false, &why);
		if (err == ERR_OK)
			err = arguments_check(&a, &why);
		assert_int_equal(err, ERR_USAGE);
		if (strstr(why.text, cases[i].words) == NULL)
			fail_msg("%s: %s", cases[i].args, why.text);
		arguments_fini(&a);
	}
}

static void
help_names_every_option_once(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	arguments_help(&b);
	assert_non_null(strstr(buf_str(&b), "--max-threads-running"));
	assert_non_null(strstr(buf_str(&b), "--exclude-gtid"));
	assert_non_null(strstr(buf_str(&b), "--not-key"));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_and_files_are_taken_and_kept_for_a_job),
	    cmocka_unit_test(a_job_that_is_resumed_takes_no_options_of_the_plan),
	    cmocka_unit_test(what_does_not_fit_together_is_refused_with_what_would),
	    cmocka_unit_test(help_names_every_option_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
