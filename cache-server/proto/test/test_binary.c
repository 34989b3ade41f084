#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/binary.h"
#include "cache-server/proto/test/talk.h"

static void
begin(struct talk *f)
{
	talk_begin(f, NULL);
	f->limits.binary = true;
	f->limits.max_requests = 20;
	talk_reconnect(f);
}

static int
setup(void **state)
{
	begin(*state = malloc(sizeof(struct talk)));
	return 0;
}

static int
teardown(void **state)
{
	talk_end(*state);
	free(*state);
	return 0;
}

/* --- packets, built and taken apart ------------------------------------------------------------------------
 */

struct packet {
	uint8_t opcode;
	const char *extras;
	size_t extras_len;
	const char *key, *value;
	uint64_t cas;
	uint32_t opaque;
};

static void
put_packet(struct buf *out, const struct packet *p)
{
	size_t key = p->key ? strlen(p->key) : 0, value = p->value ? strlen(p->value) : 0;
	struct binary_header h = {.magic = BINARY_REQUEST_MAGIC,
				  .opcode = p->opcode,
				  .extras_len = (uint8_t)p->extras_len,
				  .key_len = (uint16_t)key,
				  .body_len = (uint32_t)(p->extras_len + key + value),
				  .opaque = p->opaque,
				  .cas = p->cas};
	char bytes[BINARY_HEADER];

	binary_header_write(&h, bytes);
	buf_put(out, bytes, sizeof bytes);
	buf_put(out, p->extras, p->extras_len);
	buf_put(out, p->key, key);
	buf_put(out, p->value, value);
}

/* Replies as text, so that a table can hold them: "opcode status extras key value", a line for each; the CAS
 * only says whether there is one. */
static void
put_replies(struct buf *out, struct span in)
{
	while (in.len >= BINARY_HEADER) {
		struct binary_header h;
		struct span body;

		binary_header_read(in.p, &h);
		assert_int_equal(h.magic, BINARY_RESPONSE_MAGIC);
		assert_true(in.len >= BINARY_HEADER + (size_t)h.body_len);
		body = span_make(in.p + BINARY_HEADER, h.body_len);
		buf_printf(out, "%02x %u %s", h.opcode, h.status, h.cas ? "cas" : "-");
		if (h.extras_len > 0) {
			buf_printf(out, " x");
			for (unsigned i = 0; i < h.extras_len; i++)
				buf_printf(out, "%02x", (unsigned char)body.p[i]);
		}
		body = span_from(body, h.extras_len);
		if (h.key_len > 0)
			buf_printf(out, " k=%.*s", h.key_len, body.p);
		body = span_from(body, h.key_len);
		if (body.len == 8 && (h.opcode == BINARY_INCREMENT || h.opcode == BINARY_DECREMENT))
			buf_printf(out, " n=%llu", (unsigned long long)binary_get_be(body.p, 8));
		else if (body.len > 0)
			buf_printf(out, " v=%.*s", SPAN_FMT(body));
		buf_printf(out, " #%x\n", h.opaque);
		in = span_from(in, BINARY_HEADER + (size_t)h.body_len);
	}
	assert_int_equal(in.len, 0);
}

static const char *
replies(struct talk *f)
{
	static struct buf text;

	buf_clear(&text);
	put_replies(&text, buf_span(&f->replies));
	talk_clear(f);
	return buf_str(&text);
}

static void
say(struct talk *f, const struct packet *p)
{
	struct buf b = BUF_INIT;

	put_packet(&b, p);
	talk_say(f, b.p, b.len);
	buf_fini(&b);
}

#define X0			       "\0\0\0\0\0\0\0\0"
#define XARITH(delta, initial, expiry) "\0\0\0\0\0\0\0" delta "\0\0\0\0\0\0\0" initial expiry

struct exchange {
	struct packet packet;
	const char *reply;
};

#define EXTRAS(text) .extras = (text), .extras_len = sizeof(text) - 1

static const struct exchange TALKS[] = {
    /* set, get */
    {{BINARY_GET, .key = "a", .opaque = 1}, "00 1 - v=Not found #1\n"},
    {{BINARY_GETQ, .key = "a"}, ""},
    {{BINARY_GETK, .key = "a", .opaque = 7}, "0c 1 - k=a #7\n"},
    {{BINARY_GETKQ, .key = "a"}, ""},
    {{BINARY_SET, EXTRAS("\0\0\0\5\0\0\0\0"), .key = "a", .value = "one", .opaque = 2}, "01 0 cas #2\n"},
    {{BINARY_GET, .key = "a"}, "00 0 cas x00000005 v=one #0\n"},
    {{BINARY_GETQ, .key = "a"}, "09 0 cas x00000005 v=one #0\n"},
    {{BINARY_GETK, .key = "a"}, "0c 0 cas x00000005 k=a v=one #0\n"},
    {{BINARY_GETKQ, .key = "a"}, "0d 0 cas x00000005 k=a v=one #0\n"},
    {{BINARY_SETQ, EXTRAS(X0), .key = "a", .value = ""}, ""},
    {{BINARY_GET, .key = "a"}, "00 0 cas x00000000 #0\n"},
    /* add, replace */
    {{BINARY_ADD, EXTRAS(X0), .key = "a", .value = "x"}, "02 2 - v=Data exists for key. #0\n"},
    {{BINARY_ADDQ, EXTRAS(X0), .key = "a", .value = "x", .opaque = 9}, "12 2 - v=Data exists for key. #9\n"},
    {{BINARY_ADD, EXTRAS(X0), .key = "b", .value = "x"}, "02 0 cas #0\n"},
    {{BINARY_REPLACE, EXTRAS(X0), .key = "c", .value = "x"}, "03 1 - v=Not found #0\n"},
    {{BINARY_REPLACEQ, EXTRAS(X0), .key = "b", .value = "y"}, ""},
    {{BINARY_GET, .key = "b"}, "00 0 cas x00000000 v=y #0\n"},
    /* cas: of set, add and replace */
    {{BINARY_SET, EXTRAS(X0), .key = "b", .value = "z", .cas = 0xffffffffff},
     "01 2 - v=Data exists for key. #0\n"},
    {{BINARY_SET, EXTRAS(X0), .key = "c", .value = "z", .cas = 5}, "01 1 - v=Not found #0\n"},
    {{BINARY_ADD, EXTRAS(X0), .key = "c", .value = "z", .cas = 5}, "02 1 - v=Not found #0\n"},
    /* append, prepend */
    {{BINARY_APPEND, .key = "b", .value = "1"}, "0e 0 cas #0\n"},
    {{BINARY_PREPENDQ, .key = "b", .value = "0"}, ""},
    {{BINARY_GET, .key = "b"}, "00 0 cas x00000000 v=0y1 #0\n"},
    {{BINARY_APPEND, .key = "c", .value = "1"}, "0e 5 - v=Not stored. #0\n"},
    {{BINARY_PREPENDQ, .key = "c", .value = "1"}, "1a 5 - v=Not stored. #0\n"},
    /* delete */
    {{BINARY_DELETE, .key = "b", .cas = 0xffffffffff}, "04 2 - v=Data exists for key. #0\n"},
    {{BINARY_DELETE, .key = "b"}, "04 0 - #0\n"},
    {{BINARY_DELETE, .key = "b"}, "04 1 - v=Not found #0\n"},
    {{BINARY_DELETEQ, .key = "b"}, "14 1 - v=Not found #0\n"},
    {{BINARY_DELETEQ, .key = "a"}, ""},
    /* arithmetic */
    {{BINARY_INCREMENT, EXTRAS(XARITH("\1", "\5", "\377\377\377\377")), .key = "n"},
     "05 1 - v=Not found #0\n"},
    {{BINARY_INCREMENT, EXTRAS(XARITH("\1", "\5", "\0\0\0\0")), .key = "n"}, "05 0 cas n=5 #0\n"},
    {{BINARY_INCREMENT, EXTRAS(XARITH("\1", "\5", "\0\0\0\0")), .key = "n"}, "05 0 cas n=6 #0\n"},
    {{BINARY_DECREMENT, EXTRAS(XARITH("\7", "\5", "\0\0\0\0")), .key = "n"}, "06 0 cas n=0 #0\n"},
    {{BINARY_INCREMENTQ, EXTRAS(XARITH("\3", "\5", "\0\0\0\0")), .key = "n"}, ""},
    {{BINARY_GET, .key = "n"}, "00 0 cas x00000000 v=3 #0\n"},
    {{BINARY_INCREMENT, EXTRAS(XARITH("\1", "\5", "\0\0\0\0")), .key = "n", .cas = 0xffffffffff},
     "05 2 - v=Data exists for key. #0\n"},
    {{BINARY_SETQ, EXTRAS(X0), .key = "w", .value = "word"}, ""},
    {{BINARY_DECREMENTQ, EXTRAS(XARITH("\1", "\5", "\0\0\0\0")), .key = "w"},
     "16 6 - v=Non-numeric server-side value for incr or decr #0\n"},
    /* touch, gat */
    {{BINARY_TOUCH, EXTRAS("\0\0\0\12"), .key = "t"}, "1c 1 - v=Not found #0\n"},
    {{BINARY_TOUCH, EXTRAS("\0\0\0\12"), .key = "w"}, "1c 0 cas x00000000 #0\n"},
    {{BINARY_GAT, EXTRAS("\0\0\0\12"), .key = "w"}, "1d 0 cas x00000000 v=word #0\n"},
    {{BINARY_GATQ, EXTRAS("\0\0\0\12"), .key = "w"}, "1e 0 cas x00000000 v=word #0\n"},
    {{BINARY_GATQ, EXTRAS("\0\0\0\12"), .key = "t"}, ""},
    {{BINARY_GATK, EXTRAS("\0\0\0\12"), .key = "w"}, "23 0 cas x00000000 k=w v=word #0\n"},
    {{BINARY_GATK, EXTRAS("\0\0\0\12"), .key = "t"}, "23 1 - k=t #0\n"},
    {{BINARY_GATKQ, EXTRAS("\0\0\0\12"), .key = "t"}, ""},
    /* the rest */
    {{BINARY_NOOP, .opaque = 0xabcd}, "0a 0 - #abcd\n"},
    {{.opcode = BINARY_VERSION_OP}, "0b 0 - v=1.6.45 #0\n"},
    {{BINARY_VERBOSITY, EXTRAS("\0\0\0\2")}, "1b 0 - #0\n"},
    {{.opcode = BINARY_STAT}, "10 0 - k=pid v=7 #0\n10 0 - k=version v=1.6.45 #0\n10 0 - #0\n"},
    {{BINARY_STAT, .key = "no such"}, "10 1 - v=Not found #0\n"},
    {{BINARY_STAT, .key = "detail dump"},
     "10 0 - k=detailed v=PREFIX foo get 1 hit 1 set 1 del 0\r\nEND\r\n #0\n10 0 - #0\n"},
    /* There is no SASL; unknown commands lose their body and nothing else. */
    {{.opcode = BINARY_SASL_LIST}, "20 129 - v=Unknown command #0\n"},
    {{BINARY_SASL_AUTH, .key = "PLAIN", .value = "secret"}, "21 129 - v=Unknown command #0\n"},
    {{0x7f, EXTRAS("ab"), .key = "key", .value = "value"}, "7f 129 - v=Unknown command #0\n"},
    {{.opcode = BINARY_NOOP}, "0a 0 - #0\n"},
    {{.opcode = BINARY_FLUSH}, "08 0 - #0\n"},
    {{BINARY_GET, .key = "w"}, "00 1 - v=Not found #0\n"},
    {{BINARY_FLUSHQ, EXTRAS("\0\0\0\12")}, ""},
};

enum { NTALKS = sizeof TALKS / sizeof *TALKS };

static void
each_packet_has_its_reply(void **state)
{
	struct talk *f = *state;

	for (size_t i = 0; i < NTALKS; i++) {
		const char *got;

		say(f, &TALKS[i].packet);
		got = replies(f);
		if (strcmp(got, TALKS[i].reply) != 0)
			fail_msg("packet %zu (opcode %02x): \"%s\" instead of \"%s\"", i,
				 TALKS[i].packet.opcode, got, TALKS[i].reply);
		assert_false(f->closed);
	}
}

/* A whole conversation, cut into pieces of each size, and at each place. */
static void
where_packets_are_cut_makes_no_difference(void **state)
{
	struct buf in = BUF_INIT, whole = BUF_INIT;

	for (size_t i = 0; i < NTALKS; i++) {
		put_packet(&in, &TALKS[i].packet);
		buf_put_str(&whole, TALKS[i].reply);
	}
	for (size_t piece = 1; piece <= in.len; piece += piece < 64 ? 1 : 97) {
		struct talk f;

		begin(&f);
		for (size_t at = 0; at < in.len; at += piece)
			talk_say(&f, in.p + at, piece < in.len - at ? piece : in.len - at);
		assert_string_equal(replies(&f), buf_str(&whole));
		talk_end(&f);
	}
	for (size_t cut = 0; cut <= in.len; cut += 3) {
		struct talk f;

		begin(&f);
		if (cut > 0)
			talk_say(&f, in.p, cut);
		if (cut < in.len)
			talk_say(&f, in.p + cut, in.len - cut);
		assert_string_equal(replies(&f), buf_str(&whole));
		talk_end(&f);
	}
	buf_fini(&in);
	buf_fini(&whole);
}

static void
a_packet_whose_lengths_cannot_be_closes_the_connection(void **state)
{
	static const struct exchange bad[] = {
	    {{.opcode = BINARY_GET}, "00 4 - v=Invalid arguments #0\n"},
	    {{BINARY_GET, .key = "a", .value = "x"}, "00 4 - v=Invalid arguments #0\n"},
	    {{BINARY_GET, EXTRAS("abcd"), .key = "a"}, "00 4 - v=Invalid arguments #0\n"},
	    {{BINARY_SET, .key = "a", .value = "x"}, "01 4 - v=Invalid arguments #0\n"},
	    {{BINARY_SET, EXTRAS(X0), .value = "x"}, "01 4 - v=Invalid arguments #0\n"},
	    {{BINARY_SETQ, .key = "a"}, "11 4 - v=Invalid arguments #0\n"},
	    {{BINARY_APPEND, EXTRAS(X0), .key = "a"}, "0e 4 - v=Invalid arguments #0\n"},
	    {{.opcode = BINARY_DELETE}, "04 4 - v=Invalid arguments #0\n"},
	    {{BINARY_INCREMENT, EXTRAS(X0), .key = "a"}, "05 4 - v=Invalid arguments #0\n"},
	    {{BINARY_NOOP, .key = "a"}, "0a 4 - v=Invalid arguments #0\n"},
	    {{BINARY_VERSION_OP, .value = "a"}, "0b 4 - v=Invalid arguments #0\n"},
	    {{BINARY_FLUSH, EXTRAS("ab")}, "08 4 - v=Invalid arguments #0\n"},
	    {{BINARY_STAT, EXTRAS("ab")}, "10 4 - v=Invalid arguments #0\n"},
	    {{BINARY_TOUCH, .key = "a"}, "1c 4 - v=Invalid arguments #0\n"},
	    {{BINARY_GATKQ, EXTRAS("abcd")}, "24 4 - v=Invalid arguments #0\n"},
	    {{BINARY_QUIT, .key = "a"}, "07 4 - v=Invalid arguments #0\n"},
	    {{BINARY_SASL_LIST, .key = "a"}, "20 4 - v=Invalid arguments #0\n"},
	};
	struct talk *f = *state;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		say(f, &bad[i].packet);
		assert_string_equal(replies(f), bad[i].reply);
		assert_true(f->closed);
		talk_reconnect(f);
	}
}

/* The header alone says that these are wrong: nothing else is waited for. */
static void
a_wrong_header_is_refused_at_once(void **state)
{
	static const struct {
		struct binary_header h;
		const char *reply;
	} bad[] = {
	    {{0x80, BINARY_GET, 0, 10, 0, 9, 0, 0}, "00 129 - v=Unknown command #0\n"},
	    {{0x80, BINARY_SET, 8, 10, 0, 17, 0, 0}, "01 129 - v=Unknown command #0\n"},
	    {{0x80, BINARY_GET, 0, 251, 0, 251, 0, 0}, "00 4 - v=Invalid arguments #0\n"},
	    {{0x80, BINARY_GETQ, 0, 65535, 0, 65535, 0, 0}, "09 4 - v=Invalid arguments #0\n"},
	    {{0x80, BINARY_SET, 8, 1, 0, (1u << 30) + 1, 0, 0}, "01 4 - v=Invalid arguments #0\n"},
	    {{0x80, 0x7f, 0, 0, 0, UINT32_MAX, 0, 0}, "7f 4 - v=Invalid arguments #0\n"},
	    {{0x81, BINARY_GET, 0, 1, 0, 1, 0, 0}, ""},
	};
	struct talk *f = *state;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char bytes[BINARY_HEADER];

		say(f, &(struct packet){.opcode = BINARY_NOOP});
		talk_clear(f);
		binary_header_write(&bad[i].h, bytes);
		talk_say(f, bytes, sizeof bytes);
		assert_string_equal(replies(f), bad[i].reply);
		assert_true(f->closed);
		talk_reconnect(f);
	}
}

static void
quit_is_answered_and_quitq_is_not(void **state)
{
	struct talk *f = *state;

	say(f, &(struct packet){BINARY_QUIT, .opaque = 3});
	assert_string_equal(replies(f), "07 0 - #3\n");
	assert_true(f->closed);
	talk_reconnect(f);
	say(f, &(struct packet){.opcode = BINARY_QUITQ});
	assert_string_equal(replies(f), "");
	assert_true(f->closed);
}

static char *
text_of(size_t len)
{
	char *text = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i % 23);
	text[len] = '\0';
	return text;
}

/* Values that are longer than a connection's buffer arrive in parts. */
static void
a_long_value_comes_back_as_it_was(void **state)
{
	struct talk *f = *state;
	static const size_t lengths[] = {16300, 16352, 16360, 20000, 70000, 500000};

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		char *value = text_of(lengths[i]);
		struct buf in = BUF_INIT;
		struct binary_header h;

		put_packet(&in, &(struct packet){BINARY_SET, EXTRAS(X0), .key = "long", .value = value});
		put_packet(&in, &(struct packet){.opcode = BINARY_NOOP});
		for (size_t at = 0; at < in.len; at += 9000)
			talk_say(f, in.p + at, in.len - at < 9000 ? in.len - at : 9000);
		assert_string_equal(replies(f), "01 0 cas #0\n0a 0 - #0\n");
		say(f, &(struct packet){BINARY_GET, .key = "long"});
		binary_header_read(f->replies.p, &h);
		assert_int_equal(h.body_len, 4 + lengths[i]);
		assert_memory_equal(f->replies.p + BINARY_HEADER + 4, value, lengths[i]);
		talk_clear(f);
		buf_fini(&in);
		free(value);
	}
}

/* Its body is thrown away, what was there before is gone, and the next request is understood. */
static void
a_value_that_is_too_large_is_refused_and_thrown_away(void **state)
{
	struct talk *f = *state;
	char *value = text_of(1048576);
	struct buf in = BUF_INIT;

	say(f, &(struct packet){BINARY_SETQ, EXTRAS(X0), .key = "big", .value = "small"});
	put_packet(&in, &(struct packet){BINARY_SETQ, EXTRAS(X0), .key = "big", .value = value, .opaque = 4});
	put_packet(&in, &(struct packet){BINARY_GETK, .key = "big"});
	for (size_t at = 0; at < in.len; at += 60000)
		talk_say(f, in.p + at, in.len - at < 60000 ? in.len - at : 60000);
	assert_string_equal(replies(f), "11 3 - v=Too large. #4\n0c 1 - k=big #0\n");
	say(f, &(struct packet){BINARY_APPEND, .key = "x", .value = value});
	assert_string_equal(replies(f), "0e 3 - v=Too large. #0\n");
	buf_fini(&in);
	free(value);
}

static void
cas_of_a_reply_is_good_for_the_next_change(void **state)
{
	struct talk *f = *state;
	struct binary_header h;

	say(f, &(struct packet){BINARY_SET, EXTRAS(X0), .key = "a", .value = "1"});
	binary_header_read(f->replies.p, &h);
	talk_clear(f);
	say(f, &(struct packet){BINARY_REPLACE, EXTRAS(X0), .key = "a", .value = "2", .cas = h.cas});
	assert_string_equal(replies(f), "03 0 cas #0\n");
	say(f, &(struct packet){BINARY_SET, EXTRAS(X0), .key = "a", .value = "3", .cas = h.cas});
	assert_string_equal(replies(f), "01 2 - v=Data exists for key. #0\n");
	say(f, &(struct packet){BINARY_GET, .key = "a"});
	binary_header_read(f->replies.p, &h);
	talk_clear(f);
	say(f, &(struct packet){BINARY_DELETE, .key = "a", .cas = h.cas});
	assert_string_equal(replies(f), "04 0 - #0\n");
}

static void
flush_can_be_forbidden(void **state)
{
	struct talk *f = *state;

	f->limits.no_flush = true;
	say(f, &(struct packet){.opcode = BINARY_FLUSHQ});
	assert_string_equal(replies(f), "18 32 - v=Auth failure. #0\n");
}

static void
detail_can_be_forbidden(void **state)
{
	struct talk *f = *state;

	f->limits.no_dump = true;
	say(f, &(struct packet){BINARY_STAT, .key = "detail dump"});
	assert_string_equal(replies(f), "10 1 - v=Not found #0\n");
}

/* A turn ends after max_requests, and goes on. */
static void
many_requests_take_several_turns(void **state)
{
	struct talk *f = *state;
	struct buf in = BUF_INIT;

	for (int i = 0; i < 100; i++)
		put_packet(&in, &(struct packet){.opcode = BINARY_NOOP});
	f->feeds = 0;
	talk_say(f, in.p, in.len);
	assert_int_equal(f->replies.len, 100 * BINARY_HEADER);
	assert_true(f->feeds >= 5);
	buf_fini(&in);
}

static void
a_slow_reader_stops_the_session(void **state)
{
	struct talk *f = *state;
	char *value = text_of(10000);
	struct buf in = BUF_INIT;
	size_t taken;

	say(f, &(struct packet){BINARY_SETQ, EXTRAS(X0), .key = "a", .value = value});
	for (int i = 0; i < 19; i++)
		put_packet(&in, &(struct packet){BINARY_GET, .key = "a"});
	f->limits.max_pending = 50000;
	taken = session_feed(&f->session, in.p, in.len);
	assert_int_equal(f->session.want, SESSION_DRAIN);
	assert_true(taken < in.len);
	assert_true(out_pending(&f->out) < 50000 + 11000);
	talk_collect(f, SIZE_MAX);
	talk_say(f, in.p + taken, in.len - taken);
	assert_int_equal(f->replies.len, 19 * (BINARY_HEADER + 4 + 10000));
	buf_fini(&in);
	free(value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(each_packet_has_its_reply, setup, teardown),
	    cmocka_unit_test(where_packets_are_cut_makes_no_difference),
	    cmocka_unit_test_setup_teardown(a_packet_whose_lengths_cannot_be_closes_the_connection, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_wrong_header_is_refused_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(quit_is_answered_and_quitq_is_not, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_long_value_comes_back_as_it_was, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_value_that_is_too_large_is_refused_and_thrown_away, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(cas_of_a_reply_is_good_for_the_next_change, setup, teardown),
	    cmocka_unit_test_setup_teardown(flush_can_be_forbidden, setup, teardown),
	    cmocka_unit_test_setup_teardown(detail_can_be_forbidden, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_requests_take_several_turns, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_slow_reader_stops_the_session, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
