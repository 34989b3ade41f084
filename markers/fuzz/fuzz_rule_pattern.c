/* A pattern, a newline, "database.table": the matcher against a plain recursive one. */
#include <stdint.h>
#include <stdlib.h>

#include "markers/rule_pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 64 };

/* What did not match, by what was left of both, so that many stars take no exponential time. */
typedef bool failed_t[MAX + 1][MAX + 1];

static bool
is_tail(struct span s, size_t i)
{
	return i < s.len && ((unsigned char)s.p[i] & 0xC0) == 0x80;
}

static char
fold(char c, bool exact)
{
	return !exact && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static struct span
behind_character(struct span s)
{
	size_t n = 1;

	while (is_tail(s, n))
		n++;
	return span_from(s, n);
}

static bool
plain_set(struct span set, char c, bool exact)
{
	bool not = set.p[0] == '!', found = false;

	for (size_t i = not ? 1 : 0; i < set.len; i++) {
		char from = set.p[i], to = from;

		if (i + 2 < set.len && set.p[i + 1] == '-') {
			to = set.p[i + 2];
			i += 2;
		}
		for (int x = from; x <= to; x++)
			found = found || fold((char)x, exact) == fold(c, exact);
	}
	return found != not ;
}

static bool plain(struct span p, struct span s, bool exact, failed_t failed);

static bool
plain_one(struct span p, struct span s, bool exact, failed_t failed)
{
	if (p.len == 0)
		return s.len == 0;
	if (p.p[0] == '*')
		return plain(span_from(p, 1), s, exact, failed) ||
		       (s.len > 0 && plain(p, span_from(s, 1), exact, failed));
	if (s.len == 0)
		return false;
	if (p.p[0] == '?')
		return !is_tail(s, 0) && plain(span_from(p, 1), behind_character(s), exact, failed);
	if (p.p[0] == '[') {
		size_t end = p.p[1] == '!' ? 3 : 2;
		struct span next = s;

		while (p.p[end] != ']')
			end++;
		if (is_tail(s, 0))
			return false;
		next = behind_character(s);
		return plain_set(span_make(p.p + 1, end - 1), s.len - next.len == 1 ? s.p[0] : '\x7f',
				 exact) &&
		       plain(span_from(p, end + 1), next, exact, failed);
	}
	if (p.p[0] == '\\')
		p = span_from(p, 1);
	return fold(p.p[0], exact) == fold(s.p[0], exact) &&
	       plain(span_from(p, 1), span_from(s, 1), exact, failed);
}

static bool
plain(struct span p, struct span s, bool exact, failed_t failed)
{
	bool *f = &failed[p.len][s.len];

	if (*f)
		return false;
	*f = !plain_one(p, s, exact, failed);
	return !*f;
}

static bool
plain_matches(struct span p, struct span s, bool exact)
{
	failed_t failed = {{false}};

	return plain(p, s, exact, failed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_make(data, size);
	ptrdiff_t line = span_find(all, SPAN_LIT("\n"));
	struct span text, name, db, table;
	struct err_detail why = {0};
	struct rule_pattern p;
	ptrdiff_t dot;

	if (line < 0)
		return 0;
	text = span_first(all, (size_t)line);
	name = span_from(all, (size_t)line + 1);
	dot = span_find(name, SPAN_LIT("."));
	db = span_first(name, dot < 0 ? 0 : (size_t)dot);
	table = span_from(name, dot < 0 ? 0 : (size_t)dot + 1);
	for (int exact = 0; exact < 2; exact++) {
		if (rule_pattern_parse(&p, text, exact != 0, &why) != ERR_OK) {
			if (why.code != ERR_CONFIG || why.text[0] == '\0')
				abort();
			return 0;
		}
		if (text.len > MAX || name.len > MAX) {
			(void)rule_pattern_matches(&p, db, table);
			continue;
		}
		if (rule_pattern_matches(&p, db, table) !=
		    (plain_matches(p.db, db, exact != 0) && plain_matches(p.table, table, exact != 0)))
			abort();
	}
	return 0;
}
