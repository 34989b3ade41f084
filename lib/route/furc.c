#include "lib/route/furc.h"

#include "lib/route/murmur.h"

#define SEED 4193360111u

enum {
	TRIES = 32,
	GAP = 23,
	/* The furthest bit that can be asked for: every try looks at no more than GAP bits, each GAP further.
	 */
	WORDS = (GAP + TRIES * GAP * GAP) / 64 + 1,
};

/* The endless row of bits; words are made when they are first needed. */
struct bits {
	struct span key;
	uint32_t nwords;
	uint64_t word[WORDS];
};

static inline bool
bit(struct bits *b, uint32_t at)
{
	uint32_t w = at / 64;

	while (b->nwords <= w) {
		b->word[b->nwords] =
		    b->nwords == 0 ? murmur64a(b->key, SEED) : murmur64a_word(b->word[b->nwords - 1], SEED);
		b->nwords++;
	}
	return b->word[w] >> (at % 64) & 1;
}

uint32_t
furc_of(struct span key, uint32_t n)
{
	struct bits bits;
	uint32_t depth, at;

	if (n <= 1)
		return 0;
	bits.key = key;
	bits.nwords = 0;
	depth = 32 - (uint32_t)__builtin_clz(n - 1);
	at = depth;
	for (int i = 0; i < TRIES; i++) {
		uint32_t index = 1;

		while (!bit(&bits, at)) {
			if (--depth == 0)
				return 0;
			at = depth;
		}
		at += GAP;
		for (uint32_t below = depth - 1; below > 0; below--) {
			index = index << 1 | bit(&bits, at);
			at += GAP;
		}
		if (index < n)
			return index;
	}
	return 0;
}
