#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/binary.h"
#include "cache-server/proto/test/talk.h"
#include "cache-server/proto/udp.h"

static int
setup(void **state)
{
	struct talk *f = malloc(sizeof *f);

	talk_begin(f, NULL);
	f->limits.binary = true;
	f->limits.max_requests = 3;
	talk_reconnect(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	talk_end(*state);
	free(*state);
	return 0;
}

static void
header_is_read_and_written(void **state)
{
	static const char datagram[] = "\x12\x34\0\0\0\1\0\0get a\r\n";
	struct udp_header h;
	struct span data;
	char back[UDP_HEADER];

	assert_true(udp_header_read(SPAN_LIT(datagram), &h, &data));
	assert_int_equal(h.request, 0x1234);
	assert_true(span_is(data, "get a\r\n"));
	udp_header_write(&h, back);
	assert_memory_equal(back, datagram, UDP_HEADER);
}

static void
only_whole_requests_of_one_datagram_are_taken(void **state)
{
	struct udp_header h;
	struct span data;

	for (size_t len = 0; len <= UDP_HEADER; len++)
		assert_false(udp_header_read(span_make("\0\1\0\0\0\1\0\0", len), &h, &data));
	assert_false(udp_header_read(SPAN_LIT("\0\1\0\0\0\2\0\0get a\r\n"), &h, &data));
	assert_false(udp_header_read(SPAN_LIT("\0\1\0\0\0\0\0\0get a\r\n"), &h, &data));
}

/* Whatever the pieces of a reply are, its datagrams hold it once, in order, each full but the last. */
static void
datagrams_together_are_the_reply(void **state)
{
	static const size_t lengths[] = {1, 1391, 1392, 1393, 2784, 5000, 20000};
	char bytes[20000], back[20000];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
		for (size_t piece = 100; piece < 8000; piece = piece * 3 / 2) {
			struct iovec in[256], out[256];
			size_t len = lengths[l], got = 0;
			int n = 0;

			for (size_t at = 0; at < len; at += piece)
				in[n++] = (struct iovec){bytes + at, len - at < piece ? len - at : piece};
			for (unsigned s = 0; s < udp_datagrams(len); s++) {
				size_t sum, want = len - got < UDP_MAX_DATA ? len - got : UDP_MAX_DATA;
				int k = udp_slice(in, n, s, out, 256, &sum);

				assert_int_equal(sum, want);
				for (int i = 0; i < k; i++) {
					memcpy(back + got, out[i].iov_base, out[i].iov_len);
					got += out[i].iov_len;
				}
			}
			assert_int_equal(got, len);
			assert_memory_equal(back, bytes, len);
		}
	}
	assert_int_equal(udp_datagrams(0), 0);
}

static bool
feed(struct talk *f, struct span data)
{
	bool fine;

	talk_reconnect(f);
	talk_clear(f);
	fine = udp_feed(&f->session, data);
	talk_collect(f, SIZE_MAX);
	return fine;
}

static void
text_and_binary_are_answered(void **state)
{
	struct talk *f = *state;

	assert_true(feed(f, SPAN_LIT("set a 0 0 3\r\none\r\n")));
	assert_string_equal(buf_str(&f->replies), "STORED\r\n");
	assert_true(feed(f, SPAN_LIT("get a\r\nget b\r\nget a\r\nget b\r\nget b\r\n")));
	assert_string_equal(
	    buf_str(&f->replies),
	    "VALUE a 0 3\r\none\r\nEND\r\nEND\r\nVALUE a 0 3\r\none\r\nEND\r\nEND\r\nEND\r\n");
	assert_true(feed(f, span_make("\x80\x0a\0\0\0\0\0\0\0\0\0\0abcd\0\0\0\0\0\0\0\0", 24)));
	assert_int_equal(f->replies.len, 24);
	assert_memory_equal(f->replies.p + 12, "abcd", 4);
	assert_true(feed(f, SPAN_LIT("quit\r\n")));
}

static void
a_request_that_is_not_whole_says_nothing(void **state)
{
	struct talk *f = *state;

	assert_false(feed(f, SPAN_LIT("get a")));
	assert_false(feed(f, SPAN_LIT("set a 0 0 10\r\none")));
	assert_false(feed(f, SPAN_LIT("set a 0 0 100000\r\none")));
	assert_false(feed(
	    f, span_make("\x80\x01\0\1\x08\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0a", 33)));
	assert_int_equal(f->replies.len, 0);
}

/* So that a short question cannot make us send much to somebody who did not ask. */
static void
a_reply_that_is_too_long_becomes_an_error(void **state)
{
	struct talk *f = *state;
	size_t len = 200000;
	char *value = malloc(len);
	struct binary_header h;

	memset(value, 'x', len);
	talk_say(f, "set big 0 0 200000\r\n", 20);
	talk_say(f, value, len);
	talk_say(f, "\r\n", 2);
	assert_string_equal(buf_str(&f->replies), "STORED\r\n");
	assert_false(feed(f, SPAN_LIT("get big\r\n")));
	assert_string_equal(buf_str(&f->replies), "SERVER_ERROR reply too long for UDP, ask over TCP\r\n");
	assert_false(feed(f, span_make("\x80\x00\0\3\0\0\0\0\0\0\0\3abcd\0\0\0\0\0\0\0\0big", 27)));
	binary_header_read(f->replies.p, &h);
	assert_int_equal(h.status, BINARY_E2BIG);
	assert_memory_equal(&h.opaque, "abcd", 4);
	f->limits.max_pending = 1000;
	assert_false(feed(f, SPAN_LIT("get big\r\nget big\r\n")));
	assert_string_equal(buf_str(&f->replies), "SERVER_ERROR reply too long for UDP, ask over TCP\r\n");
	free(value);
}

static void
watchers_are_refused(void **state)
{
	struct talk *f = *state;

	assert_false(feed(f, SPAN_LIT("watch fetchers\r\n")));
	assert_string_equal(buf_str(&f->replies), "SERVER_ERROR not over UDP, ask over TCP\r\n");
}

static void
an_address_is_sent_so_much_per_second(void **state)
{
	struct udp_guard *g = calloc(1, sizeof *g);

	assert_true(udp_guard_allows(g, 5, 1000, UDP_GUARD_RATE - 10));
	assert_false(udp_guard_allows(g, 5, 1000, 11));
	assert_true(udp_guard_allows(g, 5, 1000, 10));
	assert_true(udp_guard_allows(g, 6, 1000, 1000));
	assert_false(udp_guard_allows(g, 5, 1500, UDP_GUARD_RATE));
	assert_true(udp_guard_allows(g, 5, 1500, UDP_GUARD_RATE / 2));
	assert_true(udp_guard_allows(g, 5, 9000, UDP_GUARD_RATE));
	assert_false(udp_guard_allows(g, 5, 9000, UDP_GUARD_RATE + 1));
	free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(header_is_read_and_written),
	    cmocka_unit_test(only_whole_requests_of_one_datagram_are_taken),
	    cmocka_unit_test(datagrams_together_are_the_reply),
	    cmocka_unit_test_setup_teardown(text_and_binary_are_answered, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_request_that_is_not_whole_says_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_reply_that_is_too_long_becomes_an_error, setup, teardown),
	    cmocka_unit_test_setup_teardown(watchers_are_refused, setup, teardown),
	    cmocka_unit_test(an_address_is_sent_so_much_per_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
