#include "lib/route/spooky.h"

#define FILLER 0xdeadbeefdeadbeefull

enum {
	WORDS = 12, /* of the long state */
	BLOCK = WORDS * 8,
	LONG = 2 * BLOCK, /* from here on the long form */
};

static inline uint64_t
rotate(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

/* `n` up to 8 bytes, the first one lowest. */
static inline uint64_t
le(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* --- up to 191 bytes --------------------------------------------------------------------------------------
 */

/* Word i is rotated, takes in the next one, and changes the one after that. */
static inline void
short_mix(uint64_t h[4])
{
	static const unsigned char by[12] = {50, 52, 30, 41, 54, 48, 38, 37, 62, 34, 5, 36};

#pragma GCC unroll 12
	for (unsigned i = 0; i < 12; i++) {
		uint64_t *x = &h[(i + 2) % 4], *y = &h[(i + 3) % 4], *z = &h[i % 4];

		*x = rotate(*x, by[i]) + *y;
		*z ^= *x;
	}
}

static inline void
short_end(uint64_t h[4])
{
	static const unsigned char by[11] = {15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63};

#pragma GCC unroll 11
	for (unsigned i = 0; i < 11; i++) {
		uint64_t *x = &h[(i + 3) % 4], *y = &h[(i + 2) % 4];

		*x ^= *y;
		*y = rotate(*y, by[i]);
		*x += *y;
	}
}

static uint64_t
short_form(const unsigned char *p, size_t length, uint64_t seed)
{
	uint64_t h[4] = {seed, seed, FILLER, FILLER};
	size_t left = length;

	for (; left >= 32; left -= 32, p += 32) {
		h[2] += le(p, 8);
		h[3] += le(p + 8, 8);
		short_mix(h);
		h[0] += le(p + 16, 8);
		h[1] += le(p + 24, 8);
	}
	if (left >= 16) {
		h[2] += le(p, 8);
		h[3] += le(p + 8, 8);
		short_mix(h);
		left -= 16;
		p += 16;
	}
	h[3] += (uint64_t)length << 56;
	if (left == 0) {
		h[2] += FILLER;
		h[3] += FILLER;
	} else {
		h[2] += le(p, left < 8 ? left : 8);
		if (left > 8)
			h[3] += le(p + 8, left - 8);
	}
	short_end(h);
	return h[0];
}

/* --- from 192 bytes on ------------------------------------------------------------------------------------
 */

static void
long_mix(uint64_t s[WORDS], const unsigned char *p)
{
	static const unsigned char by[WORDS] = {11, 32, 43, 31, 17, 28, 39, 57, 55, 54, 22, 46};

#pragma GCC unroll 12
	for (unsigned i = 0; i < WORDS; i++) {
		s[i] += le(p + 8 * i, 8);
		s[(i + 2) % WORDS] ^= s[(i + 10) % WORDS];
		s[(i + 11) % WORDS] ^= s[i];
		s[i] = rotate(s[i], by[i]);
		s[(i + 11) % WORDS] += s[(i + 1) % WORDS];
	}
}

static void
long_end_part(uint64_t s[WORDS])
{
	static const unsigned char by[WORDS] = {44, 15, 34, 21, 38, 33, 10, 13, 38, 53, 42, 54};

	for (unsigned i = 0; i < WORDS; i++) {
		s[(i + 11) % WORDS] += s[(i + 1) % WORDS];
		s[(i + 2) % WORDS] ^= s[(i + 11) % WORDS];
		s[(i + 1) % WORDS] = rotate(s[(i + 1) % WORDS], by[i]);
	}
}

static uint64_t
long_form(const unsigned char *p, size_t length, uint64_t seed)
{
	uint64_t s[WORDS];
	unsigned char last[BLOCK] = {0};
	size_t left = length;

	for (size_t i = 0; i < WORDS; i += 3) {
		s[i] = seed;
		s[i + 1] = seed;
		s[i + 2] = FILLER;
	}
	for (; left >= BLOCK; left -= BLOCK, p += BLOCK)
		long_mix(s, p);
	memcpy(last, p, left);
	last[BLOCK - 1] = (unsigned char)left;
	for (size_t i = 0; i < WORDS; i++)
		s[i] += le(last + 8 * i, 8);
	for (int i = 0; i < 3; i++)
		long_end_part(s);
	return s[0];
}

uint32_t
spooky32(struct span bytes, uint32_t seed)
{
	const unsigned char *p = (const unsigned char *)bytes.p;

	return (uint32_t)(bytes.len < LONG ? short_form(p, bytes.len, seed) : long_form(p, bytes.len, seed));
}
