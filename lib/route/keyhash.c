#include "lib/route/keyhash.h"

#include <xxhash.h>

#include "lib/route/crc.h"
#include "lib/route/md5.h"
#include "lib/route/murmur.h"
#include "lib/route/utf8.h"

/* The byte as the number that a signed char is, widened. */
static inline uint64_t
widen(char c)
{
	return (uint64_t)(int64_t)(signed char)c;
}

static inline uint32_t
le16(const char *p)
{
	return (uint32_t)(unsigned char)p[0] | (uint32_t)(unsigned char)p[1] << 8;
}

static inline uint32_t
rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

/* --- 32 bits ----------------------------------------------------------------------------------------------
 */

static uint64_t
one_at_a_time(struct span key)
{
	uint32_t v = 0;

	for (size_t i = 0; i < key.len; i++) {
		v += (uint32_t)widen(key.p[i]);
		v += v << 10;
		v ^= v >> 6;
	}
	v += v << 3;
	v ^= v >> 11;
	v += v << 15;
	return v;
}

static uint64_t
md5_first(struct span key)
{
	return md5_of(key).word[0];
}

static uint64_t
crc_bits(struct span key)
{
	return crc32_of(key) >> 16 & 0x7fff;
}

static uint64_t
crc32_whole(struct span key)
{
	return crc32_of(key);
}

static uint64_t
crc16(struct span key)
{
	return crc16_twemproxy(key);
}

static uint64_t
fnv1_64_low(struct span key)
{
	uint64_t v = 0xcbf29ce484222325;

	for (size_t i = 0; i < key.len; i++)
		v = v * 0x100000001b3 ^ widen(key.p[i]);
	return (uint32_t)v;
}

static uint64_t
fnv1a_64_in_32(struct span key)
{
	uint32_t v = 0x84222325;

	for (size_t i = 0; i < key.len; i++)
		v = (v ^ (uint32_t)widen(key.p[i])) * 0x1b3;
	return v;
}

static uint64_t
fnv1_32(struct span key)
{
	uint32_t v = 2166136261;

	for (size_t i = 0; i < key.len; i++)
		v = v * 16777619 ^ (uint32_t)widen(key.p[i]);
	return v;
}

static uint64_t
fnv1a_32(struct span key)
{
	uint32_t v = 2166136261;

	for (size_t i = 0; i < key.len; i++)
		v = (v ^ (uint32_t)widen(key.p[i])) * 16777619;
	return v;
}

static uint64_t
murmur(struct span key)
{
	return murmur2(key, 0xdeadbeef * (uint32_t)key.len);
}

static uint64_t
murmur3_seeded(struct span key)
{
	return murmur3(key, 0xdeadbeef * (uint32_t)key.len);
}

/* Paul Hsieh's SuperFastHash, started from 0 instead of the length. */
static uint64_t
hsieh(struct span key)
{
	const char *p = key.p;
	size_t n = key.len;
	uint32_t v = 0;

	for (; n >= 4; n -= 4, p += 4) {
		v += le16(p);
		v = v << 16 ^ (le16(p + 2) << 11 ^ v);
		v += v >> 11;
	}
	if (n == 3) {
		v += le16(p);
		v ^= v << 16;
		v ^= (uint32_t)widen(p[2]) << 18;
		v += v >> 11;
	} else if (n == 2) {
		v += le16(p);
		v ^= v << 11;
		v += v >> 17;
	} else if (n == 1) {
		v += (unsigned char)p[0];
		v ^= v << 10;
		v += v >> 1;
	}
	v ^= v << 3;
	v += v >> 5;
	v ^= v << 4;
	v += v >> 17;
	v ^= v << 25;
	v += v >> 6;
	return v;
}

/* Up to four bytes, the first one lowest. */
static inline uint32_t
le_rest(const char *p, size_t n)
{
	uint32_t v = 0;

	for (size_t i = 0; i < n && i < 4; i++)
		v |= (uint32_t)(unsigned char)p[i] << (8 * i);
	return v;
}

/* Bob Jenkins' lookup3, little-endian. */
static uint64_t
jenkins(struct span key)
{
	uint32_t a = 0xdeadbeef + (uint32_t)key.len + 13, b = a, c = a;
	const char *p = key.p;
	size_t n = key.len;

	if (n == 0)
		return c;
	for (; n > 12; n -= 12, p += 12) {
		a += le_rest(p, 4);
		b += le_rest(p + 4, 4);
		c += le_rest(p + 8, 4);
		a = (a - c) ^ rotate(c, 4), c += b;
		b = (b - a) ^ rotate(a, 6), a += c;
		c = (c - b) ^ rotate(b, 8), b += a;
		a = (a - c) ^ rotate(c, 16), c += b;
		b = (b - a) ^ rotate(a, 19), a += c;
		c = (c - b) ^ rotate(b, 4), b += a;
	}
	a += le_rest(p, n);
	if (n > 4)
		b += le_rest(p + 4, n - 4);
	if (n > 8)
		c += le_rest(p + 8, n - 8);
	c = (c ^ b) - rotate(b, 14);
	a = (a ^ c) - rotate(c, 11);
	b = (b ^ a) - rotate(a, 25);
	c = (c ^ b) - rotate(b, 16);
	a = (a ^ c) - rotate(c, 4);
	b = (b ^ a) - rotate(a, 14);
	return (uint32_t)((c ^ b) - rotate(b, 24));
}

/* --- 64 bits ----------------------------------------------------------------------------------------------
 */

static uint64_t
fnv1_64(struct span key)
{
	uint64_t v = 0xcbf29ce484222325;

	for (size_t i = 0; i < key.len; i++)
		v = v * 0x100000001b3 ^ (unsigned char)key.p[i];
	return v;
}

static uint64_t
fnv1a_64(struct span key)
{
	uint64_t v = 0xcbf29ce484222325;

	for (size_t i = 0; i < key.len; i++)
		v = (v ^ (unsigned char)key.p[i]) * 0x100000001b3;
	return v;
}

static uint64_t
xxh64(struct span key)
{
	return XXH64(key.p, key.len, 0);
}

static uint64_t
murmur64a_0(struct span key)
{
	return murmur64a(key, 0);
}

/* --- Java's characters ------------------------------------------------------------------------------------
 */

typedef uint64_t mix_fn(uint64_t v, uint16_t unit);

/* Over the key's UTF-16. */
static inline uint64_t
over_units(struct span key, uint64_t v, mix_fn *mix)
{
	struct span rest = key;
	uint64_t start = v;
	uint32_t c;

	while (rest.len > 0) {
		if (!utf8_take(&rest, &c)) {
			v = start;
			for (size_t i = 0; i < key.len; i++)
				v = mix(v, (unsigned char)key.p[i]);
			return (uint32_t)v;
		}
		if (c < 0x10000) {
			v = mix(v, (uint16_t)c);
		} else {
			v = mix(v, (uint16_t)(0xd800 + ((c - 0x10000) >> 10)));
			v = mix(v, (uint16_t)(0xdc00 + (c & 0x3ff)));
		}
	}
	return (uint32_t)v;
}

static inline uint64_t
mix_java(uint64_t v, uint16_t unit)
{
	return (uint32_t)v * 31 + unit;
}

static inline uint64_t
mix_fnv1_64(uint64_t v, uint16_t unit)
{
	return v * 0x100000001b3 ^ unit;
}

static inline uint64_t
mix_fnv1a_64(uint64_t v, uint16_t unit)
{
	return (v ^ unit) * 0x100000001b3;
}

static inline uint64_t
mix_fnv1_32(uint64_t v, uint16_t unit)
{
	return v * 16777619 ^ unit;
}

static inline uint64_t
mix_fnv1a_32(uint64_t v, uint16_t unit)
{
	return (v ^ unit) * 16777619;
}

static uint64_t
java(struct span key)
{
	return over_units(key, 0, mix_java);
}

static uint64_t
java_fnv1_64(struct span key)
{
	return over_units(key, 0xcbf29ce484222325, mix_fnv1_64);
}

static uint64_t
java_fnv1a_64(struct span key)
{
	return over_units(key, 0xcbf29ce484222325, mix_fnv1a_64);
}

static uint64_t
java_fnv1_32(struct span key)
{
	return over_units(key, 2166136261, mix_fnv1_32);
}

static uint64_t
java_fnv1a_32(struct span key)
{
	return over_units(key, 2166136261, mix_fnv1a_32);
}

/* --- names ------------------------------------------------------------------------------------------------
 */

static const struct keyhash libmemcached[] = {
    {"default", "one_at_a_time", one_at_a_time},
    {"md5", "md5", md5_first},
    {"crc", "crc", crc_bits},
    {"fnv1_64", "fnv1_64", fnv1_64_low},
    {"fnv1a_64", "fnv1a_64", fnv1a_64_in_32},
    {"fnv1_32", "fnv1_32", fnv1_32},
    {"fnv1a_32", "fnv1a_32", fnv1a_32},
    {"hsieh", "hsieh", hsieh},
    {"murmur", "murmur", murmur},
    {"jenkins", "jenkins", jenkins},
    {"murmur3", "murmur3", murmur3_seeded},
    {NULL, NULL, NULL},
};

static const struct keyhash twemproxy[] = {
    {"default", "fnv1a_64", fnv1a_64_in_32},
    {"one_at_a_time", "one_at_a_time", one_at_a_time},
    {"md5", "md5", md5_first},
    {"crc16", "crc16", crc16},
    {"crc32", "crc32", crc_bits},
    {"crc32a", "crc32a", crc32_whole},
    {"fnv1_64", "fnv1_64", fnv1_64_low},
    {"fnv1a_64", "fnv1a_64", fnv1a_64_in_32},
    {"fnv1_32", "fnv1_32", fnv1_32},
    {"fnv1a_32", "fnv1a_32", fnv1a_32},
    {"hsieh", "hsieh", hsieh},
    {"murmur", "murmur", murmur},
    {"jenkins", "jenkins", jenkins},
    {NULL, NULL, NULL},
};

static const struct keyhash jump[] = {
    {"default", "fnv1a_64", fnv1a_64},	     {"fnv1a_64", "fnv1a_64", fnv1a_64},
    {"fnv1_64", "fnv1_64", fnv1_64},	     {"xxh64", "xxh64", xxh64},
    {"murmur64a", "murmur64a", murmur64a_0}, {"crc64", "crc64", crc64_of},
    {"crc32", "crc32", crc32_whole},	     {NULL, NULL, NULL},
};

static const struct keyhash spymemcached[] = {
    {"default", "java", java},
    {"java", "java", java},
    {"crc", "crc", crc_bits},
    {"fnv1_64", "fnv1_64", java_fnv1_64},
    {"fnv1a_64", "fnv1a_64", java_fnv1a_64},
    {"fnv1_32", "fnv1_32", java_fnv1_32},
    {"fnv1a_32", "fnv1a_32", java_fnv1a_32},
    {"ketama", "ketama", md5_first},
    {NULL, NULL, NULL},
};

const struct keyhash *
keyhash_at(enum keyhash_family family, size_t i)
{
	static const struct keyhash *const families[KEYHASH_NFAMILIES] = {
	    [KEYHASH_LIBMEMCACHED] = libmemcached,
	    [KEYHASH_TWEMPROXY] = twemproxy,
	    [KEYHASH_JUMP] = jump,
	    [KEYHASH_SPYMEMCACHED] = spymemcached};
	const struct keyhash *h = &families[family][i];

	return h->name != NULL ? h : NULL;
}

const struct keyhash *
keyhash_find(enum keyhash_family family, const char *name)
{
	const struct keyhash *h;

	for (size_t i = 0; (h = keyhash_at(family, i)) != NULL; i++) {
		if (strcmp(h->name, name) == 0)
			return h;
	}
	return NULL;
}
