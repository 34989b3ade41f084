#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "lib/net/address.h"

static void
good_addresses_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *host, *path;
		unsigned port;
	} rows[] = {
	    {"127.0.0.1:11211", "127.0.0.1", "", 11211},
	    {"[::1]:80", "::1", "", 80},
	    {"cache-1.example.com:0", "cache-1.example.com", "", 0},
	    {"under_score:65535", "under_score", "", 65535},
	    {"/run/memcached.sock", "", "/run/memcached.sock", 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address a;
		struct err_detail why = {0};

		assert_int_equal(address_parse(&a, span_of(rows[i].text), &why), ERR_OK);
		assert_string_equal(a.host, rows[i].host);
		assert_string_equal(a.path, rows[i].path);
		assert_int_equal(a.port, rows[i].port);
	}
}

static void
bad_addresses_are_refused_with_the_reason(void **state)
{
	static const struct {
		const char *text, *reason;
	} rows[] = {
	    {"", "empty"},
	    {"localhost", "port is missing"},
	    {"localhost:", "port is not a number"},
	    {"localhost:http", "port is not a number"},
	    {"localhost:65536", "port is not a number"},
	    {"localhost:000080", "port is not a number"},
	    {":80", "host is missing"},
	    {"a b:80", "byte that hosts cannot have"},
	    {"::1:80", "needs brackets"},
	    {"[127.0.0.1]:80", "not an IPv6 address"},
	    {"[::1:80", "needs brackets"},
	    {"[]:80", "not an IPv6 address"},
	    {"http://x:80", "needs brackets"},
	};
	char path[200];
	struct address a;
	struct err_detail why = {0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err_clear(&why);
		assert_int_equal(address_parse(&a, span_of(rows[i].text), &why), ERR_CONFIG);
		if (strstr(why.text, rows[i].reason) == NULL)
			fail_msg("\"%s\" says: %s", rows[i].text, why.text);
		assert_non_null(strstr(why.text, "write host:port"));
	}
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	assert_int_equal(address_parse(&a, span_make(path, 108), NULL), ERR_CONFIG);
	assert_int_equal(address_parse(&a, span_make(path, 107), NULL), ERR_OK);
	assert_int_equal(address_parse(&a, span_make("a\0b:1", 5), NULL), ERR_CONFIG);
}

static void
only_names_need_to_be_resolved(void **state)
{
	struct address a;
	struct address_raw raw;

	assert_int_equal(address_parse(&a, SPAN_LIT("10.1.2.3:11211"), NULL), ERR_OK);
	assert_true(address_raw(&a, &raw));
	assert_int_equal(raw.u.any.sa_family, AF_INET);
	assert_int_equal(((struct sockaddr_in *)&raw.u)->sin_port, htons(11211));
	assert_int_equal(address_parse(&a, SPAN_LIT("[2001:db8::7]:1"), NULL), ERR_OK);
	assert_true(address_raw(&a, &raw));
	assert_int_equal(raw.u.any.sa_family, AF_INET6);
	assert_int_equal(address_parse(&a, SPAN_LIT("/s"), NULL), ERR_OK);
	assert_true(address_raw(&a, &raw));
	assert_int_equal(raw.u.any.sa_family, AF_UNIX);
	assert_int_equal(address_parse(&a, SPAN_LIT("localhost:1"), NULL), ERR_OK);
	assert_false(address_raw(&a, &raw));
}

static void
wildcards_are_recognised(void **state)
{
	static const char *const wild[] = {"0.0.0.0:1", "[::]:1", "[0:0::0]:1"};
	static const char *const tame[] = {"127.0.0.1:1", "[::1]:1", "x:1", "/s"};
	struct address a;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(address_parse(&a, span_of(wild[i]), NULL), ERR_OK);
		assert_true(address_is_wildcard(&a));
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(address_parse(&a, span_of(tame[i]), NULL), ERR_OK);
		assert_false(address_is_wildcard(&a));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_addresses_are_taken_apart),
	    cmocka_unit_test(bad_addresses_are_refused_with_the_reason),
	    cmocka_unit_test(only_names_need_to_be_resolved),
	    cmocka_unit_test(wildcards_are_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
