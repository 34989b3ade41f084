/*
 * base64 - keys that are not text, as the meta commands write them (flag b).
 *
 * Reading ignores characters that are not of the alphabet and stops at the first padding, as memcached does.
 *
 * Source: RFC 4648, section 4; memcached 1.6.45.
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_BASE64_H
#define SQUEAL_CACHE_SERVER_PROTO_BASE64_H

#include <stddef.h>

#include "lib/core/span.h"

#define BASE64_TEXT(bytes) (((size_t)(bytes) + 2) / 3 * 4)

/* Writes BASE64_TEXT(in.len) characters, no terminator; returns behind the last. */
char *base64_put(char *to, struct span in);

/* Writes at most text.len / 4 * 3 bytes to `out`; returns how many, 0 when it is not base64. */
size_t base64_get(struct span text, char *out);

#endif
