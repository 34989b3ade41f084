/*
 * rules - a rule file as plain structs: which tables' row changes become which cache keys.
 *
 *     rules:
 *       - table: shop.users
 *         keys: ["user:{id}", "feed:{owner_id}"]
 *         on: [update, delete]
 *
 * Here a file gets its structure: every setting known, of the right type and in its range, and each text with
 * its place.  What the texts mean (table patterns, key templates) is markers/rule_set.h's to know, which is
 * why places are kept: its mistakes are reported as "FILE:LINE:COLUMN: ..." too.  docs/rules.md explains the
 * file to its authors.
 *
 * Threads: the one that reads it; afterwards any may read.   Blocks: on reading the file.
 */
#ifndef SQUEAL_LIB_CONF_RULES_H
#define SQUEAL_LIB_CONF_RULES_H

#include "lib/core/arena.h"
#include "lib/core/err.h"
#include "lib/core/option.h"

enum {
	RULES_MAX = 4096,      /* rules of one file */
	RULES_MAX_ITEMS = 256, /* keys, or columns, of one rule */
};

/* clang-format off */
/*      name             type      default        min max          unit      reload help */
#define RULE_OPTIONS(OPT)                                                                                          \
	OPT(name,            STR,      "",            0, 0,           "",       YES, "name of the rule in logs; empty: its table") \
	OPT(table,           STR,      "",            0, 0,           "",       YES, "database.table or a pattern of both: * any text, ? one character, [a-z] one of these, \\ before a character that is meant as it is; required") \
	OPT(ignore_case,     BOOL,     "true",        0, 0,           "",       YES, "false: upper and lower case of database and table names must agree") \
	OPT(image,           CHOICE,   "both",        0, 0,           "both|before|after", YES, "the row of an update that {column} stands for: as it was, as it is, or one key of each") \
	OPT(holdoff,         DURATION, "0ms",         0, 3600000,     "ms",     YES, "hold-off that goes with the keys") \
	OPT(pool,            STR,      "",            0, 0,           "",       YES, "pool that the keys belong to; empty: none named")
/* clang-format on */

/* The settings of a rule that hold a list.  Each may be a single text too. */
#define RULE_KEYS_HELP	  "key templates; required"
#define RULE_ON_HELP	  "the changes that matter; left out: all"
#define RULE_CHANGED_HELP "an update matters only when one of these columns changes; left out: always"

struct rule_options {
	OPTION_FIELDS(RULE_OPTIONS)
};

enum { RULES_INSERT = 1, RULES_UPDATE = 2, RULES_DELETE = 4, RULES_ALL = 7 };

/* Never empty, no control characters. */
struct rules_text {
	struct span text;
	unsigned line, column;
};

struct rules_list {
	struct rules_text *items; /* in the file's order, none twice */
	size_t n;
};

struct rules_rule {
	struct rule_options opt;	     /* read the texts of these below, which have places */
	struct rules_text name, table, pool; /* empty text: not given */
	struct rules_list keys, when_changed;
	unsigned on; /* of RULES_*; never 0 */
	unsigned line, column;
};

struct rules {
	char *file;		  /* the name that stands in messages */
	struct rules_rule *rules; /* in the file's order */
	size_t n;
	struct arena arena;
};

/*
 * Reads the whole file.  On error *out is NULL and *why reads
 * "rules.yaml:4:5: unknown key "kyes" in a rule; did you mean "keys"?".  A file without rules is fine, an
 * empty file is not.  The caller destroys it.
 */
err_t rules_load(struct rules **out, const char *path, struct err_detail *why) MUST_CHECK;

/* The same from text; `name` stands in messages. */
err_t rules_parse(struct rules **out, struct span yaml, const char *name, struct err_detail *why) MUST_CHECK;

void rules_destroy(struct rules **r);

/* The table of a rule's single values. */
const struct option_section *rules_section(void);

/* A JSON Schema (draft 7) of a rule file for editors; schemas/rules.schema.json is this text. */
void rules_json_schema(struct buf *out);

#endif
