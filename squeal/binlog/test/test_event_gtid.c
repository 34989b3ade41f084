#include "squeal/binlog/event_gtid.h"

#include <string.h>

#include "squeal/binlog/test/make_event.h"

static void
a_mariadb_gtid_takes_its_server_from_the_header(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev = decode(s, make_gtid(s, 4711, BINLOG_GTID_TRANSACTIONAL));

	assert_int_equal(ev.u.gtid.id.kind, GTID_MARIADB);
	assert_int_equal(ev.u.gtid.id.server, 1);
	assert_int_equal(ev.u.gtid.id.seq, 4711);
	assert_int_equal(ev.u.gtid.flags, BINLOG_GTID_TRANSACTIONAL);
}

static void
a_mysql_gtid_gives_the_commit_time_in_microseconds(void **state)
{
	struct stream *s = *state;
	struct buf b = BUF_INIT;
	struct binlog_event ev;
	uint64_t original = UINT64_C(1700000000123456);

	buf_put_le(&b, 1, 1);
	buf_put(&b, "0123456789abcdef", 16);
	buf_put_le(&b, 23, 8);
	buf_put_le(&b, 2, 1);
	buf_put_le(&b, 0, 16 - 8);
	buf_put_le(&b, 0, 8);
	buf_put_le(&b, (original + 9) | UINT64_C(1) << 55, 7);
	buf_put_le(&b, original, 7);
	ev = decode(s, make_event(s, BINLOG_TYPE_GTID, b.p, b.len));
	assert_int_equal(ev.u.gtid.id.kind, GTID_MYSQL);
	assert_int_equal(ev.u.gtid.id.seq, 23);
	assert_int_equal(ev.u.gtid.commit_us, original + 9);
	assert_int_equal(ev.u.gtid.original_us, original);
	buf_fini(&b);
}

/* As MySQL 8.4 wrote it. */
static const char tagged[] =
    "\x02\x78\x00\x00\x00\x02\xaa\xee\x25\x02\x08\x04\x65\x02\x22\xc5\x03\xc5\x02\xe1\x02\x9c\xc1"
    "\x03\x11\x03\x55\x02\xde\xad\x03\x04\x0c\x06\x0a"
    "mytag\x08\x00\x0a\x04\x0c\x7f\x1c\xf3\xb8\x14\x24\x4a\x06\x10\xa1\x04\x12\x43\x0f\x0b";

static void
a_tagged_gtid_is_taken_apart(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev =
	    decode(s, make_event(s, BINLOG_TYPE_GTID_TAGGED, tagged, sizeof(tagged) - 1));
	struct buf text = BUF_INIT;
	struct err_detail why;
	char copy[sizeof(tagged)];

	gtid_format(&ev.u.gtid.id, &text);
	assert_string_equal(buf_str(&text), "55778904-0299-11f1-b1b8-4ef0c4956feb:mytag:3");
	assert_int_equal(ev.u.gtid.commit_us, UINT64_C(1770368687207196));
	assert_int_equal(ev.u.gtid.original_us, UINT64_C(1770368687207196));
	for (size_t n = 0; n < sizeof(tagged) - 1; n++)
		assert_int_equal(decode_error(s, make_event(s, BINLOG_TYPE_GTID_TAGGED, tagged, n), &why),
				 ERR_BAD_EVENT);
	/* A field that this version does not know and may not ignore. */
	memcpy(copy, tagged, sizeof(tagged));
	copy[2] = 40 << 1;
	assert_int_equal(
	    decode_error(s, make_event(s, BINLOG_TYPE_GTID_TAGGED, copy, sizeof(tagged) - 1), &why),
	    ERR_UNKNOWN_EVENT);
	buf_fini(&text);
}

static void
a_gtid_list_gives_its_ids(void **state)
{
	struct stream *s = *state;
	struct buf b = BUF_INIT;
	struct binlog_event ev;
	struct err_detail why;
	struct gtid g;

	buf_put_le(&b, 2 | UINT32_C(1) << 28, 4);
	buf_put_le(&b, 0, 4);
	buf_put_le(&b, 1, 4);
	buf_put_le(&b, 100, 8);
	buf_put_le(&b, 7, 4);
	buf_put_le(&b, 9, 4);
	buf_put_le(&b, 2, 8);
	ev = decode(s, make_event(s, BINLOG_TYPE_GTID_LIST, b.p, b.len));
	assert_int_equal(ev.u.gtid_list.n, 2);
	assert_int_equal(ev.u.gtid_list.flags, 1);
	g = binlog_gtid_list(&ev, 1);
	assert_int_equal(g.domain, 7);
	assert_int_equal(g.server, 9);
	assert_int_equal(g.seq, 2);
	b.p[0] = 3;
	assert_int_equal(decode_error(s, make_event(s, BINLOG_TYPE_GTID_LIST, b.p, b.len), &why),
			 ERR_BAD_EVENT);
	buf_fini(&b);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, stream_setup, stream_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_mariadb_gtid_takes_its_server_from_the_header),
	    T(a_mysql_gtid_gives_the_commit_time_in_microseconds),
	    T(a_tagged_gtid_is_taken_apart),
	    T(a_gtid_list_gives_its_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
