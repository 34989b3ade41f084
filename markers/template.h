/*
 * template - the text of a key with places for values of a row.
 *
 *      user:{id}   {db}:{table}:{old.email|lower|url}   tag:{`odd}name`|or:none}   {{literal}}
 *
 *      template = *( literal | "{{" | "}}" | "{" value *( "|" step ) "}" )
 *      value    = "db" | "table" | [ "old." | "new." ] column
 *      column   = name | "`" any text, ` doubled "`"      (a column called db or table needs the quotes)
 *      step     = "lower" | "upper" | "hex" | "url" | "or:" text
 *
 * Steps work from left to right on bytes: lower and upper change ASCII letters only, hex writes lower-case
 * digits, url leaves A-Z a-z 0-9 - . _ ~ and writes every other byte as %XX.  NULL passes through all of them
 * and becomes text at `or:` only.
 *
 * No step makes a text shorter, so a value longer than a key may be is never copied and a key is built in
 * place.
 *
 * Threads: any; a template does not change.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_TEMPLATE_H
#define SQUEAL_MARKERS_TEMPLATE_H

#include <stdbool.h>

#include "lib/core/arena.h"
#include "lib/core/err.h"
#include "lib/core/span.h"
#include "markers/key.h"

enum { TEMPLATE_MAX = 1000 /* bytes */, TEMPLATE_MAX_STEPS = 8 };

enum template_source {
	TEMPLATE_LITERAL,
	TEMPLATE_DB,
	TEMPLATE_TABLE,
	TEMPLATE_ROW, /* {column}: the image that is asked for */
	TEMPLATE_OLD, /* {old.column}: the row as it was */
	TEMPLATE_NEW, /* {new.column}: the row as it is */
};

/* clang-format off */
/*    name             word     help                                          */
#define TEMPLATE_STEPS(X)                                                     \
	X(TEMPLATE_LOWER,  "lower", "ASCII letters in lower case")            \
	X(TEMPLATE_UPPER,  "upper", "ASCII letters in upper case")            \
	X(TEMPLATE_HEX,    "hex",   "every byte as two hex digits")           \
	X(TEMPLATE_URL,    "url",   "percent-encoded")                        \
	X(TEMPLATE_OR,     "or:",   "the text behind it in place of NULL")
/* clang-format on */

enum template_verb {
#define TEMPLATE_ENUM(name, word, help) name,
	TEMPLATE_STEPS(TEMPLATE_ENUM)
#undef TEMPLATE_ENUM
};

struct template_step {
	enum template_verb verb;
	struct span text; /* of `or:` */
};

struct template_part {
	enum template_source source;
	struct span text; /* the literal, or the column's name */
	size_t nsteps;
	const struct template_step *steps;
};

struct template
{
	struct template_part *parts; /* no two literals follow each other */
	size_t n;
};

/*
 * Parts and texts are copies that live in `arena`.  ERR_CONFIG with one sentence: what is wrong and what
 * would be right.
 */
err_t template_parse(struct template *out, struct span text, struct arena *arena,
		     struct err_detail *why) MUST_CHECK;

/* A key that is being built. */
struct template_out {
	size_t len;
	bool too_long; /* more than KEY_MAX bytes: what is there is a beginning */
	char bytes[KEY_MAX];
};

static inline void
template_out_clear(struct template_out *o)
{
	o->len = 0;
	o->too_long = false;
}

/* Bytes as they stand. */
void template_out_put(struct template_out *o, struct span s);

/* `value` through the steps of `part`.  False, and nothing is put: it is NULL to the end.  `null`: there is
 * no value. */
bool template_out_value(struct template_out *o, const struct template_part *part, struct span value,
			bool null);

#endif
