#include "squeal/binlog/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The last `digits` digits of `v`, zeros in front; returns what is behind them. */
static char *
put_padded(char *p, unsigned v, unsigned digits)
{
	for (unsigned i = digits; i > 0; i--, v /= 10)
		p[i - 1] = (char)('0' + v % 10);
	return p + digits;
}

void
number_put_i64(struct buf *out, int64_t v)
{
	if (v < 0)
		buf_putc(out, '-');
	buf_put_u64(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

/* --- floating point ---------------------------------------------------------------------------- */

/* Lays out "d.ddde±x" as MySQL does: plain from 1e-15 up to, not including, 1e15. */
static void
put_digits(struct buf *out, char *text)
{
	char digits[32];
	size_t n = 0;
	char *e = strchr(text, 'e');
	int exponent = (int)strtol(e + 1, NULL, 10);
	int point = exponent + 1; /* digits before the point */

	if (text[0] == '-')
		buf_putc(out, '-');
	for (char *p = text; p < e; p++) {
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	if (n == 1 && digits[0] == '0') {
		buf_putc(out, '0');
	} else if (point < -14 || point > 15) {
		buf_putc(out, digits[0]);
		if (n > 1) {
			buf_putc(out, '.');
			buf_put(out, digits + 1, n - 1);
		}
		buf_printf(out, "e%d", exponent);
	} else if (point <= 0) {
		buf_put_str(out, "0.");
		for (int i = point; i < 0; i++)
			buf_putc(out, '0');
		buf_put(out, digits, n);
	} else {
		for (int i = 0; i < point; i++)
			buf_putc(out, (size_t)i < n ? digits[i] : '0');
		if (n > (size_t)point) {
			buf_putc(out, '.');
			buf_put(out, digits + point, n - (size_t)point);
		}
	}
}

/* What is not finite does not come out of a server: MySQL prints 0 for it. */
void
number_put_double(struct buf *out, double v)
{
	char text[40];

	if (!isfinite(v)) {
		buf_putc(out, '0');
		return;
	}
	/* All of fifteen digits and fewer are exact, but for numbers so small that bits are missing. */
	for (int digits = isnormal(v) ? 14 : 0; digits <= 16; digits++) {
		snprintf(text, sizeof(text), "%.*e", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	put_digits(out, text);
}

void
number_put_float(struct buf *out, float v)
{
	char text[40];

	if (!isfinite(v)) {
		buf_putc(out, '0');
		return;
	}
	snprintf(text, sizeof(text), "%.5e", (double)v);
	put_digits(out, text);
}

/* --- decimals ---------------------------------------------------------------------------------- */

static const uint8_t group_bytes[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};

struct decimal {
	const unsigned char *p;
	size_t at;
	unsigned char flip; /* of each byte: negative numbers are stored inverted */
	bool is_bad;
};

/* The next group of `digits` digits. */
static uint32_t
decimal_group(struct decimal *d, unsigned digits)
{
	static const uint32_t limit[10] = {1,	   10,	    100,      1000,	 10000,
					   100000, 1000000, 10000000, 100000000, 1000000000};
	uint32_t v = 0;

	for (unsigned i = 0; i < group_bytes[digits]; i++, d->at++) {
		unsigned char c = d->p[d->at] ^ d->flip;

		/* The first bit says whether it is negative. */
		if (d->at == 0)
			c ^= 0x80;
		v = v << 8 | c;
	}
	if (v >= limit[digits])
		d->is_bad = true;
	return v;
}

bool
number_put_decimal(struct buf *out, struct span bytes, unsigned precision, unsigned scale)
{
	unsigned whole = precision - scale;
	struct decimal d = {.p = (const unsigned char *)bytes.p};
	size_t before = out->len;
	bool has_digits = false;
	char text[9];
	uint32_t v;

	if (bytes.len == 0)
		return false;
	if (!(d.p[0] & 0x80)) {
		d.flip = 0xff;
		buf_putc(out, '-');
	}
	for (unsigned left = whole; left > 0;) {
		unsigned digits = left % 9 > 0 ? left % 9 : 9;

		v = decimal_group(&d, digits);
		if (has_digits)
			buf_put(out, text, (size_t)(put_padded(text, v, digits) - text));
		else if (v > 0)
			buf_put_u64(out, v);
		has_digits = has_digits || v > 0;
		left -= digits;
	}
	if (!has_digits)
		buf_putc(out, '0');
	if (scale > 0)
		buf_putc(out, '.');
	for (unsigned left = scale; left > 0;) {
		unsigned digits = left < 9 ? left : 9;

		v = decimal_group(&d, digits);
		buf_put(out, text, (size_t)(put_padded(text, v, digits) - text));
		left -= digits;
	}
	if (d.is_bad)
		out->len = before;
	return !d.is_bad;
}

/* --- times ------------------------------------------------------------------------------------- */

void
number_put_date(struct buf *out, unsigned year, unsigned month, unsigned day)
{
	char text[10], *p;

	p = put_padded(text, year, 4);
	*p++ = '-';
	p = put_padded(p, month, 2);
	*p++ = '-';
	p = put_padded(p, day, 2);
	buf_put(out, text, (size_t)(p - text));
}

void
number_put_clock(struct buf *out, bool is_negative, uint64_t hour, unsigned minute, unsigned second,
		 unsigned micros, unsigned digits)
{
	static const unsigned scale[7] = {1000000, 100000, 10000, 1000, 100, 10, 1};
	char text[16], *p = text;

	if (is_negative)
		buf_putc(out, '-');
	if (hour >= 100)
		buf_put_u64(out, hour);
	else
		p = put_padded(p, (unsigned)hour, 2);
	*p++ = ':';
	p = put_padded(p, minute, 2);
	*p++ = ':';
	p = put_padded(p, second, 2);
	if (digits > 0) {
		*p++ = '.';
		p = put_padded(p, micros / scale[digits], digits);
	}
	buf_put(out, text, (size_t)(p - text));
}
