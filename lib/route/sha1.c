#include "lib/route/sha1.h"

enum { BLOCK = 64, LENGTH_AT = 56, ROUNDS = 80 };

static inline uint32_t
rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

/* FIPS 180-4, 6.1.2. */
static void
add_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[ROUNDS];
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (size_t i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	for (size_t i = 16; i < ROUNDS; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (size_t i = 0; i < ROUNDS; i++) {
		uint32_t f, k, next;

		if (i < 20) {
			f = (b & c) ^ (~b & d);
			k = 0x5a827999;
		} else if (i < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (i < 60) {
			f = (b & c) ^ (b & d) ^ (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		next = rotate(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

uint32_t
sha1_first(struct span text)
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	unsigned char last[2 * BLOCK] = {0};
	const unsigned char *p = (const unsigned char *)text.p;
	size_t left = text.len, end;
	uint64_t bits = (uint64_t)text.len * 8;

	for (; left >= BLOCK; left -= BLOCK, p += BLOCK)
		add_block(h, p);
	if (left > 0)
		memcpy(last, p, left);
	last[left] = 0x80;
	end = left < LENGTH_AT ? LENGTH_AT : BLOCK + LENGTH_AT;
	for (size_t i = 0; i < 8; i++)
		last[end + i] = (unsigned char)(bits >> (56 - 8 * i));
	add_block(h, last);
	if (end > BLOCK)
		add_block(h, last + BLOCK);
	return h[0];
}
