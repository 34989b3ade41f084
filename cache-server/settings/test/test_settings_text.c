#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "cache-server/settings/settings_row.h"
#include "lib/core/test/test.h"

static bool
has(struct buf *text, const char *word)
{
	return strcasestr(buf_str(text), word) != NULL;
}

/* memcached's test-suite asks the help what the server can (t/lib/MemcachedTest.pm). */
static void
the_help_tells_memcacheds_tests_what_there_is(void **state)
{
	struct buf help = BUF_INIT;

	settings_help(&help);
	assert_true(has(&help, "unix-socket"));
	assert_true(has(&help, "enable-ssl"));
	assert_true(has(&help, "no_drop_privileges"));
	assert_false(has(&help, "sasl"));
	assert_false(has(&help, "ext_path"));
	assert_false(has(&help, "proxy_config"));
	assert_int_not_equal(strncmp(buf_str(&help), "memcached 1.1.", 14), 0);
	buf_fini(&help);
}

/* `name` without the dashes that roff has a backslash before. */
static void
expect_named(struct buf *help, struct buf *man, const char *name)
{
	struct buf roff = BUF_INIT;

	for (const char *c = name; *c != '\0'; c++) {
		if (*c == '-')
			buf_putc(&roff, '\\');
		buf_putc(&roff, *c);
	}
	if (!has(help, name))
		fail_msg("%s is not in the help", name);
	if (!has(man, buf_str(&roff)) && !has(man, name))
		fail_msg("%s is not in the man page", name);
	buf_fini(&roff);
}

static void
help_and_man_page_name_every_option_but_the_quiet_ones(void **state)
{
	struct buf help = BUF_INIT, man = BUF_INIT;

	settings_help(&help);
	settings_man(&man);
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		const struct settings_row *row = &settings_rows[i];

		if (row->use == SETTINGS_QUIET)
			continue;
		if (row->name != NULL)
			expect_named(&help, &man, row->name);
		else if (row->sub != NULL)
			expect_named(&help, &man, row->sub);
	}
	assert_false(has(&help, "debug_commands"));
	assert_false(has(&help, "--man"));
	buf_fini(&help);
	buf_fini(&man);
}

static void
lines_of_the_help_fit_on_a_screen(void **state)
{
	struct buf help = BUF_INIT;
	struct span rest, line;

	settings_help(&help);
	rest = buf_span(&help);
	while (rest.len > 0) {
		line = span_cut(&rest, '\n');
		if (line.len > 100)
			fail_msg("%zu columns: %.*s", line.len, SPAN_FMT(line));
		for (size_t i = 0; i < line.len; i++)
			assert_true(isprint((unsigned char)line.p[i]));
	}
	buf_fini(&help);
}

/* Every row: a way to write it, no name that another has. */
static void
rows_do_not_contradict_each_other(void **state)
{
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		const struct settings_row *a = &settings_rows[i];

		assert_true(a->letter != 0 || a->name != NULL || a->sub != NULL);
		assert_true(a->min <= a->max);
		assert_non_null(a->help);
		if (a->sub != NULL)
			assert_int_not_equal(strncmp(a->sub, "no_", 3), 0);
		for (size_t j = 0; j < i; j++) {
			const struct settings_row *b = &settings_rows[j];

			assert_true(a->letter == 0 || a->letter != b->letter);
			assert_true(a->name == NULL || b->name == NULL || strcmp(a->name, b->name) != 0);
			assert_true(a->sub == NULL || b->sub == NULL || strcmp(a->sub, b->sub) != 0);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_help_tells_memcacheds_tests_what_there_is),
	    cmocka_unit_test(help_and_man_page_name_every_option_but_the_quiet_ones),
	    cmocka_unit_test(lines_of_the_help_fit_on_a_screen),
	    cmocka_unit_test(rows_do_not_contradict_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
