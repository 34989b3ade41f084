#include "lib/route/utf8.h"

bool
utf8_take(struct span *s, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)s->p[0];
	size_t n = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
	uint32_t c;

	if (n == 0 || n > s->len)
		return false;
	c = n == 1 ? first : first & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		unsigned char next = (unsigned char)s->p[i];

		if (next >> 6 != 2)
			return false;
		c = c << 6 | (next & 0x3f);
	}
	if (c < least[n] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return false;
	*character = c;
	*s = span_from(*s, n);
	return true;
}
