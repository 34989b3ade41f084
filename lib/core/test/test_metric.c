#include "lib/core/metric.h"

#include <string.h>

#include "lib/core/test/test.h"

/* clang-format off */
#define SAMPLE_METRICS(M)                                                                                \
	M(sample_sent,  COUNTER,   "deletes", "deletes sent")                                            \
	M(sample_up,    GAUGE,     "",        "1 while it is up")                                        \
	M(sample_time,  HISTOGRAM, "us",      "time of a delete")
/* clang-format on */

struct sample {
	METRIC_FIELDS(SAMPLE_METRICS)
};

typedef struct sample metric_owner;
static const struct metric_row rows[] = {METRIC_ROWS(SAMPLE_METRICS)};
enum { NROWS = sizeof(rows) / sizeof(rows[0]) };

static struct sample a, b;

static unsigned
count(const char *text, const char *needle)
{
	unsigned n = 0;

	for (const char *at = strstr(text, needle); at != NULL; at = strstr(at + 1, needle))
		n++;
	return n;
}

static void
sets_with_the_same_rows_are_one_family(void **state)
{
	struct metric_registry *r = metric_registry_create();
	struct buf out = BUF_INIT;
	const char *text;

	metric_add(&a.sample_sent, 41);
	metric_inc(&a.sample_sent);
	metric_set(&b.sample_up, 1);
	histogram_record(&b.sample_time, 1500000);
	metric_registry_add(r, rows, NROWS, &a, "server=\"one\"");
	metric_registry_add(r, rows, NROWS, &b, "");
	metric_registry_render(r, &out);
	text = buf_str(&out);
	assert_non_null(strstr(text, "# TYPE squeal_sample_sent_total counter\n"
				     "squeal_sample_sent_total{server=\"one\"} 42\n"
				     "squeal_sample_sent_total 0\n"));
	assert_non_null(strstr(text, "squeal_sample_up 1\n"));
	assert_non_null(strstr(text, "squeal_sample_time_seconds{quantile=\"0.99\"} 1.500000\n"));
	assert_non_null(strstr(text, "squeal_sample_time_seconds_sum 1.500000\n"));
	assert_non_null(strstr(text, "squeal_sample_time_seconds_count{server=\"one\"} 0\n"));
	assert_int_equal(count(text, "# TYPE "), NROWS);
	buf_fini(&out);
	metric_registry_destroy(&r);
}

static void
a_set_that_was_removed_is_not_shown(void **state)
{
	struct metric_registry *r = metric_registry_create();
	struct buf out = BUF_INIT;

	metric_registry_add(r, rows, NROWS, &a, "x=\"1\"");
	metric_registry_remove(r, &a);
	metric_registry_remove(r, &a);
	metric_registry_render(r, &out);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
	metric_registry_destroy(&r);
}

static void
the_docs_table_has_a_line_per_row(void **state)
{
	struct buf out = BUF_INIT;

	metric_markdown(rows, NROWS, "Sample", &out);
	assert_non_null(
	    strstr(buf_str(&out), "| `squeal_sample_sent_total` | counter | deletes | deletes sent |\n"));
	assert_non_null(strstr(buf_str(&out), "| `squeal_sample_time_seconds` | summary | seconds |"));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sets_with_the_same_rows_are_one_family),
	    cmocka_unit_test(a_set_that_was_removed_is_not_shown),
	    cmocka_unit_test(the_docs_table_has_a_line_per_row),
	};

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
