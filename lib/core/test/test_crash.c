/* Compiled with crash points whatever the build, against crash.c itself. */
#define SQUEAL_CRASH_POINTS
#include "lib/core/crash.c"

#include <sys/wait.h>

#include "lib/core/test/test.h"

static void
visit(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		CRASH_POINT("test.loop");
}

/* How a child ends that visits the point `times` times under SQUEAL_CRASH_AT. */
static int
status_of(const char *at, unsigned times)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("SQUEAL_CRASH_AT", at, 1);
		visit(times);
		_exit(7);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void
the_process_dies_at_the_visit_that_was_asked_for(void **state)
{
	int status = status_of("test.loop#3", 3);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = status_of("test.loop#3", 2);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	status = status_of("test.loop", 1);
	assert_true(WIFSIGNALED(status));
}

static void
another_point_is_left_alone(void **state)
{
	assert_true(WIFEXITED(status_of("test.loo", 5)));
	assert_true(WIFEXITED(status_of("test.loop2", 5)));
	assert_true(WIFEXITED(status_of("", 5)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_process_dies_at_the_visit_that_was_asked_for),
	    cmocka_unit_test(another_point_is_left_alone),
	};

	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
