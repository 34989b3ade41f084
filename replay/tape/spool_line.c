#include "replay/tape/spool_line.h"

#include "replay/tape/scan_json.h"

void
spool_line_fini(struct spool_line *l)
{
	buf_fini(&l->text);
	buf_fini(&l->address);
	*l = (struct spool_line){0};
}

/* "/region/cluster/" and a key behind it; neither part is empty. */
size_t
spool_line_prefix(struct span key)
{
	size_t slashes = 0, last = 0;

	if (key.len == 0 || key.p[0] != '/')
		return 0;
	for (size_t i = 0; i < key.len; i++) {
		if (key.p[i] != '/')
			continue;
		if (slashes > 0 && i == last + 1)
			return 0;
		last = i;
		if (++slashes == 3)
			return i + 1 < key.len ? i + 1 : 0;
	}
	return 0;
}

static struct span
bare_host(struct span host, struct span *port)
{
	size_t colon = host.len;

	while (colon > 0 && host.p[colon - 1] != ':')
		colon--;
	*port = colon > 0 ? span_from(host, colon) : (struct span){"", 0};
	host = colon > 0 ? span_first(host, colon - 1) : host;
	if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
		host = span_make(host.p + 1, host.len - 2);
	return host;
}

bool
spool_line_same_host(struct span a, struct span b)
{
	struct span aport, bport;

	a = bare_host(a, &aport);
	b = bare_host(b, &bport);
	return span_ieq(a, b) && span_eq(aport, bport);
}

/* Offsets into the text while it grows. */
struct part {
	size_t at, len;
};

static struct span
text_of(const struct spool_line *l, struct part p)
{
	return p.len > 0 ? span_make(l->text.p + p.at, p.len) : (struct span){"", 0};
}

static bool
take_text(struct spool_line *l, struct scan_json *s, struct part *p)
{
	p->at = l->text.len;
	if (!scan_json_string(s, SCAN_JSON_CHARACTERS, &l->text))
		return false;
	p->len = l->text.len - p->at;
	return true;
}

static struct span
word(struct span *text)
{
	struct span w;
	size_t n = 0;

	while (text->len > 0 && text->p[0] == ' ')
		*text = span_from(*text, 1);
	while (n < text->len && text->p[n] != ' ')
		n++;
	w = span_first(*text, n);
	*text = span_from(*text, n);
	return w;
}

static bool
is_number(struct span w)
{
	uint64_t v;

	return w.len > 0 && span_u64(w.p[0] == '-' ? span_from(w, 1) : w, &v);
}

/* The key in "delete KEY [exptime] [noreply]\r\n"; false: it is another request. */
static bool
key_of_request(struct span request, struct span *key)
{
	struct span rest = span_trim(request), w;

	if (span_find(rest, SPAN_LIT("\n")) >= 0 || !span_is(word(&rest), "delete"))
		return false;
	*key = word(&rest);
	w = word(&rest);
	if (is_number(w))
		w = word(&rest);
	if (span_is(w, "noreply"))
		w = word(&rest);
	return key->len > 0 && w.len == 0;
}

/* ["10.0.0.1", 11302, "delete foo\r\n"] */
static err_t
take_version_1(struct spool_line *l, struct scan_json *s, struct err_detail *why)
{
	struct part host = {0}, request = {0};
	uint64_t port = 0;
	bool first, bare;

	if (!scan_json_take(s, '[') || !take_text(l, s, &host) || !scan_json_take(s, ',') ||
	    !scan_json_u64(s, &port) || !scan_json_take(s, ',') || !take_text(l, s, &request))
		return err_set(why, ERR_BAD_RECORD, "AS1.0 has [\"host\", port, \"request\"] there");
	/* Later versions may have more. */
	first = false;
	while (scan_json_more(s, ']', &first))
		scan_json_skip(s);
	buf_clear(&l->address);
	bare = span_find(text_of(l, host), SPAN_LIT(":")) < 0 || l->text.p[host.at] == '[';
	buf_put_str(&l->address, bare ? "" : "[");
	buf_put_span(&l->address, text_of(l, host));
	buf_put_str(&l->address, bare ? ":" : "]:");
	buf_put_u64(&l->address, port);
	l->host = buf_span(&l->address);
	if (!key_of_request(text_of(l, request), &l->key))
		return err_set(why, ERR_BAD_RECORD, "its request is no delete of one key");
	return ERR_OK;
}

/* {"s":…,"h":"[10.0.0.1]:11302","p":"pool","k":"foo"} */
static err_t
take_version_2(struct spool_line *l, struct scan_json *s, struct err_detail *why)
{
	struct part host = {0}, pool = {0}, key = {0}, name;
	bool first = true, ok = true;

	if (!scan_json_take(s, '{'))
		return err_set(why, ERR_BAD_RECORD, "AS2.0 has an object there");
	while (ok && scan_json_more(s, '}', &first)) {
		struct span member;

		if (!take_text(l, s, &name) || !scan_json_take(s, ':'))
			break;
		member = text_of(l, name);
		if (span_is(member, "h"))
			ok = take_text(l, s, &host);
		else if (span_is(member, "p"))
			ok = take_text(l, s, &pool);
		else if (span_is(member, "k"))
			ok = take_text(l, s, &key);
		else
			ok = scan_json_skip(s);
	}
	if (s->bad)
		return err_set(why, ERR_BAD_RECORD, "its object is none of JSON's, or a member is no text");
	if (key.len == 0)
		return err_set(why, ERR_BAD_RECORD, "AS2.0 without a key (\"k\")");
	l->host = text_of(l, host);
	l->pool = text_of(l, pool);
	l->key = text_of(l, key);
	return ERR_OK;
}

err_t
spool_line_parse(struct spool_line *l, struct span line, struct err_detail *why)
{
	struct scan_json s = scan_json_of(line);
	struct part name = {0}, type = {0};
	struct span version;
	bool first = false;
	size_t prefix;
	err_t err;

	l->key = l->prefix = l->host = l->pool = (struct span){"", 0};
	buf_clear(&l->text);
	if (line.len > SPOOL_LINE_MAX)
		return err_set(why, ERR_BAD_RECORD, "it is longer than %d bytes", SPOOL_LINE_MAX);
	if (!scan_json_take(&s, '[') || !take_text(l, &s, &name) || !scan_json_take(&s, ',') ||
	    !scan_json_seconds(&s, &l->at_us) || !scan_json_take(&s, ',') || !take_text(l, &s, &type) ||
	    !scan_json_take(&s, ','))
		return err_set(why, ERR_BAD_RECORD, "it does not begin with [\"AS…\", time, \"C\",");
	version = text_of(l, name);
	if (!span_is(text_of(l, type), "C"))
		return err_set(why, ERR_BAD_RECORD, "it is no command (\"C\")");
	l->version = span_is(version, "AS1.0") ? 1 : span_is(version, "AS2.0") ? 2 : 0;
	if (l->version == 0)
		return err_set(why, ERR_BAD_RECORD, "its version is \"%.*s\"; AS1.0 and AS2.0 are known",
			       SPAN_FMT(span_first(version, 20)));
	err = l->version == 1 ? take_version_1(l, &s, why) : take_version_2(l, &s, why);
	if (err != ERR_OK)
		return err;
	while (scan_json_more(&s, ']', &first))
		scan_json_skip(&s);
	if (!scan_json_end(&s))
		return err_set(why, ERR_BAD_RECORD, "it does not end as it should: it was cut short");
	prefix = spool_line_prefix(l->key);
	l->prefix = span_first(l->key, prefix);
	l->key = span_from(l->key, prefix);
	return ERR_OK;
}
