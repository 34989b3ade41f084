#include "squeal/doctor/command.h"

#include <unistd.h>

#include "lib/core/test/test.h"

static struct command
run(const char *script, const char *input, uint64_t timeout_ms)
{
	char *const argv[] = {"sh", "-c", (char *)script, NULL};
	struct command c;
	struct err_detail why = {0};

	assert_int_equal(command_start(&c, argv, span_of(input), &why), ERR_OK);
	command_wait(&c, clock_system(), clock_mono_ms(clock_system()) + timeout_ms);
	assert_true(command_ended(&c));
	return c;
}

static void
input_goes_in_and_output_comes_out(void **state)
{
	struct command c = run("cat; echo to nobody >&2", "one\ntwo\n", 10000);
	struct buf out = BUF_INIT;

	command_complaint(&c, &out);
	assert_int_equal(out.len, 0);
	command_output(&c, &out);
	assert_string_equal(buf_str(&out), "one\ntwo\n");
	command_fini(&c);
	command_fini(&c);
	buf_fini(&out);
}

static void
a_command_that_fails_is_quoted(void **state)
{
	struct command c = run("echo no such table >&2; exit 3", "", 10000);
	struct buf out = BUF_INIT;

	command_complaint(&c, &out);
	assert_string_equal(buf_str(&out), "the command ended with status 3: no such table");
	command_fini(&c);
	buf_fini(&out);
}

static void
a_command_that_does_not_exist_says_so(void **state)
{
	char *const argv[] = {"/nowhere/there", NULL};
	struct buf out = BUF_INIT;
	struct err_detail why = {0};
	struct command c;

	assert_int_equal(command_start(&c, argv, SPAN_LIT(""), &why), ERR_OK);
	command_wait(&c, clock_system(), clock_mono_ms(clock_system()) + 10000);
	command_complaint(&c, &out);
	assert_non_null(strstr(buf_str(&out), "/nowhere/there: No such file"));
	command_fini(&c);
	buf_fini(&out);
}

/* The pipe's reader sees its end only when the child's child is gone too. */
static void
a_command_that_hangs_is_killed_with_its_children(void **state)
{
	struct buf out = BUF_INIT;
	struct command c;
	char byte;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	c = run("sleep 600 & wait", "", 50);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	command_complaint(&c, &out);
	assert_string_equal(buf_str(&out), "the command was ended by signal 9");
	command_fini(&c);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(input_goes_in_and_output_comes_out),
	    cmocka_unit_test(a_command_that_fails_is_quoted),
	    cmocka_unit_test(a_command_that_does_not_exist_says_so),
	    cmocka_unit_test(a_command_that_hangs_is_killed_with_its_children),
	};

	return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
