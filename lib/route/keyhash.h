/*
 * keyhash - the hashes of keys, under the names that each peer gives them, to the last bit.
 *
 * libmemcached (libhashkit) and twemproxy, which took them from there, have in common:
 *     one_at_a_time      of Jenkins; libmemcached's default
 *     md5                the first four bytes of the MD5, little-endian
 *     crc, crc32         libmemcached's and twemproxy's name of bits 16..30 of the CRC-32: 32768 values
 *     fnv1_64            64-bit FNV-1, its lower 32 bits
 *     fnv1a_64           not 64-bit FNV-1a: computed in 32 bits, from the lower halves of the constants
 *     fnv1_32, fnv1a_32, hsieh (SuperFastHash), jenkins (lookup3, initval 13)
 *     murmur             MurmurHash2, seeded with 0xdeadbeef * length
 * libmemcached alone has
 *     murmur3            MurmurHash3_x86_32, seeded likewise
 * and twemproxy alone
 *     crc32a             the whole CRC-32
 *     crc16              see crc16_twemproxy() in lib/route/crc.h
 * Both take key bytes as C `char`.  one_at_a_time, FNV and one step of hsieh therefore see the bytes
 * 0x80..0xff as negative numbers where char is signed: on x86-64, and so it is done here.
 *
 * Jump hash has hashes of 64 bits: fnv1a_64 and fnv1_64 as published, xxh64 and murmur64a with seed 0, crc64
 * (ECMA-182, as Go's hash/crc64 and XZ have it) and crc32, whose upper half is 0.
 *
 * spymemcached has 32 bits again, of the characters that Java's strings are made of (UTF-16) where the others
 * see bytes: java (String.hashCode), fnv1_32, fnv1a_32, and fnv1_64 and fnv1a_64 as published, their lower
 * halves.  Its crc is libmemcached's, its ketama libmemcached's md5; both see bytes.  Of a key that is no
 * UTF-8 each byte is taken as a character.
 *
 * Sources: libmemcached, src/libhashkit; twemproxy, src/hashkit; spymemcached, DefaultHashAlgorithm.java.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_KEYHASH_H
#define SQUEAL_LIB_ROUTE_KEYHASH_H

#include "lib/core/span.h"

enum keyhash_family {
	KEYHASH_LIBMEMCACHED,
	KEYHASH_TWEMPROXY,
	KEYHASH_JUMP,
	KEYHASH_SPYMEMCACHED,
	KEYHASH_NFAMILIES,
};

struct keyhash {
	const char *name;		 /* as it was asked for */
	const char *full;		 /* what it is, when `name` is "default" */
	uint64_t (*of)(struct span key); /* below 2^32 but for jump's */
};

/* NULL when the family has none of that name. */
const struct keyhash *keyhash_find(enum keyhash_family family, const char *name);

/* The i-th of a family, NULL behind the last. */
const struct keyhash *keyhash_at(enum keyhash_family family, size_t i);

#endif
