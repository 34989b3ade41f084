#include "lib/route/murmur.h"

static inline uint32_t
le32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static inline uint64_t
le64(const char *p)
{
	return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* Up to seven bytes, the first one lowest. */
static inline uint64_t
le_rest(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return v;
}

/* --- MurmurHash2 ------------------------------------------------------------------------------------------
 */

uint32_t
murmur2(struct span key, uint32_t seed)
{
	const uint32_t m = 0x5bd1e995;
	uint32_t h = seed ^ (uint32_t)key.len;
	const char *p = key.p;
	size_t n = key.len;

	for (; n >= 4; n -= 4, p += 4) {
		uint32_t k = le32(p) * m;

		h = h * m ^ (k ^ k >> 24) * m;
	}
	if (n > 0)
		h = (h ^ (uint32_t)le_rest(p, n)) * m;
	h = (h ^ h >> 13) * m;
	return h ^ h >> 15;
}

#define MUL_64A 0xc6a4a7935bd1e995ull

static inline uint64_t
mix_64a(uint64_t h, uint64_t k)
{
	k *= MUL_64A;
	k ^= k >> 47;
	return (h ^ k * MUL_64A) * MUL_64A;
}

static inline uint64_t
end_64a(uint64_t h)
{
	h = (h ^ h >> 47) * MUL_64A;
	return h ^ h >> 47;
}

uint64_t
murmur64a(struct span key, uint64_t seed)
{
	uint64_t h = seed ^ (uint64_t)key.len * MUL_64A;
	const char *p = key.p;
	size_t n = key.len;

	for (; n >= 8; n -= 8, p += 8)
		h = mix_64a(h, le64(p));
	if (n > 0)
		h = (h ^ le_rest(p, n)) * MUL_64A;
	return end_64a(h);
}

uint64_t
murmur64a_word(uint64_t word, uint64_t seed)
{
	return end_64a(mix_64a(seed ^ 8 * MUL_64A, word));
}

/* --- MurmurHash3 ------------------------------------------------------------------------------------------
 */

struct murmur3
murmur3_start(uint32_t seed)
{
	return (struct murmur3){.h = seed};
}

void
murmur3_add(struct murmur3 *m, struct span bytes)
{
	const char *p = bytes.p;
	size_t n = bytes.len;

	m->length += (uint32_t)n;
	while (n > 0 && m->ntail > 0) {
		m->tail |= (uint32_t)(unsigned char)*p++ << (8 * m->ntail++);
		n--;
		if (m->ntail == 4) {
			m->h = murmur3_block(m->h, murmur3_scramble(m->tail));
			m->tail = 0;
			m->ntail = 0;
		}
	}
	for (; n >= 4; n -= 4, p += 4)
		m->h = murmur3_block(m->h, murmur3_scramble(le32(p)));
	if (n > 0) {
		m->tail = (uint32_t)le_rest(p, n);
		m->ntail = (unsigned)n;
	}
}

uint32_t
murmur3_end(const struct murmur3 *m)
{
	uint32_t h = m->h;

	if (m->ntail > 0)
		h ^= murmur3_scramble(m->tail);
	return murmur3_finish(h, m->length);
}

uint32_t
murmur3(struct span key, uint32_t seed)
{
	struct murmur3 m = murmur3_start(seed);

	murmur3_add(&m, key);
	return murmur3_end(&m);
}
