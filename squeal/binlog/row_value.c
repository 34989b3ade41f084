#include "squeal/binlog/row_value.h"

#include <libdeflate.h>

#include "squeal/binlog/jsonb.h"
#include "squeal/binlog/lenenc.h"
#include "squeal/binlog/number.h"

/* A compressed column's value is as long as its row lets it be; this only keeps a damaged one in bounds. */
enum { UNPACKED_MAX = 1 << 30 };

static uint64_t
big_endian(struct span s)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.len && i < 8; i++)
		v = v << 8 | (unsigned char)s.p[i];
	return v;
}

static uint64_t
little_endian(struct span s)
{
	struct reader r = reader_of(s);

	return reader_le(&r, s.len < 8 ? s.len : 8);
}

static int64_t
sign_extend(uint64_t v, size_t bytes)
{
	unsigned shift = 64 - 8 * (unsigned)bytes;

	return (int64_t)(v << shift) >> shift;
}

bool
rows_value_u64(const struct row_value *v, uint64_t *out, bool *is_negative)
{
	const struct table_column *c = v->column;

	*is_negative = false;
	if (v->is_null || v->bytes.len == 0)
		return false;
	switch (c->type) {
	case COLUMN_TINY:
	case COLUMN_SHORT:
	case COLUMN_INT24:
	case COLUMN_LONG:
	case COLUMN_LONGLONG:
		*out = little_endian(v->bytes);
		if (!c->is_unsigned) {
			int64_t i = sign_extend(*out, v->bytes.len);

			*is_negative = i < 0;
			*out = (uint64_t)i;
		}
		return true;
	case COLUMN_YEAR:
		*out = (unsigned char)v->bytes.p[0];
		*out += *out > 0 ? 1900 : 0;
		return true;
	case COLUMN_BIT:
		*out = big_endian(v->bytes);
		return true;
	case COLUMN_ENUM:
	case COLUMN_SET:
		*out = little_endian(v->bytes);
		return true;
	default:
		return false;
	}
}

/* --- times ------------------------------------------------------------------------------------- */

/* The fraction behind a time: 1 byte for two digits, 2 for four, 3 for six. */
static unsigned
micros_of(struct span s)
{
	static const unsigned scale[4] = {0, 10000, 100, 1};

	return (unsigned)big_endian(s) * scale[s.len & 3];
}

static void
put_datetime(struct buf *out, uint64_t year, unsigned month, unsigned day, unsigned hour, unsigned minute,
	     unsigned second, unsigned micros, unsigned digits)
{
	number_put_date(out, (unsigned)year, month, day);
	buf_putc(out, ' ');
	number_put_clock(out, false, hour, minute, second, micros, digits);
}

/* Seconds since 1970 as a date of the Gregorian calendar, in UTC; 0 is MySQL's zero date. */
static void
put_timestamp(struct buf *out, uint32_t seconds, unsigned micros, unsigned digits)
{
	/* Days since 0000-03-01, in eras of 400 years. */
	uint64_t days = seconds / 86400 + 719468;
	uint64_t era = days / 146097, of_era = days % 146097;
	uint64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * years + years / 4 - years / 100);
	unsigned shifted = (unsigned)((5 * of_year + 2) / 153);
	unsigned day = (unsigned)(of_year - (153 * shifted + 2) / 5 + 1);
	unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
	unsigned in_day = seconds % 86400;

	if (seconds == 0 && micros == 0) {
		put_datetime(out, 0, 0, 0, 0, 0, 0, 0, digits);
		return;
	}
	put_datetime(out, years + era * 400 + (month <= 2), month, day, in_day / 3600, in_day / 60 % 60,
		     in_day % 60, micros, digits);
}

static void
put_datetime2(struct buf *out, struct span s, unsigned digits)
{
	uint64_t v = big_endian(span_first(s, 5)) - 0x8000000000u;
	uint64_t days = v >> 17, months = days >> 5;

	put_datetime(out, (unsigned)(months / 13) % 10000, (unsigned)(months % 13), (unsigned)days & 31,
		     (unsigned)(v >> 12) & 31, (unsigned)(v >> 6) & 63, (unsigned)v & 63,
		     micros_of(span_from(s, 5)), digits);
}

/* The three bytes and the fraction are one number, which is moved up to be positive. */
static void
put_time2(struct buf *out, struct span s, unsigned digits)
{
	unsigned fraction = (unsigned)s.len - 3;
	int64_t v = (int64_t)big_endian(s) - (INT64_C(0x800000) << (8 * fraction));
	uint64_t u = v < 0 ? (uint64_t)-v : (uint64_t)v;
	uint64_t whole = u >> (8 * fraction);
	static const unsigned scale[4] = {0, 10000, 100, 1};
	unsigned micros = (unsigned)(u - (whole << (8 * fraction))) * scale[fraction & 3];

	number_put_clock(out, v < 0, whole >> 12 & 1023, (unsigned)(whole >> 6) & 63, (unsigned)whole & 63,
			 micros, digits);
}

/* --- strings ----------------------------------------------------------------------------------- */

/* BINARY(n) loses its last zero bytes on the way. */
static void
put_string(struct buf *out, const struct table_column *c, struct span s)
{
	buf_put_span(out, s);
	if (c->type != COLUMN_STRING || c->collation != COLUMN_CHARSET_BINARY)
		return;
	for (size_t i = s.len; i < c->meta; i++)
		buf_putc(out, '\0');
}

/* MariaDB's COMPRESSED columns: a byte 0 and the text; or method << 4 | no zlib header << 3 | bytes of
 * length, the length, big-endian, and a deflate stream. */
static bool
put_packed(struct buf *out, struct span s)
{
	struct libdeflate_decompressor *z;
	struct reader r = reader_of(s);
	uint8_t head = reader_u8(&r);
	enum libdeflate_result rc;
	size_t len;

	if (s.len == 0)
		return true;
	if (head == 0) {
		buf_put_span(out, span_from(s, 1));
		return true;
	}
	len = (size_t)big_endian(reader_span(&r, head & 7));
	if (head >> 4 != 8 || (head & 7) == 0 || (head & 7) > 4 || r.short_read || len > UNPACKED_MAX ||
	    len / 1032 > r.left)
		return false;
	z = libdeflate_alloc_decompressor();
	if (z == NULL)
		return false;
	if (head & 8)
		rc = libdeflate_deflate_decompress(z, r.p, r.left, buf_room(out, len + 1), len, NULL);
	else
		rc = libdeflate_zlib_decompress(z, r.p, r.left, buf_room(out, len + 1), len, NULL);
	libdeflate_free_decompressor(z);
	if (rc == LIBDEFLATE_SUCCESS)
		buf_added(out, len);
	return rc == LIBDEFLATE_SUCCESS;
}

static bool
put_enum(struct buf *out, const struct table_column *c, uint64_t n)
{
	struct reader r = reader_of(c->values);
	struct span text = {"", 0};

	if (c->nvalues == 0) {
		buf_put_u64(out, n);
		return true;
	}
	/* 0 is the empty text that stands for a wrong value. */
	if (n > c->nvalues)
		return false;
	for (uint64_t i = 0; i < n; i++)
		text = lenenc_span(&r);
	buf_put_span(out, text);
	return true;
}

static bool
put_set(struct buf *out, const struct table_column *c, uint64_t bits)
{
	struct reader r = reader_of(c->values);
	bool is_first = true;

	if (c->nvalues == 0) {
		buf_put_u64(out, bits);
		return true;
	}
	if (c->nvalues < 64 && bits >> c->nvalues != 0)
		return false;
	for (uint32_t i = 0; i < c->nvalues && i < 64; i++) {
		struct span text = lenenc_span(&r);

		if (!(bits >> i & 1))
			continue;
		if (!is_first)
			buf_putc(out, ',');
		is_first = false;
		buf_put_span(out, text);
	}
	return true;
}

bool
rows_value_text(const struct row_value *v, struct buf *out)
{
	const struct table_column *c = v->column;
	struct span s = v->bytes;
	uint64_t n;
	bool is_negative;
	float f;
	double d;

	if (v->is_null) {
		buf_put_str(out, "NULL");
		return true;
	}
	if (v->is_partial)
		return false;
	if (c->prefix == 0 && s.len != c->size)
		return false;
	switch ((enum column_type)c->type) {
	case COLUMN_TINY:
	case COLUMN_SHORT:
	case COLUMN_INT24:
	case COLUMN_LONG:
	case COLUMN_LONGLONG:
	case COLUMN_BIT:
		rows_value_u64(v, &n, &is_negative);
		if (is_negative)
			number_put_i64(out, (int64_t)n);
		else
			buf_put_u64(out, n);
		return true;
	case COLUMN_YEAR:
		rows_value_u64(v, &n, &is_negative);
		buf_printf(out, "%04u", (unsigned)n);
		return true;
	case COLUMN_FLOAT:
	case COLUMN_DOUBLE:
		if (s.len == sizeof(f)) {
			memcpy(&f, s.p, sizeof(f));
			number_put_float(out, f);
		} else {
			memcpy(&d, s.p, sizeof(d));
			number_put_double(out, d);
		}
		return true;
	case COLUMN_NEWDECIMAL:
		return number_put_decimal(out, s, c->meta >> 8, c->meta & 0xff);
	case COLUMN_DATE:
	case COLUMN_NEWDATE:
		n = little_endian(s);
		number_put_date(out, (unsigned)(n >> 9), (unsigned)(n >> 5 & 15), (unsigned)(n & 31));
		return true;
	case COLUMN_TIME: {
		int64_t t = sign_extend(little_endian(s), 3);
		uint64_t u = t < 0 ? (uint64_t)-t : (uint64_t)t;

		number_put_clock(out, t < 0, u / 10000, (unsigned)(u / 100 % 100), (unsigned)(u % 100), 0, 0);
		return true;
	}
	case COLUMN_DATETIME:
		n = little_endian(s);
		put_datetime(out, n / 10000000000 % 10000, (unsigned)(n / 100000000 % 100),
			     (unsigned)(n / 1000000 % 100), (unsigned)(n / 10000 % 100),
			     (unsigned)(n / 100 % 100), (unsigned)(n % 100), 0, 0);
		return true;
	case COLUMN_TIMESTAMP:
		put_timestamp(out, (uint32_t)little_endian(s), 0, 0);
		return true;
	case COLUMN_TIMESTAMP2:
		put_timestamp(out, (uint32_t)big_endian(span_first(s, 4)), micros_of(span_from(s, 4)),
			      c->meta);
		return true;
	case COLUMN_DATETIME2:
		put_datetime2(out, s, c->meta);
		return true;
	case COLUMN_TIME2:
		put_time2(out, s, c->meta);
		return true;
	case COLUMN_ENUM:
		return put_enum(out, c, little_endian(s));
	case COLUMN_SET:
		return put_set(out, c, little_endian(s));
	case COLUMN_JSON:
		return jsonb_text(s, out);
	case COLUMN_VARCHAR_COMPRESSED:
	case COLUMN_BLOB_COMPRESSED:
		return put_packed(out, s);
	case COLUMN_VARCHAR:
	case COLUMN_VAR_STRING:
	case COLUMN_STRING:
	case COLUMN_TINY_BLOB:
	case COLUMN_MEDIUM_BLOB:
	case COLUMN_LONG_BLOB:
	case COLUMN_BLOB:
	case COLUMN_GEOMETRY:
	case COLUMN_VECTOR:
	case COLUMN_TYPED_ARRAY:
		put_string(out, c, s);
		return true;
	case COLUMN_NULL:
		return true;
	case COLUMN_DECIMAL_OLD:
		break;
	}
	return false;
}
