#include <stdio.h>
#include <string.h>

#include "lib/conf/endpoint.h"
#include "lib/core/test/test.h"

static void
each_form_of_an_endpoint_is_taken_in_order(void **state)
{
	static const char *const texts[] = {"db1:3307", "db2:3306", "[::1]:3308", "10.0.0.1:3306",
					    "/run/my.sock"};
	struct endpoints all;

	assert_int_equal(
	    endpoints_parse(SPAN_LIT("db1:3307, db2,[::1]:3308 , 10.0.0.1, /run/my.sock"), 3306, &all, NULL),
	    ERR_OK);
	assert_int_equal(all.n, 5);
	for (size_t i = 0; i < all.n; i++)
		assert_string_equal(endpoint_text(&all.at[i]).text, texts[i]);
	assert_string_equal(all.at[2].host, "::1");
	assert_string_equal(all.at[4].socket, "/run/my.sock");
}

static void
expect_bad(const char *list, const char *text)
{
	struct err_detail why = {0};
	struct endpoints all;

	assert_int_equal(endpoints_parse(span_of(list), 3306, &all, &why), ERR_USAGE);
	if (strstr(why.text, text) == NULL)
		fail_msg("\"%s\" is not in: %s", text, why.text);
}

static void
what_is_no_endpoint_is_named(void **state)
{
	char many[600] = "h";

	expect_bad("", "not an endpoint");
	expect_bad("db1,", "not an endpoint");
	expect_bad("db1,,db2", "not an endpoint");
	expect_bad("db1:0", "\"db1:0\"");
	expect_bad("db1:65536", "\"db1:65536\"");
	expect_bad("db 1", "\"db 1\"");
	expect_bad("::1:3306", "\"::1:3306\"");
	expect_bad("user@db1", "\"user@db1\"");
	expect_bad("db1, db1:3306", "db1:3306 is there twice");
	for (int i = 0; i < ENDPOINTS_MAX; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), ",h%d", i);
	expect_bad(many, "more than 32");
}

static void
a_source_without_a_list_has_one_endpoint(void **state)
{
	char host[] = "db1", socket[] = "/run/my.sock", none[] = "", list[] = "a:1,b";
	struct source_options opt = {.host = host, .port = 3310, .socket = none, .endpoints = none};
	struct endpoints all;

	endpoints_of(&opt, &all);
	assert_int_equal(all.n, 1);
	assert_string_equal(endpoint_text(&all.at[0]).text, "db1:3310");
	opt.socket = socket;
	endpoints_of(&opt, &all);
	assert_string_equal(endpoint_text(&all.at[0]).text, "/run/my.sock");
	opt.endpoints = list;
	endpoints_of(&opt, &all);
	assert_int_equal(all.n, 2);
	assert_string_equal(endpoint_text(&all.at[1]).text, "b:3310");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_form_of_an_endpoint_is_taken_in_order),
	    cmocka_unit_test(what_is_no_endpoint_is_named),
	    cmocka_unit_test(a_source_without_a_list_has_one_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
