#include "cache-server/cache/epoch.h"

/* Decimal, no leading zeros, at most `max`. */
static bool
number(struct span text, uint64_t max, uint64_t *out)
{
	if (text.len == 0 || text.len > 20 || (text.len > 1 && text.p[0] == '0'))
		return false;
	return span_u64(text, out) && *out <= max;
}

static bool
is_source_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_' || c == '.';
}

bool
epoch_parse(struct span text, struct epoch *out)
{
	const char *colon;
	struct span source, term, count;
	uint64_t t, n;
	size_t i;

	if (text.len > EPOCH_MAX_TEXT || !(colon = memchr(text.p, ':', text.len)))
		return false;
	source = span_make(text.p, (size_t)(colon - text.p));
	if (source.len == 0 || source.len > EPOCH_MAX_SOURCE)
		return false;
	for (i = 0; i < source.len; i++)
		if (!is_source_byte((unsigned char)source.p[i]))
			return false;
	text = span_from(text, source.len + 1);
	if (!(colon = memchr(text.p, ':', text.len)))
		return false;
	term = span_make(text.p, (size_t)(colon - text.p));
	count = span_from(text, term.len + 1);
	if (!number(term, UINT32_MAX, &t) || !number(count, UINT64_MAX, &n))
		return false;
	out->source = source;
	out->term = (uint32_t)t;
	out->count = n;
	return true;
}

static unsigned
put_number(char *out, uint64_t n)
{
	char digits[20];
	unsigned len = 0, i;

	do
		digits[len++] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	for (i = 0; i < len; i++)
		out[i] = digits[len - 1 - i];
	return len;
}

unsigned
epoch_print(const struct epoch *e, char *out)
{
	unsigned len =
	    e->source.len > EPOCH_MAX_SOURCE ? (unsigned)EPOCH_MAX_SOURCE : (unsigned)e->source.len;

	memcpy(out, e->source.p, len);
	out[len++] = ':';
	len += put_number(out + len, e->term);
	out[len++] = ':';
	len += put_number(out + len, e->count);
	return len;
}
