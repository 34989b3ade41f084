#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/core/file.h"
#include "router/memory.h"

enum { SECOND_MS = 1000, START_S = 1000 };

static const char a[] = "10.0.0.1:11211", b[] = "10.0.0.2:11211", c[] = "/run/my cache.sock";

struct fixture {
	char dir[64], path[96];
	struct clock_fake clock;
	struct memory *memory;
	struct err_detail why;
};

static void
load(struct fixture *f)
{
	memory_destroy(&f->memory);
	if (memory_load(&f->memory, f->path, "front", &f->clock.clock, &f->why) != ERR_OK)
		fail_msg("%s", err_why(&f->why));
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/squeal-memory-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/m.memory", f->dir);
	clock_fake_init(&f->clock);
	f->clock.now_ns = START_S * UINT64_C(1000000000);
	load(f);
	memory_own(f->memory);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[160];

	memory_destroy(&f->memory);
	snprintf(command, sizeof(command), "chmod -R u+w %s; rm -rf %s", f->dir, f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* As kill -9 and a start do. */
static void
crash(struct fixture *f)
{
	load(f);
	memory_own(f->memory);
}

static void
must_save(struct fixture *f)
{
	if (memory_save(f->memory, &f->why) != ERR_OK)
		fail_msg("%s", err_why(&f->why));
}

/* An end in order, and a start. */
static void
restart(struct fixture *f, uint64_t down_ms)
{
	assert_int_equal(memory_stop(f->memory, &f->why), ERR_OK);
	clock_fake_advance_ms(&f->clock, down_ms);
	crash(f);
}

static void
assert_paused(struct fixture *f, bool pa, bool pb, bool pc)
{
	assert_int_equal(memory_is_paused(f->memory, a), pa);
	assert_int_equal(memory_is_paused(f->memory, b), pb);
	assert_int_equal(memory_is_paused(f->memory, c), pc);
	assert_int_equal(memory_has_pause(f->memory), pa || pb || pc);
}

static const struct server_past process = {
    .pid = 4711, .born_s = 1700000000, .connections = 17, .heard_ms = START_S * SECOND_MS};

static void
pauses_are_of_one_or_of_all_and_outlive_a_crash(void **state)
{
	struct fixture *f = *state;

	assert_paused(f, false, false, false);
	memory_pause(f->memory, a, true);
	memory_pause(f->memory, c, true);
	must_save(f);
	crash(f);
	assert_paused(f, true, false, true);
	memory_pause(f->memory, a, false);
	must_save(f);
	crash(f);
	assert_paused(f, false, false, true);
	/* All of them, but for one that goes on. */
	memory_pause(f->memory, NULL, true);
	memory_pause(f->memory, b, false);
	must_save(f);
	crash(f);
	assert_paused(f, true, false, true);
	assert_true(memory_is_paused(f->memory, "one that comes later"));
	memory_pause(f->memory, NULL, false);
	must_save(f);
	crash(f);
	assert_paused(f, false, false, false);
}

static void
nothing_is_written_before_it_is_ours_or_without_a_change(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	load(f);
	memory_pause(f->memory, a, true);
	must_save(f);
	assert_int_not_equal(stat(f->path, &st), 0);
	memory_own(f->memory);
	must_save(f);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(unlink(f->path), 0);
	memory_pause(f->memory, a, true);
	must_save(f);
	assert_int_not_equal(stat(f->path, &st), 0);
}

static void
a_mode_holds_until_the_configuration_says_another(void **state)
{
	struct fixture *f = *state;

	assert_false(memory_is_cold(f->memory, false));
	memory_mode(f->memory, true, false);
	must_save(f);
	crash(f);
	assert_true(memory_is_cold(f->memory, false));
	/* The file has changed, and is right from now on. */
	assert_true(memory_is_cold(f->memory, true));
	assert_false(memory_is_cold(f->memory, false));
	must_save(f);
	crash(f);
	assert_false(memory_is_cold(f->memory, false));
	/* Saying what the file says is nothing to remember. */
	memory_mode(f->memory, true, true);
	assert_false(memory_is_cold(f->memory, false));
}

static void
a_process_comes_back_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct server_past past, said = process;

	assert_false(memory_past(f->memory, c, &past));
	memory_learn(f->memory, c, &process);
	restart(f, 5000);
	assert_true(memory_past(f->memory, c, &past));
	assert_int_equal(past.pid, 4711);
	assert_int_equal(past.born_s, 1700000000);
	assert_int_equal(past.started_us, 0);
	assert_int_equal(past.connections, 17);
	assert_int_equal(past.heard_ms, process.heard_ms);
	/* It does not say any more who it is. */
	memory_learn(f->memory, c, NULL);
	must_save(f);
	crash(f);
	assert_false(memory_past(f->memory, c, &past));
	/* What another connection to it heard earlier does not count. */
	memory_learn(f->memory, c, &process);
	said.pid = 1;
	said.heard_ms--;
	memory_learn(f->memory, c, &said);
	assert_true(memory_past(f->memory, c, &past));
	assert_int_equal(past.pid, 4711);
}

/* Until the next start it may have been heard at any time. */
static void
when_it_was_heard_is_known_after_an_end_in_order_only(void **state)
{
	struct fixture *f = *state;
	struct server_past past;

	memory_learn(f->memory, a, &process);
	must_save(f);
	clock_fake_advance_ms(&f->clock, 7000);
	crash(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, (START_S + 7) * SECOND_MS);
	/* What an end in order has said is not believed after the crash that follows. */
	restart(f, 1000);
	must_save(f);
	clock_fake_advance_ms(&f->clock, 3000);
	crash(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, (START_S + 11) * SECOND_MS);
}

/* What the cursors that were saved last can say was heard before they were saved. */
static void
after_a_crash_nobody_was_heard_later_than_cursors_were_saved(void **state)
{
	struct fixture *f = *state;
	struct server_past past;
	char path[120];

	snprintf(path, sizeof(path), "%s.heard", f->path);
	memory_learn(f->memory, a, &process);
	must_save(f);
	for (int i = 0; i < 3; i++) {
		clock_fake_advance_ms(&f->clock, 2000);
		memory_heard(f->memory);
	}
	clock_fake_advance_ms(&f->clock, 50000);
	crash(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, (START_S + 6) * SECOND_MS);
	/* Nothing was saved since. */
	must_save(f);
	clock_fake_advance_ms(&f->clock, 1000);
	crash(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, (START_S + 6) * SECOND_MS);
	/* The wall clock was set: nobody knows. */
	f->clock.epoch_us += 5000000;
	load(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, (START_S + 57) * SECOND_MS);
	f->clock.epoch_us -= 5000000;
	/* Nor after a start of the machine. */
	f->clock.now_ns -= UINT64_C(500000000000);
	f->clock.epoch_us += 600000000;
	load(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, (START_S + 57 - 500) * SECOND_MS);
	f->clock.now_ns += UINT64_C(500000000000);
	f->clock.epoch_us -= 600000000;
	/* Or where the file is damaged, or empty. */
	for (int i = 0; i < 2; i++) {
		struct span text = i == 0 ? SPAN_LIT("00000000000000000001 1 0\n") : SPAN_LIT("");

		assert_int_equal(file_replace(path, text, &f->why), ERR_OK);
		load(f);
		assert_true(memory_past(f->memory, a, &past));
		assert_int_equal(past.heard_ms, (START_S + 57) * SECOND_MS);
	}
}

/* After a start of the machine its uptime says nothing; a wall clock that went back says "just now". */
static void
the_wall_clock_tells_over_a_start_of_the_machine_and_never_too_early(void **state)
{
	struct fixture *f = *state;
	struct server_past past;

	memory_learn(f->memory, a, &process);
	assert_int_equal(memory_stop(f->memory, &f->why), ERR_OK);
	/* 100 seconds later the machine has been up for 40. */
	f->clock.now_ns -= UINT64_C(960000000000);
	f->clock.epoch_us += 960000000 + 100000000;
	load(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, (40 - 100) * SECOND_MS);
	f->clock.epoch_us = 0;
	load(f);
	assert_true(memory_past(f->memory, a, &past));
	assert_int_equal(past.heard_ms, 40 * SECOND_MS);
}

static bool
is_b(void *arg, const char *server)
{
	return strcmp(server, b) == 0;
}

static void
what_left_the_cluster_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct server_past past;

	memory_pause(f->memory, a, true);
	memory_pause(f->memory, b, true);
	memory_learn(f->memory, a, &process);
	memory_learn(f->memory, b, &process);
	memory_keep(f->memory, is_b, NULL);
	must_save(f);
	crash(f);
	assert_paused(f, false, true, false);
	assert_false(memory_past(f->memory, a, &past));
	assert_true(memory_past(f->memory, b, &past));
}

static void
a_damaged_file_is_put_aside_and_said(void **state)
{
	static const char *const texts[] = {"", "squeal-memory 1\n",
					    "squeal-memory 1\ncluster front\nsum 0\n"};
	struct fixture *f = *state;
	struct buf text = BUF_INIT;
	struct server_past past;
	char aside[120];

	memory_pause(f->memory, a, true);
	memory_learn(f->memory, a, &process);
	must_save(f);
	assert_int_equal(file_read(f->path, 1 << 20, &text, &f->why), ERR_OK);
	snprintf(aside, sizeof(aside), "%s.damaged", f->path);
	/* Whatever byte is another, and wherever it is cut off. */
	for (size_t i = 0; i < 2 * text.len + sizeof(texts) / sizeof(texts[0]); i++) {
		struct span bytes = buf_span(&text);

		if (i < text.len)
			text.p[i] ^= 1;
		else if (i < 2 * text.len)
			bytes.len = i - text.len;
		else
			bytes = span_of(texts[i - 2 * text.len]);
		assert_int_equal(file_replace(f->path, bytes, &f->why), ERR_OK);
		load(f);
		assert_paused(f, false, false, false);
		assert_false(memory_past(f->memory, a, &past));
		assert_non_null(strstr(memory_trouble(f->memory), "is damaged"));
		assert_non_null(strstr(memory_trouble(f->memory), "pause again"));
		assert_int_equal(unlink(aside), 0);
		if (i < text.len)
			text.p[i] ^= 1;
	}
	buf_fini(&text);
	/* What is written next does not end it; what squealctl says does. */
	memory_own(f->memory);
	must_save(f);
	assert_string_not_equal(memory_trouble(f->memory), "");
	memory_pause(f->memory, b, true);
	assert_string_equal(memory_trouble(f->memory), "");
	must_save(f);
	crash(f);
	assert_paused(f, false, true, false);
}

static void
the_file_of_another_cluster_is_refused(void **state)
{
	struct fixture *f = *state;
	struct memory *other;

	must_save(f);
	assert_int_equal(memory_load(&other, f->path, "back", &f->clock.clock, &f->why), ERR_CONFIG);
	assert_non_null(strstr(err_why(&f->why), "\"front\", not of \"back\""));
	assert_null(other);
}

static void
what_cannot_be_written_holds_and_is_tried_again(void **state)
{
	struct fixture *f = *state;
	char new[120];

	snprintf(new, sizeof(new), "%s.new", f->path);
	assert_int_equal(mkdir(new, 0700), 0);
	memory_pause(f->memory, a, true);
	assert_int_not_equal(memory_save(f->memory, &f->why), ERR_OK);
	assert_paused(f, true, false, false);
	assert_non_null(strstr(memory_trouble(f->memory), "cannot be written"));
	assert_int_equal(rmdir(new), 0);
	must_save(f);
	assert_string_equal(memory_trouble(f->memory), "");
	crash(f);
	assert_paused(f, true, false, false);
}

static void
without_a_file_nothing_outlives_it_and_nothing_fails(void **state)
{
	struct fixture *f = *state;

	f->path[0] = '\0';
	crash(f);
	assert_null(memory_file(f->memory));
	memory_pause(f->memory, a, true);
	must_save(f);
	assert_paused(f, true, false, false);
	crash(f);
	assert_paused(f, false, false, false);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(pauses_are_of_one_or_of_all_and_outlive_a_crash),
	    TEST(nothing_is_written_before_it_is_ours_or_without_a_change),
	    TEST(a_mode_holds_until_the_configuration_says_another),
	    TEST(a_process_comes_back_as_it_was),
	    TEST(when_it_was_heard_is_known_after_an_end_in_order_only),
	    TEST(after_a_crash_nobody_was_heard_later_than_cursors_were_saved),
	    TEST(the_wall_clock_tells_over_a_start_of_the_machine_and_never_too_early),
	    TEST(what_left_the_cluster_is_forgotten),
	    TEST(a_damaged_file_is_put_aside_and_said),
	    TEST(the_file_of_another_cluster_is_refused),
	    TEST(what_cannot_be_written_holds_and_is_tried_again),
	    TEST(without_a_file_nothing_outlives_it_and_nothing_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
