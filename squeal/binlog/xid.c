#include "squeal/binlog/xid.h"

bool
xid_make(struct xid *x, uint32_t format, struct span gtrid, struct span bqual)
{
	if (gtrid.len > XID_PART || bqual.len > XID_PART)
		return false;
	*x = (struct xid){
	    .format = format,
	    .gtrid_len = (uint8_t)gtrid.len,
	    .bqual_len = (uint8_t)bqual.len,
	};
	if (gtrid.len > 0)
		memcpy(x->gtrid, gtrid.p, gtrid.len);
	if (bqual.len > 0)
		memcpy(x->bqual, bqual.p, bqual.len);
	return true;
}

bool
xid_same(const struct xid *a, const struct xid *b)
{
	return a->format == b->format && a->gtrid_len == b->gtrid_len && a->bqual_len == b->bqual_len &&
	       memcmp(a->gtrid, b->gtrid, a->gtrid_len) == 0 && memcmp(a->bqual, b->bqual, a->bqual_len) == 0;
}

/* --- text -------------------------------------------------------------------------------------------------
 */

/* A string under construction; one byte too many makes it bad. */
struct part {
	unsigned char at[XID_PART];
	size_t len;
	bool is_bad;
};

static void
add(struct part *part, unsigned char byte)
{
	if (part->len < XID_PART)
		part->at[part->len++] = byte;
	else
		part->is_bad = true;
}

static void
skip_space(struct span *text)
{
	while (text->len > 0 && (text->p[0] == ' ' || (text->p[0] >= '\t' && text->p[0] <= '\r')))
		*text = span_from(*text, 1);
}

/* -1 for anything else than a hexadecimal digit. */
static int
digit_of(struct span text)
{
	char c;

	if (text.len == 0)
		return -1;
	c = text.p[0];
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Digits up to the first byte that is none.  An odd number has a zero before it where `odd` is allowed. */
static bool
take_hex(struct part *part, struct span *text, bool odd)
{
	size_t n = 0;

	while (digit_of(span_from(*text, n)) >= 0)
		n++;
	if (n % 2 != 0) {
		if (!odd)
			return false;
		add(part, (unsigned char)digit_of(*text));
		*text = span_from(*text, 1);
	}
	for (n /= 2; n > 0; n--) {
		add(part, (unsigned char)(digit_of(*text) << 4 | digit_of(span_from(*text, 1))));
		*text = span_from(*text, 2);
	}
	return true;
}

static unsigned char
unescape(char c)
{
	switch (c) {
	case '0':
		return '\0';
	case 'b':
		return '\b';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'Z':
		return 26;
	default:
		return (unsigned char)c;
	}
}

/* Behind the opening quote; takes the closing one. */
static bool
take_quoted(struct part *part, struct span *text, char quote)
{
	while (text->len > 0) {
		char c = text->p[0];
		bool has_next = text->len > 1;

		if (c == quote && !(has_next && text->p[1] == quote)) {
			*text = span_from(*text, 1);
			return true;
		}
		if (c == '\\' && !has_next)
			return false;
		if (c == quote || c == '\\') {
			add(part, c == quote ? (unsigned char)c : unescape(text->p[1]));
			*text = span_from(*text, 2);
		} else {
			add(part, (unsigned char)c);
			*text = span_from(*text, 1);
		}
	}
	return false;
}

static bool
take_string(struct part *part, struct span *text)
{
	char first, second;

	*part = (struct part){.len = 0};
	skip_space(text);
	if (text->len < 2)
		return false;
	first = text->p[0];
	second = text->p[1];
	if ((first == 'X' || first == 'x') && second == '\'') {
		*text = span_from(*text, 2);
		if (!take_hex(part, text, false) || text->len == 0 || text->p[0] != '\'')
			return false;
		*text = span_from(*text, 1);
	} else if (first == '0' && second == 'x' && digit_of(span_from(*text, 2)) >= 0) {
		*text = span_from(*text, 2);
		take_hex(part, text, true);
	} else if (first == '\'' || first == '"') {
		*text = span_from(*text, 1);
		if (!take_quoted(part, text, first))
			return false;
	} else {
		return false;
	}
	return !part->is_bad;
}

static bool
take_comma(struct span *text)
{
	skip_space(text);
	if (text->len == 0 || text->p[0] != ',')
		return false;
	*text = span_from(*text, 1);
	return true;
}

static bool
take_number(uint32_t *out, struct span *text)
{
	uint64_t n;
	size_t digits = 0;

	skip_space(text);
	while (digits < text->len && text->p[digits] >= '0' && text->p[digits] <= '9')
		digits++;
	if (!span_u64(span_first(*text, digits), &n))
		return false;
	*out = (uint32_t)n;
	*text = span_from(*text, digits);
	return true;
}

bool
xid_parse(struct xid *x, struct span *text)
{
	struct part gtrid, bqual = {.len = 0};
	uint32_t format = 1;

	if (!take_string(&gtrid, text))
		return false;
	if (take_comma(text)) {
		if (!take_string(&bqual, text))
			return false;
		if (take_comma(text) && !take_number(&format, text))
			return false;
	}
	skip_space(text);
	return xid_make(x, format, span_make(gtrid.at, gtrid.len), span_make(bqual.at, bqual.len));
}

static void
put_hex(const unsigned char *p, size_t n, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";

	buf_put_str(out, "X'");
	for (size_t i = 0; i < n; i++) {
		buf_putc(out, digits[p[i] >> 4]);
		buf_putc(out, digits[p[i] & 15]);
	}
	buf_putc(out, '\'');
}

void
xid_format(const struct xid *x, struct buf *out)
{
	put_hex(x->gtrid, x->gtrid_len, out);
	buf_putc(out, ',');
	put_hex(x->bqual, x->bqual_len, out);
	buf_putc(out, ',');
	buf_put_u64(out, x->format);
}
