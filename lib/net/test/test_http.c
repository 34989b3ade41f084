#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/net/http.h"

static void
requests_get_the_status_that_they_deserve(void **state)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {
	    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
	    {"GET / HTTP/1.0\r\n\r\n", 200},
	    {"GET / HTTP/1.0\n\n", 200},
	    {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200},
	    {"GET http://x/y HTTP/1.1\r\nHost: x\r\n\r\n", 200},
	    {"", 0},
	    {"GET / HTTP/1.1\r\n", 0},
	    {"GET / HTTP/1.1\r\nHost: x\r\n", 0},
	    {"GET / HTTP/1.1\r\n\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	    {"GET /\r\n", 400},
	    {"\r\n", 400},
	    {" / HTTP/1.1\r\n", 400},
	    {"GET x HTTP/1.1\r\n", 400},
	    {"GET http:///x HTTP/1.1\r\n", 400},
	    {"G\"ET / HTTP/1.1\r\n", 400},
	    {"GET / x HTTP/1.1\r\n", 400},
	    {"GET /\x01 HTTP/1.1\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost x\r\n\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost: x:y\r\n\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 413},
	    {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
	    {"GET / HTTP/2.0\r\n", 505},
	    {"GET / HTTP/1.10\r\n", 505},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_request r;
		int status = http_request_parse(span_of(rows[i].text), &r);

		if (status != rows[i].status)
			fail_msg("%d instead of %d for: %s", status, rows[i].status, rows[i].text);
	}
}

static void
a_request_is_taken_apart(void **state)
{
	struct http_request r;

	assert_int_equal(http_request_parse(SPAN_LIT("GET /a/b?k=v&x HTTP/1.1\r\nAccept: */*\r\n"
						     "hOST: \tExample.com:9401 \r\n\r\n"),
					    &r),
			 200);
	assert_true(span_is(r.method, "GET"));
	assert_true(span_is(r.path, "/a/b"));
	assert_true(span_is(r.query, "k=v&x"));
	assert_true(span_is(r.host, "Example.com"));
	assert_int_equal(http_request_parse(SPAN_LIT("GET / HTTP/1.1\r\nHost: [fe80::1]:80\r\n\r\n"), &r),
			 200);
	assert_true(span_is(r.host, "fe80::1"));
	assert_int_equal(r.query.len, 0);
	/* The host in the request line counts more than the header. */
	assert_int_equal(
	    http_request_parse(SPAN_LIT("GET http://evil.example:80/p HTTP/1.1\r\nHost: localhost\r\n\r\n"),
			       &r),
	    200);
	assert_true(span_is(r.host, "evil.example"));
	assert_true(span_is(r.path, "/p"));
}

static void
a_request_that_comes_byte_by_byte_is_whole_only_at_its_end(void **state)
{
	const struct span whole = SPAN_LIT("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
	struct http_request r;

	for (size_t n = 0; n < whole.len; n++)
		assert_int_equal(http_request_parse(span_first(whole, n), &r), 0);
	assert_int_equal(http_request_parse(whole, &r), 200);
}

static void
percent_signs_are_decoded(void **state)
{
	struct buf b = BUF_INIT;

	assert_true(http_decode(SPAN_LIT("a%20b+c%2fD%FF"), &b));
	assert_string_equal(buf_str(&b), "a b c/D\xff");
	buf_clear(&b);
	assert_false(http_decode(SPAN_LIT("%"), &b));
	assert_false(http_decode(SPAN_LIT("%2"), &b));
	assert_false(http_decode(SPAN_LIT("%zz"), &b));
	assert_false(http_decode(SPAN_LIT("%00"), &b));
	buf_fini(&b);
}

static void
an_answer_has_a_head(void **state)
{
	struct buf b = BUF_INIT;

	http_head(&b, 405, "text/plain", 12, "Allow: GET\r\n");
	assert_memory_equal(b.p, "HTTP/1.1 405 Method Not Allowed\r\n", 33);
	assert_non_null(strstr(buf_str(&b), "\r\nContent-Length: 12\r\n"));
	assert_non_null(strstr(buf_str(&b), "\r\nAllow: GET\r\n"));
	assert_non_null(strstr(buf_str(&b), "\r\nConnection: close\r\n\r\n"));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_get_the_status_that_they_deserve),
	    cmocka_unit_test(a_request_is_taken_apart),
	    cmocka_unit_test(a_request_that_comes_byte_by_byte_is_whole_only_at_its_end),
	    cmocka_unit_test(percent_signs_are_decoded),
	    cmocka_unit_test(an_answer_has_a_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
