/*
 * age - when the records were appended that somebody has read and not finished: a few samples of (offset,
 * time).
 *
 * However many records there are, AGE_SAMPLES are kept; where they are too many every second one goes.  So
 * the answer may be that of a record somewhat before the one asked for, never of a later one.
 *
 * Threads: one at a time.   Blocks: never.   Time: given by the caller, microseconds since 1970 UTC.
 */
#ifndef SQUEAL_ROUTER_AGE_H
#define SQUEAL_ROUTER_AGE_H

#include <stddef.h>
#include <stdint.h>

enum { AGE_SAMPLES = 64 };

/* Zeroed: empty. */
struct age {
	struct {
		uint64_t offset, at_us;
	} samples[AGE_SAMPLES];
	size_t n;
	uint64_t stride; /* offsets between two samples, at least; 0 counts as 1 */
};

/* The record at `offset`, which is above all before, was appended at `at_us`. */
void age_note(struct age *a, uint64_t offset, uint64_t at_us);

/* Nobody asks for records before `offset` any more. */
void age_forget(struct age *a, uint64_t offset);

/* When the oldest record that is remembered was appended; 0 when none is. */
uint64_t age_oldest_us(const struct age *a);

void age_clear(struct age *a);

#endif
