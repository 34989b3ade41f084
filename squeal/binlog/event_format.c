#include "squeal/binlog/event_format.h"

#include "lib/core/reader.h"

enum { CHECKSUM_LEN = 4, SERVER_VERSION_LEN = 50 };

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
static const uint8_t permuted[EVENT_FORMAT_PERMUTED] = {
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

err_t
event_format_read(struct binlog_event *ev, struct event_format *out, const char **what)
{
	struct reader r = reader_of(ev->body);
	uint8_t alg = BINLOG_CHECKSUM_NONE;

	*what = "it is cut short";
	ev->u.format.version = reader_u16(&r);
	ev->u.format.server = reader_span(&r, SERVER_VERSION_LEN);
	ev->u.format.created = reader_u32(&r);
	out->header_len = reader_u8(&r);
	if (r.short_read || out->header_len < BINLOG_HEADER)
		return ERR_BAD_EVENT;
	ev->u.format.server.len = strnlen(ev->u.format.server.p, ev->u.format.server.len);
	ev->u.format.mariadb = span_find(ev->u.format.server, SPAN_LIT("MariaDB")) >= 0;
	if (ev->u.format.version != 4) {
		*what = "only binlog format 4 (MySQL 5.0 and later, MariaDB) is supported";
		return ERR_UNKNOWN_EVENT;
	}
	out->types = reader_rest(&r);
	if (has_checksum_field(ev->u.format.server, ev->u.format.mariadb)) {
		if (out->types.len < 1 + CHECKSUM_LEN)
			return ERR_BAD_EVENT;
		alg = (uint8_t)out->types.p[out->types.len - 1 - CHECKSUM_LEN];
		out->types.len -= 1 + CHECKSUM_LEN;
	}
	if (alg > BINLOG_CHECKSUM_CRC32) {
		*what = "SET GLOBAL binlog_checksum=CRC32 on the server is the one that is supported";
		return ERR_UNKNOWN_EVENT;
	}
	ev->u.format.checksum = (enum binlog_checksum)alg;
	if (out->types.len > 255)
		out->types.len = 255;
	out->is_permuted =
	    is_permuted_version(ev->u.format.server) && out->types.len == EVENT_FORMAT_PERMUTED - 1;
	return ERR_OK;
}

void
event_format_lengths(const struct event_format *f, uint8_t post_len[256])
{
	memset(post_len, 0, 256);
	for (size_t i = 1; i <= f->types.len; i++)
		post_len[f->is_permuted ? permuted[i] : i] = (uint8_t)f->types.p[i - 1];
}

uint8_t
event_format_type(uint8_t type)
{
	return permuted[type];
}
