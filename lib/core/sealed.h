/*
 * sealed - small texts that tell by themselves whether they are whole: a first line names what it is, lines
 * of the user's follow, and the last line is a checksum of all before it.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_SEALED_H
#define SQUEAL_LIB_CORE_SEALED_H

#include <stdbool.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

/* Appends the last line: "sum " and the XXH3 of everything from `begin` on, in hexadecimal. */
void sealed_end(struct buf *text, size_t begin);

/* Takes the text apart.  NULL: it is whole, and *lines are those between the first and the last; otherwise
 * what is wrong with it, as in "it is cut off". */
const char *sealed_lines(struct span text, const char *first_line, struct span *lines);

/* Is the line "word rest"?  Then *rest is what stands behind the blank. */
bool sealed_line_is(struct span line, const char *word, struct span *rest);

#endif
