#include "replay/tape/list_line.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "replay/tape/scan_json.h"

void
list_line_fini(struct list_line *l)
{
	free(l->keys);
	buf_fini(&l->text);
	*l = (struct list_line){0};
}

/* While the text grows a span is an offset into it. */
static void
add_key(struct list_line *l, size_t at, size_t len)
{
	if (l->nkeys == l->cap_keys) {
		l->cap_keys = l->cap_keys > 0 ? 2 * l->cap_keys : 16;
		l->keys = mem_realloc(l->keys, l->cap_keys * sizeof(*l->keys));
	}
	l->keys[l->nkeys++] = (struct span){(const char *)at, len}; /* NOLINT: see above */
}

/* Appends a text to l->text and says where it is. */
static bool
take_text(struct list_line *l, struct scan_json *s, size_t *at, size_t *len)
{
	*at = l->text.len;
	if (!scan_json_string(s, SCAN_JSON_BYTES, &l->text))
		return false;
	*len = l->text.len - *at;
	return true;
}

static bool
take_keys(struct list_line *l, struct scan_json *s)
{
	bool first = true;
	size_t at, len;

	if (!scan_json_take(s, '['))
		return false;
	while (scan_json_more(s, ']', &first)) {
		if (!take_text(l, s, &at, &len))
			return false;
		add_key(l, at, len);
	}
	return !s->bad;
}

struct places {
	size_t gtid_at, gtid_len, pool_at, pool_len;
	bool has_keys;
};

/* The value of the member `name`. */
static bool
take_member(struct list_line *l, struct scan_json *s, struct span name, struct places *p)
{
	uint64_t ms = 0;

	if (span_is(name, "keys") || span_is(name, "markers")) {
		p->has_keys = true;
		return take_keys(l, s);
	}
	if (span_is(name, "gtid") && scan_json_peek(s) == '"')
		return take_text(l, s, &p->gtid_at, &p->gtid_len);
	if (span_is(name, "pool") && scan_json_peek(s) == '"')
		return take_text(l, s, &p->pool_at, &p->pool_len);
	if (span_is(name, "time_us"))
		return scan_json_u64(s, &l->time_us);
	if (span_is(name, "holdoff_ms")) {
		if (!scan_json_u64(s, &ms))
			return false;
		l->holdoff_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
		return true;
	}
	return scan_json_skip(s);
}

static err_t
parse_json(struct list_line *l, struct span line, struct err_detail *why)
{
	struct scan_json s = scan_json_of(line);
	struct buf name = BUF_INIT;
	struct places p = {0};
	bool first = true;
	err_t err = ERR_OK;

	l->is_json = true;
	scan_json_take(&s, '{');
	while (scan_json_more(&s, '}', &first)) {
		buf_clear(&name);
		if (scan_json_string(&s, SCAN_JSON_CHARACTERS, &name) && scan_json_take(&s, ':'))
			take_member(l, &s, buf_span(&name), &p);
	}
	buf_fini(&name);
	if (!scan_json_end(&s))
		err = err_set(why, ERR_BAD_RECORD, "it begins with { and is no JSON object");
	else if (!p.has_keys)
		err =
		    err_set(why, ERR_BAD_RECORD, "it has no member \"keys\"; squeal keys prints such lines");
	for (size_t i = 0; i < l->nkeys; i++)
		l->keys[i] = l->keys[i].len > 0 ? span_make(l->text.p + (size_t)l->keys[i].p, l->keys[i].len)
						: (struct span){"", 0};
	l->gtid = p.gtid_len > 0 ? span_make(l->text.p + p.gtid_at, p.gtid_len) : (struct span){"", 0};
	l->pool = p.pool_len > 0 ? span_make(l->text.p + p.pool_at, p.pool_len) : (struct span){"", 0};
	return err;
}

err_t
list_line_parse(struct list_line *l, struct span line, struct err_detail *why)
{
	l->is_json = false;
	l->gtid = l->pool = (struct span){"", 0};
	l->time_us = 0;
	l->holdoff_ms = 0;
	l->nkeys = 0;
	buf_clear(&l->text);
	line = span_trim(line);
	if (line.len == 0 || line.p[0] == '#')
		return ERR_OK;
	if (line.len > LIST_LINE_MAX)
		return err_set(why, ERR_BAD_RECORD, "it is longer than %d bytes", LIST_LINE_MAX);
	if (line.p[0] == '{')
		return parse_json(l, line, why);
	buf_put_span(&l->text, line);
	add_key(l, 0, line.len);
	l->keys[0] = buf_span(&l->text);
	return ERR_OK;
}
