/*
 * words - numbers, times and durations as people read them.
 *
 * Threads: any; the local time zone (TZ) is read.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_PLAN_WORDS_H
#define SQUEAL_REPLAY_PLAN_WORDS_H

#include "lib/core/buf.h"

/* The name of a line of the plan, and the blanks behind it. */
void words_row(const char *name, struct buf *out);

/* "1,234,567" */
void words_number(uint64_t v, struct buf *out);

/* "1 key", "2,000 keys": a plural is made with an s. */
void words_count(uint64_t v, const char *noun, struct buf *out);

/* "850 ms", "42 s", "3 min 20 s", "2 h 5 min", "3 d 4 h" */
void words_duration(uint64_t ms, struct buf *out);

/* "2026-11-21 08:15:00" in the local time zone. */
void words_moment(uint64_t us, struct buf *out);

/* "UTC", the zone of words_moment() at that time. */
void words_zone(uint64_t us, struct buf *out);

#endif
