#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "lib/conf/topology.h"
#include "lib/core/file.h"

static struct topology *
parse(struct buf *text)
{
	struct topology *t;
	struct err_detail why = {0};

	if (topology_parse(&t, buf_span(text), "sample.yaml", &why) != ERR_OK)
		fail_msg("%s\n%s", why.text, buf_str(text));
	return t;
}

static void
no_change(void *arg, const char *section, const char *name, bool taken)
{
	fail_msg("%s.%s is not its default", section, name);
}

static void
the_sample_is_a_good_file(void **state)
{
	struct buf text = BUF_INIT;
	struct topology *t;

	topology_sample(&text);
	t = parse(&text);
	assert_string_equal(t->log.path, "/var/lib/squeal/log.db");
	assert_int_equal(t->nclusters, 1);
	assert_int_equal(t->clusters[0].nservers, 2);
	topology_destroy(&t);
	buf_fini(&text);
}

/* "  # name: value" → "  name: value" for every line that is a setting and not a sentence. */
static void
uncomment(struct buf *from, struct buf *to)
{
	size_t nsections;
	const struct option_section *sections = topology_sections(&nsections);
	struct span rest = buf_span(from);

	while (rest.len > 0) {
		ptrdiff_t end = span_find(rest, SPAN_LIT("\n"));
		struct span line = span_first(rest, (size_t)end + 1);
		ptrdiff_t hash = span_find(line, SPAN_LIT("# "));
		ptrdiff_t colon = span_find(line, SPAN_LIT(": "));
		bool setting = false;

		rest = span_from(rest, line.len);
		if (hash >= 0 && colon > hash) {
			struct span name = span_from(span_first(line, (size_t)colon), (size_t)hash + 2);

			for (size_t i = 0; i < nsections; i++)
				setting |= option_find(&sections[i], name) != NULL;
			/* "full: an acknowledged record ..." is a sentence; "gate: a key ..." too: no option
			 */
		}
		if (setting) {
			buf_put_span(to, span_first(line, (size_t)hash));
			buf_put_span(to, span_from(line, (size_t)hash + 2));
		} else {
			buf_put_span(to, line);
		}
	}
}

static void
every_commented_line_of_the_sample_is_the_default(void **state)
{
	struct buf text = BUF_INIT, all = BUF_INIT;
	struct topology *sample, *whole;

	topology_sample(&text);
	uncomment(&text, &all);
	assert_true(all.len < text.len);
	sample = parse(&text);
	whole = parse(&all);
	topology_reload(sample, whole, no_change, NULL);
	topology_destroy(&sample);
	topology_destroy(&whole);
	buf_fini(&text);
	buf_fini(&all);
}

static void
every_setting_is_in_the_sample_and_in_the_schema(void **state)
{
	struct buf sample = BUF_INIT, schema = BUF_INIT, word = BUF_INIT;
	size_t nsections;
	const struct option_section *sections = topology_sections(&nsections);

	topology_sample(&sample);
	topology_json_schema(&schema);
	assert_int_equal(nsections, TOPOLOGY_NSECTIONS);
	for (size_t i = 0; i < nsections; i++) {
		for (size_t j = 0; j < sections[i].nrows; j++) {
			buf_clear(&word);
			buf_printf(&word, "%s: ", sections[i].rows[j].name);
			assert_non_null(strstr(buf_str(&sample), buf_str(&word)));
			buf_clear(&word);
			buf_printf(&word, "\"%s\": {", sections[i].rows[j].name);
			assert_non_null(strstr(buf_str(&schema), buf_str(&word)));
		}
	}
	buf_fini(&word);
	buf_fini(&sample);
	buf_fini(&schema);
}

static void
the_schema_in_the_repository_is_what_the_tables_say(void **state)
{
	struct buf made = BUF_INIT, kept = BUF_INIT;
	struct err_detail why = {0};

	topology_json_schema(&made);
	if (file_read("schemas/squeal.yaml.schema.json", 1 << 20, &kept, &why) != ERR_OK)
		fail_msg("%s (the tests run in the root of the project)", why.text);
	if (!span_eq(buf_span(&made), buf_span(&kept)))
		fail_msg("schemas/squeal.yaml.schema.json is older than the tables: run make docs");
	buf_fini(&made);
	buf_fini(&kept);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_sample_is_a_good_file),
	    cmocka_unit_test(every_commented_line_of_the_sample_is_the_default),
	    cmocka_unit_test(every_setting_is_in_the_sample_and_in_the_schema),
	    cmocka_unit_test(the_schema_in_the_repository_is_what_the_tables_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
