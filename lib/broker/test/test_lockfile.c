#include "lib/broker/test/fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "lib/broker/lockfile.h"

static void
one_holds_it_until_it_gives_it_up(void **state)
{
	struct fixture *f = *state;
	int a, b;

	assert_ok(f, lockfile_take(&a, f->path, "the thing", &f->why));
	assert_err(f, lockfile_take(&b, f->path, "the thing", &f->why), ERR_IN_USE,
		   "the thing is in use by process");
	assert_int_equal(b, -1);
	lockfile_give_up(&a);
	assert_int_equal(a, -1);
	lockfile_give_up(&a);
	assert_ok(f, lockfile_take(&b, f->path, "the thing", &f->why));
	lockfile_give_up(&b);
}

static void
a_killed_holder_holds_nothing_and_its_pid_is_named_before(void **state)
{
	struct fixture *f = *state;
	char pid_text[32], c;
	int fd, ready[2], status;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (lockfile_take(&fd, f->path, "the thing", &f->why) != ERR_OK ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	snprintf(pid_text, sizeof(pid_text), "process %d ", (int)pid);
	assert_err(f, lockfile_take(&fd, f->path, "the thing", &f->why), ERR_IN_USE, pid_text);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_ok(f, lockfile_take(&fd, f->path, "the thing", &f->why));
	lockfile_give_up(&fd);
	close(ready[0]);
	close(ready[1]);
}

static void
a_lock_file_with_garbage_in_it_does_no_harm(void **state)
{
	struct fixture *f = *state;
	FILE *file;
	int a, b;

	assert_ok(f, lockfile_take(&a, f->path, "the thing", &f->why));
	file = fopen(f->path, "w");
	fputs("\033[31m not a pid, and a long line of it too", file);
	fclose(file);
	assert_err(f, lockfile_take(&b, f->path, "the thing", &f->why), ERR_IN_USE, "another process");
	lockfile_give_up(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(one_holds_it_until_it_gives_it_up),
	    fixture_test(a_killed_holder_holds_nothing_and_its_pid_is_named_before),
	    fixture_test(a_lock_file_with_garbage_in_it_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
