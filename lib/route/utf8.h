/*
 * utf8 - the characters of a key, for peers whose hashes see those instead of bytes.
 *
 * As strict as the decoders of Python and Java: no overlong forms, no surrogates, nothing behind U+10FFFF.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_UTF8_H
#define SQUEAL_LIB_ROUTE_UTF8_H

#include "lib/core/span.h"

/* Takes one character from the front of *s, which is not empty; false, and nothing taken, when there is none.
 */
bool utf8_take(struct span *s, uint32_t *character);

#endif
