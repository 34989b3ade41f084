/*
 * spool_line - one line of mcrouter's AsyncLog: a delete that could not be delivered.
 *
 *     ["AS1.0", 1289416829.836, "C", ["10.0.0.1", 11302, "delete foo\r\n"]]
 *     ["AS2.0", 1289416829.836, "C", {"f":"flavor","h":"[10.0.0.1]:11302","p":"pool","k":"foo", …}]
 *
 * (mcrouter, mcrouter/AsyncLog.cpp.)  A routing prefix "/region/cluster/" in front of the key is taken off,
 * as mcrouter does before it sends; what follows "|#|" stays, it is part of the key that servers have.  Of
 * the request of AS1.0 "delete KEY", with an exptime and noreply or without, is known.  No I/O, nothing is
 * trusted.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_TAPE_SPOOL_LINE_H
#define SQUEAL_REPLAY_TAPE_SPOOL_LINE_H

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum { SPOOL_LINE_MAX = 64 << 10 }; /* bytes */

/* {0} is a new one; its memory is used again for the next line. */
struct spool_line {
	unsigned version; /* 1 or 2 */
	uint64_t at_us;
	struct span key;    /* without routing prefix; not looked at: it may be no key */
	struct span prefix; /* "/region/cluster/"; empty for none */
	struct span host;   /* "10.0.0.1:11302", "[::1]:11302"; empty when not known */
	struct span pool;   /* AS2.0: mcrouter's name of it; empty when not known */

	struct buf text, address; /* its own */
};

/* `line` without its line end; what comes out is valid until the next call.  ERR_BAD_RECORD with a sentence.
 */
err_t spool_line_parse(struct spool_line *l, struct span line, struct err_detail *why) MUST_CHECK;
void spool_line_fini(struct spool_line *l);

/* The length of the routing prefix in front of `key`; 0: there is none. */
size_t spool_line_prefix(struct span key);

/* "10.0.0.1:11302" and "[10.0.0.1]:11302" are the same place. */
bool spool_line_same_host(struct span a, struct span b);

#endif
