#include "lib/broker/test/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "lib/broker/broker_sqlite.h"

static void
assert_checkpoint(struct fixture *f, struct broker_writer *w, const char *want)
{
	struct buf b = BUF_INIT;

	assert_ok(f, broker_checkpoint(w, &b, &f->why));
	assert_string_equal(buf_str(&b), want);
	buf_fini(&b);
}

static void
sql(struct fixture *f, const char *text)
{
	char *message = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* --- appending --------------------------------------------------------------------------------------------
 */

static void
appended_records_and_the_checkpoint_are_there_after_reopening(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct span three[] = {SPAN_LIT("b"), SPAN_LIT(""), SPAN_LIT("d\0d")};
	struct broker_reader *r;
	uint64_t first;

	assert_checkpoint(f, w, "");
	assert_int_equal(fixture_append(f, w, "a", "0-1-1"), 1);
	assert_ok(f, broker_append(w, three, 3, SPAN_LIT("0-1-4"), &first, &f->why));
	assert_int_equal(first, 2);
	broker_writer_close(&w);
	assert_null(w);

	w = fixture_writer(f);
	assert_checkpoint(f, w, "0-1-4");
	assert_int_equal(fixture_append(f, w, "e", ""), 5);
	assert_checkpoint(f, w, "0-1-4");
	r = fixture_reader(f);
	assert_reads(f, r, 4, "4:main:d0d 5:main:e ", 6);
	assert_int_equal(metric_get(&f->metrics.log_append), 3);
	assert_int_equal(metric_get(&f->metrics.log_record), 5);
	assert_int_equal(metric_get(&f->metrics.log_bytes), 6);
	assert_int_equal(metric_get(&f->metrics.log_append_error), 0);
	assert_int_equal(histogram_count(&f->metrics.log_append_time), 3);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_checkpoint_may_come_without_records_and_nothing_without_both(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	uint64_t first;

	assert_ok(f, broker_append(w, NULL, 0, SPAN_LIT("0-1-9"), &first, &f->why));
	assert_checkpoint(f, w, "0-1-9");
	assert_ok(f, broker_append(w, NULL, 0, (struct span){"", 0}, &first, &f->why));
	assert_int_equal(first, 0);
	assert_int_equal(metric_get(&f->metrics.log_append), 1);
	broker_writer_close(&w);
}

static void
two_sources_share_a_log_and_have_their_own_checkpoints(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *a = fixture_writer(f), *b;
	struct broker_reader *r = fixture_reader(f);

	assert_ok(f, broker_writer_open(&b, &f->opt, "eu/west 2", &f->ctx, &f->why));
	fixture_append(f, a, "x", "a-1");
	fixture_append(f, b, "y", "b-1");
	fixture_append(f, a, "z", "a-2");
	assert_checkpoint(f, a, "a-2");
	assert_checkpoint(f, b, "b-1");
	assert_reads(f, r, 1, "1:main:x 2:eu/west 2:y 3:main:z ", 4);
	assert_int_equal(access(fixture_beside(f, ".eu%2Fwest%202.lock"), F_OK), 0);
	broker_reader_close(&r);
	broker_writer_close(&a);
	broker_writer_close(&b);
}

static void
a_second_writer_of_a_source_is_refused_with_the_pid_of_the_first(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f), *second = w;
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_err(f, broker_writer_open(&second, &f->opt, "main", &f->ctx, &f->why), ERR_IN_USE, pid);
	assert_null(second);
	fixture_append(f, w, "still works", "");
	broker_writer_close(&w);
	w = fixture_writer(f);
	broker_writer_close(&w);
}

/* A backup, or an operator's shell with an open transaction. */
static void
a_log_that_somebody_else_holds_is_busy_and_then_not(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	struct span record = SPAN_LIT("a");
	sqlite3 *db;
	uint64_t first;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_err(f, broker_append(w, &record, 1, SPAN_LIT("0-1-1"), &first, &f->why), ERR_BUSY,
		   "another process");
	assert_int_equal(first, 0);
	assert_reads(f, r, 1, "", 1);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_ok(f, broker_append(w, &record, 1, SPAN_LIT("0-1-1"), &first, &f->why));
	assert_int_equal(first, 1);
	assert_reads(f, r, 1, "1:main:a ", 2);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_null_writer_counts_and_keeps_nothing(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;
	size_t removed;

	broker_writer_open_null(&w, &f->ctx);
	assert_int_equal(fixture_append(f, w, "abc", "0-1-1"), 1);
	assert_int_equal(fixture_append(f, w, "d", ""), 2);
	assert_checkpoint(f, w, "");
	assert_ok(f, broker_trim(w, 10, &removed, &f->why));
	assert_int_equal(metric_get(&f->metrics.log_record), 2);
	assert_int_equal(metric_get(&f->metrics.log_bytes), 4);
	broker_writer_close(&w);
	assert_int_equal(access(f->path, F_OK), -1);
}

/* --- kill -9 ----------------------------------------------------------------------------------------------
 */

/* Appends batches of 1 to 5 records "BATCH/N", checkpoint BATCH, and tells each acknowledged batch; never
 * returns. */
static void
append_until_killed(struct fixture *f, int told)
{
	struct broker_writer *w;
	struct buf b = BUF_INIT;
	uint64_t batch = 0, first;

	if (broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why) != ERR_OK ||
	    broker_checkpoint(w, &b, &f->why) != ERR_OK || (b.len > 0 && !span_u64(buf_span(&b), &batch)))
		_exit(1);
	for (;;) {
		char text[5][32], checkpoint[32];
		struct span records[5];
		size_t n = (size_t)(++batch % 5) + 1;

		for (size_t i = 0; i < n; i++)
			records[i] = span_make(
			    text[i], (size_t)sprintf(text[i], "%llu/%zu", (unsigned long long)batch, n));
		sprintf(checkpoint, "%llu", (unsigned long long)batch);
		if (broker_append(w, records, n, span_of(checkpoint), &first, &f->why) != ERR_OK)
			_exit(2);
		if (write(told, &batch, sizeof(batch)) != sizeof(batch))
			_exit(3);
	}
}

struct check {
	uint64_t batch; /* the last whole one */
	size_t left;	/* records of the next one still missing */
	bool torn;
};

static bool
check_record(void *arg, const struct broker_record *rec)
{
	struct check *c = arg;
	uint64_t batch = strtoull(rec->bytes.p, NULL, 10);

	if (c->left == 0)
		c->left = (size_t)((c->batch + 1) % 5) + 1;
	if (rec->damaged || batch != c->batch + 1)
		c->torn = true;
	if (--c->left == 0)
		c->batch++;
	return true;
}

static void
kill_9_loses_nothing_acknowledged_and_tears_no_batch(void **state)
{
	struct fixture *f = *state;
	struct check check = {0};
	uint64_t told_last = 0, from = 1;

	for (unsigned round = 0; round < 50; round++) {
		struct broker_reader *r;
		struct broker_writer *w;
		struct buf b = BUF_INIT;
		uint64_t batch, checkpoint = 0;
		int told[2], status;
		pid_t pid;

		assert_int_equal(pipe(told), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(told[0]);
			append_until_killed(f, told[1]);
		}
		close(told[1]);
		/* Let it get somewhere, then kill it at a moment that nobody chose. */
		for (unsigned i = 0; i <= round % 7; i++) {
			assert_int_equal(read(told[0], &batch, sizeof(batch)), sizeof(batch));
			told_last = batch;
		}
		usleep((useconds_t)(rand() % 700));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(told[0], &batch, sizeof(batch)) == sizeof(batch))
			told_last = batch;
		close(told[0]);

		r = fixture_reader(f);
		for (uint64_t before = 0; before != from;) {
			before = from;
			assert_ok(f,
				  broker_read(r, from, 100, 1 << 20, check_record, &check, &from, &f->why));
		}
		broker_reader_close(&r);
		assert_false(check.torn);
		assert_int_equal(check.left, 0);
		assert_true(check.batch >= told_last);
		w = fixture_writer(f);
		assert_ok(f, broker_checkpoint(w, &b, &f->why));
		assert_true(span_u64(buf_span(&b), &checkpoint));
		assert_int_equal(checkpoint, check.batch);
		broker_writer_close(&w);
		buf_fini(&b);
	}
}

/* --- the disk ---------------------------------------------------------------------------------------------
 */

/* Appends 32 KiB at a time until it fails; the number that were acknowledged. */
static unsigned
fill_up(struct fixture *f, struct broker_writer *w, err_t *err)
{
	char *big = mem_zalloc(1, 32768);
	struct span record = span_make(big, 32768);
	unsigned n = 0;
	uint64_t first;

	memset(big, 'x', 32768);
	do {
		err_clear(&f->why);
		*err = broker_append(w, &record, 1, (struct span){"", 0}, &first, &f->why);
	} while (*err == ERR_OK && ++n < 1000);
	free(big);
	return n;
}

static void
no_room_is_an_error_that_goes_away_with_its_cause(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	struct rlimit old, small;
	uint64_t first, end;
	char want[64];
	unsigned n;
	err_t err;

	fixture_append(f, w, "before", "0-1-1");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 512 * 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	n = fill_up(f, w, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(err_name(err), "ERR_FULL");
	assert_non_null(strstr(f->why.text, "free space"));
	assert_int_equal(metric_get(&f->metrics.log_append_error), 1);

	assert_ok(f, broker_bounds(r, &first, &end, &f->why));
	assert_int_equal(end, n + 2);
	assert_checkpoint(f, w, "0-1-1");
	assert_int_equal(fixture_append(f, w, "after", "0-1-2"), n + 2);
	snprintf(want, sizeof(want), "%u:main:after ", n + 2);
	assert_reads(f, r, n + 2, want, n + 3);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

/* The same with a file system that is really full, in a mount namespace of its own. */
static void
a_full_disk_is_survived(void **state)
{
	struct fixture *f = *state;
	char path[128], ballast[128];
	struct broker_writer *w;
	struct broker_reader *r;
	uint64_t first, end, n;
	int fd, status;
	err_t err;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount("tmpfs", f->dir, "tmpfs", 0, "size=1m") != 0)
			_exit(77);
		snprintf(path, sizeof(path), "%s/small.db", f->dir);
		snprintf(ballast, sizeof(ballast), "%s/ballast", f->dir);
		f->opt.path = path;
		fd = open(ballast, O_CREAT | O_WRONLY, 0600);
		if (fd < 0 || posix_fallocate(fd, 0, 256 * 1024) != 0)
			_exit(78);
		w = fixture_writer(f);
		r = fixture_reader(f);
		fixture_append(f, w, "before", "0-1-1");
		n = fill_up(f, w, &err);
		if (err != ERR_FULL || n == 0)
			_exit(1);
		/* Full again and again does no harm; then there is room. */
		if (fill_up(f, w, &err) != 0 || err != ERR_FULL)
			_exit(2);
		assert_ok(f, broker_bounds(r, &first, &end, &f->why));
		if (end != n + 2)
			_exit(3);
		if (ftruncate(fd, 0) != 0)
			_exit(4);
		if (fixture_append(f, w, "after", "0-1-2") != n + 2)
			_exit(5);
		assert_checkpoint(f, w, "0-1-2");
		broker_reader_close(&r);
		broker_writer_close(&w);
		/* And a log cannot be made where there is no room at all. */
		while (write(fd, path, sizeof(path)) > 0)
			;
		snprintf(path, sizeof(path), "%s/other.db", f->dir);
		_exit(broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why) == ERR_FULL ? 0 : 6);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* not allowed to mount; the test before this one covers the code */
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Runs the open as a user who may not write (root may always); its result is the exit code. */
static err_t
open_as_nobody(struct fixture *f)
{
	struct broker_writer *w;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(255);
		err_clear(&f->why);
		_exit((int)broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (err_t)WEXITSTATUS(status);
}

static void
a_log_that_cannot_be_written_is_refused(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);

	fixture_append(f, w, "a", "");
	broker_writer_close(&w);
	/* the folder and everything in it */
	assert_int_equal(chmod(f->path, 0444), 0);
	assert_int_equal(chmod(fixture_beside(f, ".main.lock"), 0444), 0);
	assert_int_equal(chmod(f->dir, 0555), 0);
	assert_string_equal(err_name(open_as_nobody(f)), "ERR_READ_ONLY");
	/* the log alone */
	assert_int_equal(chmod(f->dir, 0777), 0);
	assert_int_equal(chmod(fixture_beside(f, ".main.lock"), 0666), 0);
	assert_string_equal(err_name(open_as_nobody(f)), "ERR_READ_ONLY");
	/* the folder alone, so that SQLite cannot make its -wal */
	assert_int_equal(chmod(f->path, 0666), 0);
	assert_int_equal(chmod(f->dir, 0555), 0);
	assert_string_equal(err_name(open_as_nobody(f)), "ERR_READ_ONLY");
	/* the cause gone */
	assert_int_equal(chmod(f->dir, 0777), 0);
	assert_int_equal(chmod(fixture_beside(f, ".wake"), 0666), 0);
	assert_string_equal(err_name(open_as_nobody(f)), "ERR_OK");
}

static void
a_folder_that_is_not_there_is_named(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;

	f->opt.path = "build/no/such/folder/log.db";
	assert_err(f, broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why), ERR_SYS, "folder");
	f->opt.path = "";
	assert_err(f, broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why), ERR_CONFIG, "log.path");
}

/* --- damage -----------------------------------------------------------------------------------------------
 */

static void
a_file_that_is_no_database_is_refused_with_advice(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;
	FILE *file = fopen(f->path, "w");

	for (unsigned i = 0; i < 1000; i++)
		fputs("this is no log ", file);
	fclose(file);
	assert_err(f, broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why), ERR_CORRUPT,
		   "move this file aside");
}

static void
a_damaged_header_is_refused_with_advice(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);

	fixture_append(f, w, "a", "");
	broker_writer_close(&w);
	fixture_flip(f->path, "SQLite format 3");
	assert_err(f, broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why), ERR_CORRUPT, "gtid:");
}

static void
damaged_tables_are_recognised(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	char zeros[4096] = {0};
	uint64_t first;
	FILE *file;

	fixture_append(f, w, "a", "");
	broker_writer_close(&w);
	/* every page but the first */
	file = fopen(f->path, "r+b");
	fseek(file, 0, SEEK_END);
	for (long pages = ftell(file) / 4096, i = 1; i < pages; i++) {
		fseek(file, i * 4096, SEEK_SET);
		fwrite(zeros, 1, sizeof(zeros), file);
	}
	fclose(file);
	err_clear(&f->why);
	if (broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why) == ERR_OK) {
		struct span record = SPAN_LIT("b");

		assert_err(f, broker_append(w, &record, 1, (struct span){"", 0}, &first, &f->why),
			   ERR_CORRUPT, "aside");
		broker_writer_close(&w);
	} else {
		assert_string_equal(err_name(f->why.code), "ERR_CORRUPT");
	}
}

static void
a_damaged_checkpoint_is_recognised_and_can_be_replaced(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct buf b = BUF_INIT;

	fixture_append(f, w, "a", "0-1-4711");
	broker_writer_close(&w);
	fixture_flip(f->path, "0-1-4711");
	w = fixture_writer(f);
	assert_err(f, broker_checkpoint(w, &b, &f->why), ERR_CORRUPT, "source.start");
	assert_int_equal(b.len, 0);
	fixture_append(f, w, "b", "0-1-4712");
	assert_checkpoint(f, w, "0-1-4712");
	broker_writer_close(&w);
	buf_fini(&b);
}

static void
a_foreign_database_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;
	struct stat before, after;

	sql(f, "CREATE TABLE precious (x); INSERT INTO precious VALUES (1)");
	assert_int_equal(stat(f->path, &before), 0);
	assert_err(f, broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why), ERR_CONFIG, "another kind");
	assert_int_equal(stat(f->path, &after), 0);
	assert_true(before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
		    before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
}

static void
tables_of_a_later_version_are_refused(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);

	broker_writer_close(&w);
	sql(f, "PRAGMA user_version=2");
	assert_err(f, broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why), ERR_CONFIG, "version 2");
}

static void
a_log_that_is_moved_away_takes_no_more_records(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct span record = SPAN_LIT("b");
	uint64_t first;

	fixture_append(f, w, "a", "");
	assert_int_equal(rename(f->path, fixture_beside(f, ".old")), 0);
	assert_err(f, broker_append(w, &record, 1, (struct span){"", 0}, &first, &f->why), ERR_NOT_FOUND,
		   "moved");
	broker_writer_close(&w);
}

/* --- offsets and retention --------------------------------------------------------------------------------
 */

static void
old_records_are_trimmed_and_offsets_go_on_even_from_empty(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	uint64_t first, end;
	size_t removed;

	for (unsigned i = 0; i < 5; i++)
		fixture_append(f, w, "old", "");
	clock_fake_advance_ms(&f->clock, 1800 * 1000);
	fixture_append(f, w, "young", "");
	assert_ok(f, broker_trim(w, 100, &removed, &f->why));
	assert_int_equal(removed, 0);
	clock_fake_advance_ms(&f->clock, 1801 * 1000);
	assert_ok(f, broker_trim(w, 2, &removed, &f->why));
	assert_int_equal(removed, 2);
	assert_ok(f, broker_trim(w, 100, &removed, &f->why));
	assert_int_equal(removed, 3);
	assert_ok(f, broker_bounds(r, &first, &end, &f->why));
	assert_int_equal(first, 6);
	assert_int_equal(end, 7);
	broker_writer_retain(w, 60, 1 << 30);
	assert_ok(f, broker_trim(w, 100, &removed, &f->why));
	assert_int_equal(removed, 1);
	assert_int_equal(metric_get(&f->metrics.log_trimmed), 6);
	assert_ok(f, broker_bounds(r, &first, &end, &f->why));
	assert_int_equal(first, 7);
	assert_int_equal(end, 7);
	broker_writer_close(&w);
	w = fixture_writer(f);
	assert_int_equal(fixture_append(f, w, "new", ""), 7);
	assert_reads(f, r, 7, "7:main:new ", 8);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
a_log_beyond_its_size_is_trimmed_and_its_pages_are_used_again(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;
	char *big = mem_zalloc(1, 20000);
	struct span record = span_make(big, 20000);
	uint64_t first;
	struct stat st;
	size_t removed;

	f->opt.max_size = 1 << 20;
	f->opt.sync = "normal";
	w = fixture_writer(f);
	for (unsigned i = 0; i < 1000; i++) {
		assert_ok(f, broker_append(w, &record, 1, (struct span){"", 0}, &first, &f->why));
		assert_ok(f, broker_trim(w, 10, &removed, &f->why));
	}
	assert_true(metric_get(&f->metrics.log_trimmed) > 900);
	assert_true(metric_get(&f->metrics.log_trimmed) < 960);
	broker_writer_close(&w);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(st.st_size < 2 << 20);
	free(big);
}

static void
the_write_ahead_log_stays_small_beside_a_busy_reader(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w;
	struct broker_reader *r;
	uint64_t from = 1;
	struct stat st;

	f->opt.sync = "normal";
	w = fixture_writer(f);
	r = fixture_reader(f);
	for (unsigned i = 0; i < 5000; i++) {
		struct seen seen = {0};

		fixture_append(f, w, "some bytes of a record", "0-1-100");
		assert_ok(f, broker_read(r, from, 10, 1 << 20, fixture_see, &seen, &from, &f->why));
		assert_int_equal(seen.n, 1);
		buf_fini(&seen.text);
	}
	assert_int_equal(stat(fixture_beside(f, "-wal"), &st), 0);
	assert_true(st.st_size < 3000 * 4120);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

/* A power cut may take back records that a reader has seen; their offsets are never given to others. */
static void
after_a_boot_offsets_jump_ahead_and_readers_follow(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	struct broker_reader *r = fixture_reader(f);
	uint64_t first, end;

	fixture_append(f, w, "a", "");
	fixture_append(f, w, "b", "");
	broker_writer_close(&w);
	sql(f, "UPDATE meta SET value = 'an earlier boot' WHERE key = 'boot'");
	w = fixture_writer(f);
	assert_ok(f, broker_bounds(r, &first, &end, &f->why));
	assert_int_equal(first, 1);
	assert_int_equal(end, 3 + BROKER_BOOT_SKIP);
	/* from the end as it was, and from behind it, where records were that are lost */
	assert_reads(f, r, 3, "", 3 + BROKER_BOOT_SKIP);
	assert_reads(f, r, 9, "", 3 + BROKER_BOOT_SKIP);
	assert_int_equal(fixture_append(f, w, "c", ""), 3 + BROKER_BOOT_SKIP);
	assert_reads(f, r, 9, "1048579:main:c ", 4 + BROKER_BOOT_SKIP);
	assert_reads(f, r, 2, "2:main:b 1048579:main:c ", 4 + BROKER_BOOT_SKIP);
	broker_writer_close(&w);
	w = fixture_writer(f);
	assert_int_equal(fixture_append(f, w, "d", ""), 4 + BROKER_BOOT_SKIP);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(appended_records_and_the_checkpoint_are_there_after_reopening),
	    fixture_test(a_checkpoint_may_come_without_records_and_nothing_without_both),
	    fixture_test(two_sources_share_a_log_and_have_their_own_checkpoints),
	    fixture_test(a_second_writer_of_a_source_is_refused_with_the_pid_of_the_first),
	    fixture_test(a_log_that_somebody_else_holds_is_busy_and_then_not),
	    fixture_test(a_null_writer_counts_and_keeps_nothing),
	    fixture_test(kill_9_loses_nothing_acknowledged_and_tears_no_batch),
	    fixture_test(no_room_is_an_error_that_goes_away_with_its_cause),
	    fixture_test(a_full_disk_is_survived),
	    fixture_test(a_log_that_cannot_be_written_is_refused),
	    fixture_test(a_folder_that_is_not_there_is_named),
	    fixture_test(a_file_that_is_no_database_is_refused_with_advice),
	    fixture_test(a_damaged_header_is_refused_with_advice),
	    fixture_test(damaged_tables_are_recognised),
	    fixture_test(a_damaged_checkpoint_is_recognised_and_can_be_replaced),
	    fixture_test(a_foreign_database_is_refused_and_left_alone),
	    fixture_test(tables_of_a_later_version_are_refused),
	    fixture_test(a_log_that_is_moved_away_takes_no_more_records),
	    fixture_test(old_records_are_trimmed_and_offsets_go_on_even_from_empty),
	    fixture_test(a_log_beyond_its_size_is_trimmed_and_its_pages_are_used_again),
	    fixture_test(the_write_ahead_log_stays_small_beside_a_busy_reader),
	    fixture_test(after_a_boot_offsets_jump_ahead_and_readers_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
