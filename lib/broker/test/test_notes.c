#include "lib/broker/test/fixture.h"

#include <sqlite3.h>

static struct broker_note
put(const char *name, uint32_t part, const char *value)
{
	return (struct broker_note){BROKER_NOTE_PUT, span_of(name), part, span_of(value)};
}

static struct broker_note
forget(const char *name)
{
	return (struct broker_note){.change = BROKER_NOTE_DROP, .name = span_of(name)};
}

static void
change(struct fixture *f, struct broker_writer *w, const char *checkpoint, const struct broker_note *notes,
       size_t n)
{
	uint64_t first;

	assert_ok(f, broker_append_notes(w, NULL, 0, span_of(checkpoint), notes, n, &first, &f->why));
}

static void
add_name(void *arg, struct span name)
{
	buf_printf(arg, "%.*s ", SPAN_FMT(name));
}

#define assert_names(f, w, want)                                                                             \
	do {                                                                                                 \
		struct buf names_ = BUF_INIT;                                                                \
		assert_ok((f), broker_note_names((w), add_name, &names_, &(f)->why));                        \
		assert_string_equal(buf_str(&names_), want);                                                 \
		buf_fini(&names_);                                                                           \
	} while (0)

/* "-" for a part that is not there. */
#define assert_note(f, w, name, part, want)                                                                  \
	do {                                                                                                 \
		struct buf value_ = BUF_INIT;                                                                \
		bool found_;                                                                                 \
		assert_ok((f), broker_note_read((w), span_of(name), (part), &value_, &found_, &(f)->why));   \
		assert_string_equal(found_ ? buf_str(&value_) : "-", want);                                  \
		buf_fini(&value_);                                                                           \
	} while (0)

static void
notes_change_in_order_and_with_the_checkpoint(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	const struct broker_note first[] = {put("b", 0, "head"), put("b", 1, "one"), put("a", 7, "")};
	const struct broker_note second[] = {forget("b"), put("b", 1, "new"), put("b", 1, "newer"),
					     forget("c")};
	struct buf checkpoint = BUF_INIT;

	change(f, w, "1", first, 3);
	assert_names(f, w, "a b ");
	assert_note(f, w, "b", 0, "head");
	assert_note(f, w, "b", 1, "one");
	assert_note(f, w, "b", 2, "-");
	assert_note(f, w, "a", 7, "");
	change(f, w, "", second, 4);
	assert_note(f, w, "b", 0, "-");
	assert_note(f, w, "b", 1, "newer");
	broker_writer_close(&w);
	w = fixture_writer(f);
	assert_names(f, w, "a b ");
	assert_note(f, w, "b", 1, "newer");
	assert_ok(f, broker_checkpoint(w, &checkpoint, &f->why));
	assert_string_equal(buf_str(&checkpoint), "1");
	broker_writer_close(&w);
	buf_fini(&checkpoint);
}

static void
names_and_values_hold_any_bytes(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	const struct span name = SPAN_LIT("a\0'b"), value = SPAN_LIT("\0\xff");
	const struct broker_note note = {BROKER_NOTE_PUT, name, UINT32_MAX, value};
	struct buf out = BUF_INIT;
	bool found;

	change(f, w, "", &note, 1);
	assert_ok(f, broker_note_read(w, name, UINT32_MAX, &out, &found, &f->why));
	assert_true(found && span_eq(buf_span(&out), value));
	assert_note(f, w, "a", UINT32_MAX, "-");
	broker_writer_close(&w);
	buf_fini(&out);
}

static void
sources_do_not_see_each_others_notes(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f), *other;
	const struct broker_note mine = put("a", 0, "mine"), all = forget("a");

	assert_ok(f, broker_writer_open(&other, &f->opt, "other", &f->ctx, &f->why));
	change(f, w, "", &mine, 1);
	assert_note(f, other, "a", 0, "-");
	assert_names(f, other, "");
	change(f, other, "", &all, 1);
	assert_note(f, w, "a", 0, "mine");
	broker_writer_close(&other);
	broker_writer_close(&w);
}

static void
a_failed_append_changes_no_notes(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	const struct broker_note note = put("a", 0, "x");
	uint64_t first;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "CREATE TRIGGER no BEFORE INSERT ON checkpoints BEGIN SELECT"
				      " RAISE(ABORT, 'no'); END",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	err_clear(&f->why);
	assert_true(broker_append_notes(w, NULL, 0, SPAN_LIT("1"), &note, 1, &first, &f->why) != ERR_OK);
	assert_names(f, w, "");
	broker_writer_close(&w);
}

static void
a_damaged_note_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	const struct broker_note note = put("a", 0, "value-of-the-note");
	struct buf out = BUF_INIT;
	bool found;

	change(f, w, "", &note, 1);
	broker_writer_close(&w);
	fixture_flip(f->path, "value-of-the-note");
	w = fixture_writer(f);
	assert_err(f, broker_note_read(w, SPAN_LIT("a"), 0, &out, &found, &f->why), ERR_CORRUPT, "damaged");
	assert_false(found);
	assert_int_equal(out.len, 0);
	broker_writer_close(&w);
}

static void
a_log_from_before_there_were_notes_is_opened_and_gets_them(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	const struct broker_note note = put("a", 0, "x");
	struct broker_reader *r;
	sqlite3 *db;

	fixture_append(f, w, "one", "1");
	broker_writer_close(&w);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "DROP TABLE notes", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	/* A router that runs meanwhile goes on. */
	r = fixture_reader(f);
	assert_reads(f, r, 1, "1:main:one ", 2);
	w = fixture_writer(f);
	change(f, w, "", &note, 1);
	assert_note(f, w, "a", 0, "x");
	fixture_append(f, w, "two", "2");
	assert_reads(f, r, 2, "2:main:two ", 3);
	broker_reader_close(&r);
	broker_writer_close(&w);
}

static void
trimming_leaves_notes_alone(void **state)
{
	struct fixture *f = *state;
	struct broker_writer *w = fixture_writer(f);
	const struct broker_note note = put("a", 0, "x");
	size_t removed;

	change(f, w, "", &note, 1);
	fixture_append(f, w, "one", "1");
	clock_fake_advance_ms(&f->clock, 3601 * 1000);
	assert_ok(f, broker_trim(w, 10, &removed, &f->why));
	assert_int_equal(removed, 1);
	assert_note(f, w, "a", 0, "x");
	broker_writer_close(&w);
}

static void
a_writer_that_keeps_nothing_has_no_notes(void **state)
{
	struct fixture *f = *state;
	const struct broker_note note = put("a", 0, "x");
	struct broker_writer *w;

	broker_writer_open_null(&w, &f->ctx);
	change(f, w, "1", &note, 1);
	assert_note(f, w, "a", 0, "-");
	assert_names(f, w, "");
	broker_writer_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(notes_change_in_order_and_with_the_checkpoint),
	    fixture_test(names_and_values_hold_any_bytes),
	    fixture_test(sources_do_not_see_each_others_notes),
	    fixture_test(a_failed_append_changes_no_notes),
	    fixture_test(a_damaged_note_is_an_error),
	    fixture_test(a_log_from_before_there_were_notes_is_opened_and_gets_them),
	    fixture_test(trimming_leaves_notes_alone),
	    fixture_test(a_writer_that_keeps_nothing_has_no_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
