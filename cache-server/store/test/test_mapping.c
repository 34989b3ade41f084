#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache-server/store/mapping.h"
#include "cache-server/store/segment.h"

struct fixture {
	char dir[64], path[96], boot[96];
	struct clock_fake clock;
	struct mapping_options opt;
	struct mapping *m;
};

static void
write_file(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	strcpy(f->dir, "/tmp/squeal-mapping-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	sprintf(f->path, "%s/memory", f->dir);
	sprintf(f->boot, "%s/boot", f->dir);
	write_file(f->boot, "boot-1\n", 7);
	clock_fake_init(&f->clock);
	f->clock.epoch_us = 1700000000ull * 1000000;
	f->opt = (struct mapping_options){
	    .path = f->path,
	    .memory = 1 << 20,
	    .segment_size = 1 << 16,
	    .guard_bytes = 5000,
	    .boot_id = f->boot,
	    .clock = &f->clock.clock,
	};
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char aside[128];

	(void)mapping_close(&f->m, false, NULL);
	sprintf(aside, "%s.aside", f->path);
	unlink(aside);
	unlink(f->path);
	unlink(f->boot);
	rmdir(f->dir);
	free(f);
	return 0;
}

static enum mapping_state
reopen(struct fixture *f, bool clean)
{
	struct err_detail why = {0};

	assert_int_equal(mapping_close(&f->m, clean, &why), ERR_OK);
	assert_int_equal(mapping_open(&f->m, &f->opt, &why), ERR_OK);
	return mapping_state(f->m);
}

static struct mapping_layout
layout(struct fixture *f)
{
	struct mapping_layout l;

	mapping_layout(f->m, &l);
	return l;
}

/* Marks at the far ends of everything. */
static void
fill(struct fixture *f)
{
	struct mapping_layout l = layout(f);
	uint64_t n;
	char *guard = mapping_guard(f->m, &n);

	((char *)l.words)[MAPPING_WORDS - 1] = 'w';
	guard[n - 1] = 'g';
	((struct segment *)l.heads)[l.count].seq = 77;
	l.segments[0] = 's';
	l.segments[((size_t)l.count << l.shift) - 1] = 'e';
}

static bool
filled(struct fixture *f, uint32_t count)
{
	struct mapping_layout l = layout(f);
	uint64_t n;
	char *guard = mapping_guard(f->m, &n);

	return ((char *)l.words)[MAPPING_WORDS - 1] == 'w' && guard[n - 1] == 'g' &&
	       ((struct segment *)l.heads)[count].seq == 77 && l.segments[0] == 's' &&
	       l.segments[((size_t)count << l.shift) - 1] == 'e';
}

static void
spoil(struct fixture *f, long at)
{
	int fd = open(f->path, O_RDWR);
	char c;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static void
a_new_file_is_zero_and_has_room_for_all_of_it(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	struct mapping_layout l;

	assert_int_equal(reopen(f, false), MAPPING_NEW);
	l = layout(f);
	assert_int_equal(l.count, 16);
	assert_int_equal(l.wanted, 16);
	assert_int_equal(l.shift, 16);
	assert_int_equal(l.starts, 1);
	assert_int_not_equal(l.seed, 0);
	assert_false(filled(f, 16));
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(st.st_blocks * 512 >= st.st_size);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
a_file_closed_in_order_is_clean_also_after_a_reboot(void **state)
{
	struct fixture *f = *state;
	uint64_t seed;

	reopen(f, false);
	fill(f);
	seed = layout(f).seed;
	(void)mapping_close(&f->m, true, NULL);
	write_file(f->boot, "boot-2\n", 7);
	assert_int_equal(reopen(f, true), MAPPING_CLEAN);
	assert_true(filled(f, 16));
	assert_int_equal(layout(f).seed, seed);
	assert_int_equal(layout(f).starts, 2);
}

static void
a_process_that_was_killed_leaves_what_it_stored(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		reopen(f, false);
		fill(f);
		raise(SIGKILL);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(reopen(f, false), MAPPING_CRASHED);
	assert_true(filled(f, 16));
	assert_string_equal(mapping_reason(f->m), "");
}

static void
an_unclean_file_of_another_boot_starts_cold(void **state)
{
	struct fixture *f = *state;

	reopen(f, false);
	fill(f);
	(void)mapping_close(&f->m, false, NULL);
	write_file(f->boot, "boot-2\n", 7);
	assert_int_equal(reopen(f, true), MAPPING_DISTRUSTED);
	assert_string_equal(mapping_reason(f->m), "the machine went down while it was in use");
	assert_false(filled(f, 16));
}

static void
an_unclean_file_is_not_believed_where_no_boot_id_can_be_read(void **state)
{
	struct fixture *f = *state;

	unlink(f->boot);
	reopen(f, false);
	assert_int_equal(reopen(f, false), MAPPING_DISTRUSTED);
	assert_int_equal(reopen(f, true), MAPPING_CLEAN);
}

static void
damage_is_noticed_in_header_record_and_table_of_a_clean_file(void **state)
{
	struct fixture *f = *state;
	const long heads = 3 * 4096 + 8192 + (1 << 20);
	const struct {
		long at;
		const char *reason;
	} cases[] = {
	    {40, "its header is damaged"},
	    {8, "its layout is that of another version"},
	    {heads + 70, "its table of segments is damaged"},
	};

	for (unsigned i = 0; i < 3; i++) {
		reopen(f, true);
		fill(f);
		(void)mapping_close(&f->m, true, NULL);
		spoil(f, cases[i].at);
		assert_int_equal(reopen(f, true), MAPPING_DISTRUSTED);
		assert_string_equal(mapping_reason(f->m), cases[i].reason);
		assert_false(filled(f, 16));
	}
	/* The newer slot is damaged: the older one says that the file was in use, and by whom. */
	reopen(f, true);
	fill(f);
	(void)mapping_close(&f->m, true, NULL);
	spoil(f, 4096 + 20);
	spoil(f, 4096 + 512 + 20);
	assert_int_equal(reopen(f, true), MAPPING_DISTRUSTED);
	assert_string_equal(mapping_reason(f->m), "its record of starts is damaged");
}

static void
a_half_made_or_cut_file_starts_cold(void **state)
{
	struct fixture *f = *state;
	char zero[20000] = {0};

	write_file(f->path, zero, sizeof zero);
	assert_int_equal(reopen(f, false), MAPPING_DISTRUSTED);
	assert_string_equal(mapping_reason(f->m), "it was never finished");
	(void)mapping_close(&f->m, true, NULL);
	assert_int_equal(truncate(f->path, 100000), 0);
	assert_int_equal(reopen(f, true), MAPPING_DISTRUSTED);
	assert_string_equal(mapping_reason(f->m), "it was cut off");
	(void)mapping_close(&f->m, true, NULL);
	assert_int_equal(truncate(f->path, 5), 0);
	assert_int_equal(reopen(f, true), MAPPING_DISTRUSTED);
}

static void
a_foreign_file_is_put_aside_not_overwritten(void **state)
{
	struct fixture *f = *state;
	char text[20000], aside[128];
	struct stat st;

	memset(text, 'x', sizeof text);
	write_file(f->path, text, sizeof text);
	assert_int_equal(reopen(f, false), MAPPING_DISTRUSTED);
	sprintf(aside, "%s.aside", f->path);
	assert_int_equal(stat(aside, &st), 0);
	assert_int_equal(st.st_size, sizeof text);
}

static void
a_second_process_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct mapping *other;

	reopen(f, false);
	assert_int_equal(mapping_open(&other, &f->opt, &why), ERR_IN_USE);
	assert_null(other);
	assert_non_null(strstr(why.text, "used by another process"));
}

static void
more_memory_extends_the_file_and_less_keeps_it(void **state)
{
	struct fixture *f = *state;

	reopen(f, false);
	fill(f);
	f->opt.memory = 17 << 16;
	f->opt.guard_bytes = 100000; /* keeps its size, too */
	assert_int_equal(reopen(f, true), MAPPING_CLEAN);
	assert_int_equal(layout(f).count, 17);
	assert_true(filled(f, 16));
	assert_int_equal(((struct segment *)layout(f).heads)[17].seq, 0);
	f->opt.memory = 100 << 20;
	assert_int_equal(reopen(f, false), MAPPING_CRASHED);
	assert_int_equal(layout(f).count, 1600);
	assert_true(filled(f, 16));
	f->opt.memory = 1 << 20;
	assert_int_equal(reopen(f, true), MAPPING_CLEAN);
	assert_int_equal(layout(f).count, 1600);
	assert_int_equal(layout(f).wanted, 16);
	assert_true(filled(f, 16));
}

static void
a_withheld_segment_costs_nothing_until_it_is_provided_again(void **state)
{
	struct fixture *f = *state;
	struct stat full, less;

	reopen(f, false);
	assert_int_equal(stat(f->path, &full), 0);
	layout(f).segments[3 << 16] = 'x';
	mapping_withhold(f->m, 4);
	assert_int_equal(stat(f->path, &less), 0);
	assert_int_equal(full.st_blocks - less.st_blocks, (1 << 16) / 512);
	assert_true(mapping_provide(f->m, 4));
	assert_int_equal(stat(f->path, &less), 0);
	assert_int_equal(full.st_blocks, less.st_blocks);
	assert_int_equal(layout(f).segments[3 << 16], 0);
}

static void
seconds_never_go_backwards_whatever_the_wall_clock_does(void **state)
{
	struct fixture *f = *state;

	reopen(f, false);
	assert_int_equal(mapping_now(f->m), 2);
	clock_fake_advance_ms(&f->clock, 100000);
	assert_int_equal(mapping_now(f->m), 102);
	f->clock.epoch_us -= 3600ull * 1000000; /* while it runs: not looked at */
	assert_int_equal(mapping_now(f->m), 102);
	assert_int_equal(mapping_epoch(f->m) + mapping_now(f->m), clock_real_us(&f->clock.clock) / 1000000);
	reopen(f, true);
	assert_int_equal(mapping_now(f->m), 102);
	clock_fake_advance_ms(&f->clock, 8000);
	assert_int_equal(mapping_now(f->m), 110);
	reopen(f, false); /* as after a crash */
	assert_int_equal(mapping_now(f->m), 110);
	f->clock.epoch_us += 7200ull * 1000000;
	reopen(f, true);
	assert_int_equal(mapping_now(f->m), 110 + 3600);
}

/* However the wall clock's seconds fall, a restart is no leap: a window of milliseconds is as long as it
 * says. */
static void
a_restart_takes_no_part_of_a_second_away(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	f->clock.epoch_us += 900000;
	reopen(f, false);
	for (int i = 0; i < 20; i++) {
		clock_fake_advance_ms(&f->clock, 170);
		before = mapping_now_ms(f->m);
		reopen(f, false);
		assert_int_equal(mapping_now_ms(f->m), before);
	}
}

static void
options_and_places_that_cannot_be_are_refused_with_a_sentence(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	f->opt.memory = 100000;
	assert_int_equal(mapping_open(&f->m, &f->opt, &why), ERR_CONFIG);
	err_clear(&why);
	f->opt.memory = 1ull << 62;
	f->opt.segment_size = 0;
	assert_int_equal(mapping_open(&f->m, &f->opt, &why), ERR_SYS);
	assert_non_null(strstr(why.text, "no room"));
	err_clear(&why);
	f->opt.path = "/nowhere/at/all";
	assert_int_equal(mapping_open(&f->m, &f->opt, &why), ERR_SYS);
	assert_non_null(strstr(why.text, "check the path"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_new_file_is_zero_and_has_room_for_all_of_it),
	    T(a_file_closed_in_order_is_clean_also_after_a_reboot),
	    T(a_process_that_was_killed_leaves_what_it_stored),
	    T(an_unclean_file_of_another_boot_starts_cold),
	    T(an_unclean_file_is_not_believed_where_no_boot_id_can_be_read),
	    T(damage_is_noticed_in_header_record_and_table_of_a_clean_file),
	    T(a_half_made_or_cut_file_starts_cold),
	    T(a_foreign_file_is_put_aside_not_overwritten),
	    T(a_second_process_is_refused),
	    T(more_memory_extends_the_file_and_less_keeps_it),
	    T(a_withheld_segment_costs_nothing_until_it_is_provided_again),
	    T(seconds_never_go_backwards_whatever_the_wall_clock_does),
	    T(a_restart_takes_no_part_of_a_second_away),
	    T(options_and_places_that_cannot_be_are_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
