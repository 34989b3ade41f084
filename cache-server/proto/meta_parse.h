/*
 * meta_parse - reads a line of the meta protocol: a key and flags of one letter, each once.
 *
 * Sources: memcached's doc/protocol.txt and what 1.6.45 does with each mistake; schemas/cache-protocol.md for
 * the letters A, a, H, K.
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_META_PARSE_H
#define SQUEAL_CACHE_SERVER_PROTO_META_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/epoch.h"
#include "cache-server/store/store.h"
#include "lib/core/span.h"

enum { META_MAX_FLAGS = 18, META_MAX_OPAQUE = 32 /* its letter included */ };

struct meta_request {
	/* Not NULL: the line is refused.  Nothing below need be valid then but value_len, see meta_parse().
	 */
	const char *error;
	bool unreadable; /* …because it has not even the words that it must have */

	struct span key; /* decoded; into the line or into `decoded` */
	uint64_t hash;	 /* the caller's */
	bool binary;	 /* b: it came, and goes, as base64 */
	bool long_opaque;
	char mode; /* M; 0: none */
	uint64_t seen;
	unsigned n;
	struct span flag[META_MAX_FLAGS]; /* letters and what follows them, in their order */
	uint64_t value_len;		  /* ms */

	int32_t vivify, touch, recache; /* N, T, R */
	uint32_t client_flags;		/* F */
	uint32_t holdoff_ms;		/* H */
	uint64_t compare, cas;		/* C, E */
	uint64_t initial, delta;	/* J, D */
	struct epoch epoch;		/* A; its source points into the line */
	struct span token;		/* K */
	char decoded[STORE_MAX_KEY];
};

static inline bool
meta_has(const struct meta_request *m, char letter)
{
	return m->seen >> (letter - 64) & 1;
}

/*
 * `args` is what follows the command, without the line's end.  `sized`: a length follows the key (ms).
 * False: m->error; and with `sized`, false and a value_len that is not UINT64_MAX: the value follows and must
 * be thrown away.
 */
bool meta_parse(struct meta_request *m, struct span args, bool sized);

#endif
