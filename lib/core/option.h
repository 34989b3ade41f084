/*
 * option - settings as tables: one row per setting, and everything else comes from the row.
 *
 * A module's header holds a table:
 *
 *     (*      name        type      default   min  max    unit    reload help                            *)
 *     #define BATCH_OPTIONS(OPT)                                                                         \
 *         OPT(batch_keys, UINT,     "500",    1,   10000, "keys", YES,   "flush at this many keys")      \
 *         OPT(linger,     DURATION, "1ms",    0,   1000,  "ms",   YES,   "wait this long for more keys")
 *     struct batch_options { OPTION_FIELDS(BATCH_OPTIONS) };
 *
 * and its source the rows:
 *
 *     typedef struct batch_options option_owner;
 *     static const struct option_row batch_option_rows[] = {OPTION_ROWS(BATCH_OPTIONS)};
 *
 * The struct, the parser of squeal.yaml, --help, the sample configuration and docs/options.md all come from
 * the same row.  Types:
 *
 *     UINT      uint64_t   plain number
 *     DECIMAL   double     number with up to six decimals, as in 0.25
 *     BOOL      bool       true/false, yes/no, on/off
 *     STR       char *     text; never NULL, "" by default where the row says so
 *     CHOICE    char *     one of the words in `unit`, written "a|b|c"; "" by default only
 *     DURATION  uint64_t   in the row's unit, "ms" or "s"; written "5ms", "2s", "10m", "24h", "7d"
 *     SIZE      uint64_t   bytes; written "64KiB", "10MB", "1GiB", or plain bytes
 *     LIST      char *     lines of text; in YAML a list of texts, or one text
 *     MAP       char *     lines "name=value"; in YAML a mapping of free names to texts
 *
 * option_line() walks through the lines of the last two.
 *
 * min and max are in the row's unit.
 *
 * Threads: the thread that owns the struct.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_OPTION_H
#define SQUEAL_LIB_CORE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum option_type {
	OPTION_UINT,
	OPTION_DECIMAL,
	OPTION_BOOL,
	OPTION_STR,
	OPTION_CHOICE,
	OPTION_DURATION,
	OPTION_SIZE,
	OPTION_LIST,
	OPTION_MAP
};

struct option_row {
	const char *name;
	enum option_type type;
	const char *def;
	uint64_t min, max;
	const char *unit; /* "ms", "s", "bytes", "keys", "", or the choices "a|b" */
	bool reload;	  /* SIGHUP takes it; otherwise a restart is needed */
	const char *help;
	size_t offset;
};

/* A named table: one mapping of squeal.yaml. */
struct option_section {
	const char *name; /* path in squeal.yaml, as "source" or "clusters[].servers[]" */
	const char *help;
	const struct option_row *rows;
	size_t nrows;
	size_t size; /* of the struct */
};

#define OPTION_C_UINT	  uint64_t
#define OPTION_C_DECIMAL  double
#define OPTION_C_BOOL	  bool
#define OPTION_C_STR	  char *
#define OPTION_C_CHOICE	  char *
#define OPTION_C_DURATION uint64_t
#define OPTION_C_SIZE	  uint64_t
#define OPTION_C_LIST	  char *
#define OPTION_C_MAP	  char *
#define OPTION_RELOAD_YES true
#define OPTION_RELOAD_NO  false

#define OPTION_FIELD(name, type, def, min, max, unit, reload, help) OPTION_C_##type name;
#define OPTION_FIELDS(table)					    table(OPTION_FIELD)

/* OPTION_ROWS needs the struct's type for the offsets; X-macros cannot carry it, so it is set by a typedef:
 *     typedef struct batch_options option_owner;   in the source file, before the rows.                   */
#define OPTION_ROW(nm, tp, df, mn, mx, un, rl, hp)                                                           \
	{.name = #nm,                                                                                        \
	 .type = OPTION_##tp,                                                                                \
	 .def = df,                                                                                          \
	 .min = mn,                                                                                          \
	 .max = mx,                                                                                          \
	 .unit = un,                                                                                         \
	 .reload = OPTION_RELOAD_##rl,                                                                       \
	 .help = hp,                                                                                         \
	 .offset = offsetof(option_owner, nm)},
#define OPTION_ROWS(table) table(OPTION_ROW)

/* Sets every field of the struct at `base` to its default.  A default that does not parse is a bug: aborts.
 */
void option_defaults(const struct option_section *s, void *base);

/* Frees the strings; the struct can be given defaults again. */
void option_fini(const struct option_section *s, void *base);

/* The row, or NULL. */
const struct option_row *option_find(const struct option_section *s, struct span name);

/* The name among the rows that is most like `name`, for "did you mean"; NULL when none is near. */
const char *option_nearest(const struct option_section *s, struct span name);

/* The word among `words` (n of them) that is most like `name`; NULL when none is near. */
const char *option_nearest_word(const char *const *words, size_t n, struct span name);

/* Parses `text` into the row's field.  On error the field is untouched and *why says what would be right. */
err_t option_set(const struct option_row *row, void *base, struct span text,
		 struct err_detail *why) MUST_CHECK;

/* The value as it would be written in squeal.yaml. */
void option_print(const struct option_row *row, const void *base, struct buf *out);

/* Takes the next line off the value of a LIST or MAP; false at its end.  `rest` begins as span_of(value). */
bool option_line(struct span *rest, struct span *line);

/* Gives the row's field at `to` the value at `from`. */
void option_copy(const struct option_row *row, void *to, const void *from);

bool option_same(const struct option_row *row, const void *a, const void *b);

/* Text for people, made from the rows. */
void option_help(const struct option_section *s, struct buf *out);		 /* --help */
void option_sample(const struct option_section *s, int indent, struct buf *out); /* YAML, commented out */
void option_markdown(const struct option_section *s, struct buf *out); /* a table for docs/options.md */

#endif
