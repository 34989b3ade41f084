#include "lib/core/log.h"

#include "lib/core/test/test.h"

struct fixture {
	struct clock_fake clock;
	struct buf lines;
	unsigned n;
	struct log *log;
};

static void
keep(void *arg, enum log_level level, struct span line)
{
	struct fixture *f = arg;

	buf_put_span(&f->lines, line);
	f->n++;
}

static int
make(void **state)
{
	static struct fixture f;

	f = (struct fixture){0};
	clock_fake_init(&f.clock);
	f.log = log_create("test", LOG_INFO, &f.clock.clock, keep, &f);
	*state = &f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	log_destroy(&f->log);
	buf_fini(&f->lines);
	return 0;
}

static void
a_line_has_time_level_subject_and_fields(void **state)
{
	struct fixture *f = *state;

	log_warn(f->log, "server is away", F_STR("server", "10.0.0.1:11211"), F_UINT("tries", 3),
		 F_INT("delta", -4), F_BOOL("ready", false), F_STR("none", NULL));
	assert_string_equal(
	    buf_str(&f->lines),
	    "2023-11-14T22:13:21.000000Z WARN   test: server is away server=10.0.0.1:11211 tries=3 "
	    "delta=-4 ready=false none=-\n");
}

static void
foreign_bytes_cannot_start_a_line_or_colour_a_terminal(void **state)
{
	struct fixture *f = *state;

	log_info(f->log, "key", F_SPAN("key", SPAN_LIT("a b\n2024 CRIT x: \x1b[31m\"\\")));
	assert_non_null(strstr(buf_str(&f->lines), "key=\"a b\\x0a2024 CRIT x: \\x1b[31m\\\"\\\\\"\n"));
}

static void
lower_levels_are_dropped_until_they_are_asked_for(void **state)
{
	struct fixture *f = *state;

	log_debug(f->log, "quiet");
	assert_int_equal(f->n, 0);
	log_set_level(f->log, LOG_DEBUG);
	log_debug(f->log, "quiet");
	assert_int_equal(f->n, 1);
	log_crit(NULL, "nobody");
}

static void
repeats_are_held_back_and_counted(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++)
		log_info(f->log, "flood");
	log_info(f->log, "another text");
	assert_int_equal(f->n, LOG_BURST + 1);
	assert_int_equal(log_suppressed(f->log), 100 - LOG_BURST);
	clock_fake_advance_ms(&f->clock, 1000);
	log_info(f->log, "flood");
	assert_int_equal(f->n, LOG_BURST + 2);
	assert_non_null(strstr(buf_str(&f->lines), "flood held_back=90\n"));
}

static void
level_names_are_read_in_any_case(void **state)
{
	enum log_level level;

	assert_true(log_level_parse(SPAN_LIT("Warn"), &level));
	assert_int_equal(level, LOG_WARN);
	assert_false(log_level_parse(SPAN_LIT("loud"), &level));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_line_has_time_level_subject_and_fields, make, drop),
	    cmocka_unit_test_setup_teardown(foreign_bytes_cannot_start_a_line_or_colour_a_terminal, make,
					    drop),
	    cmocka_unit_test_setup_teardown(lower_levels_are_dropped_until_they_are_asked_for, make, drop),
	    cmocka_unit_test_setup_teardown(repeats_are_held_back_and_counted, make, drop),
	    cmocka_unit_test(level_names_are_read_in_any_case),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
