/*
 * pattern - globs and regular expressions for keys, and globs for names.
 *
 *     glob     * any bytes, ? one, [a-z] one of these, \ takes the next one as it is; the whole text must
 * match regex    POSIX extended; it may match anywhere
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_PLAN_PATTERN_H
#define SQUEAL_REPLAY_PLAN_PATTERN_H

#include <stddef.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

enum { PATTERN_TEXT_MAX = 1024 }; /* bytes of a text; a longer one does not match */

/* {0} has none. */
struct patterns {
	struct pattern *at;
	size_t n;
};

enum pattern_kind { PATTERN_GLOB, PATTERN_REGEX };

/* ERR_USAGE with a sentence. */
err_t patterns_add(struct patterns *p, enum pattern_kind kind, const char *text,
		   struct err_detail *why) MUST_CHECK;
void patterns_fini(struct patterns *p);

/* Does one of them match?  False where there are none. */
bool patterns_match(const struct patterns *p, struct span text);

#endif
