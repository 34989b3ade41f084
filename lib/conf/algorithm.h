/*
 * algorithm - the rules by which clients and proxies choose a server: their names and what each one takes.
 *
 * A table and nothing else: lib/route has the code, and the reader of squeal.yaml, --help and the docs do
 * without it: whose rule it is, which hashes it knows, and which of weights, names, a hash tag and a salt
 * mean something to it.  What is not taken is an error in squeal.yaml, not ignored.
 *
 *     WEIGHT   NONE      all servers are equal
 *              WHOLE     1 or more; shares of the total
 *              FRACTION  0 to 1; 1 is a server that takes all of its keys
 *     TAKES    N  a name of the server that is hashed instead of its address
 *              T  a hash tag: two characters, as in "{}"; what stands between them is hashed
 *              S  a salt: text that is hashed behind the key
 *              P  a namespace that is hashed too, before the key; what the others have is not
 *
 * One name may stand for different functions: twemproxy's crc32 is libmemcached's crc, and jump's fnv1a_64
 * has 64 bits, the others' has 32.  So the names of hashes belong to the algorithm.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_ALGORITHM_H
#define SQUEAL_LIB_CONF_ALGORITHM_H

#include <stdbool.h>
#include <stddef.h>

/* "default" is always among them: what the peer uses when its user says nothing. */
#define HASHES_LIBMEMCACHED "default|md5|crc|fnv1_64|fnv1a_64|fnv1_32|fnv1a_32|hsieh|murmur|jenkins|murmur3"
#define HASHES_TWEMPROXY                                                                                     \
	"default|one_at_a_time|md5|crc16|crc32|crc32a|fnv1_64|fnv1a_64|fnv1_32|fnv1a_32|hsieh|murmur|"       \
	"jenkins"
#define HASHES_JUMP	    "default|fnv1a_64|fnv1_64|xxh64|murmur64a|crc64|crc32"
#define HASHES_PYMEMCACHE   "default|str|bytes"
#define HASHES_SPYMEMCACHED "default|java|crc|fnv1_64|fnv1a_64|fnv1_32|fnv1a_32|ketama"

/* clang-format off */
/*       name                  id                   peer            hashes               weight    takes help */
#define ALGORITHMS(ALG)                                                                                            \
	ALG("ketama",              KETAMA,              "libmemcached", HASHES_LIBMEMCACHED, WHOLE,    "",   "MEMCACHED_BEHAVIOR_KETAMA: 100 points per server; once a weight is above 1, points by md5 in proportion to the weights") \
	ALG("ketama_weighted",     KETAMA_WEIGHTED,     "libmemcached", "",                  WHOLE,    "",   "MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED: keys and points by md5, points in proportion to the weights") \
	ALG("ketama_spy",          KETAMA_SPY,          "libmemcached", "",                  WHOLE,    "",   "MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED with MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY: as ketama_weighted, servers hashed as \"/host:port\"") \
	ALG("modula",              MODULA,              "libmemcached", HASHES_LIBMEMCACHED, NONE,     "",   "libmemcached's default: hash modulo the number of servers") \
	ALG("twemproxy_ketama",    TWEMPROXY_KETAMA,    "twemproxy",    HASHES_TWEMPROXY,    WHOLE,    "NT", "distribution: ketama of twemproxy: 160 points per server by md5, keys by the hash") \
	ALG("twemproxy_modula",    TWEMPROXY_MODULA,    "twemproxy",    HASHES_TWEMPROXY,    WHOLE,    "T",  "distribution: modula of twemproxy: hash modulo the sum of the weights") \
	ALG("ch3",                 CH3,                 "mcrouter",     "",                  NONE,     "S",  "Ch3, mcrouter's default: few keys move when a server is added at the end of the list") \
	ALG("wch3",                WCH3,                "mcrouter",     "",                  FRACTION, "S",  "WeightedCh3: Ch3 that passes keys on from servers with a weight below 1") \
	ALG("rendezvous",          RENDEZVOUS,          "mcrouter",     "",                  NONE,     "NS", "Rendezvous: the order of the list means nothing; a name is the server's tag") \
	ALG("weighted_rendezvous", WEIGHTED_RENDEZVOUS, "mcrouter",     "",                  FRACTION, "NS", "WeightedRendezvous: rendezvous in proportion to the weights") \
	ALG("crc32",               CRC32,               "mcrouter",     "",                  NONE,     "S",  "Crc32: 31 bits of the CRC-32 modulo the number of servers") \
	ALG("pymemcache",          PYMEMCACHE,          "pymemcache",   HASHES_PYMEMCACHE,   NONE,     "",   "HashClient of pymemcache; bytes: the application passes its keys as bytes, not as str") \
	ALG("jump",                JUMP,                "jump hash",    HASHES_JUMP,         NONE,     "",   "jump consistent hash of Lamping and Veach, fed by a 64-bit hash of the key") \
	ALG("spymemcached",        SPYMEMCACHED,        "spymemcached", "",                  WHOLE,    "N",  "KetamaConnectionFactory of spymemcached and of its kin (Amazon's client): 160 points per server by md5; a server is named as Java prints its address, \"host/10.0.0.1:11211\" or \"10.0.0.1:11211\"") \
	ALG("spymemcached_modula", SPYMEMCACHED_MODULA, "spymemcached", HASHES_SPYMEMCACHED, NONE,     "",   "spymemcached's default: hash modulo the number of servers") \
	ALG("dalli",               DALLI,               "Dalli",        "",                  WHOLE,    "P",  "Dalli, of Ruby: points by SHA-1, keys by CRC-32") \
	ALG("gomemcache",          GOMEMCACHE,          "gomemcache",   "",                  NONE,     "",   "ServerList of bradfitz/gomemcache: CRC-32 modulo the number of servers") \
	ALG("python_memcached",    PYTHON_MEMCACHED,    "python-memcached", "",              WHOLE,    "",   "python-memcached: 15 bits of the CRC-32, or 1 if they are 0, modulo the sum of the weights")
/* clang-format on */

enum algorithm_id {
#define ALG(name, id, peer, hashes, weight, takes, help) ALGORITHM_##id,
	ALGORITHMS(ALG)
#undef ALG
	    ALGORITHM_N,
};

enum algorithm_weight {
	ALGORITHM_WEIGHT_NONE,
	ALGORITHM_WEIGHT_WHOLE,
	ALGORITHM_WEIGHT_FRACTION,
};

struct algorithm {
	const char *name;
	enum algorithm_id id;
	const char *peer;
	const char *hashes; /* "a|b|c", or "" when the algorithm has no choice */
	enum algorithm_weight weight;
	const char *takes; /* of "NTSP" */
	const char *help;
};

/* All names as "a|b|c", a constant expression for tables of options. */
#define ALGORITHM_NAME_(name, id, peer, hashes, weight, takes, help) "|" name
#define ALGORITHM_CHOICES					     (&(ALGORITHMS(ALGORITHM_NAME_))[1])

/* In the table's order. */
static inline const struct algorithm *
algorithm_all(size_t *n)
{
	static const struct algorithm all[] = {
#define ALG(name, id, peer, hashes, weight, takes, help)                                                     \
	{name, ALGORITHM_##id, peer, hashes, ALGORITHM_WEIGHT_##weight, takes, help},
	    ALGORITHMS(ALG)
#undef ALG
	};

	*n = sizeof(all) / sizeof(all[0]);
	return all;
}

/* NULL when there is none of that name. */
static inline const struct algorithm *
algorithm_find(const char *name)
{
	size_t n;
	const struct algorithm *all = algorithm_all(&n);

	for (size_t i = 0; i < n; i++) {
		const char *a = all[i].name, *b = name;

		while (*a != '\0' && *a == *b)
			a++, b++;
		if (*a == *b)
			return &all[i];
	}
	return NULL;
}

/* Whether `what` (one of 'N', 'T', 'S', 'P') means something to the algorithm. */
static inline bool
algorithm_takes(const struct algorithm *a, char what)
{
	for (const char *p = a->takes; *p != '\0'; p++) {
		if (*p == what)
			return true;
	}
	return false;
}

/* Whether the algorithm has that hash; "" and "default" are right for every one. */
static inline bool
algorithm_has_hash(const struct algorithm *a, const char *hash)
{
	const char *p = a->hashes[0] != '\0' ? a->hashes : "default";

	if (hash[0] == '\0')
		return true;
	while (*p != '\0') {
		const char *h = hash;

		while (*h != '\0' && *h != '|' && *p == *h)
			p++, h++;
		if (*h == '\0' && (*p == '|' || *p == '\0'))
			return true;
		while (*p != '\0' && *p != '|')
			p++;
		p += *p == '|';
	}
	return false;
}

#endif
