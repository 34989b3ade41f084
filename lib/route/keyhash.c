#include "lib/route/keyhash.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "lib/core/mem.h"

/* clang-format off */
#define KEYHASH_TABLE(X)                  \
	X("default",  one_at_a_time)      \
	X("md5",      md5_first)          \
	X("crc",      crc)                \
	X("fnv1_64",  fnv1_64)            \
	X("fnv1a_64", fnv1a_64)           \
	X("fnv1_32",  fnv1_32)            \
	X("fnv1a_32", fnv1a_32)           \
	X("murmur",   murmur)
/* clang-format on */

typedef uint32_t hash_fn(struct keyhash *h, struct span key);

struct keyhash {
	const char *name;
	hash_fn *fn;
	EVP_MD *md5; /* fetched once: an implicit fetch per key costs more than the hash */
	EVP_MD_CTX *ctx;
};

/* The byte as the number that a signed char is, widened. */
static inline uint64_t
widen(char c)
{
	return (uint64_t)(int64_t)(signed char)c;
}

static uint32_t
one_at_a_time(struct keyhash *h, struct span key)
{
	uint32_t v = 0;

	(void)h;
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

static inline uint32_t
le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t
md5_first(struct keyhash *h, struct span key)
{
	unsigned char digest[KEYHASH_MD5_BYTES];

	keyhash_md5(h, key, digest);
	return le32(digest);
}

static uint32_t
crc(struct keyhash *h, struct span key)
{
	/* CRC-32 (reflected 0xEDB88320) of the sixteen half-bytes: two steps per byte. */
	static const uint32_t half[16] = {
	    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t v = UINT32_MAX;

	(void)h;
	for (size_t i = 0; i < key.len; i++) {
		v ^= (unsigned char)key.p[i];
		v = v >> 4 ^ half[v & 15];
		v = v >> 4 ^ half[v & 15];
	}
	return ~v >> 16 & 0x7fff;
}

static uint32_t
fnv1_64(struct keyhash *h, struct span key)
{
	uint64_t v = 0xcbf29ce484222325;

	(void)h;
	for (size_t i = 0; i < key.len; i++)
		v = v * 0x100000001b3 ^ widen(key.p[i]);
	return (uint32_t)v;
}

static uint32_t
fnv1a_64(struct keyhash *h, struct span key)
{
	uint32_t v = 0x84222325;

	(void)h;
	for (size_t i = 0; i < key.len; i++)
		v = (v ^ (uint32_t)widen(key.p[i])) * 0x1b3;
	return v;
}

static uint32_t
fnv1_32(struct keyhash *h, struct span key)
{
	uint32_t v = 2166136261;

	(void)h;
	for (size_t i = 0; i < key.len; i++)
		v = v * 16777619 ^ (uint32_t)widen(key.p[i]);
	return v;
}

static uint32_t
fnv1a_32(struct keyhash *h, struct span key)
{
	uint32_t v = 2166136261;

	(void)h;
	for (size_t i = 0; i < key.len; i++)
		v = (v ^ (uint32_t)widen(key.p[i])) * 16777619;
	return v;
}

static uint32_t
murmur(struct keyhash *h, struct span key)
{
	const uint32_t m = 0x5bd1e995;
	const unsigned char *p = (const unsigned char *)key.p;
	size_t left = key.len;
	uint32_t v = 0xdeadbeefu * (uint32_t)key.len ^ (uint32_t)key.len;

	(void)h;
	for (; left >= 4; p += 4, left -= 4) {
		uint32_t k = le32(p) * m;

		k ^= k >> 24;
		v = v * m ^ k * m;
	}
	if (left > 0) {
		for (size_t i = left; i > 0; i--)
			v ^= (uint32_t)p[i - 1] << 8 * (i - 1);
		v *= m;
	}
	v ^= v >> 13;
	v *= m;
	v ^= v >> 15;
	return v;
}

err_t
keyhash_create(struct keyhash **out, const char *name, struct err_detail *why)
{
	static const struct {
		const char *name;
		hash_fn *fn;
	} table[] = {
#define KEYHASH_ROW(name, fn) {name, fn},
	    KEYHASH_TABLE(KEYHASH_ROW)
#undef KEYHASH_ROW
	};
	struct keyhash *h = MEM_NEW(struct keyhash);
	unsigned char probe[KEYHASH_MD5_BYTES];
	err_t err = ERR_OK;

	*out = NULL;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(table[i].name, name) == 0) {
			h->name = table[i].name;
			h->fn = table[i].fn;
		}
	}
	if (h->fn == NULL) {
		err = err_set(why, ERR_CONFIG, "there is no hash \"%s\"; see hash in docs/options.md", name);
		goto done;
	}
	h->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (h->md5 == NULL || h->ctx == NULL || EVP_DigestInit_ex(h->ctx, h->md5, NULL) != 1 ||
	    EVP_DigestFinal_ex(h->ctx, probe, NULL) != 1) {
		ERR_clear_error();
		err = err_set(why, ERR_SYS,
			      "OpenSSL refuses MD5, which libmemcached's hashing needs: run this program "
			      "without FIPS mode");
		goto done;
	}
	*out = h;
	h = NULL;
done:
	keyhash_destroy(&h);
	return err;
}

void
keyhash_destroy(struct keyhash **h)
{
	if (*h == NULL)
		return;
	EVP_MD_CTX_free((*h)->ctx);
	EVP_MD_free((*h)->md5);
	free(*h);
	*h = NULL;
}

uint32_t
keyhash_of(struct keyhash *h, struct span key)
{
	return h->fn(h, key);
}

const char *
keyhash_name(const struct keyhash *h)
{
	return h->name;
}

void
keyhash_md5(struct keyhash *h, struct span bytes, unsigned char out[KEYHASH_MD5_BYTES])
{
	/* Cannot fail: keyhash_create() has tried it. */
	if (EVP_DigestInit_ex(h->ctx, h->md5, NULL) != 1 ||
	    EVP_DigestUpdate(h->ctx, bytes.p, bytes.len) != 1 || EVP_DigestFinal_ex(h->ctx, out, NULL) != 1)
		abort();
}
