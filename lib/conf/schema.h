/*
 * schema - JSON Schema (draft 7) of option tables, for editors.
 *
 * Whoever owns a file's structure writes the frame; what comes from the tables is written here.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_SCHEMA_H
#define SQUEAL_LIB_CONF_SCHEMA_H

#include <stdbool.h>

#include "lib/core/buf.h"
#include "lib/core/json.h"
#include "lib/core/option.h"

/*
 * The members of an object's schema, up to its properties, which are left open: the caller may add more and
 * ends them with json_object_end().  `or_nothing`: the mapping may be empty.
 */
void schema_begin_object(struct json *j, const struct option_section *s, bool or_nothing);

/* The names of the members that must be there. */
void schema_required(struct json *j, const char *const *names, size_t n);

/* JSON as it was written, but one member a line, so that changes can be reviewed. */
void schema_indent(struct span text, struct buf *out);

#endif
