#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/twemproxy.h"

static void
what_stands_in_the_tag_is_hashed_and_else_the_whole_key(void **state)
{
	static const char *const cases[][2] = {
	    {"user:{42}:ids", "42"}, {"{a}{b}", "a"},	 {"{}x", "{}x"},  {"x}y{z", "x}y{z"},
	    {"x}y{z}", "z"},	     {"{open", "{open"}, {"{{a}}", "{a"}, {"plain", "plain"},
	    {"x{}{b}", "x{}{b}"},    {"{", "{"},	 {"}", "}"},	  {"a{b}", "b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span got = twemproxy_tagged(span_of(cases[i][0]), '{', '}');

		if (!span_is(got, cases[i][1]))
			fail_msg("%s gave %.*s", cases[i][0], SPAN_FMT(got));
	}
	assert_int_equal(twemproxy_tagged(span_make(NULL, 0), '{', '}').len, 0);
	/* Both characters may be the same. */
	assert_true(span_is(twemproxy_tagged(span_of("a|bc|d"), '|', '|'), "bc"));
}

static void
server_is(const char *host, unsigned port, const char *name, const char *expected)
{
	struct server_options s = {.host = (char *)host, .port = port};
	struct buf out = BUF_INIT;

	twemproxy_server(&s, name, &out);
	assert_string_equal(buf_str(&out), expected);
	buf_fini(&out);
}

static void
a_server_is_hashed_by_name_or_by_address_without_the_usual_port(void **state)
{
	(void)state;
	server_is("10.0.0.1", 11211, NULL, "10.0.0.1");
	server_is("10.0.0.1", 11211, "", "10.0.0.1");
	server_is("10.0.0.1", 11212, NULL, "10.0.0.1:11212");
	server_is("10.0.0.1", 11212, "server1", "server1");
	server_is("/run/mc.sock", 0, NULL, "/run/mc.sock:");
	server_is("/run/mc.sock", 0, "server2", "server2");
}

static uint64_t
seven(struct span text)
{
	return text.len == 0 ? 1 : 7;
}

static void
nothing_hashes_to_zero(void **state)
{
	(void)state;
	assert_int_equal(twemproxy_hash(seven, span_of("")), 0);
	assert_int_equal(twemproxy_hash(seven, span_of("x")), 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_stands_in_the_tag_is_hashed_and_else_the_whole_key),
	    cmocka_unit_test(a_server_is_hashed_by_name_or_by_address_without_the_usual_port),
	    cmocka_unit_test(nothing_hashes_to_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
