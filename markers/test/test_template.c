#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "markers/template.h"

/* Mistakes are in markers/test/rules/bad.*.yaml. */

/* The whole template with one value for every column; "NULL" where it stays NULL. */
static const char *
expand(const char *text, const char *value, struct buf *out)
{
	struct arena arena = ARENA_INIT;
	struct err_detail why = {0};
	struct template t;
	struct template_out o;
	bool null = false;

	if (template_parse(&t, span_of(text), &arena, &why) != ERR_OK)
		fail_msg("%s: %s", text, why.text);
	template_out_clear(&o);
	for (size_t i = 0; i < t.n; i++) {
		if (t.parts[i].source == TEMPLATE_LITERAL)
			template_out_put(&o, t.parts[i].text);
		else if (!template_out_value(&o, &t.parts[i], span_of(value != NULL ? value : ""),
					     value == NULL))
			null = true;
	}
	buf_clear(out);
	if (null)
		buf_put_str(out, "NULL");
	else
		buf_put(out, o.bytes, o.len);
	if (o.too_long)
		buf_put_str(out, "...");
	arena_fini(&arena);
	return buf_str(out);
}

static void
values_go_through_their_steps_from_left_to_right(void **state)
{
	static const struct {
		const char *text, *value, *key;
	} rows[] = {
	    {"plain", "v", "plain"},
	    {"user:{id}", "42", "user:42"},
	    {"{id}{id}", "4", "44"},
	    {"{{{id}}}", "4", "{4}"},
	    {"{{id}}", "4", "{id}"},
	    {"}}{{", "4", "}{"},
	    {"{id|lower}", "AbZ-\xc3\x84", "abz-\xc3\x84"},
	    {"{id|upper}", "aBz-\xc3\xa4", "ABZ-\xc3\xa4"},
	    {"{id|hex}", "\x01\xff\x7f", "01ff7f"},
	    {"{id|url}", "a b/c~.-_%\xc3\xa9", "a%20b%2Fc~.-_%25%C3%A9"},
	    {"{id|hex|upper}", "\xab", "AB"},
	    {"{id|upper|hex}", "a", "41"},
	    {"{id|url|lower}", "A/B", "a%2fb"},
	    {"{id|url|url}", " ", "%2520"},
	    {"a{id}b", "", "ab"},
	    {"{id|or:x}", "v", "v"},
	    {"{id|or:x}", "", ""},
	    {"{id|or:x}", NULL, "x"},
	    {"{id|or:}y", NULL, "y"},
	    {"{id|or:x|upper}", NULL, "X"},
	    {"{id|upper|or:x}", NULL, "x"},
	    {"{id|or:x|or:y}", NULL, "x"},
	    {"a:{id}", NULL, "NULL"},
	    {"a:{id|lower|upper|hex|url}", NULL, "NULL"},
	    {"{`odd | na}me``.x`}", "v", "v"},
	};
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *key = expand(rows[i].text, rows[i].value, &out);

		if (strcmp(key, rows[i].key) != 0)
			fail_msg("%s: %s is not %s", rows[i].text, key, rows[i].key);
	}
	buf_fini(&out);
}

static void
sources_and_column_names_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		enum template_source source;
		const char *name;
	} rows[] = {
	    {"{id}", TEMPLATE_ROW, "id"},
	    {"{old.id}", TEMPLATE_OLD, "id"},
	    {"{new.id}", TEMPLATE_NEW, "id"},
	    {"{db}", TEMPLATE_DB, "db"},
	    {"{table}", TEMPLATE_TABLE, "table"},
	    {"{DB}", TEMPLATE_ROW, "DB"},
	    {"{`db`}", TEMPLATE_ROW, "db"},
	    {"{new.db}", TEMPLATE_NEW, "db"},
	    {"{old.`table`}", TEMPLATE_OLD, "table"},
	    {"{old}", TEMPLATE_ROW, "old"},
	    {"{`old.id`}", TEMPLATE_ROW, "old.id"},
	    {"{`a``b`}", TEMPLATE_ROW, "a`b"},
	    {"{na\xc3\xafve}", TEMPLATE_ROW, "na\xc3\xafve"},
	    {"{older}", TEMPLATE_ROW, "older"},
	};
	struct arena arena = ARENA_INIT;
	struct template t;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(template_parse(&t, span_of(rows[i].text), &arena, NULL), ERR_OK);
		assert_int_equal(t.n, 1);
		assert_int_equal(t.parts[0].source, rows[i].source);
		if (!span_is(t.parts[0].text, rows[i].name))
			fail_msg("%s", rows[i].text);
	}
	arena_fini(&arena);
}

static void
a_key_stops_at_250_bytes_whatever_the_value(void **state)
{
	char value[2001];
	struct buf out = BUF_INIT;

	memset(value, 'a', sizeof(value) - 1);
	for (size_t n = 0; n < sizeof(value); n++) {
		static const struct {
			const char *text;
			size_t prefix, factor;
		} rows[] = {{"{v}", 0, 1}, {"k:{v}", 2, 1}, {"{v|hex}", 0, 2}, {"x{v|lower|hex|url}", 1, 2}};
		char end = value[n];

		if (n > 260 && n % 97 != 0)
			continue;
		value[n] = '\0';
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			size_t len = rows[i].prefix + n * rows[i].factor;
			const char *key = expand(rows[i].text, value, &out);

			if (len <= KEY_MAX)
				assert_int_equal(strlen(key), len);
			else
				assert_string_equal(key + strlen(key) - 3, "...");
		}
		value[n] = end;
	}
	buf_fini(&out);
}

/* Random bytes: lower and upper keep the length, do nothing twice, and touch ASCII letters only. */
static void
lower_and_upper_are_what_the_c_library_says_for_ascii(void **state)
{
	struct template_step low = {.verb = TEMPLATE_LOWER}, up = {.verb = TEMPLATE_UPPER};
	struct template_part lower = {.source = TEMPLATE_ROW, .nsteps = 1, .steps = &low};
	struct template_part upper = {.source = TEMPLATE_ROW, .nsteps = 1, .steps = &up};
	struct template_out a, b;
	unsigned seed = 1;

	for (int round = 0; round < 2000; round++) {
		char value[64];
		size_t n = (size_t)round % sizeof(value);

		for (size_t i = 0; i < n; i++) {
			seed = seed * 1103515245 + 12345;
			value[i] = (char)(seed >> 16);
		}
		template_out_clear(&a);
		template_out_clear(&b);
		assert_true(template_out_value(&a, &lower, span_make(value, n), false));
		assert_true(template_out_value(&b, &upper, span_make(value, n), false));
		assert_int_equal(a.len, n);
		assert_int_equal(b.len, n);
		for (size_t i = 0; i < n; i++) {
			unsigned char c = (unsigned char)value[i];
			bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80;

			assert_int_equal((unsigned char)a.bytes[i], letter ? (c | 0x20) : c);
			assert_int_equal((unsigned char)b.bytes[i], letter ? (c & ~0x20) : c);
		}
	}
}

/* What url makes is always a valid key, and different values stay different. */
static void
every_byte_through_url_or_hex_is_a_valid_key_of_its_own(void **state)
{
	struct template_step step;
	struct template_part part = {.source = TEMPLATE_ROW, .nsteps = 1, .steps = &step};
	struct template_out seen[256];

	for (int verb = TEMPLATE_HEX; verb <= TEMPLATE_URL; verb++) {
		step = (struct template_step){.verb = (enum template_verb)verb};
		for (int c = 0; c < 256; c++) {
			char byte = (char)c;

			template_out_clear(&seen[c]);
			assert_true(template_out_value(&seen[c], &part, span_make(&byte, 1), false));
			assert_int_equal(key_fault(span_make(seen[c].bytes, seen[c].len)), KEY_OK);
			for (int d = 0; d < c; d++)
				assert_false(span_eq(span_make(seen[c].bytes, seen[c].len),
						     span_make(seen[d].bytes, seen[d].len)));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_go_through_their_steps_from_left_to_right),
	    cmocka_unit_test(sources_and_column_names_are_told_apart),
	    cmocka_unit_test(a_key_stops_at_250_bytes_whatever_the_value),
	    cmocka_unit_test(lower_and_upper_are_what_the_c_library_says_for_ascii),
	    cmocka_unit_test(every_byte_through_url_or_hex_is_a_valid_key_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
