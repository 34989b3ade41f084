/*
 * keyhash - the key hashes of libmemcached, under libmemcached's names, to the last bit.
 *
 *     default    Jenkins' one_at_a_time
 *     md5        the first four bytes of the MD5, little-endian
 *     crc        bits 16..30 of the CRC-32 (so only 32768 different values)
 *     fnv1_64    64-bit FNV-1, its lower 32 bits
 *     fnv1a_64   not 64-bit FNV-1a: libmemcached computes it in 32 bits, from the lower halves of the
 * constants fnv1_32, fnv1a_32, murmur (MurmurHash2, seeded with 0xdeadbeef * length)
 *
 * libmemcached takes key bytes as C `char`.  one_at_a_time and the FNV hashes therefore see the bytes
 * 0x80..0xff as negative numbers where char is signed: on x86-64, and so it is done here.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_KEYHASH_H
#define SQUEAL_LIB_ROUTE_KEYHASH_H

#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

struct keyhash; /* opaque */

enum { KEYHASH_MD5_BYTES = 16 };

/* `name` as in squeal.yaml.  ERR_CONFIG: there is none of that name; ERR_SYS: this OpenSSL refuses MD5
 * (FIPS). */
err_t keyhash_create(struct keyhash **out, const char *name, struct err_detail *why) MUST_CHECK;
void keyhash_destroy(struct keyhash **h);

uint32_t keyhash_of(struct keyhash *h, struct span key);

const char *keyhash_name(const struct keyhash *h);

/* The whole MD5, for rings with four points per digest.  `h` may be of any name. */
void keyhash_md5(struct keyhash *h, struct span bytes, unsigned char out[KEYHASH_MD5_BYTES]);

#endif
