/*
 * histogram - how long things took, in fixed memory, with percentiles.
 *
 * Values are whole numbers (microseconds everywhere in this project).  Buckets are logarithmic with
 * HISTOGRAM_SUB linear steps per power of two, so a percentile is off by at most 1/HISTOGRAM_SUB of itself
 * (about 3 %); values of 2^36 and more (19 hours) count in the last bucket.
 *
 * Threads: any may record (relaxed atomics), any may read; a reader sees a state close to now.
 * Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_HISTOGRAM_H
#define SQUEAL_LIB_CORE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 5,
	HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
	HISTOGRAM_MAX_BITS = 36,
	HISTOGRAM_BUCKETS = (HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};

struct histogram {
	_Atomic uint64_t count;
	_Atomic uint64_t sum;
	_Atomic uint64_t max;
	_Atomic uint32_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *h, uint64_t value);

/* The same for a histogram that only one thread records in: no locked instruction, for hot paths. */
void histogram_bump(struct histogram *h, uint64_t value);

/* The value that `fraction` (0.0 … 1.0) of the recorded ones do not exceed; 0 when there are none. */
uint64_t histogram_percentile(const struct histogram *h, double fraction);

uint64_t histogram_count(const struct histogram *h);
uint64_t histogram_sum(const struct histogram *h);
uint64_t histogram_max(const struct histogram *h);

/* Adds what `from` holds to `to`. */
void histogram_merge(struct histogram *to, const struct histogram *from);

#endif
