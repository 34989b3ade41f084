#include "squeal/binlog/event.h"

#include <libdeflate.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/core/reader.h"
#include "squeal/binlog/event_body.h"
#include "squeal/binlog/event_format.h"
#include "squeal/binlog/event_gtid.h"
#include "squeal/binlog/payload.h"

typedef struct binlog_metrics metric_owner;
const struct metric_row binlog_metric_rows[] = {METRIC_ROWS(BINLOG_METRICS)};
const size_t binlog_metric_nrows = sizeof(binlog_metric_rows) / sizeof(binlog_metric_rows[0]);

enum { CHECKSUM_LEN = 4, FLAGS_OFFSET = 17 };

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

__attribute__((cold, noinline)) static err_t
complain(struct binlog_decoder *d, const struct binlog_event *ev, err_t err, const char *what,
	 struct err_detail *why)
{
	return err == ERR_UNKNOWN_EVENT ? unknown_event(d, ev, what, why) : bad_event(d, ev, what, why);
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
__attribute__((always_inline)) static inline err_t
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

__attribute__((cold, noinline)) static err_t
decode_format(struct binlog_decoder *d, struct binlog_event *ev, struct err_detail *why)
{
	struct event_format format;
	const char *what;
	err_t err = event_format_read(ev, &format, &what);

	if (err != ERR_OK)
		return complain(d, ev, err, what, why);
	err = strip_checksum(d, ev, ev->u.format.checksum, why);
	if (err != ERR_OK)
		return err;
	event_format_lengths(&format, d->post_len);
	d->have_format = true;
	d->mariadb = ev->u.format.mariadb;
	d->checksum = ev->u.format.checksum;
	d->header_len = format.header_len;
	d->is_permuted = format.is_permuted;
	return ERR_OK;
}

__attribute__((noinline)) static err_t
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

__attribute__((noinline)) static err_t
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
	const char *what = NULL;
	err_t err = ERR_BAD_EVENT;

	switch (ev->kind) {
	case BINLOG_ROTATE:
		bump(&d->metrics->binlog_rotate, 1);
		what = event_body_rotate(ev);
		break;
	case BINLOG_HEARTBEAT:
		bump(&d->metrics->binlog_heartbeat, 1);
		what = event_body_heartbeat(ev, d->mariadb);
		break;
	case BINLOG_GTID:
		err = event_gtid_read(ev, &what);
		break;
	case BINLOG_GTID_LIST:
		err = event_gtid_read_list(ev, &what);
		break;
	case BINLOG_GTID_SET:
		ev->u.gtid_set = ev->body;
		return ERR_OK;
	case BINLOG_QUERY:
		bump(&d->metrics->binlog_query, 1);
		what = event_body_query(ev);
		if (what == NULL && ev->type == BINLOG_TYPE_QUERY_COMPRESSED)
			return inflate_text(d, ev, why);
		break;
	case BINLOG_ROWS_TEXT:
		bump(&d->metrics->binlog_rows_text, 1);
		what = event_body_text(ev);
		break;
	case BINLOG_INCIDENT:
		what = event_body_text(ev);
		break;
	case BINLOG_TABLE:
		bump(&d->metrics->binlog_rows, 1);
		what = event_body_table(ev, d->mariadb);
		break;
	case BINLOG_ROWS:
		bump(&d->metrics->binlog_rows, 1);
		what = event_body_rows(ev);
		break;
	case BINLOG_PAYLOAD:
		bump(&d->metrics->binlog_payload, 1);
		return decode_payload(d, ev, why);
	case BINLOG_XID:
		what = event_body_xid(ev);
		break;
	case BINLOG_XA_PREPARE:
		what = event_body_xa_prepare(ev);
		break;
	default:
		return ERR_OK;
	}
	return what == NULL ? ERR_OK : complain(d, ev, err, what, why);
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
	if (d->is_permuted && ev->type < EVENT_FORMAT_PERMUTED)
		ev->type = event_format_type(ev->type);
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
