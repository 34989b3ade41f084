#include "squeal/binlog/jsonb.h"

#include <string.h>

#include "lib/core/reader.h"
#include "squeal/binlog/number.h"
#include "squeal/binlog/table.h"

enum { DEPTH_MAX = 100 }; /* MySQL's own */

enum jsonb_type {
	JSONB_SMALL_OBJECT = 0,
	JSONB_LARGE_OBJECT = 1,
	JSONB_SMALL_ARRAY = 2,
	JSONB_LARGE_ARRAY = 3,
	JSONB_LITERAL = 4,
	JSONB_INT16 = 5,
	JSONB_UINT16 = 6,
	JSONB_INT32 = 7,
	JSONB_UINT32 = 8,
	JSONB_INT64 = 9,
	JSONB_UINT64 = 10,
	JSONB_DOUBLE = 11,
	JSONB_STRING = 12,
	JSONB_OPAQUE = 15,
};

struct jsonb {
	struct buf *out;
	size_t values; /* that may still come: no document has more than bytes */
	size_t end;    /* no text of a document is longer */
	unsigned depth;
};

static bool put_value(struct jsonb *j, uint8_t type, struct span data);

static void
put_string(struct jsonb *j, struct span s)
{
	size_t from = 0;

	buf_putc(j->out, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		static const char names[] = "btn?fr";

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_put(j->out, s.p + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\')
			buf_printf(j->out, "\\%c", c);
		else if (c >= '\b' && c <= '\r' && c != '\v')
			buf_printf(j->out, "\\%c", names[c - '\b']);
		else
			buf_printf(j->out, "\\u%04x", c);
	}
	buf_put(j->out, s.p + from, s.len - from);
	buf_putc(j->out, '"');
}

/* Seven bits in each byte, the low ones first. */
static struct span
read_counted(struct reader *r)
{
	uint64_t n = 0;

	for (unsigned shift = 0; shift < 35; shift += 7) {
		uint8_t c = reader_u8(r);

		n |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return reader_span(r, (size_t)n);
	}
	r->short_read = true;
	return (struct span){"", 0};
}

static void
put_base64(struct buf *out, struct span s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0; i < s.len; i += 3) {
		size_t n = s.len - i < 3 ? s.len - i : 3;
		uint32_t v =
		    (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);

		buf_putc(out, digits[v >> 18]);
		buf_putc(out, digits[v >> 12 & 63]);
		buf_putc(out, n > 1 ? digits[v >> 6 & 63] : '=');
		buf_putc(out, n > 2 ? digits[v & 63] : '=');
	}
}

static void
put_time(struct jsonb *j, uint8_t type, int64_t packed)
{
	bool is_negative = packed < 0;
	uint64_t v = is_negative ? -(uint64_t)packed : (uint64_t)packed;
	unsigned micros = (unsigned)(v & 0xffffff) % 1000000;
	uint64_t seconds = v >> 24;
	uint64_t days = seconds >> 17;
	unsigned minute = seconds >> 6 & 63, second = seconds & 63;

	buf_putc(j->out, '"');
	if (type == COLUMN_TIME) {
		number_put_clock(j->out, is_negative, seconds >> 12 & 1023, minute, second, micros, 6);
	} else {
		number_put_date(j->out, (unsigned)((days >> 5) / 13), (unsigned)((days >> 5) % 13),
				(unsigned)(days & 31));
		if (type != COLUMN_DATE) {
			buf_putc(j->out, ' ');
			number_put_clock(j->out, false, seconds >> 12 & 31, minute, second, micros, 6);
		}
	}
	buf_putc(j->out, '"');
}

/* A value of one of the database's types. */
static bool
put_opaque(struct jsonb *j, struct span data)
{
	struct reader r = reader_of(data);
	uint8_t type = reader_u8(&r), precision, scale;
	struct span v = read_counted(&r);
	struct reader in = reader_of(v);
	static const uint8_t partial[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
	size_t need;

	if (r.short_read)
		return false;
	switch (type) {
	case COLUMN_NEWDECIMAL:
		precision = reader_u8(&in);
		scale = reader_u8(&in);
		if (in.short_read || precision == 0 || precision > 65 || scale > precision)
			return false;
		need = (size_t)((precision - scale) / 9 * 4 + partial[(precision - scale) % 9] +
				scale / 9 * 4 + partial[scale % 9]);
		return in.left >= need &&
		       number_put_decimal(j->out, reader_span(&in, need), precision, scale);
	case COLUMN_DATE:
	case COLUMN_TIME:
	case COLUMN_DATETIME:
	case COLUMN_TIMESTAMP:
		put_time(j, type, (int64_t)reader_u64(&in));
		return !in.short_read;
	default:
		buf_printf(j->out, "\"base64:type%u:", type);
		put_base64(j->out, v);
		buf_putc(j->out, '"');
		return true;
	}
}

/* Those that stand in the entry of their container, and not at an offset. */
static bool
is_inline(uint8_t type, bool is_large)
{
	return type == JSONB_LITERAL || type == JSONB_INT16 || type == JSONB_UINT16 ||
	       (is_large && (type == JSONB_INT32 || type == JSONB_UINT32));
}

/* count, size; of an object (offset, length) of each key; (type, offset or value) of each value; offsets
 * count from the start. */
static bool
put_container(struct jsonb *j, struct span data, bool is_object, bool is_large)
{
	struct reader r = reader_of(data), values;
	size_t width = is_large ? 4 : 2;
	size_t count = reader_le(&r, width), size = reader_le(&r, width);

	if (r.short_read || size > data.len || size < 2 * width || j->depth >= DEPTH_MAX)
		return false;
	data.len = size;
	r.left = size - 2 * width;
	if (count > r.left / (width + 1))
		return false;
	j->depth++;
	values = r;
	if (is_object)
		reader_take(&values, count * (width + 2));
	buf_putc(j->out, is_object ? '{' : '[');
	for (size_t i = 0; i < count; i++) {
		struct span value;
		uint8_t type;

		if (i > 0)
			buf_put_str(j->out, ", ");
		if (is_object) {
			size_t at = reader_le(&r, width), len = reader_u16(&r);

			if (at > size || len > size - at)
				return false;
			put_string(j, span_first(span_from(data, at), len));
			buf_put_str(j->out, ": ");
		}
		type = reader_u8(&values);
		value = reader_span(&values, width);
		if (!is_inline(type, is_large)) {
			struct reader offset = reader_of(value);

			value = span_from(data, reader_le(&offset, width));
		}
		if (values.short_read || r.short_read || !put_value(j, type, value))
			return false;
	}
	buf_putc(j->out, is_object ? '}' : ']');
	j->depth--;
	return true;
}

static bool
put_literal(struct jsonb *j, uint8_t v)
{
	static const char *const names[] = {"null", "true", "false"};

	if (v >= 3)
		return false;
	buf_put_str(j->out, names[v]);
	return true;
}

/* A number with a point or an exponent, so that it stays a double. */
static void
put_double(struct jsonb *j, uint64_t bits)
{
	size_t before = j->out->len;
	double d;

	memcpy(&d, &bits, sizeof(d));
	number_put_double(j->out, d);
	if (memchr(j->out->p + before, '.', j->out->len - before) == NULL &&
	    memchr(j->out->p + before, 'e', j->out->len - before) == NULL)
		buf_put_str(j->out, ".0");
}

static bool
put_value(struct jsonb *j, uint8_t type, struct span data)
{
	struct reader r = reader_of(data);
	struct span s;

	if (j->values-- == 0 || j->out->len > j->end)
		return false;
	switch (type) {
	case JSONB_SMALL_OBJECT:
	case JSONB_LARGE_OBJECT:
		return put_container(j, data, true, type == JSONB_LARGE_OBJECT);
	case JSONB_SMALL_ARRAY:
	case JSONB_LARGE_ARRAY:
		return put_container(j, data, false, type == JSONB_LARGE_ARRAY);
	case JSONB_LITERAL:
		return put_literal(j, reader_u8(&r)) && !r.short_read;
	case JSONB_INT16:
		number_put_i64(j->out, (int16_t)reader_u16(&r));
		return !r.short_read;
	case JSONB_UINT16:
		buf_put_u64(j->out, reader_u16(&r));
		return !r.short_read;
	case JSONB_INT32:
		number_put_i64(j->out, (int32_t)reader_u32(&r));
		return !r.short_read;
	case JSONB_UINT32:
		buf_put_u64(j->out, reader_u32(&r));
		return !r.short_read;
	case JSONB_INT64:
		number_put_i64(j->out, (int64_t)reader_u64(&r));
		return !r.short_read;
	case JSONB_UINT64:
		buf_put_u64(j->out, reader_u64(&r));
		return !r.short_read;
	case JSONB_DOUBLE:
		put_double(j, reader_u64(&r));
		return !r.short_read;
	case JSONB_STRING:
		s = read_counted(&r);
		if (!r.short_read)
			put_string(j, s);
		return !r.short_read;
	case JSONB_OPAQUE:
		return put_opaque(j, data);
	default:
		return false;
	}
}

bool
jsonb_text(struct span doc, struct buf *out)
{
	size_t before = out->len;
	struct jsonb j = {.out = out, .values = doc.len, .end = before + 16 * doc.len + 256};

	if (doc.len == 0) {
		buf_put_str(out, "null");
		return true;
	}
	if (put_value(&j, (uint8_t)doc.p[0], span_from(doc, 1)))
		return true;
	out->len = before;
	return false;
}
