#include "lib/broker/test/fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/broker/broker_sqlite.h"

static bool
readable(struct broker_reader *r, int timeout_ms)
{
	struct pollfd p = {.fd = broker_reader_fd(r), .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/* --- opening ----------------------------------------------------------------------------------------------
 */

static void
a_log_that_is_not_there_yet_is_not_found(void **state)
{
	struct fixture *f = *state;
	struct broker_reader *r;
	FILE *file;

	assert_err(f, broker_reader_open(&r, &f->opt, &f->ctx, &f->why), ERR_NOT_FOUND, f->path);
	assert_null(r);
	assert_int_equal(access(f->path, F_OK), -1);
	/* made, but not filled yet */
	file = fopen(f->path, "w");
	fclose(file);
	assert_err(f, broker_reader_open(&r, &f->opt, &f->ctx, &f->why), ERR_NOT_FOUND, "empty");
}

static void
a_file_that_is_no_log_is_corrupt(void **state)
{
	struct fixture *f = *state;
	struct broker_reader *r;
	FILE *file = fopen(f->path, "w");

	for (unsigned i = 0; i < 1000; i++)
		fputs("this is no log ", file);
	fclose(file);
	assert_err(f, broker_reader_open(&r, &f->opt, &f->ctx, &f->why), ERR_CORRUPT, "aside");
}

static void
a_reader_sees_the_checkpoint_without_being_the_writer(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	struct buf text = BUF_INIT;

	assert_ok(f, broker_reader_checkpoint(r, "main", &text, &f->why));
	assert_int_equal(text.len, 0);
	fixture_append(f, w, "one", "gtid:0-1-7");
	assert_ok(f, broker_reader_checkpoint(r, "main", &text, &f->why));
	assert_string_equal(buf_str(&text), "gtid:0-1-7");
	buf_clear(&text);
	assert_ok(f, broker_reader_checkpoint(r, "other", &text, &f->why));
	assert_int_equal(text.len, 0);
	buf_fini(&text);
	broker_reader_close(&r);
	broker_writer_close(&w);
	fixture_flip(f->path, "gtid:0-1-7");
	r = fixture_reader(f);
	assert_err(f, broker_reader_checkpoint(r, "main", &text, &f->why), ERR_CORRUPT, "gtid:POSITION");
	assert_int_equal(text.len, 0);
	broker_reader_close(&r);
}

static void
a_log_keeps_its_id_and_another_log_has_another(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	char id[64], other[64];

	snprintf(id, sizeof(id), "%s", broker_reader_log_id(r));
	assert_int_equal(strlen(id), BROKER_LOG_ID_LEN);
	assert_int_equal(strspn(id, "0123456789abcdef"), BROKER_LOG_ID_LEN);
	broker_reader_close(&r);
	broker_writer_close(&w);
	w = fixture_writer(f);
	r = fixture_reader(f);
	assert_string_equal(broker_reader_log_id(r), id);
	broker_reader_close(&r);
	broker_writer_close(&w);
	assert_int_equal(unlink(f->path), 0);
	w = fixture_writer(f);
	r = fixture_reader(f);
	snprintf(other, sizeof(other), "%s", broker_reader_log_id(r));
	assert_string_not_equal(other, id);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

/* --- reading ----------------------------------------------------------------------------------------------
 */

static void
an_empty_log_has_equal_bounds_and_nothing_to_read(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	uint64_t first, end;

	assert_ok(f, broker_bounds(r, &first, &end, &f->why));
	assert_int_equal(first, 1);
	assert_int_equal(end, 1);
	assert_reads(f, r, 1, "", 1);
	fixture_append(f, w, "a", "");
	assert_reads(f, r, 1, "1:main:a ", 2);
	assert_reads(f, r, 2, "", 2);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static bool
note_time(void *arg, const struct broker_record *rec)
{
	*(uint64_t *)arg = rec->at_us;
	return true;
}

static void
records_tell_when_they_were_appended(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	uint64_t next, at_us = 0, now_us;

	clock_fake_advance_ms(&f->clock, 250);
	now_us = clock_real_us(&f->clock.clock);
	fixture_append(f, w, "a", "");
	clock_fake_advance_ms(&f->clock, 250);
	assert_ok(f, broker_read(r, 1, 1, 1, note_time, &at_us, &next, &f->why));
	assert_true(at_us == now_us);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_read_stops_at_its_limits_and_where_the_caller_says(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	struct seen seen = {0};
	uint64_t next;

	for (unsigned i = 0; i < 10; i++)
		fixture_append(f, w, "0123456789", "");
	assert_ok(f, broker_read(r, 2, 3, 1 << 20, fixture_see, &seen, &next, &f->why));
	assert_int_equal(seen.n, 3);
	assert_int_equal(next, 5);
	seen.n = 0;
	assert_ok(f, broker_read(r, 2, 100, 25, fixture_see, &seen, &next, &f->why));
	assert_int_equal(seen.n, 3);
	assert_int_equal(next, 5);
	seen.n = 0;
	assert_ok(f, broker_read(r, 2, 100, 1, fixture_see, &seen, &next, &f->why));
	assert_int_equal(seen.n, 1);
	assert_int_equal(next, 3);
	seen.n = 0;
	assert_ok(f, broker_read(r, 2, 0, 100, fixture_see, &seen, &next, &f->why));
	assert_int_equal(seen.n, 0);
	assert_int_equal(next, 2);
	seen.n = 0;
	seen.stop_after = 2;
	assert_ok(f, broker_read(r, 2, 100, 1 << 20, fixture_see, &seen, &next, &f->why));
	assert_int_equal(seen.n, 2);
	assert_int_equal(next, 4);
	assert_int_equal(metric_get(&f->metrics.log_read), 9);
	buf_fini(&seen.text);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
records_trimmed_before_they_were_read_are_a_gap(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	struct seen seen = {0};
	uint64_t next;
	size_t removed;

	for (unsigned i = 0; i < 3; i++)
		fixture_append(f, w, "old", "");
	clock_fake_advance_ms(&f->clock, 3601 * 1000);
	fixture_append(f, w, "new", "");
	assert_ok(f, broker_trim(w, 100, &removed, &f->why));
	assert_int_equal(removed, 3);
	assert_err(f, broker_read(r, 2, 100, 100, fixture_see, &seen, &next, &f->why), ERR_GAP,
		   "records 2 to 3");
	assert_int_equal(seen.n, 0);
	assert_int_equal(next, 4);
	assert_reads(f, r, next, "4:main:new ", 5);
	/* trimmed to nothing */
	broker_writer_retain(w, 0, 1 << 30);
	clock_fake_advance_ms(&f->clock, 1);
	assert_ok(f, broker_trim(w, 100, &removed, &f->why));
	assert_int_equal(removed, 1);
	assert_err(f, broker_read(r, 4, 100, 100, fixture_see, &seen, &next, &f->why), ERR_GAP,
		   "records 4 to 4");
	assert_int_equal(next, 5);
	assert_reads(f, r, 5, "", 5);
	assert_int_equal(metric_get(&f->metrics.log_read_error), 0);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

/* The log was put back from a copy, or lost its end. */
static void
an_offset_beyond_the_end_is_a_gap(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	struct seen seen = {0};
	uint64_t next;

	fixture_append(f, w, "a", "");
	assert_err(f, broker_read(r, 3, 100, 100, fixture_see, &seen, &next, &f->why), ERR_GAP,
		   "lost its end");
	assert_int_equal(next, 2);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_flipped_bit_marks_its_record_and_no_other(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r;

	fixture_append(f, w, "first record", "");
	fixture_append(f, w, "second record", "");
	fixture_append(f, w, "third record", "");
	broker_writer_close(&w);
	fixture_flip(f->path, "second record");
	r = fixture_reader(f);
	assert_reads(f, r, 1, "1:main:first record !2:main:recond record 3:main:third record ", 4);
	assert_int_equal(metric_get(&f->metrics.log_bad_record), 1);
	broker_reader_close(&r);
}

static void
a_log_that_is_replaced_is_noticed_by_its_readers(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	struct seen seen = {0};
	uint64_t next, first, end;

	fixture_append(f, w, "a", "");
	assert_reads(f, r, 1, "1:main:a ", 2);
	broker_writer_close(&w);
	assert_int_equal(rename(f->path, fixture_beside(f, ".old")), 0);
	assert_err(f, broker_read(r, 2, 1, 1, fixture_see, &seen, &next, &f->why), ERR_NOT_FOUND,
		   "open it again");
	(void)unlink(fixture_beside(f, "-wal"));
	(void)unlink(fixture_beside(f, "-shm"));
	w = fixture_writer(f);
	assert_err(f, broker_read(r, 2, 1, 1, fixture_see, &seen, &next, &f->why), ERR_NOT_FOUND,
		   "open it again");
	assert_err(f, broker_bounds(r, &first, &end, &f->why), ERR_NOT_FOUND, "open it again");
	assert_int_equal(metric_get(&f->metrics.log_read_error), 2);
	broker_reader_close(&r);
	r = fixture_reader(f);
	fixture_append(f, w, "b", "");
	assert_reads(f, r, 1, "1:main:b ", 2);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

/* The writer died before it could make -wal and -shm go away; the next reader recovers them alone. */
static void
a_log_whose_writer_was_killed_can_be_read(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;
	struct broker_reader *r;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		w = fixture_writer(f);
		fixture_append(f, w, "a", "");
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(access(fixture_beside(f, "-wal"), F_OK), 0);
	r = fixture_reader(f);
	assert_reads(f, r, 1, "1:main:a ", 2);
	broker_reader_close(&r);
}

/* --- waking -----------------------------------------------------------------------------------------------
 */

static void
the_fd_is_readable_after_an_append_until_it_is_emptied(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);

	assert_false(readable(r, 0));
	fixture_append(f, w, "a", "");
	fixture_append(f, w, "b", "");
	assert_true(readable(r, 0));
	broker_reader_woken(r);
	assert_false(readable(r, 0));
	fixture_append(f, w, "c", "");
	assert_true(readable(r, 0));
	broker_reader_woken(r);
	/* A writer that starts wakes too: its predecessor may have died before it could. */
	broker_writer_close(&w);
	w = fixture_writer(f);
	assert_true(readable(r, 0));
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_wake_file_that_is_removed_or_replaced_is_found_again(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	char moved[160];

	snprintf(moved, sizeof(moved), "%s.moved", f->path);
	assert_int_equal(unlink(fixture_beside(f, ".wake")), 0);
	assert_true(readable(r, 0));
	broker_reader_woken(r);
	fixture_append(f, w, "a", "");
	/* the look that a reader has once a second */
	assert_reads(f, r, 1, "1:main:a ", 2);
	broker_reader_woken(r);
	assert_false(readable(r, 0));
	fixture_append(f, w, "b", "");
	assert_true(readable(r, 0));
	broker_reader_woken(r);

	assert_int_equal(rename(fixture_beside(f, ".wake"), moved), 0);
	fixture_append(f, w, "c", "");
	assert_true(readable(r, 0));
	broker_reader_woken(r);
	broker_reader_woken(r);
	assert_false(readable(r, 0));
	fixture_append(f, w, "d", "");
	assert_true(readable(r, 0));
	broker_reader_close(&r);
	broker_writer_close(&w);
}

enum { READERS = 3, ROUNDS = 30 };

/* Reads on whenever it is woken, never by the clock, and tells each record; exits after the last. */
static void
read_when_woken(struct fixture *f, int told)
{
	struct broker_reader *r;
	struct seen seen = {0};
	uint64_t from = 1, before;

	if (broker_reader_open(&r, &f->opt, &f->ctx, &f->why) != ERR_OK || write(told, "r", 1) != 1)
		_exit(1);
	while (from <= ROUNDS) {
		if (!readable(r, 20000))
			_exit(2);
		broker_reader_woken(r);
		do {
			before = from;
			if (broker_read(r, from, 10, 1000, fixture_see, &seen, &from, &f->why) != ERR_OK)
				_exit(3);
		} while (from != before);
		for (; seen.n > 0; seen.n--) {
			if (write(told, "x", 1) != 1)
				_exit(4);
		}
	}
	broker_reader_close(&r);
	buf_fini(&seen.text);
	_exit(0);
}

static void
several_reader_processes_are_woken_by_every_append(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	int told[READERS], status;
	pid_t pid[READERS];
	char c;

	for (unsigned i = 0; i < READERS; i++) {
		int ends[2];

		assert_int_equal(pipe(ends), 0);
		pid[i] = fork();
		if (pid[i] == 0)
			read_when_woken(f, ends[1]);
		close(ends[1]);
		told[i] = ends[0];
		assert_int_equal(read(told[i], &c, 1), 1);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		fixture_append(f, w, "a", "");
		for (unsigned i = 0; i < READERS; i++)
			assert_int_equal(read(told[i], &c, 1), 1);
	}
	for (unsigned i = 0; i < READERS; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
		close(told[i]);
	}
	broker_writer_close(&w);
}

enum { MANY = 5000 };

static bool
note_hole(void *arg, const struct broker_record *rec)
{
	uint64_t *expected = arg;

	if (rec->offset != *expected)
		fail_msg("record %llu came instead of %llu", (unsigned long long)rec->offset,
			 (unsigned long long)*expected);
	*expected = rec->offset + 1;
	return true;
}

/* The reader is at the end nearly always, and looks there while records are appended. */
static void
a_reader_at_the_end_misses_none_of_the_records_that_come_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;
	struct broker_reader *r;
	uint64_t next = 1, expected = 1;
	int status;
	pid_t pid;

	f->opt.sync = "normal";
	w = fixture_writer(f);
	broker_writer_close(&w);
	pid = fork();
	if (pid == 0) {
		w = fixture_writer(f);
		for (unsigned i = 0; i < MANY; i++)
			fixture_append(f, w, "a", "");
		_exit(0);
	}
	r = fixture_reader(f);
	while (next <= MANY) {
		assert_ok(f, broker_read(r, next, 100, 1 << 20, note_hole, &expected, &next, &f->why));
		assert_int_equal(next, expected);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	broker_reader_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(a_log_that_is_not_there_yet_is_not_found),
	    fixture_test(a_file_that_is_no_log_is_corrupt),
	    fixture_test(a_reader_sees_the_checkpoint_without_being_the_writer),
	    fixture_test(a_log_keeps_its_id_and_another_log_has_another),
	    fixture_test(an_empty_log_has_equal_bounds_and_nothing_to_read),
	    fixture_test(records_tell_when_they_were_appended),
	    fixture_test(a_read_stops_at_its_limits_and_where_the_caller_says),
	    fixture_test(records_trimmed_before_they_were_read_are_a_gap),
	    fixture_test(an_offset_beyond_the_end_is_a_gap),
	    fixture_test(a_flipped_bit_marks_its_record_and_no_other),
	    fixture_test(a_log_that_is_replaced_is_noticed_by_its_readers),
	    fixture_test(a_log_whose_writer_was_killed_can_be_read),
	    fixture_test(the_fd_is_readable_after_an_append_until_it_is_emptied),
	    fixture_test(a_wake_file_that_is_removed_or_replaced_is_found_again),
	    fixture_test(a_reader_at_the_end_misses_none_of_the_records_that_come_meanwhile),
	    fixture_test(several_reader_processes_are_woken_by_every_append),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
