#include "squeal/schema/ddl.h"

#include <string.h>

#include "markers/anchor.h"

/* 64 characters of at most 4 bytes are the servers' limit. */
enum { NAME_MAX_BYTES = 256 };

enum token { END, WORD, QUOTED, STRING, SIGN };

/* How the statement is read. */
enum {
	SKIP_EXECUTABLE = 1, /* the content of comments that some servers execute is not code */
	NO_BACKSLASH = 2,    /* a backslash in a string is a character like any other */
	READINGS = 4,
};

struct name {
	char text[NAME_MAX_BYTES];
	size_t len;
};

struct parser {
	struct span rest;
	unsigned reading;
	bool in_executable;
	bool is_unsure; /* nothing sensible can be said */

	/* the token that is looked at */
	enum token token;
	struct span text; /* WORD; of QUOTED: between the quotes, as it stands */
	char sign;	  /* SIGN; of QUOTED: the quote */

	ddl_fn *fn;
	void *arg;
};

/* --- tokens --------------------------------------------------------------------------------------------- */

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '$' || (unsigned char)c >= 0x80;
}

static bool
starts(const struct parser *p, const char *text)
{
	return span_starts(p->rest, span_of(text));
}

static void
skip_line(struct parser *p)
{
	const char *end = memchr(p->rest.p, '\n', p->rest.len);

	p->rest =
	    end == NULL ? span_from(p->rest, p->rest.len) : span_from(p->rest, (size_t)(end - p->rest.p) + 1);
}

/* A comment that is no code.  Servers differ in whether comments nest in one that is not executed. */
static void
skip_comment(struct parser *p, bool executable)
{
	struct span body = span_from(p->rest, 2);
	ptrdiff_t end = span_find(body, SPAN_LIT("*/"));

	if (end < 0) {
		p->rest = span_from(p->rest, p->rest.len);
		return;
	}
	if (executable && span_find(span_first(body, (size_t)end), SPAN_LIT("/*")) >= 0)
		p->is_unsure = true;
	p->rest = span_from(body, (size_t)end + 2);
}

static void
enter_executable(struct parser *p)
{
	p->rest = span_from(p->rest, starts(p, "/*M!") ? 4 : 3);
	while (p->rest.len > 0 && p->rest.p[0] >= '0' && p->rest.p[0] <= '9')
		p->rest = span_from(p->rest, 1);
	p->in_executable = true;
}

/* White space and comments. */
static void
skip_blank(struct parser *p)
{
	while (p->rest.len > 0) {
		char c = p->rest.p[0];

		if (anchor_is_space(c))
			p->rest = span_from(p->rest, 1);
		else if (c == '#' ||
			 (starts(p, "--") && (p->rest.len == 2 || (unsigned char)p->rest.p[2] <= 0x20)))
			skip_line(p);
		else if (starts(p, "/*!") || starts(p, "/*M!")) {
			if (p->reading & SKIP_EXECUTABLE)
				skip_comment(p, true);
			else
				enter_executable(p);
		} else if (starts(p, "/*"))
			skip_comment(p, false);
		else if (p->in_executable && starts(p, "*/")) {
			p->in_executable = false;
			p->rest = span_from(p->rest, 2);
		} else
			break;
	}
}

/* From the opening quote to behind the closing one; a doubled quote does not close. */
static void
take_quoted(struct parser *p)
{
	char quote = p->rest.p[0];
	bool escapes = quote != '`' && !(p->reading & NO_BACKSLASH);
	size_t at = 1;

	for (; at < p->rest.len; at++) {
		if (p->rest.p[at] == '\\' && escapes)
			at++;
		else if (p->rest.p[at] == quote) {
			if (at + 1 == p->rest.len || p->rest.p[at + 1] != quote)
				break;
			at++;
		}
	}
	p->token = quote == '\'' ? STRING : QUOTED;
	p->sign = quote;
	p->text = at > p->rest.len ? span_from(p->rest, 1) : span_from(span_first(p->rest, at), 1);
	p->rest = span_from(p->rest, at + 1);
}

static void
next(struct parser *p)
{
	size_t n = 0;

	skip_blank(p);
	p->text = span_first(p->rest, 0);
	p->sign = '\0';
	if (p->rest.len == 0) {
		p->token = END;
		return;
	}
	while (n < p->rest.len && is_word(p->rest.p[n]))
		n++;
	if (n > 0) {
		p->token = WORD;
		p->text = span_first(p->rest, n);
		p->rest = span_from(p->rest, n);
	} else if (p->rest.p[0] == '\'' || p->rest.p[0] == '"' || p->rest.p[0] == '`') {
		take_quoted(p);
	} else {
		p->token = SIGN;
		p->sign = p->rest.p[0];
		p->rest = span_from(p->rest, 1);
	}
}

static bool
is(const struct parser *p, const char *keyword)
{
	return p->token == WORD && span_ieq(p->text, span_of(keyword));
}

static bool
is_one_of(const struct parser *p, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is(p, words[i]))
			return true;
	}
	return false;
}

/* Goes on when it is the keyword. */
static bool
took(struct parser *p, const char *keyword)
{
	if (!is(p, keyword))
		return false;
	next(p);
	return true;
}

static bool
took_sign(struct parser *p, char sign)
{
	if (p->token != SIGN || p->sign != sign)
		return false;
	next(p);
	return true;
}

/* --- names ---------------------------------------------------------------------------------------------- */

/*
 * Takes an identifier.  Its bytes are in the client's character set, names in TABLE_MAP in UTF-8: only of
 * ASCII is it known that they are the same.
 */
static bool
take_name(struct parser *p, struct name *out)
{
	out->len = 0;
	if (p->token != WORD && p->token != QUOTED)
		return false;
	for (size_t i = 0; i < p->text.len; i++) {
		if (out->len == sizeof(out->text) || (unsigned char)p->text.p[i] >= 0x80)
			return false;
		out->text[out->len++] = p->text.p[i];
		if (p->token == QUOTED && p->text.p[i] == p->sign)
			i++; /* doubled */
	}
	next(p);
	return out->len > 0;
}

static struct span
span_of_name(const struct name *n)
{
	return span_make(n->text, n->len);
}

static void
say_everything(struct parser *p)
{
	p->fn(p->arg, &(struct ddl_target){.what = DDL_EVERYTHING});
}

/* Takes `table`, `db.table` or `.table` and says so. */
static bool
take_table(struct parser *p, bool only_if_missing)
{
	struct name db = {.len = 0}, table;
	bool dot = took_sign(p, '.');

	if (!take_name(p, &table))
		return false;
	if (!dot && took_sign(p, '.')) {
		db = table;
		if (!take_name(p, &table))
			return false;
	}
	p->fn(p->arg, &(struct ddl_target){
			  .what = DDL_TABLE,
			  .db = span_of_name(&db),
			  .table = span_of_name(&table),
			  .only_if_missing = only_if_missing,
		      });
	return true;
}

static bool
take_database(struct parser *p)
{
	struct name db;

	if (!take_name(p, &db))
		return false;
	p->fn(p->arg, &(struct ddl_target){.what = DDL_DATABASE, .db = span_of_name(&db)});
	return true;
}

/* "IF EXISTS", "IF NOT EXISTS"; what comes behind may be called "if" only in quotes. */
static bool
took_if(struct parser *p)
{
	if (!took(p, "if"))
		return false;
	took(p, "not");
	took(p, "exists");
	return true;
}

/* --- statements: false when they cannot be read
 * ------------------------------------------------------------- */

static bool
create_statement(struct parser *p)
{
	static const char *const others[] = {
	    "aggregate", "algorithm", "definer", "event",   "fulltext",	  "function",
	    "index",	 "library",   "logfile", "package", "procedure",  "resource",
	    "role",	 "server",    "spatial", "sql",	    "tablespace", "trigger",
	    "undo",	 "unique",    "user",	 "vector",  "view",	  "temporary",
	};
	bool replaces = false;

	if (took(p, "or")) {
		replaces = true;
		if (!took(p, "replace"))
			return false;
	}
	if (is_one_of(p, others, sizeof(others) / sizeof(others[0])))
		return true;
	if (took(p, "database") || took(p, "schema")) {
		if (!replaces)
			return true; /* it has no tables yet, or stays as it is */
		took_if(p);
		return take_database(p);
	}
	if (took(p, "table") || took(p, "sequence")) {
		bool only_if_missing = took_if(p);

		return take_table(p, only_if_missing && !replaces);
	}
	return false;
}

/* Renames, and partitions that become tables or the other way round, wherever they stand. */
static bool
alter_rest(struct parser *p)
{
	while (p->token != END) {
		if (took(p, "rename")) {
			if (is(p, "column") || is(p, "index") || is(p, "key") || is(p, "constraint"))
				continue;
			if (!took(p, "to") && !took(p, "as"))
				took_sign(p, '=');
			if (!take_table(p, false))
				return false;
		} else if (took(p, "table")) {
			if (!take_table(p, false))
				return false;
		} else {
			next(p);
		}
	}
	return true;
}

static bool
alter_statement(struct parser *p)
{
	static const char *const others[] = {
	    "algorithm", "database",   "definer",   "event",	"function", "instance",
	    "library",	 "logfile",    "procedure", "resource", "schema",   "server",
	    "sql",	 "tablespace", "undo",	    "user",	"view",	    "role",
	};

	if (is_one_of(p, others, sizeof(others) / sizeof(others[0])))
		return true;
	took(p, "online");
	took(p, "offline");
	took(p, "ignore");
	if (!took(p, "table") && !took(p, "sequence"))
		return false;
	took_if(p);
	return take_table(p, false) && alter_rest(p);
}

static bool
drop_statement(struct parser *p)
{
	static const char *const others[] = {
	    "aggregate", "event",     "function", "index", "library",	"logfile", "package",
	    "prepare",	 "procedure", "resource", "role",  "server",	"spatial", "tablespace",
	    "trigger",	 "undo",      "user",	  "view",  "temporary",
	};

	if (is_one_of(p, others, sizeof(others) / sizeof(others[0])))
		return true;
	if (took(p, "database") || took(p, "schema")) {
		took_if(p);
		return take_database(p);
	}
	if (!took(p, "table") && !took(p, "tables") && !took(p, "sequence"))
		return false;
	took_if(p);
	do {
		if (!take_table(p, false))
			return false;
	} while (took_sign(p, ','));
	return true;
}

static bool
rename_statement(struct parser *p)
{
	if (is(p, "user"))
		return true;
	if (!took(p, "table") && !took(p, "tables"))
		return false;
	took_if(p);
	do {
		if (!take_table(p, false))
			return false;
		if (took(p, "wait"))
			next(p);
		else
			took(p, "nowait");
		if (!took(p, "to") || !take_table(p, false))
			return false;
	} while (took_sign(p, ','));
	return true;
}

/* SET STATEMENT name=value, ... FOR statement: MariaDB. */
static bool
set_statement(struct parser *p)
{
	if (!took(p, "statement"))
		return false;
	while (p->token != END && !is(p, "for"))
		next(p);
	return took(p, "for");
}

static void
read_statement(struct parser *p)
{
	bool understood = true;

	next(p);
	while (took_sign(p, ';') || took_sign(p, '('))
		continue;
	while (took(p, "set")) {
		if (!set_statement(p))
			return;
	}
	if (took(p, "create"))
		understood = create_statement(p);
	else if (took(p, "alter"))
		understood = alter_statement(p);
	else if (took(p, "drop"))
		understood = drop_statement(p);
	else if (took(p, "rename"))
		understood = rename_statement(p);
	if (!understood || p->is_unsure)
		say_everything(p);
}

void
ddl_targets(struct span sql, ddl_fn *fn, void *arg)
{
	struct parser p = {.rest = sql};
	bool has_executable, has_backslash;
	static const char *const words[] = {"create", "alter", "drop", "rename", "set"};

	/* Most statements are no DDL, and their first word says so. */
	p.reading = 0;
	next(&p);
	while (took_sign(&p, ';') || took_sign(&p, '('))
		continue;
	if (!p.in_executable && !is_one_of(&p, words, sizeof(words) / sizeof(words[0])))
		return;
	has_executable = span_find(sql, SPAN_LIT("/*!")) >= 0 || span_find(sql, SPAN_LIT("/*M!")) >= 0;
	has_backslash = sql.len > 0 && memchr(sql.p, '\\', sql.len) != NULL;
	for (unsigned reading = 0; reading < READINGS; reading++) {
		if (((reading & SKIP_EXECUTABLE) && !has_executable) ||
		    ((reading & NO_BACKSLASH) && !has_backslash))
			continue;
		p = (struct parser){.rest = sql, .reading = reading, .fn = fn, .arg = arg};
		read_statement(&p);
	}
}
