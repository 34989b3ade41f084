#include "markers/pair.h"

#include "markers/anchor.h"

static inline bool
is_tag_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '.' || c == '-';
}

static inline const char *
skip_space(const char *p, const char *end)
{
	while (p < end && anchor_is_space(*p))
		p++;
	return p;
}

static inline const char *
skip_tag(const char *p, const char *end)
{
	while (p < end && is_tag_char(*p))
		p++;
	return p;
}

static inline const char *
find_char(const char *p, const char *end, char c)
{
	return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

bool
pair_tag_init(struct pair_tag *tag, struct span name)
{
	if (name.len == 0 || name.len > PAIR_TAG_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (!is_tag_char(c))
			return false;
		tag->name[i] = c;
		tag->upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
	}
	tag->len = name.len;
	return true;
}

bool
pair_tag_in(const struct pair_tag *tag, struct span body)
{
	return body.len >= tag->len && (memmem(body.p, body.len, tag->name, tag->len) != NULL ||
					memmem(body.p, body.len, tag->upper, tag->len) != NULL);
}

static bool
word_named(const struct pair_tag *tag, const char *word, struct span text)
{
	const char *end = text.p + text.len;

	for (const char *p = text.p; p < end; p += 1) {
		const char *behind;

		p = memmem(p, (size_t)(end - p), word, tag->len);
		if (p == NULL)
			return false;
		if (p > text.p && is_tag_char(p[-1]))
			continue;
		behind = p + tag->len;
		if (behind < end && *behind == '_')
			behind = skip_tag(behind, end);
		behind = skip_space(behind, end);
		if (behind < end && (*behind == '=' || *behind == ':'))
			return true;
	}
	return false;
}

bool
pair_tag_named(const struct pair_tag *tag, struct span text)
{
	return word_named(tag, tag->name, text) || word_named(tag, tag->upper, text);
}

static enum pair_kind
kind_of(const struct pair_tag *tag, struct span word)
{
	struct span name = span_make(tag->name, tag->len);
	struct span rest = span_from(word, tag->len);

	if (!span_starts(word, name)) {
		if (span_starts(word, span_make(tag->upper, tag->len)) && (rest.len == 0 || rest.p[0] == '_'))
			return PAIR_UNKNOWN;
		return PAIR_FOREIGN;
	}
	if (rest.len == 0)
		return PAIR_KEYS;
	if (rest.p[0] != '_')
		return PAIR_FOREIGN;
	if (rest.len == 2) {
		switch (rest.p[1]) {
		case 'm':
			return PAIR_MARKERS;
		case 'p':
			return PAIR_POOL;
		case 'h':
			return PAIR_HOLDOFF;
		default:
			break;
		}
	}
	return PAIR_UNKNOWN;
}

/*
 * A quote at `quote` that does not end the value around it may open the value of one of our pairs, when
 * whoever wrote the value around it forgot to close it.  Returns the comma before that pair, or NULL.
 */
static const char *
our_pair_before(const struct pair_tag *tag, const char *from, const char *quote)
{
	const char *p = quote;
	const char *word_end;

	while (p > from && anchor_is_space(p[-1]))
		p--;
	if (p == from || *--p != '=')
		return NULL;
	while (p > from && anchor_is_space(p[-1]))
		p--;
	word_end = p;
	while (p > from && is_tag_char(p[-1]))
		p--;
	if (kind_of(tag, span_make(p, (size_t)(word_end - p))) == PAIR_FOREIGN)
		return NULL;
	while (p > from && anchor_is_space(p[-1]))
		p--;
	return p > from && p[-1] == ',' ? p - 1 : NULL;
}

/* Goes on behind the next comma at or behind `p`; what is passed over belongs to no pair. */
static const char *
pass_to_comma(struct pairs *it, const char *p)
{
	const char *comma = find_char(p, it->end, ',');
	const char *text_end = comma == NULL ? it->end : comma;

	it->comma = comma != NULL;
	it->p = comma == NULL ? it->end : comma + 1;
	return text_end;
}

static void
not_a_pair(struct pairs *it, struct pair *out, const char *start, const char *text_end)
{
	it->strict = false;
	out->tag = out->value = span_make(start, 0);
	out->text = span_make(start, (size_t)(text_end - start));
	out->kind = pair_tag_named(it->tag, out->text) ? PAIR_MALFORMED : PAIR_FOREIGN;
}

/* The value that begins at `value`, behind its quote. */
static void
take_value(struct pairs *it, struct pair *out, const char *value)
{
	const char *start = out->tag.p;
	const char *quote = value;
	const char *text_end;

	for (;; quote++) {
		const char *next;

		quote = find_char(quote, it->end, '\'');
		if (quote == NULL)
			break;
		if (quote > value && quote[-1] == '\\') {
			out->quotes = true;
			continue;
		}
		if (quote + 1 < it->end && quote[1] == '\'') {
			out->quotes = true;
			quote++;
			continue;
		}
		next = skip_space(quote + 1, it->end);
		if (next == it->end || *next == ',') {
			it->comma = next < it->end;
			it->p = it->comma ? next + 1 : next;
			text_end = quote + 1;
			goto done;
		}
		out->quotes = out->loose = true;
		if (out->kind == PAIR_FOREIGN) {
			const char *comma = our_pair_before(it->tag, value, quote);

			if (comma != NULL) {
				it->strict = false;
				it->comma = true;
				it->p = comma + 1;
				out->value = span_make(value, (size_t)(comma - value));
				out->text = span_make(start, (size_t)(comma - start));
				return;
			}
		}
	}
	/* Never closed by the rule: then the last quote that there is must have been meant. */
	quote = value < it->end ? memrchr(value, '\'', (size_t)(it->end - value)) : NULL;
	if (quote == NULL) {
		enum pair_kind kind = out->kind;

		it->p = it->end;
		it->comma = false;
		not_a_pair(it, out, start, it->end);
		if (kind != PAIR_FOREIGN)
			out->kind = PAIR_MALFORMED;
		return;
	}
	out->loose = true;
	text_end = pass_to_comma(it, quote + 1);
done:
	out->value = span_make(value, (size_t)(quote - value));
	out->text = span_make(start, (size_t)(text_end - start));
	if (out->loose) {
		it->strict = false;
		if (out->kind == PAIR_FOREIGN && pair_tag_named(it->tag, out->text))
			out->kind = PAIR_MALFORMED;
	}
}

bool
pair_next(struct pairs *it, struct pair *out)
{
	const char *start = skip_space(it->p, it->end);
	const char *tag_end = skip_tag(start, it->end);
	const char *p;

	out->quotes = out->loose = false;
	if (start == it->end) {
		if (it->comma)
			it->strict = false;
		return false;
	}
	p = skip_space(tag_end, it->end);
	if (tag_end > start && tag_end - start <= PAIR_TAG_MAX + 2 && p < it->end && *p == '=') {
		p = skip_space(p + 1, it->end);
		if (p < it->end && *p == '\'') {
			out->tag = span_make(start, (size_t)(tag_end - start));
			out->kind = kind_of(it->tag, out->tag);
			take_value(it, out, p + 1);
			return true;
		}
	}
	not_a_pair(it, out, start, pass_to_comma(it, start));
	return true;
}
