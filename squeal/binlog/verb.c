#include "squeal/binlog/verb.h"

static bool
is_word_byte(char c)
{
	unsigned char u = (unsigned char)c;

	return (u >= '0' && u <= '9') || ((u | 0x20) >= 'a' && (u | 0x20) <= 'z') || u == '_' || u == '$' ||
	       u >= 0x80;
}

/* Behind white space and comments; what is inside of an executable comment counts as text. */
static struct span
skip_blank(struct span s)
{
	for (;;) {
		ptrdiff_t end;

		while (s.len > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
			s = span_from(s, 1);
		if (span_starts(s, SPAN_LIT("/*!")) || span_starts(s, SPAN_LIT("/*M!"))) {
			s = span_from(s, s.p[2] == 'M' ? 4 : 3);
			while (s.len > 0 && s.p[0] >= '0' && s.p[0] <= '9')
				s = span_from(s, 1);
		} else if (span_starts(s, SPAN_LIT("/*"))) {
			end = span_find(span_from(s, 2), SPAN_LIT("*/"));
			s = end < 0 ? span_from(s, s.len) : span_from(s, (size_t)end + 4);
		} else if (span_starts(s, SPAN_LIT("*/"))) {
			s = span_from(s, 2);
		} else if (span_starts(s, SPAN_LIT("#")) || span_starts(s, SPAN_LIT("-- ")) ||
			   span_starts(s, SPAN_LIT("--\t")) || span_starts(s, SPAN_LIT("--\n"))) {
			end = span_find(s, SPAN_LIT("\n"));
			s = end < 0 ? span_from(s, s.len) : span_from(s, (size_t)end + 1);
		} else {
			return s;
		}
	}
}

/* The next bare word, or nothing; *rest goes behind it. */
static struct span
next_word(struct span *rest)
{
	struct span s = skip_blank(*rest);
	size_t n = 0;

	while (n < s.len && is_word_byte(s.p[n]))
		n++;
	*rest = span_from(s, n);
	return span_first(s, n);
}

/* The next name, bare or quoted, without its quotes. */
static struct span
next_name(struct span *rest)
{
	struct span s = skip_blank(*rest);
	size_t n = 1;
	char quote;

	if (s.len == 0 || (s.p[0] != '`' && s.p[0] != '"'))
		return next_word(rest);
	quote = s.p[0];
	while (n < s.len && (s.p[n] != quote || (n + 1 < s.len && s.p[n + 1] == quote)))
		n += s.p[n] == quote ? 2 : 1;
	if (n > s.len)
		n = s.len;
	*rest = span_from(s, n + 1);
	return span_from(span_first(s, n), 1);
}

static bool
word_is(struct span word, const char *what)
{
	return span_ieq(word, span_of(what));
}

static bool
at_end(struct span rest)
{
	rest = skip_blank(rest);
	while (rest.len > 0 && rest.p[0] == ';')
		rest = skip_blank(span_from(rest, 1));
	return rest.len == 0;
}

static enum verb
rollback(struct span rest, struct span *name)
{
	struct span before = rest;
	struct span word = next_word(&rest);

	if (word_is(word, "WORK")) {
		before = rest;
		word = next_word(&rest);
	}
	if (!word_is(word, "TO"))
		return at_end(before) ? VERB_ROLLBACK : VERB_STATEMENT;
	before = rest;
	if (!word_is(next_word(&rest), "SAVEPOINT"))
		rest = before;
	*name = next_name(&rest);
	return VERB_ROLLBACK_TO;
}

/* *rest becomes what follows the two words: the id. */
static enum verb
xa(struct span *rest)
{
	struct span word = next_word(rest);

	if (word_is(word, "START") || word_is(word, "BEGIN"))
		return VERB_BEGIN;
	if (word_is(word, "END"))
		return VERB_XA_END;
	if (word_is(word, "PREPARE"))
		return VERB_XA_PREPARE;
	if (word_is(word, "COMMIT"))
		return VERB_XA_COMMIT;
	return word_is(word, "ROLLBACK") ? VERB_XA_ROLLBACK : VERB_STATEMENT;
}

enum verb
verb_read(struct span sql, struct span *name)
{
	struct span rest = sql;
	struct span word;

	if (span_starts(sql, SPAN_LIT("# Dum")))
		return VERB_NOTHING;
	word = next_word(&rest);
	if (word_is(word, "BEGIN"))
		/* BEGIN NOT ATOMIC begins a block of statements. */
		return at_end(rest) || word_is(next_word(&rest), "WORK") ? VERB_BEGIN : VERB_STATEMENT;
	if (word_is(word, "START"))
		return word_is(next_word(&rest), "TRANSACTION") ? VERB_BEGIN : VERB_STATEMENT;
	if (word_is(word, "COMMIT")) {
		if (at_end(rest))
			return VERB_COMMIT;
		return word_is(next_word(&rest), "WORK") && at_end(rest) ? VERB_COMMIT : VERB_STATEMENT;
	}
	if (word_is(word, "ROLLBACK"))
		return rollback(rest, name);
	if (word_is(word, "SAVEPOINT")) {
		*name = next_name(&rest);
		return VERB_SAVEPOINT;
	}
	if (word_is(word, "XA")) {
		*name = rest;
		return xa(name);
	}
	return VERB_STATEMENT;
}

bool
verb_is_one_phase(struct span rest)
{
	return word_is(next_word(&rest), "ONE");
}
