#include "replay/tape/spool_line.h"

#include "lib/core/test/test.h"

static err_t
parse(struct spool_line *l, const char *text, struct err_detail *why)
{
	err_clear(why);
	return spool_line_parse(l, span_of(text), why);
}

static void
the_first_version_has_host_port_and_request(void **state)
{
	struct spool_line l = {0};
	struct err_detail why = {0};

	(void)state;
	assert_int_equal(
	    parse(&l, "[\"AS1.0\", 1289416829.836, \"C\", [\"10.0.0.1\", 11302, \"delete foo\\r\\n\"]]",
		  &why),
	    ERR_OK);
	assert_int_equal(l.version, 1);
	assert_int_equal(l.at_us, 1289416829836000);
	assert_true(span_is(l.key, "foo") && span_is(l.host, "10.0.0.1:11302") && l.prefix.len == 0);
	assert_int_equal(
	    parse(&l, "[\"AS1.0\",1,\"C\",[\"::1\",1,\"delete  /a/b/k|#|x 0 noreply\\r\\n\"]]", &why),
	    ERR_OK);
	assert_true(span_is(l.key, "k|#|x") && span_is(l.prefix, "/a/b/") && span_is(l.host, "[::1]:1"));
	spool_line_fini(&l);
}

static void
the_second_version_has_an_object(void **state)
{
	struct spool_line l = {0};
	struct err_detail why = {0};

	(void)state;
	assert_int_equal(parse(&l,
			       "[\"AS2.0\", 5.25, \"C\", "
			       "{\"s\":\"svc\",\"f\":\"fl\",\"r\":\"reg\",\"h\":\"[10.0.0.1]:11302\","
			       "\"p\":\"pool\",\"k\":\"/east/c/foo\",\"a\":{\"source\":2}}]",
			       &why),
			 ERR_OK);
	assert_int_equal(l.version, 2);
	assert_int_equal(l.at_us, 5250000);
	assert_true(span_is(l.key, "foo") && span_is(l.prefix, "/east/c/") && span_is(l.pool, "pool"));
	assert_true(spool_line_same_host(l.host, SPAN_LIT("10.0.0.1:11302")));
	assert_false(spool_line_same_host(l.host, SPAN_LIT("10.0.0.1:11303")));
	spool_line_fini(&l);
}

static void
lines_that_are_no_delete_or_were_cut_short_are_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = {
	    "",
	    "[",
	    "{}",
	    "[\"AS3.0\",1,\"C\",[\"h\",1,\"delete k\\r\\n\"]]",
	    "[\"AS1.0\",1,\"X\",[\"h\",1,\"delete k\\r\\n\"]]",
	    "[\"AS1.0\",1,\"C\",[\"h\",1,\"incr k 1\\r\\n\"]]",
	    "[\"AS1.0\",1,\"C\",[\"h\",1,\"delete k\\r\\ndelete j\\r\\n\"]]",
	    "[\"AS1.0\",1,\"C\",[\"h\",1,\"delete\\r\\n\"]]",
	    "[\"AS1.0\",1,\"C\",[\"h\",1,\"delete k what\\r\\n\"]]",
	    "[\"AS1.0\",1,\"C\",[\"h\",1,\"delete k\\r\\n\"]",
	    "[\"AS1.0\",1,\"C\",[\"h\",\"1\",\"delete k\\r\\n\"]]",
	    "[\"AS2.0\",1,\"C\",{\"h\":\"x\"}]",
	    "[\"AS2.0\",1,\"C\",{\"k\":5}]",
	    "[\"AS2.0\",1,\"C\",{\"k\":\"a\"}] more",
	};
	struct spool_line l = {0};
	struct err_detail why = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(&l, bad[i], &why), ERR_BAD_RECORD);
		assert_true(why.text[0] != '\0');
	}
	spool_line_fini(&l);
}

static void
a_routing_prefix_has_two_parts_and_a_key_behind_it(void **state)
{
	(void)state;
	assert_int_equal(spool_line_prefix(SPAN_LIT("/a/b/k")), 5);
	assert_int_equal(spool_line_prefix(SPAN_LIT("/*/*/k/x")), 5);
	assert_int_equal(spool_line_prefix(SPAN_LIT("/a/b/")), 0);
	assert_int_equal(spool_line_prefix(SPAN_LIT("/a/k")), 0);
	assert_int_equal(spool_line_prefix(SPAN_LIT("//b/k")), 0);
	assert_int_equal(spool_line_prefix(SPAN_LIT("/a//k")), 0);
	assert_int_equal(spool_line_prefix(SPAN_LIT("k")), 0);
	assert_int_equal(spool_line_prefix(SPAN_LIT("")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_version_has_host_port_and_request),
	    cmocka_unit_test(the_second_version_has_an_object),
	    cmocka_unit_test(lines_that_are_no_delete_or_were_cut_short_are_refused_with_a_sentence),
	    cmocka_unit_test(a_routing_prefix_has_two_parts_and_a_key_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
