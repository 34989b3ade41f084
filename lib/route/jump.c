#include "lib/route/jump.h"

uint32_t
jump_of(uint64_t hash, uint32_t n)
{
	double next = 0;
	uint32_t at = 0;

	/* The paper's generator; at each jump the upper 31 bits are the random number. */
	while (next < n) {
		at = (uint32_t)next;
		hash = hash * 2862933555777941757u + 1;
		next = ((double)at + 1) * ((double)(1ll << 31) / (double)((hash >> 33) + 1));
	}
	return at;
}
