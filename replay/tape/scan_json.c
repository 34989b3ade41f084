#include "replay/tape/scan_json.h"

static bool
fail(struct scan_json *s)
{
	s->bad = true;
	s->rest.len = 0;
	return false;
}

char
scan_json_peek(struct scan_json *s)
{
	while (s->rest.len > 0 &&
	       (s->rest.p[0] == ' ' || s->rest.p[0] == '\t' || s->rest.p[0] == '\r' || s->rest.p[0] == '\n'))
		s->rest = span_from(s->rest, 1);
	return s->rest.len > 0 ? s->rest.p[0] : '\0';
}

bool
scan_json_take(struct scan_json *s, char c)
{
	if (s->bad || scan_json_peek(s) != c || s->rest.len == 0)
		return fail(s);
	s->rest = span_from(s->rest, 1);
	return true;
}

bool
scan_json_more(struct scan_json *s, char closing, bool *first)
{
	if (s->bad)
		return false;
	if (scan_json_peek(s) == closing && s->rest.len > 0) {
		s->rest = span_from(s->rest, 1);
		return false;
	}
	if (!*first && !scan_json_take(s, ','))
		return false;
	*first = false;
	/* A comma in front of the end is none of JSON's. */
	return scan_json_peek(s) != closing ? true : fail(s);
}

/* --- texts ------------------------------------------------------------------------------------------------
 */

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four digits at `p`; -1: they are none. */
static int
unit_at(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex(p[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

static void
put_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_putc(out, (char)c);
	} else if (c < 0x800) {
		buf_putc(out, (char)(0xc0 | c >> 6));
		buf_putc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_putc(out, (char)(0xe0 | c >> 12));
		buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_putc(out, (char)(0xf0 | c >> 18));
		buf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* What stands behind a backslash and "u"; bytes taken, 0: it makes no sense. */
static size_t
put_unit(struct span rest, enum scan_json_text kind, struct buf *out)
{
	int high = rest.len >= 4 ? unit_at(rest.p) : -1, low;

	if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
		return 0;
	if (high >= 0xd800 && high <= 0xdbff) {
		low = rest.len >= 10 && rest.p[4] == '\\' && rest.p[5] == 'u' ? unit_at(rest.p + 6) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return 0;
		put_utf8(out, 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
		return 10;
	}
	if (high <= 0xff && kind == SCAN_JSON_BYTES)
		buf_putc(out, (char)high);
	else
		put_utf8(out, (uint32_t)high);
	return 4;
}

bool
scan_json_string(struct scan_json *s, enum scan_json_text kind, struct buf *out)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";

	if (!scan_json_take(s, '"'))
		return false;
	while (s->rest.len > 0) {
		size_t plain = 0, used;
		const char *letter;
		char c;

		while (plain < s->rest.len && s->rest.p[plain] != '"' && s->rest.p[plain] != '\\' &&
		       (unsigned char)s->rest.p[plain] >= 0x20)
			plain++;
		buf_put(out, s->rest.p, plain);
		s->rest = span_from(s->rest, plain);
		if (s->rest.len == 0)
			break;
		c = s->rest.p[0];
		s->rest = span_from(s->rest, 1);
		if (c == '"')
			return true;
		if (c != '\\' || s->rest.len == 0)
			break;
		c = s->rest.p[0];
		s->rest = span_from(s->rest, 1);
		if (c == 'u') {
			used = put_unit(s->rest, kind, out);
			if (used == 0)
				break;
			s->rest = span_from(s->rest, used);
			continue;
		}
		letter = c != '\0' ? strchr(letters, c) : NULL;
		if (letter == NULL)
			break;
		buf_putc(out, meanings[letter - letters]);
	}
	return fail(s);
}

/* --- numbers ----------------------------------------------------------------------------------------------
 */

static struct span
digits(struct scan_json *s)
{
	size_t n = 0;
	struct span d;

	while (n < s->rest.len && s->rest.p[n] >= '0' && s->rest.p[n] <= '9')
		n++;
	d = span_first(s->rest, n);
	s->rest = span_from(s->rest, n);
	return d;
}

static bool
is_number_on(const struct scan_json *s)
{
	return s->rest.len > 0 && (s->rest.p[0] == '.' || s->rest.p[0] == 'e' || s->rest.p[0] == 'E');
}

bool
scan_json_u64(struct scan_json *s, uint64_t *out)
{
	scan_json_peek(s);
	if (s->bad || !span_u64(digits(s), out) || is_number_on(s))
		return fail(s);
	return true;
}

bool
scan_json_seconds(struct scan_json *s, uint64_t *us)
{
	uint64_t whole, part = 0, unit = 100000;
	struct span fraction = {"", 0};

	scan_json_peek(s);
	if (s->bad || !span_u64(digits(s), &whole) || whole > UINT64_MAX / 2000000)
		return fail(s);
	if (s->rest.len > 0 && s->rest.p[0] == '.') {
		s->rest = span_from(s->rest, 1);
		fraction = digits(s);
		if (fraction.len == 0)
			return fail(s);
	}
	for (size_t i = 0; i < fraction.len && unit > 0; i++, unit /= 10)
		part += (uint64_t)(fraction.p[i] - '0') * unit;
	if (is_number_on(s))
		return fail(s);
	*us = whole * 1000000 + part;
	return true;
}

/* --- anything ---------------------------------------------------------------------------------------------
 */

static bool
skip_word(struct scan_json *s)
{
	static const struct span words[] = {SPAN_LIT("true"), SPAN_LIT("false"), SPAN_LIT("null")};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (span_starts(s->rest, words[i])) {
			s->rest = span_from(s->rest, words[i].len);
			return true;
		}
	}
	return fail(s);
}

static bool
skip_number(struct scan_json *s)
{
	size_t n = 0;

	while (n < s->rest.len && s->rest.p[n] != '\0' && strchr("+-0123456789.eE", s->rest.p[n]) != NULL)
		n++;
	s->rest = span_from(s->rest, n);
	return n > 0;
}

static bool
skip_text(struct scan_json *s)
{
	struct buf dropped = BUF_INIT;
	bool ok = scan_json_string(s, SCAN_JSON_CHARACTERS, &dropped);

	buf_fini(&dropped);
	return ok;
}

static bool
skip(struct scan_json *s, unsigned depth)
{
	char opening = scan_json_peek(s), closing = opening == '{' ? '}' : ']';
	bool first = true;

	if (s->bad || depth > SCAN_JSON_DEPTH)
		return fail(s);
	if (opening == '"')
		return skip_text(s);
	if (opening == '-' || (opening >= '0' && opening <= '9'))
		return skip_number(s);
	if (opening != '{' && opening != '[')
		return skip_word(s);
	s->rest = span_from(s->rest, 1);
	while (scan_json_more(s, closing, &first)) {
		if (opening == '{' && (!skip_text(s) || !scan_json_take(s, ':')))
			return false;
		if (!skip(s, depth + 1))
			return false;
	}
	return !s->bad;
}

bool
scan_json_skip(struct scan_json *s)
{
	return skip(s, 0);
}

bool
scan_json_end(struct scan_json *s)
{
	return !s->bad && scan_json_peek(s) == '\0' && s->rest.len == 0;
}
