/*
 * moment - a point in time as people write it.
 *
 *     2026-11-20 21:38:00        in the local time zone (TZ); "T" instead of the space is fine, and so is a
 *     2026-11-20 21:38:00.25     fraction, a time without seconds, or the date alone, which is its midnight
 *     2026-11-20T21:38:00Z       ISO 8601 with a zone: Z, +01:00, +0100 or +01
 *     1795210680000000           microseconds since 1970, as in time_us
 *
 * Threads: any; reads TZ.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_MOMENT_H
#define SQUEAL_MOMENT_H

#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

/* A local time that comes twice, when clocks are set back: which of the two. */
enum moment_choice { MOMENT_FIRST, MOMENT_LAST };

/* Microseconds since 1970 UTC.  ERR_USAGE with a sentence otherwise; then *us is as it was. */
err_t moment_parse(struct span text, enum moment_choice choice, uint64_t *us,
		   struct err_detail *why) MUST_CHECK;

#endif
