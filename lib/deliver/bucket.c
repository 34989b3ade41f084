#include "lib/deliver/bucket.h"

enum { BURSTS_PER_S = 20 };
#define UNIT 1000000000ull /* of a level; as a token per second brings one unit per nanosecond */

uint64_t
bucket_burst(const struct bucket *b)
{
	uint64_t n = b->per_s / BURSTS_PER_S;

	return n > 0 ? n : 1;
}

static void
bucket_fill(struct bucket *b, uint64_t now_ns)
{
	uint64_t full = bucket_burst(b) * UNIT;
	uint64_t passed = now_ns > b->at_ns ? now_ns - b->at_ns : 0;

	b->at_ns = now_ns;
	/* Nothing overflows: it is full long before. */
	if (passed > full / b->per_s || b->level + passed * b->per_s > full)
		b->level = full;
	else
		b->level += passed * b->per_s;
}

void
bucket_rate(struct bucket *b, uint64_t per_s, uint64_t now_ns)
{
	uint64_t before = b->per_s;

	if (before == per_s)
		return;
	if (before > 0)
		bucket_fill(b, now_ns);
	b->per_s = per_s;
	b->at_ns = now_ns;
	if (per_s > 0 && (before == 0 || b->level > bucket_burst(b) * UNIT))
		b->level = bucket_burst(b) * UNIT;
}

uint64_t
bucket_tokens(struct bucket *b, uint64_t now_ns)
{
	if (b->per_s == 0)
		return UINT64_MAX;
	bucket_fill(b, now_ns);
	return b->level / UNIT;
}

void
bucket_take(struct bucket *b, uint64_t n)
{
	if (b->per_s > 0)
		b->level -= n * UNIT;
}

uint64_t
bucket_wait_ms(struct bucket *b, uint64_t n, uint64_t now_ns)
{
	uint64_t ns;

	if (bucket_tokens(b, now_ns) >= n)
		return 0;
	ns = (n * UNIT - b->level + b->per_s - 1) / b->per_s;
	return (ns + 999999) / 1000000;
}
