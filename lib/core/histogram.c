#include "lib/core/histogram.h"

static unsigned
bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	if (value >> HISTOGRAM_MAX_BITS != 0)
		return HISTOGRAM_BUCKETS - 1;
	shift = (unsigned)(63 - __builtin_clzll(value)) - HISTOGRAM_SUB_BITS;
	return (shift + 1) * HISTOGRAM_SUB + (unsigned)((value >> shift) - HISTOGRAM_SUB);
}

/* The largest value that counts in the bucket. */
static uint64_t
bucket_top(unsigned b)
{
	unsigned shift;

	if (b < HISTOGRAM_SUB)
		return b;
	shift = b / HISTOGRAM_SUB - 1;
	return (((uint64_t)(b % HISTOGRAM_SUB) + HISTOGRAM_SUB + 1) << shift) - 1;
}

static void
raise_max(struct histogram *h, uint64_t value)
{
	uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);

	while (value > max && !atomic_compare_exchange_weak_explicit(
				  &h->max, &max, value, memory_order_relaxed, memory_order_relaxed))
		;
}

void
histogram_record(struct histogram *h, uint64_t value)
{
	atomic_fetch_add_explicit(&h->bucket[bucket_of(value)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
	raise_max(h, value);
}

static void
bump(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by, memory_order_relaxed);
}

void
histogram_bump(struct histogram *h, uint64_t value)
{
	_Atomic uint32_t *bucket = &h->bucket[bucket_of(value)];

	atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	bump(&h->count, 1);
	bump(&h->sum, value);
	if (value > atomic_load_explicit(&h->max, memory_order_relaxed))
		atomic_store_explicit(&h->max, value, memory_order_relaxed);
}

uint64_t
histogram_percentile(const struct histogram *h, double fraction)
{
	uint64_t total = 0;
	uint64_t rank;
	uint64_t seen = 0;
	uint64_t max = histogram_max(h);

	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		total += atomic_load_explicit(&h->bucket[b], memory_order_relaxed);
	if (total == 0)
		return 0;
	rank = (uint64_t)(fraction * (double)total + 0.9999999);
	if (rank < 1)
		rank = 1;
	if (rank > total)
		rank = total;
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		seen += atomic_load_explicit(&h->bucket[b], memory_order_relaxed);
		if (seen >= rank) {
			uint64_t top = bucket_top(b);

			return b == HISTOGRAM_BUCKETS - 1 || top > max ? max : top;
		}
	}
	return max;
}

uint64_t
histogram_count(const struct histogram *h)
{
	return atomic_load_explicit(&h->count, memory_order_relaxed);
}

uint64_t
histogram_sum(const struct histogram *h)
{
	return atomic_load_explicit(&h->sum, memory_order_relaxed);
}

uint64_t
histogram_max(const struct histogram *h)
{
	return atomic_load_explicit(&h->max, memory_order_relaxed);
}

void
histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		uint32_t n = atomic_load_explicit(&from->bucket[b], memory_order_relaxed);

		if (n > 0)
			atomic_fetch_add_explicit(&to->bucket[b], n, memory_order_relaxed);
	}
	atomic_fetch_add_explicit(&to->count, histogram_count(from), memory_order_relaxed);
	atomic_fetch_add_explicit(&to->sum, histogram_sum(from), memory_order_relaxed);
	raise_max(to, histogram_max(from));
}
