#include "markers/rule_pattern.h"

enum { SHOWN = 60 };

/* Behind the set that begins at `i`, or an error. */
static err_t
check_set(struct span s, size_t i, size_t *end, struct err_detail *why)
{
	size_t from = i++;
	size_t first;

	if (i < s.len && s.p[i] == '!')
		i++;
	first = i;
	while (i < s.len && (s.p[i] != ']' || i == first)) {
		char c = s.p[i], to = c;

		if (i + 2 < s.len && s.p[i + 1] == '-' && s.p[i + 2] != ']') {
			to = s.p[i + 2];
			i += 2;
		}
		if ((unsigned char)c >= 0x80 || (unsigned char)to >= 0x80)
			return err_set(
			    why, ERR_CONFIG,
			    "a set [...] with a character beyond ASCII at \"%.*s\"; write ? or * for it",
			    SPAN_FMT(span_first(span_from(s, from), SHOWN)));
		if (c == '\\' || to == '\\')
			return err_set(why, ERR_CONFIG,
				       "a \\ in the set at \"%.*s\"; characters of a set need none",
				       SPAN_FMT(span_first(span_from(s, from), SHOWN)));
		if (c > to)
			return err_set(why, ERR_CONFIG, "the range %c-%c holds nothing; turn it round", c,
				       to);
		i++;
	}
	if (i >= s.len)
		return err_set(why, ERR_CONFIG,
			       "the set at \"%.*s\" has no \"]\"; add it, or write \\[ for a bracket",
			       SPAN_FMT(span_first(span_from(s, from), SHOWN)));
	*end = i + 1;
	return ERR_OK;
}

err_t
rule_pattern_parse(struct rule_pattern *out, struct span text, bool exact, struct err_detail *why)
{
	size_t dot = 0, i = 0;
	err_t err;

	*out = (struct rule_pattern){.exact = exact};
	while (i < text.len) {
		switch (text.p[i]) {
		case '[':
			err = check_set(text, i, &i, why);
			if (err != ERR_OK)
				return err;
			break;
		case '\\':
			if (i + 1 == text.len)
				return err_set(why, ERR_CONFIG,
					       "a \\ at the end; it takes the next character as it is");
			i += 2;
			break;
		case '.':
			if (dot > 0)
				return err_set(why, ERR_CONFIG,
					       "\"%.*s\" has two dots; write \\. for a dot in a name",
					       SPAN_FMT(span_first(text, SHOWN)));
			dot = i++;
			if (dot == 0)
				return err_set(
				    why, ERR_CONFIG, "\"%.*s\" names no database; for any, write *%.*s",
				    SPAN_FMT(span_first(text, SHOWN)), SPAN_FMT(span_first(text, SHOWN)));
			break;
		default:
			i++;
		}
	}
	if (dot == 0)
		return err_set(why, ERR_CONFIG,
			       "\"%.*s\" is not database.table; for any database, write *.%.*s",
			       SPAN_FMT(span_first(text, SHOWN)), SPAN_FMT(span_first(text, SHOWN)));
	out->db = span_first(text, dot);
	out->table = span_from(text, dot + 1);
	if (out->table.len == 0)
		return err_set(why, ERR_CONFIG, "\"%.*s\" names no table; for any, write %.*s*",
			       SPAN_FMT(span_first(text, SHOWN)), SPAN_FMT(span_first(text, SHOWN)));
	return ERR_OK;
}

static inline char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline char
upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

/* Bytes of the UTF-8 character at `i`; 0 in the middle of one. */
static size_t
character(struct span s, size_t i)
{
	size_t n = 1;

	if (((unsigned char)s.p[i] & 0xC0) == 0x80)
		return 0;
	while (i + n < s.len && ((unsigned char)s.p[i + n] & 0xC0) == 0x80)
		n++;
	return n;
}

/* Whether the set at `p` (checked) holds `c`; *p moves behind it. */
static bool
in_set(struct span pattern, size_t *p, char c, bool exact)
{
	char tries[3] = {c, lower(c), upper(c)};
	size_t i = *p + 1;
	bool not = pattern.p[i] == '!', found = false;
	size_t first = not ? ++i : i;

	while (pattern.p[i] != ']' || i == first) {
		char from = pattern.p[i], to = from;

		if (i + 2 < pattern.len && pattern.p[i + 1] == '-' && pattern.p[i + 2] != ']') {
			to = pattern.p[i + 2];
			i += 2;
		}
		for (int k = 0; k < (exact ? 1 : 3); k++)
			found = found || (tries[k] >= from && tries[k] <= to);
		i++;
	}
	*p = i + 1;
	return found != not ;
}

/* One thing of the pattern other than `*` against what stands at s[*i]; both move when it fits. */
static bool
match_one(struct span pattern, size_t *p, struct span s, size_t *i, bool exact)
{
	size_t at = *p, n = character(s, *i);

	switch (pattern.p[at]) {
	case '?':
		if (n == 0)
			return false;
		*p = at + 1;
		*i += n;
		return true;
	case '[':
		/* Beyond ASCII is outside of every set. */
		if (n == 0 || !in_set(pattern, &at, n == 1 ? s.p[*i] : '\x7f', exact))
			return false;
		*p = at;
		*i += n;
		return true;
	case '\\':
		at++;
		break;
	default:
		break;
	}
	if (pattern.p[at] != s.p[*i] && (exact || lower(pattern.p[at]) != lower(s.p[*i])))
		return false;
	*p = at + 1;
	*i += 1;
	return true;
}

static bool
matches(struct span pattern, struct span s, bool exact)
{
	size_t p = 0, i = 0, star = SIZE_MAX, tried = 0;

	while (i < s.len) {
		if (p < pattern.len && pattern.p[p] == '*') {
			star = ++p;
			tried = i;
		} else if (p == pattern.len || !match_one(pattern, &p, s, &i, exact)) {
			if (star == SIZE_MAX)
				return false;
			p = star;
			i = ++tried;
		}
	}
	while (p < pattern.len && pattern.p[p] == '*')
		p++;
	return p == pattern.len;
}

bool
rule_pattern_matches(const struct rule_pattern *p, struct span db, struct span table)
{
	return matches(p->table, table, p->exact) && matches(p->db, db, p->exact);
}
