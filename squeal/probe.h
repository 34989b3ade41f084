/*
 * probe - asks one memcached who it is and whether it understands what the router sends.
 *
 * One short connection with blocking calls: the command that uses it has nothing else to do, and lib/net's
 * loop would be more machine than question.  It deletes one key that nobody has.
 *
 * Threads: any.   Blocks: up to the timeout, and on the system's name resolution.   Clock: injected.
 */
#ifndef SQUEAL_PROBE_H
#define SQUEAL_PROBE_H

#include "lib/core/clock.h"
#include "lib/core/err.h"

struct probe_answer {
	char version[64];
	bool meta;	  /* md and mn were understood */
	uint64_t took_us; /* from connecting to the last answer */
};

/* `address` is "host:port" or "/path/of/a/socket".  ERR_CONN, ERR_TIMEOUT, ERR_PROTOCOL (no memcached),
 * ERR_CONFIG. */
err_t probe_memcached(const char *address, uint64_t timeout_ms, const struct clock *clock,
		      struct probe_answer *out, struct err_detail *why) MUST_CHECK;

#endif
