/*
 * probe - asks one server who it is: a memcached, and whether it understands what the router sends; or a
 * database, which says its version to whoever connects, before anybody logs in (protocol: HandshakeV10 of
 * MariaDB and MySQL).
 *
 * One short connection with blocking calls: the command that uses it has nothing else to do, and lib/net's
 * loop would be more machine than question.  Of memcached it deletes one key that nobody has.
 *
 * Threads: any.   Blocks: up to the timeout, and on the system's name resolution.   Clock: injected.
 */
#ifndef SQUEAL_PROBE_H
#define SQUEAL_PROBE_H

#include <stddef.h>

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

/* `version` gets what it says, cut to `size`: "9.7.4", "5.5.5-10.11.6-MariaDB".  ERR_CONN (with the server's
 * reason where it gives one), ERR_TIMEOUT, ERR_PROTOCOL (no database), ERR_CONFIG. */
err_t probe_database(const char *address, uint64_t timeout_ms, const struct clock *clock, char *version,
		     size_t size, struct err_detail *why) MUST_CHECK;

#endif
