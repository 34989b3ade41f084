#include "squeal/binlog/test/make_event.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "squeal/binlog/payload.h"
#include "squeal/binlog/txn.h"

enum { ZSTD = 0, PLAIN = 255 };

struct fixture {
	struct stream stream;
	struct buf inner; /* events without checksum */
	struct buf body;
	struct err_detail why;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	stream_init(&f->stream);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	stream_fini(&f->stream);
	buf_fini(&f->inner);
	buf_fini(&f->body);
	free(f);
	return 0;
}

static void
put_field(struct buf *b, uint8_t field, uint64_t value)
{
	buf_put_le(b, field, 1);
	buf_put_le(b, 9, 1);
	buf_put_le(b, 0xfe, 1);
	buf_put_le(b, value, 8);
}

/* A payload of what `inner` holds; `promised` is what its head says to come out. */
static struct span
make_body(struct fixture *f, int compression, uint64_t promised)
{
	size_t room = ZSTD_compressBound(f->inner.len), n = f->inner.len;
	char *packed = malloc(room > 0 ? room : 1);

	if (compression == ZSTD)
		n = ZSTD_compress(packed, room, f->inner.p, f->inner.len, 3);
	else if (n > 0)
		memcpy(packed, f->inner.p, n);
	buf_clear(&f->body);
	put_field(&f->body, 2, (uint64_t)compression);
	put_field(&f->body, 3, promised);
	put_field(&f->body, 1, n);
	buf_put_le(&f->body, 0, 1);
	buf_put(&f->body, packed, n);
	free(packed);
	return buf_span(&f->body);
}

/* Adds events as they stand inside of a payload. */
static void
add_inner(struct fixture *f, const char *sql)
{
	f->stream.checksums = false;
	buf_put_span(&f->inner, make_query(&f->stream, sql));
	f->stream.checksums = true;
}

static void
events_come_out_one_by_one_with_the_place_of_the_payload(void **state)
{
	struct fixture *f = *state;
	const int ways[] = {ZSTD, PLAIN};
	struct binlog_event ev;
	char sql[32];
	bool more;

	for (int i = 0; i < 5000; i++) {
		snprintf(sql, sizeof(sql), "insert %d", i);
		add_inner(f, sql);
	}
	for (size_t w = 0; w < 2; w++) {
		struct span body = make_body(f, ways[w], f->inner.len);
		struct span bytes;

		f->stream.next_pos = 1000000 * (uint32_t)(w + 1);
		bytes = make_event(&f->stream, BINLOG_TYPE_TRANSACTION_PAYLOAD, body.p, body.len);
		assert_int_equal(decode(&f->stream, bytes).kind, BINLOG_PAYLOAD);
		for (int i = 0; i < 5000; i++) {
			assert_int_equal(binlog_next(&f->stream.decoder, &ev, &more, &f->why), ERR_OK);
			assert_true(more);
			snprintf(sql, sizeof(sql), "insert %d", i);
			assert_true(span_is(ev.u.query.sql, sql));
			assert_int_equal(ev.end, 1000000 * (w + 1));
			assert_true(span_is(ev.file, "bin.000001"));
		}
		assert_int_equal(binlog_next(&f->stream.decoder, &ev, &more, &f->why), ERR_OK);
		assert_false(more);
	}
	assert_int_equal(metric_get(&f->stream.metrics.binlog_payload), 2);
}

/* 64 MiB inside of some KiB: the decompressor hands it out event by event. */
static void
much_more_than_memory_comes_out_of_a_small_payload(void **state)
{
	struct fixture *f = *state;
	struct payload *p = payload_create(1 << 20);
	char *sql = calloc(1, 100001);
	struct span event;
	size_t n = 0;

	memset(sql, 'x', 100000);
	for (int i = 0; i < 640; i++)
		add_inner(f, sql);
	assert_int_equal(payload_open(p, make_body(f, ZSTD, f->inner.len), &f->why), ERR_OK);
	assert_true(f->body.len < 64 * 1024);
	buf_fini(&f->inner);
	for (;;) {
		assert_int_equal(payload_next(p, &event, &f->why), ERR_OK);
		if (event.len == 0)
			break;
		n++;
	}
	assert_int_equal(n, 640);
	assert_true(payload_size(p) > 64 * 1000 * 1000);
	payload_destroy(&p);
	free(sql);
}

static err_t
read_payload(struct fixture *f, struct span body, size_t max_event)
{
	struct payload *p = payload_create(max_event);
	char *exact = malloc(body.len > 0 ? body.len : 1);
	struct span event;
	err_t err;

	if (body.len > 0)
		memcpy(exact, body.p, body.len);
	err_clear(&f->why);
	err = payload_open(p, span_make(exact, body.len), &f->why);
	do {
		if (err == ERR_OK)
			err = payload_next(p, &event, &f->why);
	} while (err == ERR_OK && event.len > 0);
	if (err != ERR_OK)
		assert_true(f->why.text[0] != '\0');
	payload_destroy(&p);
	free(exact);
	return err;
}

static void
a_payload_cut_anywhere_is_a_bad_event(void **state)
{
	struct fixture *f = *state;
	const int ways[] = {ZSTD, PLAIN};

	add_inner(f, "insert 1");
	add_inner(f, "insert 2 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	for (size_t w = 0; w < 2; w++) {
		struct span body = make_body(f, ways[w], f->inner.len);

		assert_int_equal(read_payload(f, body, 1 << 20), ERR_OK);
		for (size_t n = 1; n < body.len; n++)
			assert_int_equal(read_payload(f, span_first(body, n), 1 << 20), ERR_BAD_EVENT);
	}
}

static void
a_payload_that_makes_more_or_less_than_it_says_is_refused(void **state)
{
	struct fixture *f = *state;
	const int ways[] = {ZSTD, PLAIN};

	add_inner(f, "insert 1");
	add_inner(f, "insert 2");
	for (size_t w = 0; w < 2; w++) {
		assert_int_equal(read_payload(f, make_body(f, ways[w], f->inner.len - 1), 1 << 20),
				 ERR_BAD_EVENT);
		assert_int_equal(read_payload(f, make_body(f, ways[w], f->inner.len + 1), 1 << 20),
				 ERR_BAD_EVENT);
	}
	assert_int_equal(read_payload(f, make_body(f, 7, f->inner.len), 1 << 20), ERR_UNKNOWN_EVENT);
	assert_int_equal(read_payload(f, make_body(f, ZSTD, f->inner.len), 30), ERR_TOO_LONG);
	buf_put(&f->inner, "rest", 4);
	for (size_t w = 0; w < 2; w++)
		assert_int_equal(read_payload(f, make_body(f, ways[w], f->inner.len), 1 << 20),
				 ERR_BAD_EVENT);
}

static void
what_cannot_stand_inside_is_refused_and_the_next_event_is_read(void **state)
{
	struct fixture *f = *state;
	struct binlog_event ev;
	struct span body;
	bool more;

	f->stream.checksums = false;
	buf_put_span(&f->inner, make_rotate(&f->stream, "bin.000009", 4));
	f->stream.checksums = true;
	body = make_body(f, ZSTD, f->inner.len);
	decode(&f->stream, make_event(&f->stream, BINLOG_TYPE_TRANSACTION_PAYLOAD, body.p, body.len));
	assert_int_equal(binlog_next(&f->stream.decoder, &ev, &more, &f->why), ERR_BAD_EVENT);
	assert_non_null(strstr(f->why.text, "bin.000001:"));
	assert_true(span_is(decode(&f->stream, make_query(&f->stream, "insert 1")).u.query.sql, "insert 1"));
}

static void
events_left_unread_are_an_error_of_the_caller(void **state)
{
	struct fixture *f = *state;
	struct span body;

	add_inner(f, "insert 1");
	body = make_body(f, ZSTD, f->inner.len);
	decode(&f->stream, make_event(&f->stream, BINLOG_TYPE_TRANSACTION_PAYLOAD, body.p, body.len));
	assert_int_equal(decode_error(&f->stream, make_query(&f->stream, "x"), &f->why), ERR_USAGE);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(events_come_out_one_by_one_with_the_place_of_the_payload),
	    T(much_more_than_memory_comes_out_of_a_small_payload),
	    T(a_payload_cut_anywhere_is_a_bad_event),
	    T(a_payload_that_makes_more_or_less_than_it_says_is_refused),
	    T(what_cannot_stand_inside_is_refused_and_the_next_event_is_read),
	    T(events_left_unread_are_an_error_of_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
