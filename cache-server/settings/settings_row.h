/*
 * settings_row - one row of settings.h's tables as data; internal to this folder.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_CACHE_SERVER_SETTINGS_SETTINGS_ROW_H
#define SQUEAL_CACHE_SERVER_SETTINGS_SETTINGS_ROW_H

#include "cache-server/settings/settings.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum settings_kind {
	SETTINGS_BOOL,
	SETTINGS_COUNT,
	SETTINGS_UINT,
	SETTINGS_OPTUINT,
	SETTINGS_PORT,
	SETTINGS_OCTAL,
	SETTINGS_MEGS,
	SETTINGS_KILOS,
	SETTINGS_BYTES,
	SETTINGS_SECONDS,
	SETTINGS_RATIO,
	SETTINGS_TEXT,
	SETTINGS_CHAR,
	SETTINGS_PROTOCOL,
	SETTINGS_LIST,
	SETTINGS_EACH,
	SETTINGS_SHOW_TEXT,
	SETTINGS_NOT_HERE,
};

enum settings_use { SETTINGS_ACTS, SETTINGS_ENGINE, SETTINGS_QUIET };

/* The rows of both tables, SETTINGS_ROW_port and so on. */
enum settings_row_id {
#define SETTINGS_ROW_ID(field, letter, name, sub, kind, arg, def, min, max, use, help) SETTINGS_ROW_##field,
	SETTINGS_FLAGS(SETTINGS_ROW_ID) SETTINGS_EXTENDED(SETTINGS_ROW_ID)
#undef SETTINGS_ROW_ID
	    SETTINGS_NROWS
};

struct settings_row {
	char letter;	  /* 0: none */
	const char *name; /* long; NULL: none */
	const char *sub;  /* in -o; NULL: none */
	enum settings_kind kind;
	const char *arg; /* NULL: takes none */
	const char *def;
	uint64_t min, max;
	enum settings_use use;
	const char *help;
	size_t offset; /* of its field in struct settings */
};

extern const struct settings_row settings_rows[SETTINGS_NROWS];

/* Frees nothing: *s is new. */
void settings_row_defaults(struct settings *s);

/* Parses `text` into the row's field.  `as` is how the user wrote the option ("-p", "-o idle_timeout"). */
err_t settings_row_set(const struct settings_row *row, struct settings *s, struct span text, const char *as,
		       struct err_detail *why) MUST_CHECK;

/* "-p" or "--config" or "-o idle_timeout": the name that a message or a notice has. */
void settings_row_put_name(const struct settings_row *row, struct buf *out);

static inline const void *
settings_row_field(const struct settings_row *row, const struct settings *s)
{
	return (const char *)s + row->offset;
}

/* What a number without a letter counts: 1048576 for MEGS, 1024 for KILOS, else 1. */
uint64_t settings_row_unit(const struct settings_row *row);

#endif
