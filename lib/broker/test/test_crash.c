/* Linked with the crash-point builds of lib/broker and lib/core: dies at every point and looks what is left.
 */
#include "lib/broker/test/mock.h"

#include <signal.h>
#include <sys/wait.h>

#include "lib/broker/cursor.h"

/* Runs `work` in a child that dies at the third visit of `point`. */
static void
die_at(struct fixture *f, const char *point, void (*work)(struct fixture *f))
{
	char at[64];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(at, sizeof(at), "%s#3", point);
		setenv("SQUEAL_CRASH_AT", at, 1);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		work(f);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* In a child as well: a point counts its visits per process, and a child starts with its parent's count. */
static uint64_t
append_in_child(struct fixture *f)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit((int)fixture_append(f, fixture_writer(f), "on", "on"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (uint64_t)WEXITSTATUS(status);
}

static void
append_five(struct fixture *f)
{
	struct broker_writer *w = fixture_writer(f);

	for (unsigned i = 1; i <= 5; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%u", i);
		fixture_append(f, w, text, text);
	}
}

static void
dying_in_an_append_leaves_all_of_it_or_nothing(void **state)
{
	static const struct {
		const char *point;
		const char *left, *checkpoint;
		uint64_t next;
	} cases[] = {
	    {"broker.append.begin", "1:main:1 2:main:2 ", "2", 3},
	    {"broker.append.inserted", "1:main:1 2:main:2 ", "2", 3},
	    {"broker.append.noted", "1:main:1 2:main:2 ", "2", 3},
	    {"broker.append.committed", "1:main:1 2:main:2 3:main:3 ", "3", 4},
	    {"broker.append.woken", "1:main:1 2:main:2 3:main:3 ", "3", 4},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		void *inner = NULL;
		struct fixture *f;
		struct buf b = BUF_INIT;
		struct broker_reader *r;
		struct broker_writer *w;

		assert_int_equal(fixture_setup(&inner), 0);
		f = inner;
		die_at(f, cases[i].point, append_five);
		r = fixture_reader(f);
		assert_reads(f, r, 1, cases[i].left, cases[i].next);
		w = fixture_writer(f);
		assert_ok(f, broker_checkpoint(w, &b, &f->why));
		assert_string_equal(buf_str(&b), cases[i].checkpoint);
		broker_writer_close(&w);
		assert_int_equal(append_in_child(f), cases[i].next);
		broker_reader_close(&r);
		buf_fini(&b);
		fixture_teardown(&inner);
	}
}

/* Each append writes a note, a record and the checkpoint with the same number. */
static void
note_five(struct fixture *f)
{
	struct broker_writer *w = fixture_writer(f);

	for (unsigned i = 1; i <= 5; i++) {
		struct broker_note notes[2] = {{.change = BROKER_NOTE_DROP, .name = SPAN_LIT("a")},
					       {.change = BROKER_NOTE_PUT, .name = SPAN_LIT("a")}};
		struct span record;
		uint64_t first;
		char text[8];

		snprintf(text, sizeof(text), "%u", i);
		notes[1].part = i;
		record = notes[1].value = span_of(text);
		assert_ok(f, broker_append_notes(w, &record, 1, record, notes, 2, &first, &f->why));
	}
}

static void
dying_in_an_append_leaves_notes_in_step_with_the_checkpoint(void **state)
{
	static const struct {
		const char *point;
		const char *left;
		uint32_t part;
	} cases[] = {{"broker.append.inserted", "2", 2},
		     {"broker.append.noted", "2", 2},
		     {"broker.append.committed", "3", 3}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf note = BUF_INIT, checkpoint = BUF_INIT;
		void *inner = NULL;
		struct broker_writer *w;
		struct fixture *f;
		bool found;

		assert_int_equal(fixture_setup(&inner), 0);
		f = inner;
		die_at(f, cases[i].point, note_five);
		w = fixture_writer(f);
		for (uint32_t part = 1; part <= 5; part++) {
			assert_ok(f, broker_note_read(w, SPAN_LIT("a"), part, &note, &found, &f->why));
			assert_int_equal(found, part == cases[i].part);
		}
		assert_ok(f, broker_checkpoint(w, &checkpoint, &f->why));
		assert_string_equal(buf_str(&note), cases[i].left);
		assert_string_equal(buf_str(&checkpoint), cases[i].left);
		broker_writer_close(&w);
		buf_fini(&note);
		buf_fini(&checkpoint);
		fixture_teardown(&inner);
	}
}

static void
trim_one_by_one(struct fixture *f)
{
	struct broker_writer *w = fixture_writer(f);
	size_t removed;

	clock_fake_advance_ms(&f->clock, 3601 * 1000);
	for (unsigned i = 0; i < 5; i++)
		assert_ok(f, broker_trim(w, 1, &removed, &f->why));
}

static void
dying_in_a_trim_leaves_bounds_and_records_in_step(void **state)
{
	static const struct {
		const char *point;
		const char *left;
		uint64_t first;
	} cases[] = {
	    {"broker.trim.begin", "3:main:on 4:main:on 5:main:on ", 3},
	    {"broker.trim.deleted", "3:main:on 4:main:on 5:main:on ", 3},
	    {"broker.trim.committed", "4:main:on 5:main:on ", 4},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		void *inner = NULL;
		struct fixture *f;
		struct broker_reader *r;
		uint64_t first, end;

		assert_int_equal(fixture_setup(&inner), 0);
		f = inner;
		for (unsigned n = 0; n < 5; n++)
			append_in_child(f);
		die_at(f, cases[i].point, trim_one_by_one);
		r = fixture_reader(f);
		assert_ok(f, broker_bounds(r, &first, &end, &f->why));
		assert_int_equal(first, cases[i].first);
		assert_int_equal(end, 6);
		assert_reads(f, r, first, cases[i].left, 6);
		broker_reader_close(&r);
		fixture_teardown(&inner);
	}
}

static void
save_five(struct fixture *f)
{
	struct cursor_store *s;

	assert_ok(f, cursor_open(&s, f->path, "east", &f->why));
	for (uint64_t i = 1; i <= 5; i++) {
		const struct cursor both[] = {{"a:1", "0a", i}, {"b:1", "0a", i}};

		assert_ok(f, cursor_save(s, both, 2, &f->why));
	}
}

static void
dying_in_a_save_moves_all_cursors_or_none(void **state)
{
	static const struct {
		const char *point;
		uint64_t offset;
	} cases[] = {{"cursor.save.begin", 2}, {"cursor.save.committed", 3}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cursor c[] = {{.server = "a:1"}, {.server = "b:1"}};
		void *inner = NULL;
		struct cursor_store *s;
		struct fixture *f;
		bool found;

		assert_int_equal(fixture_setup(&inner), 0);
		f = inner;
		die_at(f, cases[i].point, save_five);
		assert_ok(f, cursor_open(&s, f->path, "east", &f->why));
		for (unsigned n = 0; n < 2; n++) {
			assert_ok(f, cursor_load(s, &c[n], &found, &f->why));
			assert_int_equal(c[n].offset, cases[i].offset);
		}
		cursor_close(&s);
		fixture_teardown(&inner);
	}
}

/* Between the topic and the state file: what the topic has is read from the source again, nothing is missing.
 */
static void
dying_in_an_append_to_a_topic_leaves_the_checkpoint_behind_the_records_never_ahead(void **state)
{
	static const struct {
		const char *point;
		const char *checkpoint;
		uint64_t next;
	} cases[] = {
	    {"broker.kafka.begin", "2", 2}, {"broker.kafka.acked", "2", 3}, {"broker.kafka.stated", "3", 3}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		void *inner = NULL;
		struct broker_writer *w;
		struct mock *m;

		assert_int_equal(mock_setup(&inner), 0);
		m = inner;
		die_at(m->f, cases[i].point, append_five);
		w = fixture_writer(m->f);
		assert_mock_checkpoint(m, w, cases[i].checkpoint);
		broker_writer_close(&w);
		assert_int_equal(append_in_child(m->f), cases[i].next);
		assert_int_equal(m->f->metrics.log_lost_end, 0);
		mock_teardown(&inner);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dying_in_an_append_leaves_all_of_it_or_nothing),
	    cmocka_unit_test(dying_in_an_append_leaves_notes_in_step_with_the_checkpoint),
	    cmocka_unit_test(dying_in_a_trim_leaves_bounds_and_records_in_step),
	    cmocka_unit_test(dying_in_a_save_moves_all_cursors_or_none),
	    cmocka_unit_test(
		dying_in_an_append_to_a_topic_leaves_the_checkpoint_behind_the_records_never_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
