#include "squeal/binlog/event_format.h"

#include <string.h>

#include "squeal/binlog/test/make_event.h"

static void
a_format_description_in_use_has_the_checksum_of_one_that_is_not(void **state)
{
	struct stream *s = *state;
	struct span ev = make_format(s, "10.11.19-MariaDB-log", BINLOG_CHECKSUM_CRC32);
	char copy[400];

	memcpy(copy, ev.p, ev.len);
	copy[17] |= BINLOG_FLAG_IN_USE;
	assert_true(decode(s, span_make(copy, ev.len)).flags & BINLOG_FLAG_IN_USE);
}

static void
an_old_server_has_no_checksum_field(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev;

	binlog_decoder_start(&s->decoder, span_of("old.000001"), 4, BINLOG_CHECKSUM_UNDEFINED);
	ev = decode(s, make_format(s, "5.1.73-log", BINLOG_CHECKSUM_NONE));
	assert_int_equal(ev.u.format.checksum, BINLOG_CHECKSUM_NONE);
	assert_false(ev.u.format.mariadb);
	assert_true(span_is(ev.u.format.server, "5.1.73-log"));
	ev = decode(s, make_format(s, "5.5.68-MariaDB", BINLOG_CHECKSUM_CRC32));
	assert_int_equal(ev.u.format.checksum, BINLOG_CHECKSUM_CRC32);
}

/* The numbers of MySQL 5.1.5 to 5.1.15 and 5.2.0: 16 was TABLE_MAP and 20 XID. */
static void
numbers_of_a_pre_release_become_those_of_today(void **state)
{
	static const char version[50] = "5.1.5-a_drop5p20";
	struct stream *s = *state;
	struct buf b = BUF_INIT;
	struct binlog_event ev;

	buf_put_le(&b, 4, 2);
	buf_put(&b, version, sizeof(version));
	buf_put_le(&b, 0, 4);
	buf_put_le(&b, BINLOG_HEADER, 1);
	for (unsigned i = 1; i < EVENT_FORMAT_PERMUTED; i++)
		buf_put_le(&b, i == 20 ? 0 : i, 1);
	s->checksums = false;
	binlog_decoder_start(&s->decoder, span_of("old.000001"), 4, BINLOG_CHECKSUM_UNDEFINED);
	decode(s, make_event(s, BINLOG_TYPE_FORMAT_DESCRIPTION, b.p, b.len));
	assert_int_equal(s->decoder.post_len[BINLOG_TYPE_TABLE_MAP], 16);
	assert_int_equal(s->decoder.post_len[BINLOG_TYPE_XID], 0);
	ev = decode(s, make_event(s, 20, "\x2a\0\0\0\0\0\0\0", 8));
	assert_int_equal(ev.kind, BINLOG_XID);
	assert_int_equal(ev.u.xid, 42);
	/* Above them nothing has another number. */
	assert_int_equal(decode(s, make_event(s, BINLOG_TYPE_HEARTBEAT, "old.000001", 10)).kind,
			 BINLOG_HEARTBEAT);
	buf_fini(&b);
}

static void
a_format_description_cut_anywhere_is_a_bad_event(void **state)
{
	struct stream *s = *state;
	struct span whole = make_format(s, "5.1.73-log", BINLOG_CHECKSUM_NONE);
	struct event_format format;
	const char *what;

	for (size_t n = 0; n < 2 + 50 + 4 + 1; n++) {
		struct binlog_event ev = {.body = span_first(span_from(whole, BINLOG_HEADER), n)};

		assert_int_equal(event_format_read(&ev, &format, &what), ERR_BAD_EVENT);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, stream_setup, stream_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_format_description_in_use_has_the_checksum_of_one_that_is_not),
	    T(an_old_server_has_no_checksum_field),
	    T(numbers_of_a_pre_release_become_those_of_today),
	    T(a_format_description_cut_anywhere_is_a_bad_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
