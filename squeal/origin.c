#include "squeal/origin.h"

#include <string.h>

enum { NAME_MAX_BYTES = 64 * 2 + 1 };

void
origin_clear(struct origin *o)
{
	o->len = 0;
	o->full = false;
}

struct span
origin_text(const struct origin *o)
{
	return (struct span){o->text, o->len};
}

/* Is `what` one of the things that stand there already, with ", " between them? */
static bool
holds(const struct origin *o, struct span what)
{
	struct span rest = origin_text(o);

	while (rest.len > 0) {
		ptrdiff_t at = span_find(rest, SPAN_LIT(", "));
		struct span one = at < 0 ? rest : span_first(rest, (size_t)at);

		if (span_eq(one, what))
			return true;
		rest = at < 0 ? span_from(rest, rest.len) : span_from(rest, (size_t)at + 2);
	}
	return false;
}

static void
add(struct origin *o, struct span what)
{
	struct span dots = SPAN_LIT(", ...");

	if (o->full || what.len == 0 || holds(o, what))
		return;
	if (o->len + 2 + what.len + dots.len > ORIGIN_MAX) {
		o->full = true;
		what = SPAN_LIT("...");
	}
	if (o->len > 0) {
		memcpy(o->text + o->len, ", ", 2);
		o->len += 2;
	}
	memcpy(o->text + o->len, what.p, what.len);
	o->len += what.len;
}

/* --- SQL --------------------------------------------------------------------------------------------------
 */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* Bytes above 0x7F belong to names in every character set that a statement can come in. */
static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '$' || (unsigned char)c >= 0x80;
}

/* Leaves out white space and comments. */
static struct span
skip(struct span s)
{
	for (;;) {
		ptrdiff_t end;

		while (s.len > 0 && is_space(s.p[0]))
			s = span_from(s, 1);
		if (!span_starts(s, SPAN_LIT("/*")))
			return s;
		end = span_find(span_from(s, 2), SPAN_LIT("*/"));
		s = span_from(s, end < 0 ? s.len : (size_t)end + 4);
	}
}

static struct span
take_word(struct span *s)
{
	struct span word;
	size_t n = 0;

	*s = skip(*s);
	while (n < s->len && is_word(s->p[n]))
		n++;
	word = span_first(*s, n);
	*s = span_from(*s, n);
	return word;
}

/* Appends one identifier, quoted by backticks or not, to `out`; false when there is none or no room. */
static bool
take_name(struct span *s, char *out, size_t *len)
{
	struct span name;

	*s = skip(*s);
	if (s->len > 0 && s->p[0] == '`') {
		ptrdiff_t end = span_find(span_from(*s, 1), SPAN_LIT("`"));

		if (end < 0)
			return false;
		name = span_first(span_from(*s, 1), (size_t)end);
		*s = span_from(*s, (size_t)end + 2);
	} else {
		name = take_word(s);
	}
	if (name.len == 0 || *len + name.len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if ((unsigned char)name.p[i] < ' ' || name.p[i] == ',')
			return false;
	}
	memcpy(out + *len, name.p, name.len);
	*len += name.len;
	return true;
}

static bool
is_any(struct span word, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (span_ieq(word, span_of(*words)))
			return true;
	}
	return false;
}

void
origin_statement(struct origin *o, struct span sql)
{
	static const char *const kinds[] = {"insert", "update", "delete", "replace", NULL};
	static const char *const between[] = {"low_priority", "high_priority", "delayed", "quick",
					      "ignore",	      "into",	       "from",	  NULL};
	char text[16 + NAME_MAX_BYTES];
	struct span kind = take_word(&sql), before;
	size_t len = 0, name = 0;

	if (o->full || kind.len == 0 || kind.len > 12)
		return;
	for (; len < kind.len; len++)
		text[len] =
		    (char)(kind.p[len] >= 'A' && kind.p[len] <= 'Z' ? kind.p[len] | 0x20 : kind.p[len]);
	if (is_any(kind, kinds)) {
		do
			before = sql;
		while (is_any(take_word(&sql), between));
		sql = before;
		text[len] = ' ';
		if (take_name(&sql, text + len + 1, &name)) {
			sql = skip(sql);
			if (sql.len > 0 && sql.p[0] == '.' && name < NAME_MAX_BYTES) {
				size_t whole = name + 1;

				sql = span_from(sql, 1);
				text[len + 1 + name] = '.';
				if (take_name(&sql, text + len + 1, &whole))
					name = whole;
			}
			len += 1 + name;
		}
	}
	add(o, (struct span){text, len});
}

void
origin_rows(struct origin *o, struct span kind, struct span db, struct span table)
{
	char text[16 + 2 * NAME_MAX_BYTES];
	size_t len = 0;

	if (o->full || kind.len > 15 || db.len > NAME_MAX_BYTES || table.len > NAME_MAX_BYTES - 2)
		return;
	memcpy(text, kind.p, kind.len);
	len = kind.len;
	text[len++] = ' ';
	memcpy(text + len, db.p, db.len);
	len += db.len;
	text[len++] = '.';
	memcpy(text + len, table.p, table.len);
	add(o, (struct span){text, len + table.len});
}
