#include "squeal/binlog/event_body.h"

#include "lib/core/reader.h"
#include "squeal/binlog/lenenc.h"

const char *
event_body_rotate(struct binlog_event *ev)
{
	struct reader r = reader_of(ev->body);

	ev->u.rotate.pos = reader_u64(&r);
	ev->u.rotate.file = reader_rest(&r);
	if (r.short_read || ev->u.rotate.file.len == 0 || ev->u.rotate.file.len > BINLOG_FILE_NAME_MAX)
		return "it does not name a file";
	return NULL;
}

const char *
event_body_heartbeat(struct binlog_event *ev, bool mariadb)
{
	struct reader r = reader_of(ev->body);

	if (ev->type == BINLOG_TYPE_HEARTBEAT) {
		ev->u.heartbeat.pos = ev->next_pos;
		/* MariaDB beyond 4 GiB: the position stands before the name. */
		if (ev->next_pos == 0 && mariadb && r.left > 8)
			ev->u.heartbeat.pos = reader_u64(&r);
		ev->u.heartbeat.file = reader_rest(&r);
		return NULL;
	}
	ev->u.heartbeat.file = (struct span){"", 0};
	ev->u.heartbeat.pos = 0;
	while (r.left > 0) {
		uint64_t field = lenenc_u64(&r);
		struct span value;
		struct reader v;

		if (field == 0)
			break;
		value = lenenc_span(&r);
		v = reader_of(value);
		if (field == 1)
			ev->u.heartbeat.file = value;
		else if (field == 2)
			ev->u.heartbeat.pos = lenenc_u64(&v);
	}
	return r.short_read ? "it is cut short" : NULL;
}

/* The microseconds among the status variables of a QUERY.  Variables that are not known end the search:
 * nothing else depends on them. */
static uint32_t
find_micros(struct span vars)
{
	/* Bytes of each variable; 0: its own rule below, or not known. */
	static const uint8_t fixed[132] = {
	    [0] = 4,  [1] = 8,	[3] = 4,  [4] = 6,  [7] = 2,  [8] = 2,	[9] = 8,
	    [10] = 4, [16] = 1, [17] = 8, [18] = 2, [19] = 1, [20] = 1, [129] = 8,
	};
	struct reader r = reader_of(vars);

	while (r.left > 0) {
		uint8_t code = reader_u8(&r);

		if (code == 13 || code == 128)
			return (uint32_t)reader_le(&r, 3);
		if (code < sizeof(fixed) && fixed[code] > 0) {
			reader_take(&r, fixed[code]);
		} else if (code == 2) {
			reader_take(&r, (size_t)reader_u8(&r) + 1);
		} else if (code == 5 || code == 6) {
			reader_take(&r, reader_u8(&r));
		} else if (code == 11) {
			reader_take(&r, reader_u8(&r));
			reader_take(&r, reader_u8(&r));
		} else if (code == 12) {
			uint8_t n = reader_u8(&r);

			for (uint8_t i = 0; n != 254 && i < n && !r.short_read; i++) {
				while (reader_u8(&r) != 0)
					;
			}
		} else if (code == 131) {
			reader_take(&r, (size_t)reader_u8(&r) * 4);
		} else {
			return 0;
		}
	}
	return 0;
}

const char *
event_body_query(struct binlog_event *ev)
{
	struct reader r = reader_of(ev->body);
	size_t db_len, vars_len;
	struct span vars, post;
	size_t post_len = ev->post_len;
	size_t least = ev->type == BINLOG_TYPE_EXECUTE_LOAD_QUERY ? 26 : 13;

	if (post_len < least)
		return "FORMAT_DESCRIPTION before it gives its type an impossible length";
	post = reader_span(&r, post_len);
	{
		struct reader p = reader_of(post);

		ev->u.query.thread = reader_u32(&p);
		ev->u.query.seconds = reader_u32(&p);
		db_len = reader_u8(&p);
		ev->u.query.error = reader_u16(&p);
		vars_len = reader_u16(&p);
	}
	vars = reader_span(&r, vars_len);
	ev->u.query.db = reader_span(&r, db_len);
	reader_take(&r, 1);
	ev->u.query.sql = reader_rest(&r);
	if (r.short_read)
		return "it is cut short";
	ev->u.query.micros = vars.len > 0 ? find_micros(vars) : 0;
	return NULL;
}

const char *
event_body_xa_prepare(struct binlog_event *ev)
{
	struct reader r = reader_of(ev->body);
	uint32_t gtrid_len, bqual_len;

	ev->u.xa.one_phase = reader_u8(&r) != 0;
	ev->u.xa.format = reader_u32(&r);
	gtrid_len = reader_u32(&r);
	bqual_len = reader_u32(&r);
	ev->u.xa.gtrid = reader_span(&r, gtrid_len);
	ev->u.xa.bqual = reader_span(&r, bqual_len);
	return r.short_read ? "it is cut short" : NULL;
}

const char *
event_body_text(struct binlog_event *ev)
{
	struct reader r = reader_of(ev->body);

	if (ev->kind == BINLOG_INCIDENT) {
		reader_u16(&r);
		ev->u.text = reader_span(&r, reader_u8(&r));
		if (r.short_read)
			ev->u.text = (struct span){"", 0};
		return NULL;
	}
	if (ev->type == BINLOG_TYPE_ROWS_QUERY)
		reader_u8(&r); /* a length that is too small to hold one */
	ev->u.text = reader_rest(&r);
	return r.short_read ? "it is cut short" : NULL;
}

/* Old servers wrote table ids of 4 bytes. */
static uint64_t
table_id(const struct binlog_event *ev, struct reader *r)
{
	return reader_le(r, ev->post_len == 6 ? 4 : 6);
}

const char *
event_body_table(struct binlog_event *ev, bool mariadb)
{
	struct reader r = reader_of(ev->body);

	ev->u.table.id = table_id(ev, &r);
	reader_u16(&r); /* flags */
	ev->u.table.body = reader_rest(&r);
	ev->u.table.mariadb = mariadb;
	return r.short_read ? "it is cut short" : NULL;
}

enum { ROWS_ACTION = 3, ROWS_HAS_EXTRA = 4, ROWS_COMPRESSED = 8, ROWS_PARTIAL = 16 };
static const uint8_t rows_types[256] = {
    [BINLOG_TYPE_PRE_GA_WRITE_ROWS] = BINLOG_INSERT,
    [BINLOG_TYPE_PRE_GA_UPDATE_ROWS] = BINLOG_UPDATE,
    [BINLOG_TYPE_PRE_GA_DELETE_ROWS] = BINLOG_DELETE,
    [BINLOG_TYPE_WRITE_ROWS_V1] = BINLOG_INSERT,
    [BINLOG_TYPE_UPDATE_ROWS_V1] = BINLOG_UPDATE,
    [BINLOG_TYPE_DELETE_ROWS_V1] = BINLOG_DELETE,
    [BINLOG_TYPE_WRITE_ROWS] = BINLOG_INSERT | ROWS_HAS_EXTRA,
    [BINLOG_TYPE_UPDATE_ROWS] = BINLOG_UPDATE | ROWS_HAS_EXTRA,
    [BINLOG_TYPE_DELETE_ROWS] = BINLOG_DELETE | ROWS_HAS_EXTRA,
    [BINLOG_TYPE_PARTIAL_UPDATE_ROWS] = BINLOG_UPDATE | ROWS_HAS_EXTRA | ROWS_PARTIAL,
    [BINLOG_TYPE_WRITE_ROWS_COMPRESSED_V1] = BINLOG_INSERT | ROWS_COMPRESSED,
    [BINLOG_TYPE_UPDATE_ROWS_COMPRESSED_V1] = BINLOG_UPDATE | ROWS_COMPRESSED,
    [BINLOG_TYPE_DELETE_ROWS_COMPRESSED_V1] = BINLOG_DELETE | ROWS_COMPRESSED,
    [BINLOG_TYPE_WRITE_ROWS_COMPRESSED] = BINLOG_INSERT | ROWS_HAS_EXTRA | ROWS_COMPRESSED,
    [BINLOG_TYPE_UPDATE_ROWS_COMPRESSED] = BINLOG_UPDATE | ROWS_HAS_EXTRA | ROWS_COMPRESSED,
    [BINLOG_TYPE_DELETE_ROWS_COMPRESSED] = BINLOG_DELETE | ROWS_HAS_EXTRA | ROWS_COMPRESSED,
};

const char *
event_body_rows(struct binlog_event *ev)
{
	struct reader r = reader_of(ev->body);
	uint8_t what = rows_types[ev->type];

	ev->u.rows.table_id = table_id(ev, &r);
	ev->u.rows.flags = reader_u16(&r);
	ev->u.rows.action = (enum binlog_action)(what & ROWS_ACTION);
	ev->u.rows.has_extra = what & ROWS_HAS_EXTRA;
	ev->u.rows.compressed = what & ROWS_COMPRESSED;
	ev->u.rows.partial = what & ROWS_PARTIAL;
	ev->u.rows.body = reader_rest(&r);
	return r.short_read ? "it is cut short" : NULL;
}
