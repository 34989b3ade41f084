#include "lib/broker/test/fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "lib/broker/cursor.h"

#define LOG_A "0123456789abcdef0123456789abcdef"
#define LOG_B "fedcba9876543210fedcba9876543210"

static struct cursor_store *
open_store(struct fixture *f)
{
	struct cursor_store *s;

	assert_ok(f, cursor_open(&s, f->path, "east", &f->why));
	return s;
}

static void
assert_cursor(struct fixture *f, struct cursor_store *s, const char *server, const char *log_id,
	      uint64_t offset)
{
	struct cursor c = {.server = server};
	bool found;

	assert_ok(f, cursor_load(s, &c, &found, &f->why));
	assert_true(found);
	assert_string_equal(c.log_id, log_id);
	assert_true(c.offset == offset);
}

static void
a_server_that_was_never_saved_is_not_found(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);
	struct cursor c = {.server = "10.0.0.1:11211", .log_id = "x", .offset = 7};
	bool found = true;

	assert_ok(f, cursor_load(s, &c, &found, &f->why));
	assert_false(found);
	assert_string_equal(c.log_id, "");
	assert_int_equal(c.offset, 0);
	cursor_close(&s);
	assert_null(s);
}

static void
saved_cursors_are_there_after_reopening(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);
	const struct cursor both[] = {{"10.0.0.1:11211", LOG_A, 5}, {"10.0.0.2:11211", LOG_A, INT64_MAX}};
	const struct cursor one[] = {{"10.0.0.1:11211", LOG_B, 9}};

	assert_ok(f, cursor_save(s, both, 2, &f->why));
	assert_ok(f, cursor_save(s, one, 1, &f->why));
	assert_ok(f, cursor_save(s, NULL, 0, &f->why));
	cursor_close(&s);
	s = open_store(f);
	assert_cursor(f, s, "10.0.0.1:11211", LOG_B, 9);
	assert_cursor(f, s, "10.0.0.2:11211", LOG_A, INT64_MAX);
	cursor_close(&s);
}

static void
a_server_that_is_forgotten_has_no_cursor_any_more(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);
	const struct cursor both[] = {{"10.0.0.1:11211", LOG_A, 5}, {"10.0.0.2:11211", LOG_A, 6}};
	struct cursor c = {.server = "10.0.0.1:11211"};
	bool found = true;

	assert_ok(f, cursor_save(s, both, 2, &f->why));
	assert_ok(f, cursor_forget(s, "10.0.0.1:11211", &f->why));
	assert_ok(f, cursor_forget(s, "10.0.0.9:11211", &f->why));
	cursor_close(&s);
	s = open_store(f);
	assert_ok(f, cursor_load(s, &c, &found, &f->why));
	assert_false(found);
	assert_cursor(f, s, "10.0.0.2:11211", LOG_A, 6);
	cursor_close(&s);
}

static void
a_second_router_is_refused_with_the_pid_of_the_first(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f), *second = s;
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_err(f, cursor_open(&second, f->path, "east", &f->why), ERR_IN_USE, pid);
	assert_null(second);
	cursor_close(&s);
	s = open_store(f);
	cursor_close(&s);
}

static void
the_file_of_another_cluster_is_refused(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);

	cursor_close(&s);
	assert_err(f, cursor_open(&s, f->path, "west", &f->why), ERR_CONFIG, "belongs to cluster \"east\"");
	assert_err(f, cursor_open(&s, "", "west", &f->why), ERR_CONFIG, "no path");
}

static void
a_log_is_no_cursor_file(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct cursor_store *s;

	broker_writer_close(&w);
	assert_err(f, cursor_open(&s, f->path, "east", &f->why), ERR_CONFIG, "another kind");
}

static void
a_damaged_file_is_refused_with_advice(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);

	cursor_close(&s);
	fixture_flip(f->path, "SQLite format 3");
	assert_err(f, cursor_open(&s, f->path, "east", &f->why), ERR_CORRUPT, "delivered again");
}

static void
a_damaged_cursor_is_recognised(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);
	const struct cursor two[] = {{"a:1", LOG_A, 5}, {"b:1", LOG_B, 6}};
	struct cursor c = {.server = "a:1"};
	bool found;

	assert_ok(f, cursor_save(s, two, 2, &f->why));
	cursor_close(&s);
	fixture_flip(f->path, LOG_A);
	s = open_store(f);
	assert_err(f, cursor_load(s, &c, &found, &f->why), ERR_CORRUPT, "delivered again");
	assert_false(found);
	assert_cursor(f, s, "b:1", LOG_B, 6);
	cursor_close(&s);
}

static void
no_room_is_an_error_that_goes_away_with_its_cause(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);
	struct cursor c = {"a:1", LOG_A, 1};
	struct rlimit old, small;
	err_t err = ERR_OK;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 128 * 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (; err == ERR_OK && c.offset < 1000; c.offset++) {
		err_clear(&f->why);
		err = cursor_save(s, &c, 1, &f->why);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(err_name(err), "ERR_FULL");
	assert_cursor(f, s, "a:1", LOG_A, c.offset - 2);
	assert_ok(f, cursor_save(s, &c, 1, &f->why));
	assert_cursor(f, s, "a:1", LOG_A, c.offset);
	cursor_close(&s);
}

static void
a_file_that_is_moved_away_takes_no_more_cursors(void **state)
{
	struct fixture *f = *state;
	struct cursor_store *s = open_store(f);
	const struct cursor c = {"a:1", LOG_A, 1};

	assert_int_equal(rename(f->path, fixture_beside(f, ".old")), 0);
	assert_err(f, cursor_save(s, &c, 1, &f->why), ERR_NOT_FOUND, "moved");
	cursor_close(&s);
}

/* Both cursors always move together, and none goes back behind what was saved. */
static void
kill_9_keeps_what_was_saved(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	for (unsigned round = 0; round < 20; round++) {
		struct cursor a = {.server = "a:1"}, b = {.server = "b:1"};
		struct cursor_store *s;
		uint64_t offset;
		int told[2], status;
		bool found;
		pid_t pid;

		assert_int_equal(pipe(told), 0);
		pid = fork();
		if (pid == 0) {
			s = open_store(f);
			for (offset = last + 1;; offset++) {
				const struct cursor both[] = {{"a:1", LOG_A, offset}, {"b:1", LOG_A, offset}};

				if (cursor_save(s, both, 2, &f->why) != ERR_OK ||
				    write(told[1], &offset, 8) != 8)
					_exit(1);
			}
		}
		close(told[1]);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(read(told[0], &last, sizeof(last)), sizeof(last));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		while (read(told[0], &offset, sizeof(offset)) == sizeof(offset))
			last = offset;
		close(told[0]);
		s = open_store(f);
		assert_ok(f, cursor_load(s, &a, &found, &f->why));
		assert_ok(f, cursor_load(s, &b, &found, &f->why));
		assert_true(a.offset == b.offset);
		assert_true(a.offset >= last);
		last = a.offset;
		cursor_close(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(a_server_that_was_never_saved_is_not_found),
	    fixture_test(saved_cursors_are_there_after_reopening),
	    fixture_test(a_server_that_is_forgotten_has_no_cursor_any_more),
	    fixture_test(a_second_router_is_refused_with_the_pid_of_the_first),
	    fixture_test(the_file_of_another_cluster_is_refused),
	    fixture_test(a_log_is_no_cursor_file),
	    fixture_test(a_damaged_file_is_refused_with_advice),
	    fixture_test(a_damaged_cursor_is_recognised),
	    fixture_test(no_room_is_an_error_that_goes_away_with_its_cause),
	    fixture_test(a_file_that_is_moved_away_takes_no_more_cursors),
	    fixture_test(kill_9_keeps_what_was_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
