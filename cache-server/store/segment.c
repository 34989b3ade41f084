#include "cache-server/store/segment.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FIXED_STATE ((1ull << 42) - 1) /* of `state`: length, due, and what the item consists of */

struct item *
segment_walk(const struct segment_pool *p, uint32_t id, uint32_t *at)
{
	uint32_t end = atomic_load_explicit(&p->heads[id].write, memory_order_acquire);
	struct item *it;
	size_t n;

	if (end > segment_size(p))
		end = segment_size(p);
	if (*at % 8 != 0 || *at > end || end - *at < sizeof *it)
		return NULL;
	it = (struct item *)(segment_bytes(p, id) + *at);
	n = sizeof *it + item_extra(item_state(it)) + (item_ident(it) >> 56) + item_vlen(item_state(it));
	n = (n + 7) & ~(size_t)7;
	if (n > end - *at)
		return NULL;
	*at += (uint32_t)n;
	return it;
}

bool
segment_walk_ok(const struct segment_pool *p, uint32_t id)
{
	uint32_t at = 0;

	while (segment_walk(p, id, &at))
		;
	return at == atomic_load_explicit(&p->heads[id].write, memory_order_relaxed);
}

uint64_t
segment_item_sum(const struct item *it)
{
	uint64_t state = item_state(it), ident = item_ident(it);
	size_t n = item_extra(state) + (ident >> 56) + item_vlen(state);

	if (state & ITEM_LARGE)
		/* Its places change when a merge moves a piece. */
		n = item_extra(state) + (ident >> 56);
	return XXH3_64bits_withSeed(it->body, n, ident ^ (state & FIXED_STATE) * 0x9E3779B97F4A7C15ull);
}

bool
segment_sum_ok(const struct segment_pool *p, uint32_t id)
{
	const struct item *it;
	uint32_t at = 0;
	uint64_t sum = 0;

	while ((it = segment_walk(p, id, &at)) != NULL) {
		if (item_order(item_ident(it)) != 0)
			sum += segment_item_sum(it);
	}
	return at == atomic_load_explicit(&p->heads[id].write, memory_order_relaxed) &&
	       sum == atomic_load_explicit(&p->heads[id].sum, memory_order_relaxed);
}
