#include "lib/core/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

void
json_init(struct json *j, struct buf *out)
{
	*j = (struct json){.out = out};
}

static void
before_value(struct json *j)
{
	if (j->comma)
		buf_putc(j->out, ',');
	j->comma = true;
}

void
json_object(struct json *j)
{
	before_value(j);
	buf_putc(j->out, '{');
	j->comma = false;
}

void
json_object_end(struct json *j)
{
	buf_putc(j->out, '}');
	j->comma = true;
}

void
json_array(struct json *j)
{
	before_value(j);
	buf_putc(j->out, '[');
	j->comma = false;
}

void
json_array_end(struct json *j)
{
	buf_putc(j->out, ']');
	j->comma = true;
}

void
json_name(struct json *j, const char *name)
{
	json_str(j, name);
	buf_putc(j->out, ':');
	j->comma = false;
}

/* Length of the valid UTF-8 character at p (1..4), or 0. */
static size_t
utf8_length(const unsigned char *p, size_t left)
{
	size_t n;
	uint32_t c;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > left)
		return 0;
	c = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

void
json_span(struct json *j, struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t plain = 0; /* start of the run that needs no escaping */
	size_t i = 0;

	before_value(j);
	buf_putc(j->out, '"');
	while (i < s.len) {
		size_t n = p[i] < 0x80 ? 1 : utf8_length(p + i, s.len - i);

		if (n > 1 || (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f)) {
			i += n;
			continue;
		}
		buf_put(j->out, s.p + plain, i - plain);
		if (p[i] == '"' || p[i] == '\\') {
			buf_putc(j->out, '\\');
			buf_putc(j->out, (char)p[i]);
		} else if (p[i] == '\n') {
			buf_put(j->out, "\\n", 2);
		} else {
			buf_printf(j->out, "\\u%04x", p[i]);
		}
		i++;
		plain = i;
	}
	buf_put(j->out, s.p + plain, i - plain);
	buf_putc(j->out, '"');
}

void
json_str(struct json *j, const char *s)
{
	if (s == NULL)
		json_null(j);
	else
		json_span(j, span_of(s));
}

void
json_u64(struct json *j, uint64_t v)
{
	before_value(j);
	buf_put_u64(j->out, v);
}

void
json_i64(struct json *j, int64_t v)
{
	before_value(j);
	buf_printf(j->out, "%" PRId64, v);
}

void
json_double(struct json *j, double v)
{
	if (!isfinite(v)) {
		json_null(j);
		return;
	}
	before_value(j);
	buf_printf(j->out, "%.3f", v);
}

void
json_bool(struct json *j, bool v)
{
	before_value(j);
	buf_put_str(j->out, v ? "true" : "false");
}

void
json_null(struct json *j)
{
	before_value(j);
	buf_put_str(j->out, "null");
}

void
json_kv_span(struct json *j, const char *name, struct span s)
{
	json_name(j, name);
	json_span(j, s);
}

void
json_kv_str(struct json *j, const char *name, const char *s)
{
	json_name(j, name);
	json_str(j, s);
}

void
json_kv_u64(struct json *j, const char *name, uint64_t v)
{
	json_name(j, name);
	json_u64(j, v);
}

void
json_kv_bool(struct json *j, const char *name, bool v)
{
	json_name(j, name);
	json_bool(j, v);
}
