#include "cache-server/cache/token.h"

#include <sys/random.h>

uint64_t
token_next(struct token_batch *b)
{
	for (;;) {
		uint64_t n;

		if (b->left == 0) {
			/* Up to 256 bytes come whole or not at all, whatever signals arrive; 512 may come
			 * short. */
			ssize_t got = getrandom(b->numbers, sizeof b->numbers, GRND_NONBLOCK);

			if (got < (ssize_t)sizeof b->numbers[0])
				return 0;
			b->left = (unsigned)((size_t)got / sizeof b->numbers[0]);
		}
		n = b->numbers[--b->left] & INT64_MAX;
		b->numbers[b->left] = 0;
		if (n > TOKEN_HOT)
			return n;
	}
}
