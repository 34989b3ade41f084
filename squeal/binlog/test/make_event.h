/*
 * make_event - binlog events made by hand, for tests.
 *
 * A struct stream is a decoder with a FORMAT_DESCRIPTION of MariaDB 10.11 behind it; make_*() write events
 * into its buffer, with or without checksum as that says, and give their bytes, valid until the next one is
 * made.
 */
#ifndef SQUEAL_BINLOG_TEST_MAKE_EVENT_H
#define SQUEAL_BINLOG_TEST_MAKE_EVENT_H

#include <libdeflate.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/test/test.h"
#include "squeal/binlog/event.h"

struct stream {
	struct binlog_metrics metrics;
	struct binlog_decoder decoder;
	struct buf event;
	uint32_t timestamp;
	uint16_t flags;
	uint32_t next_pos;
	bool checksums;
};

/* An event of any type around `body`. */
static inline struct span
make_event(struct stream *s, uint8_t type, const void *body, size_t len)
{
	size_t size = BINLOG_HEADER + len + (s->checksums ? 4 : 0);
	struct buf b = BUF_INIT;

	buf_put_le(&b, s->timestamp, 4);
	buf_put_le(&b, type, 1);
	buf_put_le(&b, 1, 4);
	buf_put_le(&b, size, 4);
	buf_put_le(&b, s->next_pos, 4);
	buf_put_le(&b, s->flags, 2);
	buf_put(&b, body, len);
	if (s->checksums)
		buf_put_le(&b, libdeflate_crc32(0, b.p, b.len), 4);
	buf_clear(&s->event);
	buf_put_span(&s->event, buf_span(&b));
	buf_fini(&b);
	return buf_span(&s->event);
}

static inline struct span
make_format(struct stream *s, const char *version, uint8_t alg)
{
	struct buf b = BUF_INIT;
	struct span ev;
	char name[50] = {0};
	bool checksums = s->checksums;

	for (size_t i = 0; version[i] != '\0' && i < sizeof(name); i++)
		name[i] = version[i];
	buf_put_le(&b, 4, 2);
	buf_put(&b, name, sizeof(name));
	buf_put_le(&b, 0, 4);
	buf_put_le(&b, BINLOG_HEADER, 1);
	for (int type = 1; type <= 171; type++) {
		uint8_t len = 0;

		if (type == BINLOG_TYPE_QUERY || type == BINLOG_TYPE_QUERY_COMPRESSED)
			len = 13;
		else if (type == BINLOG_TYPE_EXECUTE_LOAD_QUERY)
			len = 26;
		else if (type == BINLOG_TYPE_ROTATE || type == BINLOG_TYPE_TABLE_MAP)
			len = 8;
		else if (type == BINLOG_TYPE_MARIADB_GTID)
			len = 19;
		buf_put_le(&b, len, 1);
	}
	buf_put_le(&b, alg, 1);
	if (alg == 0)
		buf_put_le(&b, 0, 4); /* the room for a checksum is always there */
	s->checksums = alg != 0;
	ev = make_event(s, BINLOG_TYPE_FORMAT_DESCRIPTION, b.p, b.len);
	s->checksums = checksums;
	buf_fini(&b);
	return ev;
}

static inline struct span
make_query_typed(struct stream *s, uint8_t type, struct span vars, struct span sql)
{
	struct buf b = BUF_INIT;
	struct span ev;

	buf_put_le(&b, 77, 4); /* thread */
	buf_put_le(&b, 3, 4);  /* seconds */
	buf_put_le(&b, 2, 1);  /* length of db */
	buf_put_le(&b, 1062, 2);
	buf_put_le(&b, vars.len, 2);
	if (type == BINLOG_TYPE_EXECUTE_LOAD_QUERY)
		buf_put_le(&b, 0, 13);
	buf_put_span(&b, vars);
	buf_put(&b, "db", 3);
	buf_put_span(&b, sql);
	ev = make_event(s, type, b.p, b.len);
	buf_fini(&b);
	return ev;
}

static inline struct span
make_query(struct stream *s, const char *sql)
{
	return make_query_typed(s, BINLOG_TYPE_QUERY, (struct span){"", 0}, span_of(sql));
}

static inline struct span
make_gtid(struct stream *s, uint64_t seq, uint8_t flags)
{
	struct buf b = BUF_INIT;
	struct span ev;

	buf_put_le(&b, seq, 8);
	buf_put_le(&b, 0, 4);
	buf_put_le(&b, flags, 1);
	buf_put_le(&b, 0, 8);
	ev = make_event(s, BINLOG_TYPE_MARIADB_GTID, b.p, b.len);
	buf_fini(&b);
	return ev;
}

static inline struct span
make_rotate(struct stream *s, const char *file, uint64_t pos)
{
	struct buf b = BUF_INIT;
	struct span ev;

	buf_put_le(&b, pos, 8);
	buf_put_str(&b, file);
	ev = make_event(s, BINLOG_TYPE_ROTATE, b.p, b.len);
	buf_fini(&b);
	return ev;
}

static inline struct binlog_event
decode(struct stream *s, struct span bytes)
{
	struct err_detail why = {0};
	struct binlog_event ev;

	if (binlog_decode(&s->decoder, bytes, &ev, &why) != ERR_OK)
		fail_msg("%s", why.text);
	return ev;
}

static inline err_t
decode_error(struct stream *s, struct span bytes, struct err_detail *why)
{
	struct binlog_event ev;

	err_clear(why);
	return binlog_decode(&s->decoder, bytes, &ev, why);
}

/* In the midst of the file "bin.000001" of a stream, where events have checksums. */
static inline void
stream_init(struct stream *s)
{
	*s = (struct stream){.timestamp = 1700000000, .checksums = true};
	binlog_decoder_init(&s->decoder, 1 << 20, &s->metrics);
	binlog_decoder_start(&s->decoder, (struct span){"", 0}, 0, BINLOG_CHECKSUM_CRC32);
	s->flags = BINLOG_FLAG_ARTIFICIAL;
	decode(s, make_rotate(s, "bin.000001", 4));
	s->flags = 0;
	s->next_pos = 256;
	decode(s, make_format(s, "10.11.19-MariaDB-log", BINLOG_CHECKSUM_CRC32));
	s->next_pos = 0;
}

static inline void
stream_fini(struct stream *s)
{
	binlog_decoder_fini(&s->decoder);
	buf_fini(&s->event);
}

/* The fixture of a test that needs nothing else. */
static inline int
stream_setup(void **state)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return 1;
	stream_init(s);
	*state = s;
	return 0;
}

static inline int
stream_teardown(void **state)
{
	stream_fini(*state);
	free(*state);
	return 0;
}

#endif
