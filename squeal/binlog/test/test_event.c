#include "squeal/binlog/test/make_event.h"

#include <stdlib.h>
#include <string.h>

static void
a_changed_byte_is_a_checksum_failure_wherever_it_is(void **state)
{
	struct stream *s = *state;
	struct err_detail why;
	struct span ok = make_query(s, "update t set a=1");
	char copy[200];

	for (size_t i = 0; i < ok.len; i++) {
		if (i == 4 || (i >= 9 && i < 13))
			continue; /* type and length have errors of their own */
		memcpy(copy, ok.p, ok.len);
		copy[i] ^= 0x10;
		assert_int_equal(decode_error(s, span_make(copy, ok.len), &why), ERR_CHECKSUM);
	}
	assert_int_equal(metric_get(&s->metrics.binlog_checksum_failure), ok.len - 5);
}

static void
an_event_cut_anywhere_is_an_error_and_never_read_past_its_end(void **state)
{
	struct stream *s = *state;
	struct err_detail why;
	uint8_t types[] = {2,  4,  15, 16, 18, 19,  20,	 24,  29,  31,	33, 35,
			   38, 39, 40, 41, 42, 160, 162, 163, 165, 167, 170};

	s->checksums = false;
	decode(s, make_format(s, "10.11.19-MariaDB-log", BINLOG_CHECKSUM_NONE));
	for (size_t t = 0; t < sizeof(types); t++) {
		for (size_t n = 0; n < 40; n++) {
			char *body = calloc(1, n + 1);
			struct binlog_event ev;
			struct span bytes;
			char *exact;

			memset(body, 0xff, n);
			bytes = make_event(s, types[t], body, n);
			exact = malloc(bytes.len);
			memcpy(exact, bytes.p, bytes.len);
			err_clear(&why);
			if (binlog_decode(&s->decoder, span_make(exact, bytes.len), &ev, &why) != ERR_OK)
				assert_true(why.text[0] != '\0');
			free(exact);
			free(body);
		}
	}
}

static void
a_length_that_does_not_fit_is_a_bad_event(void **state)
{
	struct stream *s = *state;
	struct err_detail why;
	struct span ok = make_query(s, "update t set a=1");

	for (size_t n = 0; n < ok.len; n++)
		assert_int_equal(decode_error(s, span_first(ok, n), &why), ERR_BAD_EVENT);
}

static void
an_event_beyond_the_limit_is_too_long(void **state)
{
	struct stream *s = *state;
	struct err_detail why;

	s->decoder.max_event = 60;
	assert_int_equal(decode_error(s, make_query(s, "update t set a=1, b=2, c=3"), &why), ERR_TOO_LONG);
}

static void
an_unknown_event_stops_unless_its_writer_lets_it_be_ignored(void **state)
{
	struct stream *s = *state;
	struct err_detail why;
	struct binlog_event ev;

	assert_int_equal(decode_error(s, make_event(s, 99, "abc", 3), &why), ERR_UNKNOWN_EVENT);
	assert_non_null(strstr(why.text, "type 99"));
	s->flags = BINLOG_FLAG_IGNORABLE;
	ev = decode(s, make_event(s, 99, "abc", 3));
	assert_int_equal(ev.kind, BINLOG_UNKNOWN);
	assert_int_equal(metric_get(&s->metrics.binlog_ignorable), 1);
	assert_int_equal(metric_get(&s->metrics.binlog_unknown), 1);
}

static void
what_cannot_be_read_yet_says_which_setting_helps(void **state)
{
	struct stream *s = *state;
	static const struct {
		uint8_t type;
		const char *help;
	} rows[] = {{1, "MySQL 4"}, {164, "encrypt_binlog"}};
	struct err_detail why;

	/* Marked as ignorable or not: it holds changes. */
	for (int flags = 0; flags <= BINLOG_FLAG_IGNORABLE; flags += BINLOG_FLAG_IGNORABLE) {
		s->flags = (uint16_t)flags;
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			assert_int_equal(decode_error(s, make_event(s, rows[i].type, "abc", 3), &why),
					 ERR_UNKNOWN_EVENT);
			assert_non_null(strstr(why.text, rows[i].help));
		}
	}
}

static void
a_stream_without_checksums_is_read_after_its_format_description(void **state)
{
	struct stream *s = *state;

	binlog_decoder_start(&s->decoder, (struct span){"", 0}, 0, BINLOG_CHECKSUM_NONE);
	s->checksums = false;
	s->flags = BINLOG_FLAG_ARTIFICIAL;
	assert_true(span_is(decode(s, make_rotate(s, "bin.000009", 4)).file, "bin.000009"));
	s->flags = 0;
	decode(s, make_format(s, "10.11.19-MariaDB-log", BINLOG_CHECKSUM_NONE));
	assert_true(span_is(decode(s, make_query(s, "insert 1")).u.query.sql, "insert 1"));
}

static void
the_rotate_before_anything_else_may_have_a_checksum_or_not(void **state)
{
	struct stream *s = *state;

	s->flags = BINLOG_FLAG_ARTIFICIAL;
	for (int i = 0; i < 2; i++) {
		s->checksums = i == 0;
		binlog_decoder_start(&s->decoder, (struct span){"", 0}, 0, BINLOG_CHECKSUM_UNDEFINED);
		assert_true(span_is(decode(s, make_rotate(s, "bin.000009", 4)).u.rotate.file, "bin.000009"));
	}
}

static void
nothing_is_read_by_guess_before_a_format_description(void **state)
{
	struct stream *s = *state;
	struct err_detail why;

	binlog_decoder_start(&s->decoder, span_of("bin.000001"), 4, BINLOG_CHECKSUM_UNDEFINED);
	assert_int_equal(decode_error(s, make_query(s, "insert 1"), &why), ERR_BAD_EVENT);
}

static void
positions_go_on_beyond_4_gib(void **state)
{
	struct stream *s = *state;

	s->next_pos = 4294967000u;
	assert_int_equal(decode(s, make_query(s, "a")).end, 4294967000u);
	s->next_pos = 500;
	assert_int_equal(decode(s, make_query(s, "a")).end, UINT64_C(4294967296) + 500);
	s->next_pos = 900;
	assert_int_equal(decode(s, make_query(s, "a")).end, UINT64_C(4294967296) + 900);
}

static void
a_zero_position_inside_of_a_transaction_is_counted_on(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev;

	s->next_pos = 1000;
	decode(s, make_gtid(s, 1, 0));
	s->next_pos = 0;
	ev = decode(s, make_query(s, "a"));
	assert_int_equal(ev.end, 1000 + ev.raw.len);
}

static void
made_up_events_do_not_move_the_position(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev;

	s->next_pos = 1000;
	decode(s, make_query(s, "a"));
	s->next_pos = 7777;
	ev = decode(s, make_event(s, BINLOG_TYPE_HEARTBEAT, "bin.000001", 10));
	assert_int_equal(ev.end, 1000);
	assert_int_equal(ev.u.heartbeat.pos, 7777);
	assert_true(span_is(ev.u.heartbeat.file, "bin.000001"));
	s->next_pos = 0;
	assert_int_equal(decode(s, make_format(s, "10.11.19-MariaDB-log", BINLOG_CHECKSUM_CRC32)).end, 1000);
}

/* What MySQL 8.0.26 and later send to who asks for them: fields of a type, a length and a value. */
static void
a_heartbeat_of_the_second_version_has_a_place_of_64_bits(void **state)
{
	static const char body[] = "\x01\x0a"
				   "bin.000001"
				   "\x02\x09\xfe\x00\x00\x00\x00\x02\x00\x00\x00"
				   "\x00";
	struct stream *s = *state;
	struct err_detail why = {0};
	struct binlog_event ev;

	s->next_pos = 1000;
	decode(s, make_query(s, "a"));
	s->next_pos = 0;
	ev = decode(s, make_event(s, BINLOG_TYPE_HEARTBEAT_V2, body, sizeof(body) - 1));
	assert_int_equal(ev.kind, BINLOG_HEARTBEAT);
	assert_int_equal(ev.end, 1000);
	assert_int_equal(ev.u.heartbeat.pos, UINT64_C(0x200000000));
	assert_true(span_is(ev.u.heartbeat.file, "bin.000001"));
	assert_int_equal(
	    binlog_decode(&s->decoder, make_event(s, BINLOG_TYPE_HEARTBEAT_V2, body, 5), &ev, &why),
	    ERR_BAD_EVENT);
}

static void
a_rotate_leads_to_the_next_file(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev = decode(s, make_rotate(s, "bin.000002", 4));

	assert_true(span_is(ev.file, "bin.000002"));
	assert_int_equal(ev.end, 4);
	s->next_pos = 300;
	ev = decode(s, make_query(s, "a"));
	assert_true(span_is(ev.file, "bin.000002"));
	assert_int_equal(ev.end, 300);
}

static void
a_position_in_a_file_is_counted_whatever_events_say(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev;
	uint64_t at;

	binlog_decoder_start(&s->decoder, span_of("relay.000001"), 4, BINLOG_CHECKSUM_UNDEFINED);
	ev = decode(s, make_format(s, "10.11.19-MariaDB-log", BINLOG_CHECKSUM_CRC32));
	at = 4 + ev.raw.len;
	assert_int_equal(ev.end, at);
	s->next_pos = 123456;
	ev = decode(s, make_rotate(s, "master.000007", 99));
	assert_int_equal(ev.end, at + ev.raw.len);
	assert_true(span_is(ev.file, "relay.000001"));
}

static void
a_compressed_statement_is_decompressed(void **state)
{
	struct stream *s = *state;
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	char sql[3000], packed[400] = {(char)0x82, 3000 >> 8, (char)(3000 & 0xff)};
	struct err_detail why;
	struct span ev;
	size_t n;

	memset(sql, 'x', sizeof(sql));
	n = 3 + libdeflate_zlib_compress(c, sql, sizeof(sql), packed + 3, sizeof(packed) - 3);
	assert_true(n > 3);
	assert_true(span_eq(decode(s, make_query_typed(s, BINLOG_TYPE_QUERY_COMPRESSED, (struct span){"", 0},
						       span_make(packed, n)))
				.u.query.sql,
			    span_make(sql, sizeof(sql))));

	packed[2]++; /* says one byte more than there is */
	ev = make_query_typed(s, BINLOG_TYPE_QUERY_COMPRESSED, (struct span){"", 0}, span_make(packed, n));
	assert_int_equal(decode_error(s, ev, &why), ERR_BAD_EVENT);
	packed[2]--;
	ev =
	    make_query_typed(s, BINLOG_TYPE_QUERY_COMPRESSED, (struct span){"", 0}, span_make(packed, n - 1));
	assert_int_equal(decode_error(s, ev, &why), ERR_BAD_EVENT);
	s->decoder.max_event = 2999;
	ev = make_query_typed(s, BINLOG_TYPE_QUERY_COMPRESSED, (struct span){"", 0}, span_make(packed, n));
	assert_int_equal(decode_error(s, ev, &why), ERR_TOO_LONG);
	packed[0] = (char)0x92; /* another algorithm */
	ev = make_query_typed(s, BINLOG_TYPE_QUERY_COMPRESSED, (struct span){"", 0}, span_make(packed, n));
	assert_int_equal(decode_error(s, ev, &why), ERR_UNKNOWN_EVENT);
	libdeflate_free_compressor(c);
}

/* One server, 1 to 3. */
static const char previous_gtids[] = "\x01\0\0\0\0\0\0\0"
				     "\x55\x77\x89\x04\x02\x99\x11\xf1\xb1\xb8\x4e\xf0\xc4\x95\x6f\xeb"
				     "\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0";

static void
previous_gtids_are_given_without_their_checksum(void **state)
{
	struct stream *s = *state;
	struct binlog_event ev =
	    decode(s, make_event(s, BINLOG_TYPE_PREVIOUS_GTIDS, previous_gtids, sizeof(previous_gtids) - 1));

	assert_int_equal(ev.kind, BINLOG_GTID_SET);
	assert_int_equal(ev.u.gtid_set.len, sizeof(previous_gtids) - 1);
	assert_memory_equal(ev.u.gtid_set.p, previous_gtids, sizeof(previous_gtids) - 1);
}

static void
padding_of_aurora_says_nothing(void **state)
{
	struct stream *s = *state;
	struct err_detail why = {0};
	char zeros[3000] = {0};

	s->next_pos = 1000;
	decode(s, make_query(s, "a"));
	s->next_pos = 0;
	for (size_t len = 0; len <= sizeof(zeros); len += 1000) {
		struct binlog_event ev = decode(s, make_event(s, 100, zeros, len));

		assert_int_equal(ev.kind, BINLOG_NOTE);
	}
	/* It stands in the file, so what follows it stands behind it. */
	assert_int_equal(s->decoder.pos, 1000 + 4 * (BINLOG_HEADER + 4) + 6000);
	assert_int_equal(metric_get(&s->metrics.binlog_unknown), 0);
	/* And it is no excuse for damage. */
	((char *)s->event.p)[BINLOG_HEADER + 5] = 1;
	assert_int_equal(decode_error(s, buf_span(&s->event), &why), ERR_CHECKSUM);
}

static void
checksums_are_switched_from_file_to_file(void **state)
{
	struct stream *s = *state;
	struct err_detail why = {0};

	assert_true(span_is(decode(s, make_query(s, "a")).u.query.sql, "a"));
	decode(s, make_rotate(s, "bin.000002", 4));
	s->checksums = false;
	decode(s, make_format(s, "9.7.4", BINLOG_CHECKSUM_NONE));
	assert_true(span_is(decode(s, make_query(s, "b")).u.query.sql, "b"));
	decode(s, make_rotate(s, "bin.000003", 4));
	s->checksums = true;
	decode(s, make_format(s, "9.7.4", BINLOG_CHECKSUM_CRC32));
	assert_true(span_is(decode(s, make_query(s, "c")).u.query.sql, "c"));
	s->checksums = false;
	assert_int_equal(decode_error(s, make_query(s, "d"), &why), ERR_CHECKSUM);
}

static void
a_file_goes_on_beyond_4_gib(void **state)
{
	struct stream *s = *state;
	const uint64_t start = (UINT64_C(1) << 33) - 30;
	struct binlog_event ev;
	uint64_t end;

	binlog_decoder_start(&s->decoder, SPAN_LIT("bin.000007"), start, BINLOG_CHECKSUM_UNDEFINED);
	ev = decode(s, make_format(s, "9.7.4", BINLOG_CHECKSUM_CRC32));
	end = start + ev.raw.len;
	assert_int_equal(ev.end, end);
	s->next_pos = 77;
	ev = decode(s, make_query(s, "a"));
	assert_int_equal(ev.end, end + ev.raw.len);
}

static void
every_type_of_the_table_has_a_name(void **state)
{
	assert_string_equal(binlog_type_name(2), "QUERY");
	assert_string_equal(binlog_type_name(171), "DELETE_ROWS_COMPRESSED");
	assert_string_equal(binlog_type_name(99), "UNKNOWN");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, stream_setup, stream_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_changed_byte_is_a_checksum_failure_wherever_it_is),
	    T(an_event_cut_anywhere_is_an_error_and_never_read_past_its_end),
	    T(a_length_that_does_not_fit_is_a_bad_event),
	    T(an_event_beyond_the_limit_is_too_long),
	    T(an_unknown_event_stops_unless_its_writer_lets_it_be_ignored),
	    T(what_cannot_be_read_yet_says_which_setting_helps),
	    T(a_stream_without_checksums_is_read_after_its_format_description),
	    T(the_rotate_before_anything_else_may_have_a_checksum_or_not),
	    T(nothing_is_read_by_guess_before_a_format_description),
	    T(positions_go_on_beyond_4_gib),
	    T(a_zero_position_inside_of_a_transaction_is_counted_on),
	    T(a_heartbeat_of_the_second_version_has_a_place_of_64_bits),
	    T(made_up_events_do_not_move_the_position),
	    T(a_rotate_leads_to_the_next_file),
	    T(a_position_in_a_file_is_counted_whatever_events_say),
	    T(a_compressed_statement_is_decompressed),
	    T(previous_gtids_are_given_without_their_checksum),
	    T(padding_of_aurora_says_nothing),
	    T(checksums_are_switched_from_file_to_file),
	    T(a_file_goes_on_beyond_4_gib),
	    T(every_type_of_the_table_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
