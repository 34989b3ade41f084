/*
 * section - one mapping of squeal.yaml read into its option struct, with the place of every value.
 *
 * Threads: any, one at a time per struct.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_SECTION_H
#define SQUEAL_LIB_CONF_SECTION_H

#include "lib/conf/yaml.h"
#include "lib/core/err.h"
#include "lib/core/option.h"

enum { SECTION_MAX_ROWS = 32, SECTION_MAX_EXTRA = 8 };

/* Who speaks in messages. */
struct section_file {
	const char *name;
	struct err_detail *why;
};

/* The caller fills in the first three; `base` holds the defaults. */
struct section {
	const struct option_section *table;
	const char *path; /* for messages: "source", "clusters" */
	void *base;
	const struct yaml_node *node;			  /* NULL: not in the file */
	const struct yaml_node *values[SECTION_MAX_ROWS]; /* by row; NULL: left to its default */
};

/*
 * Reads the mapping `node`; NULL or nothing leaves the defaults.  Keys among `extra` are left to the caller,
 * every other key that is no row is an error.  The nodes must live as long as `s`.
 */
err_t section_read(struct section *s, const struct section_file *f, const struct yaml_node *node,
		   const char *const *extra, size_t nextra) MUST_CHECK;

bool section_has(const struct section *s, const char *option);

/* Where the option stands; its section, when it was left to its default; line 0, when that is not there
 * either. */
struct yaml_place section_place(const struct section *s, const char *option);

/* Notes "FILE:LINE:COLUMN: sentence" and returns ERR_CONFIG. */
err_t section_bad(const struct section_file *f, struct yaml_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
