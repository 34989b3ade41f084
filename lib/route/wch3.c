#include "lib/route/wch3.h"

#include "lib/route/furc.h"
#include "lib/route/spooky.h"

#define SEED 0xface2014u

uint32_t
wch3_share(double weight)
{
	return (uint32_t)(weight * UINT32_MAX);
}

uint32_t
wch3_of(char *key, size_t len, const uint32_t *shares, uint32_t n)
{
	struct span text = span_make(key, len);
	uint32_t index = 0;

	for (unsigned i = 0; i < WCH3_TRIES; i++) {
		if (i > 0) {
			/* i - 1 is what the peer counts. */
			unsigned salt = i - 1;

			key[len] = (char)('0' + salt % 10);
			key[len + 1] = (char)('0' + salt / 10);
			text.len = len + (salt < 10 ? 1 : 2);
		}
		index = furc_of(text, n);
		if (spooky32(text, SEED) < shares[index])
			break;
	}
	return index;
}
