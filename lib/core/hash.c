#include "lib/core/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

uint64_t
hash_span(struct span s, uint64_t seed)
{
	return XXH3_64bits_withSeed(s.p, s.len, seed);
}

uint64_t
hash_seed(void)
{
	uint64_t seed;

	while (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
		if (errno != EINTR)
			abort();
	}
	return seed;
}
