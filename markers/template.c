#include "markers/template.h"

#include "lib/core/option.h"

static const char *const words[] = {
#define TEMPLATE_WORD(name, word, help) word,
    TEMPLATE_STEPS(TEMPLATE_WORD)
#undef TEMPLATE_WORD
};

enum { NWORDS = sizeof(words) / sizeof(words[0]), SHOWN = 60 };

/* --- parsing ---------------------------------------------------------------------------------------------
 */

struct parse {
	struct span rest; /* what is not read yet */
	struct arena *arena;
	struct err_detail *why;
};

static bool
at(const struct parse *ps, char c)
{
	return ps->rest.len > 0 && ps->rest.p[0] == c;
}

static bool
at_twice(const struct parse *ps, char c)
{
	return ps->rest.len > 1 && ps->rest.p[0] == c && ps->rest.p[1] == c;
}

static void
skip(struct parse *ps, size_t n)
{
	ps->rest = span_from(ps->rest, n);
}

static bool
take(struct parse *ps, const char *word)
{
	if (!span_starts(ps->rest, span_of(word)))
		return false;
	skip(ps, strlen(word));
	return true;
}

/* Up to the first of `ends`; to the end of the text when there is none. */
static struct span
take_until(struct parse *ps, const char *ends)
{
	size_t n = 0;
	struct span s;

	while (n < ps->rest.len && memchr(ends, ps->rest.p[n], strlen(ends)) == NULL)
		n++;
	s = span_first(ps->rest, n);
	skip(ps, n);
	return s;
}

static struct template_part *
add_part(struct template *t, enum template_source source)
{
	struct template_part *part = &t->parts[t->n++];

	*part = (struct template_part){.source = source};
	return part;
}

/* Braces that stand for themselves are halved. */
static err_t
take_literal(struct parse *ps, struct template *t)
{
	char *copy = arena_alloc(ps->arena, ps->rest.len);
	size_t n = 0;
	struct err_detail detail = {0};

	while (ps->rest.len > 0) {
		if (at_twice(ps, '{') || at_twice(ps, '}'))
			skip(ps, 1);
		else if (at(ps, '{'))
			break;
		else if (at(ps, '}'))
			return err_set(
			    ps->why, ERR_CONFIG,
			    "a \"}\" without \"{\" before it at \"%.*s\"; write }} for a brace in the key",
			    SPAN_FMT(span_first(ps->rest, SHOWN)));
		copy[n++] = ps->rest.p[0];
		skip(ps, 1);
	}
	if (key_check(span_make(copy, n), &detail) != ERR_OK)
		return err_set(ps->why, ERR_CONFIG, "its text \"%.*s\" can never be in a key: %s",
			       SPAN_FMT(span_first(span_make(copy, n), SHOWN)), err_why(&detail));
	add_part(t, TEMPLATE_LITERAL)->text = span_make(copy, n);
	return ERR_OK;
}

/* `name`, with ` doubled inside. */
static err_t
take_quoted(struct parse *ps, struct span *name)
{
	char *copy = arena_alloc(ps->arena, ps->rest.len);
	struct span all = ps->rest;
	size_t n = 0;

	skip(ps, 1);
	while (ps->rest.len > 0 && (!at(ps, '`') || at_twice(ps, '`'))) {
		skip(ps, at(ps, '`') ? 1 : 0);
		copy[n++] = ps->rest.p[0];
		skip(ps, 1);
	}
	if (!at(ps, '`'))
		return err_set(ps->why, ERR_CONFIG, "the quoted column %.*s has no end; add a `",
			       SPAN_FMT(span_first(all, SHOWN)));
	skip(ps, 1);
	*name = span_make(copy, n);
	return n > 0 ? ERR_OK
		     : err_set(ps->why, ERR_CONFIG, "a column without a name, ``; name one, such as {id}");
}

static err_t
take_plain(struct parse *ps, struct span *name)
{
	*name = take_until(ps, "{}|`. ");
	if (at(ps, '.'))
		return err_set(ps->why, ERR_CONFIG,
			       "\"%.*s.\" is not known before a column; there are old. and new., and a "
			       "column with a dot "
			       "in its name is written {`a.b`}",
			       SPAN_FMT(span_first(*name, SHOWN)));
	if (at(ps, ' ') || at(ps, '{') || at(ps, '`'))
		return err_set(
		    ps->why, ERR_CONFIG,
		    "a \"%c\" behind \"{%.*s\"; a value is written {column} or {column|lower}, and an odd "
		    "column name {`a b`}",
		    ps->rest.p[0], SPAN_FMT(span_first(*name, SHOWN)));
	*name = arena_copy(ps->arena, *name);
	return name->len > 0
		   ? ERR_OK
		   : err_set(
			 ps->why, ERR_CONFIG,
			 "braces without a column; name one, such as {id}, or write {{ }} for braces in the "
			 "key");
}

static err_t
take_step(struct parse *ps, struct template_step *step)
{
	struct span word;
	const char *near;
	struct err_detail detail = {0};

	*step = (struct template_step){0};
	if (take(ps, words[TEMPLATE_OR])) {
		step->verb = TEMPLATE_OR;
		step->text = arena_copy(ps->arena, take_until(ps, "{}|"));
		if (step->text.len > 0 && key_check(step->text, &detail) != ERR_OK)
			return err_set(ps->why, ERR_CONFIG, "or:%.*s can never be in a key: %s",
				       SPAN_FMT(span_first(step->text, SHOWN)), err_why(&detail));
		return ERR_OK;
	}
	word = take_until(ps, "{}|");
	for (int i = 0; i < TEMPLATE_OR; i++) {
		if (span_is(word, words[i])) {
			step->verb = (enum template_verb)i;
			return ERR_OK;
		}
	}
	near = option_nearest_word(words, NWORDS, word);
	return err_set(ps->why, ERR_CONFIG, "unknown step \"%.*s\"; %s%s%s",
		       SPAN_FMT(span_first(word, SHOWN)),
		       near != NULL ? "did you mean \"" : "there are: lower, upper, hex, url, or:TEXT",
		       near != NULL ? near : "", near != NULL ? "\"?" : "");
}

static err_t
take_steps(struct parse *ps, struct template_part *part)
{
	struct template_step steps[TEMPLATE_MAX_STEPS], *copy;
	size_t n = 0;
	err_t err = ERR_OK;

	while (err == ERR_OK && at(ps, '|')) {
		if (n == TEMPLATE_MAX_STEPS)
			return err_set(ps->why, ERR_CONFIG, "more than %d steps on one value; leave some out",
				       TEMPLATE_MAX_STEPS);
		skip(ps, 1);
		err = take_step(ps, &steps[n++]);
	}
	if (err != ERR_OK || n == 0)
		return err;
	copy = arena_alloc(ps->arena, n * sizeof(*copy));
	memcpy(copy, steps, n * sizeof(*copy));
	part->steps = copy;
	part->nsteps = n;
	return ERR_OK;
}

static err_t
take_value(struct parse *ps, struct template *t)
{
	struct span all = ps->rest;
	struct template_part *part = add_part(t, TEMPLATE_ROW);
	bool quoted;
	err_t err;

	skip(ps, 1);
	if (take(ps, "old."))
		part->source = TEMPLATE_OLD;
	else if (take(ps, "new."))
		part->source = TEMPLATE_NEW;
	quoted = at(ps, '`');
	err = quoted ? take_quoted(ps, &part->text) : take_plain(ps, &part->text);
	if (err != ERR_OK)
		return err;
	if (part->source == TEMPLATE_ROW && !quoted && span_is(part->text, "db"))
		part->source = TEMPLATE_DB;
	else if (part->source == TEMPLATE_ROW && !quoted && span_is(part->text, "table"))
		part->source = TEMPLATE_TABLE;
	err = take_steps(ps, part);
	if (err != ERR_OK)
		return err;
	if (!at(ps, '}'))
		return err_set(ps->why, ERR_CONFIG,
			       "\"%.*s\" has no \"}\"; add it, or write {{ for a brace in the key",
			       SPAN_FMT(span_first(all, SHOWN)));
	skip(ps, 1);
	return ERR_OK;
}

err_t
template_parse(struct template *out, struct span text, struct arena *arena, struct err_detail *why)
{
	struct parse ps = {.rest = text, .arena = arena, .why = why};
	err_t err = ERR_OK;

	*out = (struct template){0};
	if (text.len == 0)
		return err_set(why, ERR_CONFIG, "an empty template; write one such as user:{id}");
	if (text.len > TEMPLATE_MAX)
		return err_set(why, ERR_CONFIG, "more than %d bytes; a key has 250 at most", TEMPLATE_MAX);
	/* A value takes three bytes or is an error, and a literal stands between two values. */
	out->parts = arena_alloc(arena, (2 * (text.len / 3 + 1) + 1) * sizeof(*out->parts));
	while (err == ERR_OK && ps.rest.len > 0)
		err = at(&ps, '{') && !at_twice(&ps, '{') ? take_value(&ps, out) : take_literal(&ps, out);
	return err;
}

/* --- building --------------------------------------------------------------------------------------------
 */

void
template_out_put(struct template_out *o, struct span s)
{
	if (s.len > KEY_MAX - o->len) {
		o->too_long = true;
		return;
	}
	if (s.len > 0)
		memcpy(o->bytes + o->len, s.p, s.len);
	o->len += s.len;
}

static inline bool
is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

/* Writes `in` through `verb` to `to`, which has room for KEY_MAX bytes and is not `in`.  False: more than
 * that. */
static bool
run_step(enum template_verb verb, struct span in, char *to, size_t *len)
{
	static const char low[] = "0123456789abcdef", up[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];
		bool wide = verb == TEMPLATE_HEX || (verb == TEMPLATE_URL && !is_unreserved(c));

		if (n + (!wide ? 1 : verb == TEMPLATE_HEX ? 2 : 3) > KEY_MAX)
			return false;
		if (wide && verb == TEMPLATE_URL)
			to[n++] = '%';
		if (wide) {
			to[n++] = (verb == TEMPLATE_HEX ? low : up)[c >> 4];
			to[n++] = (verb == TEMPLATE_HEX ? low : up)[c & 15];
		} else if (verb == TEMPLATE_LOWER && c >= 'A' && c <= 'Z') {
			to[n++] = (char)(c + ('a' - 'A'));
		} else if (verb == TEMPLATE_UPPER && c >= 'a' && c <= 'z') {
			to[n++] = (char)(c - ('a' - 'A'));
		} else {
			to[n++] = (char)c;
		}
	}
	*len = n;
	return true;
}

bool
template_out_value(struct template_out *o, const struct template_part *part, struct span value, bool null)
{
	char work[2][KEY_MAX];
	unsigned which = 0;

	for (size_t i = 0; i < part->nsteps; i++) {
		const struct template_step *step = &part->steps[i];
		size_t n;

		if (step->verb == TEMPLATE_OR) {
			if (null)
				value = step->text;
			null = false;
			continue;
		}
		if (null)
			continue;
		if (value.len > KEY_MAX || !run_step(step->verb, value, work[which], &n)) {
			o->too_long = true;
			return true;
		}
		value = span_make(work[which], n);
		which ^= 1;
	}
	if (!null)
		template_out_put(o, value);
	return !null;
}
