/*
 * key - which bytes may be a cache key.
 *
 * The rule is memcached's own: 1 to 250 bytes, none of them white space or a control character (<= 0x20,
 * 0x7F). Bytes from 0x80 on are allowed, so UTF-8 works.  A key that passes cannot become another protocol
 * command.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_KEY_H
#define SQUEAL_MARKERS_KEY_H

#include "lib/core/err.h"
#include "lib/core/span.h"

enum { KEY_MAX = 250 };

/* clang-format off */
/*    name          text                                                                          */
#define KEY_FAULTS(X)                                                                             \
	X(KEY_OK,       "a valid key")                                                            \
	X(KEY_EMPTY,    "an empty key: give at least one byte")                                   \
	X(KEY_TOO_LONG, "a key of more than 250 bytes: shorten it or use a hash of it")           \
	X(KEY_CONTROL,  "a key with a space or control character: replace these bytes")
/* clang-format on */

enum key_fault {
#define KEY_ENUM(name, text) name,
	KEY_FAULTS(KEY_ENUM)
#undef KEY_ENUM
};

/* What is wrong with `key`; KEY_OK when nothing is. */
enum key_fault key_fault(struct span key);

/* What is wrong and what to do about it; never NULL. */
const char *key_fault_text(enum key_fault fault);

/* ERR_BAD_KEY unless `key` is valid; *why names the fault and where it is, not the bytes of the key. */
err_t key_check(struct span key, struct err_detail *why) MUST_CHECK;

#endif
