#include "squeal/binlog/event.h"

#include <libdeflate.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/core/reader.h"
#include "squeal/binlog/lenenc.h"
#include "squeal/binlog/payload.h"

typedef struct binlog_metrics metric_owner;
const struct metric_row binlog_metric_rows[] = {METRIC_ROWS(BINLOG_METRICS)};
const size_t binlog_metric_nrows = sizeof(binlog_metric_rows) / sizeof(binlog_metric_rows[0]);

enum { CHECKSUM_LEN = 4, SERVER_VERSION_LEN = 50, FLAGS_OFFSET = 17 };

struct event_row {
	const char *name;
	enum binlog_kind kind;
	const char *help;
};

static const struct event_row event_rows[256] = {
#define EVENT_ROW(number, nm, kd, hp) [number] = {#nm, kd, hp},
    BINLOG_EVENTS(EVENT_ROW)
#undef EVENT_ROW
};

/* One thread writes these counters, so a plain store will do. */
static void
bump(metric_t *m, uint64_t n)
{
	metric_set(m, metric_get(m) + n);
}

const char *
binlog_type_name(uint8_t type)
{
	return event_rows[type].name != NULL ? event_rows[type].name : "UNKNOWN";
}

size_t
binlog_event_length(struct span bytes)
{
	struct reader r = reader_of(bytes);

	reader_take(&r, 9);
	return reader_u32(&r);
}

struct gtid
binlog_gtid_list(const struct binlog_event *ev, uint32_t i)
{
	struct reader r = reader_of(span_from(ev->u.gtid_list.ids, (size_t)i * 16));
	struct gtid g = {.kind = GTID_MARIADB};

	g.domain = reader_u32(&r);
	g.server = reader_u32(&r);
	g.seq = reader_u64(&r);
	return g;
}

void
binlog_decoder_init(struct binlog_decoder *d, size_t max_event, struct binlog_metrics *metrics)
{
	memset(d, 0, sizeof(*d));
	d->max_event = max_event;
	d->metrics = metrics;
	binlog_decoder_start(d, (struct span){"", 0}, 0, BINLOG_CHECKSUM_UNDEFINED);
}

void
binlog_decoder_fini(struct binlog_decoder *d)
{
	inflate_fini(&d->inflate);
	payload_destroy(&d->payload);
	buf_fini(&d->text);
}

static void
set_file(struct binlog_decoder *d, struct span file)
{
	d->file_len = file.len < sizeof(d->file) ? file.len : sizeof(d->file);
	if (d->file_len > 0)
		memcpy(d->file, file.p, d->file_len);
}

void
binlog_decoder_start(struct binlog_decoder *d, struct span file, uint64_t pos, enum binlog_checksum checksum)
{
	d->have_format = false;
	d->mariadb = false;
	d->checksum = checksum;
	d->header_len = BINLOG_HEADER;
	memset(d->post_len, 0, sizeof(d->post_len));
	d->post_len[BINLOG_TYPE_ROTATE] = 8;
	d->is_permuted = false;
	if (d->payload != NULL)
		payload_close(d->payload);
	set_file(d, file);
	d->pos = pos;
	d->is_file = file.len > 0;
}

/* --- the frame --------------------------------------------------------------------------------------------
 */

/* "at mariadb-bin.000007:4711" */
struct place_text {
	char text[300];
};

static struct place_text
place(const struct binlog_decoder *d)
{
	bool is_inside = d->payload != NULL && !payload_is_done(d->payload);
	struct place_text t;

	if (d->file_len == 0)
		snprintf(t.text, sizeof(t.text), "at the start of the stream");
	else
		snprintf(t.text, sizeof(t.text), "at %.*s:%llu", (int)(d->file_len < 255 ? d->file_len : 255),
			 d->file, (unsigned long long)(is_inside ? d->payload_at : d->pos));
	return t;
}

__attribute__((cold, noinline)) static err_t
bad_event(struct binlog_decoder *d, const struct binlog_event *ev, const char *what, struct err_detail *why)
{
	bump(&d->metrics->binlog_bad, 1);
	return err_set(why, ERR_BAD_EVENT,
		       "%s event (type %u) %s: %s; the binlog is damaged from there on: compare with "
		       "mariadb-binlog, or start behind it",
		       binlog_type_name(ev->type), ev->type, place(d).text, what);
}

__attribute__((cold, noinline)) static err_t
unknown_event(struct binlog_decoder *d, const struct binlog_event *ev, const char *help,
	      struct err_detail *why)
{
	bump(&d->metrics->binlog_unknown, 1);
	return err_set(why, ERR_UNKNOWN_EVENT, "%s event (type %u) %s cannot be read: %s",
		       binlog_type_name(ev->type), ev->type, place(d).text, help);
}

static uint32_t
checksum_of(const struct binlog_event *ev)
{
	const unsigned char *p = (const unsigned char *)ev->raw.p;
	size_t n = ev->raw.len - CHECKSUM_LEN;
	unsigned char flags[2];
	uint32_t crc;

	if (ev->type != BINLOG_TYPE_FORMAT_DESCRIPTION || !(ev->flags & BINLOG_FLAG_IN_USE))
		return libdeflate_crc32(0, p, n);
	/* The server sets IN_USE without a new checksum. */
	flags[0] = p[FLAGS_OFFSET] & (unsigned char)~BINLOG_FLAG_IN_USE;
	flags[1] = p[FLAGS_OFFSET + 1];
	crc = libdeflate_crc32(0, p, FLAGS_OFFSET);
	crc = libdeflate_crc32(crc, flags, 2);
	return libdeflate_crc32(crc, p + FLAGS_OFFSET + 2, n - FLAGS_OFFSET - 2);
}

static bool
checksum_matches(const struct binlog_event *ev)
{
	struct reader r;

	if (ev->raw.len < BINLOG_HEADER + CHECKSUM_LEN)
		return false;
	r = reader_of(span_from(ev->raw, ev->raw.len - CHECKSUM_LEN));
	return reader_u32(&r) == checksum_of(ev);
}

__attribute__((cold, noinline)) static err_t
checksum_failure(const struct binlog_decoder *d, const struct binlog_event *ev, struct err_detail *why)
{
	return err_set(
	    why, ERR_CHECKSUM,
	    "%s event (type %u) %s does not match its checksum: damaged on its way, or on the server's "
	    "disk if it happens again",
	    binlog_type_name(ev->type), ev->type, place(d).text);
}

/* Takes the checksum off the body. */
static err_t
strip_checksum(struct binlog_decoder *d, struct binlog_event *ev, enum binlog_checksum alg,
	       struct err_detail *why)
{
	/* Before anything told whether there are checksums, only a ROTATE may come, and only in a stream. */
	if (alg == BINLOG_CHECKSUM_UNDEFINED)
		alg = ev->type == BINLOG_TYPE_ROTATE && checksum_matches(ev) ? BINLOG_CHECKSUM_CRC32
									     : BINLOG_CHECKSUM_NONE;
	if (alg == BINLOG_CHECKSUM_NONE)
		return ERR_OK;
	if (!checksum_matches(ev)) {
		bump(&d->metrics->binlog_checksum_failure, 1);
		return checksum_failure(d, ev, why);
	}
	ev->body = span_first(ev->body, ev->body.len < CHECKSUM_LEN ? 0 : ev->body.len - CHECKSUM_LEN);
	return ERR_OK;
}

/* Events that the server makes up do not stand in the file, and the position does not move. */
static bool
is_made_up(const struct binlog_event *ev)
{
	/* This one says where the server has found our GTID position. */
	if (ev->kind == BINLOG_GTID_LIST && ev->next_pos > 0)
		return false;
	if (ev->flags & BINLOG_FLAG_ARTIFICIAL || ev->kind == BINLOG_HEARTBEAT)
		return true;
	return ev->next_pos == 0 &&
	       (ev->kind == BINLOG_FORMAT || ev->kind == BINLOG_ROTATE || ev->kind == BINLOG_GTID_LIST);
}

/* The position behind the event, from the low 32 bits that it carries.  MariaDB 11.4 and later write 0 inside
 * transactions. */
static void
move(struct binlog_decoder *d, struct binlog_event *ev)
{
	const uint64_t wrap = UINT64_C(1) << 32;
	uint64_t pos;

	if (d->is_file) {
		d->pos += ev->raw.len;
	} else if (is_made_up(ev)) {
		/* stays */
	} else if (ev->next_pos == 0) {
		d->pos += ev->raw.len;
	} else {
		pos = (d->pos & ~(wrap - 1)) | ev->next_pos;
		if (pos + wrap / 2 < d->pos)
			pos += wrap;
		d->pos = pos;
	}
	ev->file = span_make(d->file, d->file_len);
	ev->end = d->file_len > 0 ? d->pos : 0;
}

/* --- bodies -----------------------------------------------------------------------------------------------
 */

/* Since when FORMAT_DESCRIPTION carries a checksum algorithm: MySQL 5.6.1, MariaDB 5.3. */
static bool
has_checksum_field(struct span version, bool mariadb)
{
	unsigned part[3] = {0};
	size_t n = 0;

	for (size_t i = 0; i < version.len && n < 3; i++) {
		if (version.p[i] >= '0' && version.p[i] <= '9')
			part[n] = part[n] < 1000 ? part[n] * 10 + (unsigned)(version.p[i] - '0') : part[n];
		else if (version.p[i] == '.')
			n++;
		else
			break;
	}
	return part[0] * 1000000 + part[1] * 1000 + part[2] >= (mariadb ? 5003000u : 5006001u);
}

/* The numbers of events in pre-releases of MySQL 5.1 ("5.1.5-a_drop5p20", "5.2.0-a_drop6"), as they are now.
 */
enum { PERMUTED = 23 };
static const uint8_t permuted[PERMUTED] = {
    [1] = BINLOG_TYPE_START_V3,
    [2] = BINLOG_TYPE_QUERY,
    [3] = BINLOG_TYPE_STOP,
    [4] = BINLOG_TYPE_ROTATE,
    [5] = BINLOG_TYPE_INTVAR,
    [6] = BINLOG_TYPE_LOAD,
    [7] = BINLOG_TYPE_SLAVE,
    [8] = BINLOG_TYPE_CREATE_FILE,
    [9] = BINLOG_TYPE_APPEND_BLOCK,
    [10] = BINLOG_TYPE_EXEC_LOAD,
    [11] = BINLOG_TYPE_DELETE_FILE,
    [12] = BINLOG_TYPE_NEW_LOAD,
    [13] = BINLOG_TYPE_RAND,
    [14] = BINLOG_TYPE_USER_VAR,
    [15] = BINLOG_TYPE_FORMAT_DESCRIPTION,
    [16] = BINLOG_TYPE_TABLE_MAP,
    [17] = BINLOG_TYPE_PRE_GA_WRITE_ROWS,
    [18] = BINLOG_TYPE_PRE_GA_UPDATE_ROWS,
    [19] = BINLOG_TYPE_PRE_GA_DELETE_ROWS,
    [20] = BINLOG_TYPE_XID,
    [21] = BINLOG_TYPE_BEGIN_LOAD_QUERY,
    [22] = BINLOG_TYPE_EXECUTE_LOAD_QUERY,
};

static bool
is_permuted_version(struct span version)
{
	return span_find(version, SPAN_LIT("-a_drop")) >= 0;
}

static err_t
decode_format(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);
	struct span types;
	size_t n;
	uint8_t header_len, alg = BINLOG_CHECKSUM_NONE;
	err_t err;

	ev->u.format.version = reader_u16(&r);
	ev->u.format.server = reader_span(&r, SERVER_VERSION_LEN);
	ev->u.format.created = reader_u32(&r);
	header_len = reader_u8(&r);
	if (r.short_read || header_len < BINLOG_HEADER)
		return bad_event(d, ev, "it is cut short", why);
	ev->u.format.server.len = strnlen(ev->u.format.server.p, ev->u.format.server.len);
	ev->u.format.mariadb = span_find(ev->u.format.server, SPAN_LIT("MariaDB")) >= 0;
	if (ev->u.format.version != 4)
		return unknown_event(d, ev,
				     "only binlog format 4 (MySQL 5.0 and later, MariaDB) is supported", why);
	types = reader_rest(&r);
	if (has_checksum_field(ev->u.format.server, ev->u.format.mariadb)) {
		if (types.len < 1 + CHECKSUM_LEN)
			return bad_event(d, ev, "it is cut short", why);
		alg = (uint8_t)types.p[types.len - 1 - CHECKSUM_LEN];
		types.len -= 1 + CHECKSUM_LEN;
	}
	if (alg > BINLOG_CHECKSUM_CRC32)
		return unknown_event(
		    d, ev, "SET GLOBAL binlog_checksum=CRC32 on the server is the one that is supported",
		    why);
	err = strip_checksum(d, ev, (enum binlog_checksum)alg, why);
	if (err != ERR_OK)
		return err;

	n = types.len < 255 ? types.len : 255;
	memset(d->post_len, 0, sizeof(d->post_len));
	d->is_permuted = is_permuted_version(ev->u.format.server) && n == PERMUTED - 1;
	for (size_t i = 1; i <= n; i++)
		d->post_len[d->is_permuted ? permuted[i] : i] = (uint8_t)types.p[i - 1];
	d->have_format = true;
	d->mariadb = ev->u.format.mariadb;
	d->checksum = (enum binlog_checksum)alg;
	d->header_len = header_len;
	ev->u.format.checksum = d->checksum;
	return ERR_OK;
}

static err_t
decode_rotate(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);

	ev->u.rotate.pos = reader_u64(&r);
	ev->u.rotate.file = reader_rest(&r);
	if (r.short_read || ev->u.rotate.file.len == 0 || ev->u.rotate.file.len > sizeof(d->file))
		return bad_event(d, ev, "it does not name a file", why);
	return ERR_OK;
}

static err_t
decode_heartbeat(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);

	if (ev->type == BINLOG_TYPE_HEARTBEAT) {
		ev->u.heartbeat.pos = ev->next_pos;
		/* MariaDB beyond 4 GiB: the position stands before the name. */
		if (ev->next_pos == 0 && d->mariadb && r.left > 8)
			ev->u.heartbeat.pos = reader_u64(&r);
		ev->u.heartbeat.file = reader_rest(&r);
		return ERR_OK;
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
	return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
}

static err_t
decode_gtid(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);
	struct gtid *id = &ev->u.gtid.id;
	const unsigned char *uuid;
	size_t xid_len;

	memset(&ev->u.gtid, 0, sizeof(ev->u.gtid));
	if (ev->type == BINLOG_TYPE_MARIADB_GTID) {
		id->kind = GTID_MARIADB;
		id->seq = reader_u64(&r);
		id->domain = reader_u32(&r);
		id->server = ev->server_id;
		ev->u.gtid.flags = reader_u8(&r);
		if (r.short_read)
			return bad_event(d, ev, "it is cut short", why);
		if (ev->u.gtid.flags & BINLOG_GTID_GROUP_COMMIT)
			ev->u.gtid.commit_id = reader_u64(&r);
		if (ev->u.gtid.flags & (BINLOG_GTID_PREPARED_XA | BINLOG_GTID_COMPLETED_XA)) {
			reader_u32(&r); /* format id */
			xid_len = reader_u8(&r);
			xid_len += reader_u8(&r);
			ev->u.gtid.xid = reader_span(&r, xid_len);
		}
		return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
	}
	ev->u.gtid.flags = reader_u8(&r);
	uuid = reader_take(&r, 16);
	id->seq = reader_u64(&r);
	if (r.short_read)
		return bad_event(d, ev, "it is cut short", why);
	if (ev->type == BINLOG_TYPE_GTID) {
		id->kind = GTID_MYSQL;
		memcpy(id->uuid, uuid, sizeof(id->uuid));
	}
	/* Since 5.7 logical time stamps follow, since 8.0.1 microseconds: 55 bits and "an original one
	 * follows". */
	if (reader_u8(&r) == 2) {
		uint64_t us;

		reader_take(&r, 16);
		us = reader_le(&r, 7);
		ev->u.gtid.commit_us = us & ~(UINT64_C(1) << 55);
		ev->u.gtid.original_us =
		    us & UINT64_C(1) << 55 ? reader_le(&r, 7) & ~(UINT64_C(1) << 55) : ev->u.gtid.commit_us;
		if (r.short_read)
			ev->u.gtid.commit_us = ev->u.gtid.original_us = 0;
	}
	return ERR_OK;
}

/* MySQL's serialization library: 1 to 9 bytes, as many as the first has trailing ones, and one. */
static uint64_t
varlen_u64(struct reader *r)
{
	uint8_t first = reader_u8(r);
	unsigned more = 0;

	while (more < 8 && first & 1u << more)
		more++;
	if (more == 0)
		return first >> 1;
	if (more >= 7)
		return reader_le(r, more);
	return reader_le(r, more) << (7 - more) | (uint64_t)(first >> (more + 1));
}

/* Of signed integers the lowest bit is the sign; none that is read here may be negative. */
static uint64_t
varlen_positive(struct reader *r)
{
	uint64_t v = varlen_u64(r);

	if (v & 1)
		r->short_read = true;
	return v >> 1;
}

enum tagged_field {
	TAGGED_FLAGS,
	TAGGED_UUID,
	TAGGED_GNO,
	TAGGED_TAG,
	TAGGED_LAST_COMMITTED,
	TAGGED_SEQUENCE,
	TAGGED_COMMIT_US,
	TAGGED_ORIGINAL_US,
	TAGGED_LENGTH,
	TAGGED_SERVER,
	TAGGED_ORIGINAL_SERVER,
	TAGGED_TICKET,
	TAGGED_FIELDS,
};

/*
 * MySQL 8.3 and later.  version, size of all, last field that may not be ignored; then fields, each behind
 * its number, ascending; those whose value is the usual one are left out.
 */
static err_t
decode_gtid_tagged(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);
	struct gtid *id = &ev->u.gtid.id;
	uint64_t version, size, needed, seen = 0;
	struct span tag = {"", 0};
	int last = -1;

	memset(&ev->u.gtid, 0, sizeof(ev->u.gtid));
	version = varlen_u64(&r);
	size = varlen_u64(&r);
	needed = varlen_u64(&r);
	if (r.short_read || size < ev->body.len - r.left || size > ev->body.len)
		return bad_event(d, ev, "it is cut short", why);
	if (version != 1 || needed >= TAGGED_FIELDS)
		return unknown_event(
		    d, ev, "its format is newer than this version of squeal; look for a newer one", why);
	r.left -= ev->body.len - (size_t)size;
	while (r.left > 0) {
		uint64_t field = varlen_u64(&r);

		/* What is not known here may be ignored, and so may all behind it. */
		if (field >= TAGGED_FIELDS)
			break;
		if ((int)field <= last)
			return bad_event(d, ev, "its fields are out of order", why);
		last = (int)field;
		seen |= UINT64_C(1) << field;
		switch ((enum tagged_field)field) {
		case TAGGED_FLAGS:
			ev->u.gtid.flags = (uint8_t)varlen_u64(&r);
			break;
		case TAGGED_UUID:
			for (size_t i = 0; i < sizeof(id->uuid); i++)
				id->uuid[i] = (uint8_t)varlen_u64(&r);
			break;
		case TAGGED_GNO:
			id->seq = varlen_positive(&r);
			break;
		case TAGGED_TAG:
			tag = reader_span(&r, (size_t)varlen_u64(&r));
			break;
		case TAGGED_COMMIT_US:
			ev->u.gtid.commit_us = varlen_u64(&r);
			break;
		case TAGGED_ORIGINAL_US:
			ev->u.gtid.original_us = varlen_u64(&r);
			break;
		default:
			varlen_u64(&r);
		}
	}
	if (r.short_read)
		return bad_event(d, ev, "it is cut short", why);
	if (!(seen & 1u << TAGGED_UUID) || !(seen & 1u << TAGGED_GNO) || id->seq == 0)
		return bad_event(d, ev, "it has no GTID", why);
	if (!gtid_set_tag(id, tag))
		return bad_event(d, ev, "its tag is none", why);
	id->kind = GTID_MYSQL;
	if (ev->u.gtid.original_us == 0)
		ev->u.gtid.original_us = ev->u.gtid.commit_us;
	return ERR_OK;
}

static err_t
decode_gtid_list(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);
	uint32_t count = reader_u32(&r);

	ev->u.gtid_list.n = count & 0x0fffffff;
	ev->u.gtid_list.flags = count >> 28;
	ev->u.gtid_list.ids = reader_span(&r, (size_t)ev->u.gtid_list.n * 16);
	return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
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

static err_t
inflate_text(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct err_detail inner = {0};
	err_t err = inflate_unpack(&d->inflate, ev->u.query.sql, d->max_event, &d->text, &inner);

	switch (err) {
	case ERR_OK:
		bump(&d->metrics->binlog_uncompressed, d->text.len);
		ev->u.query.sql = buf_span(&d->text);
		return ERR_OK;
	case ERR_BAD_EVENT:
		return bad_event(d, ev, inner.text, why);
	case ERR_UNKNOWN_EVENT:
		return unknown_event(d, ev, inner.text, why);
	case ERR_TOO_LONG:
		bump(&d->metrics->binlog_bad, 1);
		return err_set(why, err, "statement %s has %s", place(d).text, inner.text);
	default:
		return err_set(why, err, "%s", inner.text);
	}
}

static err_t
decode_query(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);
	size_t db_len, vars_len;
	struct span vars, post;
	size_t post_len = d->post_len[ev->type];
	size_t least = ev->type == BINLOG_TYPE_EXECUTE_LOAD_QUERY ? 26 : 13;

	if (post_len < least)
		return bad_event(d, ev, "FORMAT_DESCRIPTION before it gives its type an impossible length",
				 why);
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
		return bad_event(d, ev, "it is cut short", why);
	ev->u.query.micros = vars.len > 0 ? find_micros(vars) : 0;
	if (ev->type == BINLOG_TYPE_QUERY_COMPRESSED)
		return inflate_text(d, ev, why);
	return ERR_OK;
}

static err_t
decode_xa_prepare(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);
	uint32_t gtrid_len, bqual_len;

	ev->u.xa.one_phase = reader_u8(&r) != 0;
	ev->u.xa.format = reader_u32(&r);
	gtrid_len = reader_u32(&r);
	bqual_len = reader_u32(&r);
	ev->u.xa.gtrid = reader_span(&r, gtrid_len);
	ev->u.xa.bqual = reader_span(&r, bqual_len);
	return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
}

static err_t
decode_text(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);

	if (ev->kind == BINLOG_INCIDENT) {
		reader_u16(&r);
		ev->u.text = reader_span(&r, reader_u8(&r));
		if (r.short_read)
			ev->u.text = (struct span){"", 0};
		return ERR_OK;
	}
	if (ev->type == BINLOG_TYPE_ROWS_QUERY)
		reader_u8(&r); /* a length that is too small to hold one */
	ev->u.text = reader_rest(&r);
	return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
}

/* Old servers wrote table ids of 4 bytes. */
static uint64_t
table_id(const struct binlog_event *ev, struct reader *r)
{
	return reader_le(r, ev->post_len == 6 ? 4 : 6);
}

static err_t
decode_table(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);

	ev->u.table.id = table_id(ev, &r);
	reader_u16(&r); /* flags */
	ev->u.table.body = reader_rest(&r);
	ev->u.table.mariadb = d->mariadb;
	return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
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

static err_t
decode_rows(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
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
	return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
}

static err_t
decode_payload(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct err_detail inner = {0};
	err_t err;

	if (d->payload == NULL)
		d->payload = payload_create(d->max_event);
	d->payload_at = d->pos;
	err = payload_open(d->payload, ev->body, &inner);
	if (err == ERR_BAD_EVENT)
		return bad_event(d, ev, inner.text, why);
	if (err == ERR_UNKNOWN_EVENT)
		return unknown_event(d, ev, inner.text, why);
	return err == ERR_OK ? err : err_set(why, err, "%s", inner.text);
}

static err_t
decode_body(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(ev->body);

	switch (ev->kind) {
	case BINLOG_ROTATE:
		bump(&d->metrics->binlog_rotate, 1);
		return decode_rotate(d, ev, why);
	case BINLOG_HEARTBEAT:
		bump(&d->metrics->binlog_heartbeat, 1);
		return decode_heartbeat(d, ev, why);
	case BINLOG_GTID:
		return ev->type == BINLOG_TYPE_GTID_TAGGED ? decode_gtid_tagged(d, ev, why)
							   : decode_gtid(d, ev, why);
	case BINLOG_GTID_LIST:
		return decode_gtid_list(d, ev, why);
	case BINLOG_GTID_SET:
		ev->u.gtid_set = ev->body;
		return ERR_OK;
	case BINLOG_QUERY:
		bump(&d->metrics->binlog_query, 1);
		return decode_query(d, ev, why);
	case BINLOG_ROWS_TEXT:
		bump(&d->metrics->binlog_rows_text, 1);
		return decode_text(d, ev, why);
	case BINLOG_INCIDENT:
		return decode_text(d, ev, why);
	case BINLOG_TABLE:
		bump(&d->metrics->binlog_rows, 1);
		return decode_table(d, ev, why);
	case BINLOG_ROWS:
		bump(&d->metrics->binlog_rows, 1);
		return decode_rows(d, ev, why);
	case BINLOG_PAYLOAD:
		bump(&d->metrics->binlog_payload, 1);
		return decode_payload(d, ev, why);
	case BINLOG_XID:
		/* Some versions put bytes before the number. */
		reader_take(&r, d->post_len[ev->type]);
		ev->u.xid = reader_u64(&r);
		return r.short_read ? bad_event(d, ev, "it is cut short", why) : ERR_OK;
	case BINLOG_XA_PREPARE:
		return decode_xa_prepare(d, ev, why);
	default:
		return ERR_OK;
	}
}

__attribute__((cold, noinline)) static err_t
too_long(struct binlog_decoder *d, size_t len, struct err_detail *why)
{
	bump(&d->metrics->binlog_bad, 1);
	return err_set(why, ERR_TOO_LONG, "event %s has %zu bytes; raise max_event above that", place(d).text,
		       len);
}

/* The fields of the header.  The length that it says must be that of `bytes`. */
__attribute__((always_inline)) static inline err_t
decode_header(struct binlog_decoder *d, struct span bytes, struct binlog_event *ev, struct err_detail *why)
{
	struct reader r = reader_of(bytes);
	uint32_t length;
	size_t header_len;

	ev->timestamp = reader_u32(&r);
	ev->type = reader_u8(&r);
	ev->server_id = reader_u32(&r);
	length = reader_u32(&r);
	ev->next_pos = reader_u32(&r);
	ev->flags = reader_u16(&r);
	ev->raw = bytes;
	if (d->is_permuted && ev->type < PERMUTED)
		ev->type = permuted[ev->type];
	ev->kind = event_rows[ev->type].kind;
	if (r.short_read || length != bytes.len)
		return bad_event(d, ev, "its length is not what its header says", why);
	if (bytes.len > d->max_event) {
		return too_long(d, bytes.len, why);
	}
	header_len = ev->type == BINLOG_TYPE_FORMAT_DESCRIPTION ? BINLOG_HEADER : d->header_len;
	if (bytes.len < header_len)
		return bad_event(d, ev, "it is shorter than its header", why);
	ev->body = span_from(bytes, header_len);
	ev->post_len = d->post_len[ev->type];
	return ERR_OK;
}

/* A type that is not in the table. */
__attribute__((cold, noinline)) static err_t
check_known(struct binlog_decoder *d, const struct binlog_event *ev, struct err_detail *why)
{
	if (!(ev->flags & BINLOG_FLAG_IGNORABLE))
		return unknown_event(
		    d, ev,
		    "this version does not know its type, and its writer did not mark it as one "
		    "to be ignored; look for a newer version of squeal",
		    why);
	bump(&d->metrics->binlog_ignorable, 1);
	return ERR_OK;
}

/* Those that say where one is, begin a group, or have events in them do not come inside of a payload. */
static bool
can_be_inside(const struct binlog_event *ev)
{
	switch (ev->kind) {
	case BINLOG_FORMAT:
	case BINLOG_ROTATE:
	case BINLOG_STOP:
	case BINLOG_HEARTBEAT:
	case BINLOG_GTID:
	case BINLOG_GTID_LIST:
	case BINLOG_GTID_SET:
	case BINLOG_PAYLOAD:
		return false;
	default:
		return true;
	}
}

/* An event of the stream, or one inside of a payload, which has no checksum. */
__attribute__((always_inline)) static inline err_t
decode_event(struct binlog_decoder *d, struct span bytes, bool is_inside, struct binlog_event *ev,
	     struct err_detail *why)
{
	err_t err = decode_header(d, bytes, ev, why);

	if (err != ERR_OK)
		return err;
	if (is_inside && !can_be_inside(ev))
		return bad_event(d, ev, "it stands inside of a payload, where it cannot be", why);
	if (ev->kind == BINLOG_FORMAT)
		return decode_format(d, ev, why);
	/* A file that does not begin with FORMAT_DESCRIPTION would be read by guess. */
	if (!d->have_format && ev->kind != BINLOG_ROTATE && ev->kind != BINLOG_HEARTBEAT &&
	    ev->kind != BINLOG_REFUSED)
		return bad_event(d, ev, "no FORMAT_DESCRIPTION came before it", why);
	if (ev->kind == BINLOG_REFUSED)
		return unknown_event(d, ev, event_rows[ev->type].help, why);
	if (!is_inside) {
		err = strip_checksum(d, ev, d->checksum, why);
		if (err != ERR_OK)
			return err;
	}
	if (ev->kind == BINLOG_UNKNOWN) {
		err = check_known(d, ev, why);
		if (err != ERR_OK)
			return err;
	}
	return decode_body(d, ev, why);
}

err_t
binlog_decode(struct binlog_decoder *d, struct span bytes, struct binlog_event *ev, struct err_detail *why)
{
	err_t err;

	if (d->payload != NULL && !payload_is_done(d->payload))
		return err_set(why, ERR_USAGE, "events of a payload were left unread");
	err = decode_event(d, bytes, false, ev, why);
	if (err != ERR_OK)
		return err;

	bump(&d->metrics->binlog_event, 1);
	bump(&d->metrics->binlog_bytes, bytes.len);
	move(d, ev);
	/* In a stream what follows stands in the next file; a file's own last ROTATE is followed by nothing.
	 */
	if (ev->kind == BINLOG_ROTATE && !d->is_file) {
		set_file(d, ev->u.rotate.file);
		d->pos = ev->u.rotate.pos;
		ev->file = span_make(d->file, d->file_len);
		ev->end = d->pos;
	}
	return ERR_OK;
}

err_t
binlog_next(struct binlog_decoder *d, struct binlog_event *ev, bool *more, struct err_detail *why)
{
	struct binlog_event outer = {.type = BINLOG_TYPE_TRANSACTION_PAYLOAD};
	struct err_detail inner = {0};
	struct span bytes;
	err_t err;

	*more = false;
	if (d->payload == NULL || payload_is_done(d->payload))
		return ERR_OK;
	err = payload_next(d->payload, &bytes, &inner);
	if (err == ERR_BAD_EVENT) {
		/* The payload is closed by now, and place() must still name it. */
		uint64_t end = d->pos;

		d->pos = d->payload_at;
		err = bad_event(d, &outer, inner.text, why);
		d->pos = end;
		return err;
	}
	if (err != ERR_OK)
		return err_set(why, err, "%s", inner.text);
	if (bytes.len == 0)
		return ERR_OK;
	err = decode_event(d, bytes, true, ev, why);
	if (err != ERR_OK) {
		payload_close(d->payload);
		return err;
	}
	bump(&d->metrics->binlog_event, 1);
	bump(&d->metrics->binlog_uncompressed, bytes.len);
	ev->file = span_make(d->file, d->file_len);
	ev->end = d->file_len > 0 ? d->pos : 0;
	*more = true;
	return ERR_OK;
}
