#include <stdio.h>
#include <string.h>

#include "cache-server/settings/listen.h"
#include "lib/core/test/test.h"

static const struct listen_defaults plain = {.port = 11211};
static const struct listen_defaults tls = {.port = 11211, .tls = true};

static void
expect(const char *list, const struct listen_defaults *d, const char *text)
{
	struct listen_list out = {.n = 0};
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	if (listen_parse(span_of(list), d, &out, &why) != ERR_OK)
		fail_msg("%s: %s", list, why.text);
	for (size_t i = 0; i < out.n; i++) {
		if (i > 0)
			buf_putc(&b, ' ');
		listen_print(&out.at[i], &b);
	}
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

static void
expect_bad(const char *list, const struct listen_defaults *d, const char *text)
{
	struct listen_list out = {.n = 0};
	struct err_detail why = {0};

	assert_int_equal(listen_parse(span_of(list), d, &out, &why), ERR_USAGE);
	if (strstr(why.text, text) == NULL)
		fail_msg("\"%s\" is not in: %s", text, why.text);
}

static void
each_form_of_an_address_is_taken(void **state)
{
	expect("127.0.0.1", &plain, "127.0.0.1:11211");
	expect("127.0.0.1:11212,10.0.0.1;localhost:5", &plain, "127.0.0.1:11212 10.0.0.1:11211 localhost:5");
	expect("::1, [::1]:11212, [fe80::1]", &plain, "[::1]:11211 [::1]:11212 [fe80::1]:11211");
	expect("fe80::1%eth0", &plain, "[fe80::1%eth0]:11211");
	expect("*", &plain, "*:11211");
	expect("*:7", &plain, "*:7");
	expect("h:0", &plain, "h:0");
	expect("", &plain, "");
	expect(",,127.0.0.1,", &plain, "127.0.0.1:11211");
}

static void
an_address_that_is_there_already_is_left_out(void **state)
{
	expect("127.0.0.1,127.0.0.1:11211,127.0.0.1:11212", &plain, "127.0.0.1:11211 127.0.0.1:11212");
}

static void
words_before_the_address_say_tls_protocol_and_tag(void **state)
{
	struct listen_list l = {.n = 0};

	assert_int_equal(
	    listen_parse(SPAN_LIT("notls:127.0.0.1:1,btls:proto[binary]:10.0.0.1:2,"
				  "mtls:proto[ascii]:tag[web]:[::1]:3,proto[negotiating]:tag_tools_:h"),
			 &tls, &l, NULL),
	    ERR_OK);
	assert_int_equal(l.n, 4);
	assert_int_equal(l.at[0].tls, LISTEN_PLAIN);
	assert_int_equal(l.at[0].protocol, LISTEN_AUTO);
	assert_string_equal(l.at[0].tag, "");
	assert_int_equal(l.at[1].tls, LISTEN_TLS_BASIC);
	assert_int_equal(l.at[1].protocol, LISTEN_BINARY);
	assert_int_equal(l.at[2].tls, LISTEN_TLS_PEER);
	assert_int_equal(l.at[2].protocol, LISTEN_ASCII);
	assert_string_equal(l.at[2].tag, "web");
	assert_string_equal(l.at[2].host, "::1");
	assert_true(l.at[2].port_given);
	assert_int_equal(l.at[3].tls, LISTEN_TLS);
	assert_string_equal(l.at[3].tag, "tools");
	assert_string_equal(l.at[3].host, "h");
	assert_false(l.at[3].port_given);
}

static void
with_passwords_a_listener_is_ascii_or_refused(void **state)
{
	struct listen_defaults d = {.port = 1, .auth = true, .protocol = LISTEN_ASCII};
	struct listen_list l = {.n = 0};

	assert_int_equal(listen_parse(SPAN_LIT("proto[negotiating]:h"), &d, &l, NULL), ERR_OK);
	assert_int_equal(l.at[0].protocol, LISTEN_ASCII);
	expect_bad("proto[binary]:h", &d, "cannot authenticate");
}

static void
a_host_may_begin_like_one_of_the_words(void **state)
{
	expect("tagesschau", &plain, "tagesschau:11211");
	expect("protocol.example", &plain, "protocol.example:11211");
	expect("notls", &plain, "notls:11211");
}

static void
what_is_no_address_is_named(void **state)
{
	char many[1200] = "h";

	expect_bad("127.0.0.1:http", &plain, "\"http\" is no port");
	expect_bad("127.0.0.1:65536", &plain, "\"65536\" is no port");
	expect_bad("127.0.0.1:", &plain, "\"\" is no port");
	expect_bad("[::1", &plain, "has no \"]\"");
	expect_bad("[::1]11211", &plain, "behind \"]\"");
	expect_bad("[h]:1", &plain, "\"h\" is no address");
	expect_bad("1:2:x", &plain, "\"1:2:x\" is no address");
	expect_bad("a b", &plain, "\"a b\" is no address");
	expect_bad("a\x01", &plain, "is no address");
	expect_bad("*x", &plain, "is no address");
	expect_bad("notls:h", &plain, "add -Z");
	expect_bad("proto[ascii:h", &plain, "needs a ]");
	expect_bad("proto[http]:h", &plain, "ascii, binary or negotiating");
	expect_bad("tag[]:h", &plain, "1 to 8 characters");
	expect_bad("tag[123456789]:h", &plain, "1 to 8 characters");
	expect_bad("tag[a b]:h", &plain, "printable");
	for (int i = 0; i < LISTEN_MAX; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), ",h%d", i);
	expect_bad(many, &plain, "more than 32");
}

static void
a_very_long_host_is_refused(void **state)
{
	char host[400];

	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	expect_bad(host, &plain, "is no address");
}

static void
local_is_what_only_this_machine_reaches(void **state)
{
	static const char *const local[] = {
	    "127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST", "ip6-localhost", "::ffff:127.0.0.1"};
	static const char *const open[] = {"",
					   "0.0.0.0",
					   "::",
					   "10.0.0.1",
					   "::ffff:10.0.0.1",
					   "128.0.0.1",
					   "fe80::1",
					   "127.1",
					   "localhost.example.com",
					   "127.0.0.1.example.com",
					   "1.0.0.127"};

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		if (!listen_is_local(span_of(local[i])))
			fail_msg("%s is local", local[i]);
	}
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		if (listen_is_local(span_of(open[i])))
			fail_msg("%s is not local", open[i]);
	}
}

static void
without_a_list_both_loopback_addresses_are_bound(void **state)
{
	struct listen_list l = {.n = 0};
	struct buf b = BUF_INIT;

	listen_loopback(&tls, &l);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.at[1].tls, LISTEN_TLS);
	listen_print(&l.at[0], &b);
	listen_print(&l.at[1], &b);
	assert_string_equal(buf_str(&b), "127.0.0.1:11211[::1]:11211");
	assert_true(listen_is_local(span_of(l.at[0].host)) && listen_is_local(span_of(l.at[1].host)));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_form_of_an_address_is_taken),
	    cmocka_unit_test(an_address_that_is_there_already_is_left_out),
	    cmocka_unit_test(words_before_the_address_say_tls_protocol_and_tag),
	    cmocka_unit_test(with_passwords_a_listener_is_ascii_or_refused),
	    cmocka_unit_test(a_host_may_begin_like_one_of_the_words),
	    cmocka_unit_test(what_is_no_address_is_named),
	    cmocka_unit_test(a_very_long_host_is_refused),
	    cmocka_unit_test(local_is_what_only_this_machine_reaches),
	    cmocka_unit_test(without_a_list_both_loopback_addresses_are_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
