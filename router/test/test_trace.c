#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/core/file.h"
#include "router/trace.h"

struct fixture {
	char path[64];
	struct router_options opt;
	struct clock_fake clock;
	struct trace_metrics metrics;
	struct trace *t;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/tmp/squeal-trace-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	clock_fake_init(&f->clock);
	f->clock.now_ns = 0;
	f->clock.epoch_us = 1234567;
	f->opt.trace_file = f->path;
	f->opt.trace_prefix = (char *)"t:";
	f->t = trace_create(&f->opt, &f->clock.clock, &f->metrics, NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	trace_destroy(&f->t);
	unlink(f->path);
	free(f);
	return 0;
}

static void
assert_file_is(struct fixture *f, const char *text)
{
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	assert_int_equal(file_read(f->path, 4096, &b, &why), ERR_OK);
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

static void
keys_with_the_prefix_leave_a_line_each(void **state)
{
	struct fixture *f = *state;

	trace_delete(f->t, "a:1", 7, span_of("t:x"));
	trace_delete(f->t, "a:1", 8, span_of("other"));
	trace_delete(f->t, "a:1", 9, span_of("t:"));
	assert_file_is(f, "");
	trace_flush(f->t);
	assert_file_is(f, "1234567 a:1 7 t:x\n1234567 a:1 9 t:\n");
	assert_int_equal(metric_get(&f->metrics.router_trace_lines), 2);
	trace_reopen(f->t);
	trace_delete(f->t, "a:1", 10, span_of("t:y"));
	trace_flush(f->t);
	assert_file_is(f, "1234567 a:1 7 t:x\n1234567 a:1 9 t:\n1234567 a:1 10 t:y\n");
}

static void
without_a_file_nothing_is_kept(void **state)
{
	struct fixture *f = *state;

	f->opt.trace_file = (char *)"";
	trace_delete(f->t, "a:1", 7, span_of("t:x"));
	f->opt.trace_file = f->path;
	trace_flush(f->t);
	assert_file_is(f, "");
}

static void
what_cannot_be_written_is_counted(void **state)
{
	struct fixture *f = *state;

	f->opt.trace_file = (char *)"/nonexistent/trace";
	trace_delete(f->t, "a:1", 7, span_of("t:x"));
	trace_flush(f->t);
	assert_int_equal(metric_get(&f->metrics.router_trace_lost), 1);
	f->opt.trace_file = f->path;
	trace_delete(f->t, "a:1", 8, span_of("t:y"));
	trace_flush(f->t);
	assert_file_is(f, "1234567 a:1 8 t:y\n");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(keys_with_the_prefix_leave_a_line_each),
	    TEST(without_a_file_nothing_is_kept),
	    TEST(what_cannot_be_written_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
