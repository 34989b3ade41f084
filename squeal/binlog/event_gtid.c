#include "squeal/binlog/event_gtid.h"

#include "lib/core/reader.h"

static err_t
bad(const char **what, const char *is)
{
	*what = is;
	return ERR_BAD_EVENT;
}

static err_t
read_gtid(struct binlog_event *ev, const char **what)
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
			return bad(what, "it is cut short");
		if (ev->u.gtid.flags & BINLOG_GTID_GROUP_COMMIT)
			ev->u.gtid.commit_id = reader_u64(&r);
		if (ev->u.gtid.flags & (BINLOG_GTID_PREPARED_XA | BINLOG_GTID_COMPLETED_XA)) {
			reader_u32(&r); /* format id */
			xid_len = reader_u8(&r);
			xid_len += reader_u8(&r);
			ev->u.gtid.xid = reader_span(&r, xid_len);
		}
		return r.short_read ? bad(what, "it is cut short") : ERR_OK;
	}
	ev->u.gtid.flags = reader_u8(&r);
	uuid = reader_take(&r, 16);
	id->seq = reader_u64(&r);
	if (r.short_read)
		return bad(what, "it is cut short");
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
read_tagged(struct binlog_event *ev, const char **what)
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
		return bad(what, "it is cut short");
	if (version != 1 || needed >= TAGGED_FIELDS) {
		*what = "its format is newer than this version of squeal; look for a newer one";
		return ERR_UNKNOWN_EVENT;
	}
	r.left -= ev->body.len - (size_t)size;
	while (r.left > 0) {
		uint64_t field = varlen_u64(&r);

		/* What is not known here may be ignored, and so may all behind it. */
		if (field >= TAGGED_FIELDS)
			break;
		if ((int)field <= last)
			return bad(what, "its fields are out of order");
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
		return bad(what, "it is cut short");
	if (!(seen & 1u << TAGGED_UUID) || !(seen & 1u << TAGGED_GNO) || id->seq == 0)
		return bad(what, "it has no GTID");
	if (!gtid_set_tag(id, tag))
		return bad(what, "its tag is none");
	id->kind = GTID_MYSQL;
	if (ev->u.gtid.original_us == 0)
		ev->u.gtid.original_us = ev->u.gtid.commit_us;
	return ERR_OK;
}

err_t
event_gtid_read(struct binlog_event *ev, const char **what)
{
	return ev->type == BINLOG_TYPE_GTID_TAGGED ? read_tagged(ev, what) : read_gtid(ev, what);
}

err_t
event_gtid_read_list(struct binlog_event *ev, const char **what)
{
	struct reader r = reader_of(ev->body);
	uint32_t count = reader_u32(&r);

	ev->u.gtid_list.n = count & 0x0fffffff;
	ev->u.gtid_list.flags = count >> 28;
	ev->u.gtid_list.ids = reader_span(&r, (size_t)ev->u.gtid_list.n * 16);
	return r.short_read ? bad(what, "it is cut short") : ERR_OK;
}
