#include "lib/conf/distribution.h"

#include <string.h>

#include "lib/core/span.h"

#define LIBMEMCACHED "default|md5|crc|fnv1_64|fnv1a_64|fnv1_32|fnv1a_32|hsieh|murmur|jenkins|murmur3"
#define TWEMPROXY                                                                                            \
	"default|one_at_a_time|md5|crc16|crc32|crc32a|fnv1_64|fnv1a_64|fnv1_32|fnv1a_32|hsieh|murmur|"       \
	"jenkins"
#define JUMP	   "default|fnv1a_64|fnv1_64|xxh64|murmur64a|crc64|crc32"
#define PYMEMCACHE "default|str|bytes"

/* clang-format off */
static const struct distribution all[] = {
    {.name = "ketama",              .hashes = LIBMEMCACHED, .weights = DISTRIBUTION_WHOLE},
    {.name = "ketama_weighted",     .hashes = "",           .weights = DISTRIBUTION_WHOLE},
    {.name = "ketama_spy",          .hashes = "",           .weights = DISTRIBUTION_WHOLE},
    {.name = "modula",              .hashes = LIBMEMCACHED},
    {.name = "twemproxy_ketama",    .hashes = TWEMPROXY,    .weights = DISTRIBUTION_WHOLE, .names = true, .tag = true},
    {.name = "twemproxy_modula",    .hashes = TWEMPROXY,    .weights = DISTRIBUTION_WHOLE, .tag = true},
    {.name = "ch3",                 .hashes = "",           .salt = true},
    {.name = "wch3",                .hashes = "",           .weights = DISTRIBUTION_SHARES, .salt = true},
    {.name = "rendezvous",          .hashes = "",           .names = true, .salt = true},
    {.name = "weighted_rendezvous", .hashes = "",           .weights = DISTRIBUTION_SHARES, .names = true, .salt = true},
    {.name = "crc32",               .hashes = "",           .salt = true},
    {.name = "pymemcache",          .hashes = PYMEMCACHE},
    {.name = "jump",                .hashes = JUMP},
};
/* clang-format on */

const struct distribution *
distribution_all(size_t *n)
{
	*n = sizeof(all) / sizeof(all[0]);
	return all;
}

const struct distribution *
distribution_find(const char *name)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	}
	return NULL;
}

bool
distribution_has_hash(const struct distribution *d, const char *hash)
{
	struct span rest = span_of(d->hashes);

	while (rest.len > 0) {
		if (span_is(span_cut(&rest, '|'), hash))
			return true;
	}
	return strcmp(hash, "default") == 0;
}
