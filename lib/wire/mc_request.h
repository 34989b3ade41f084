/*
 * mc_request - memcached requests as bytes.
 *
 * Every function that takes a key checks it first, whoever checked it before: 1 to 250 bytes, none of them a
 * control byte, a space or DEL.  A key that fails is ERR_BAD_KEY and not one byte is appended, so no key can
 * become another command.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_WIRE_MC_REQUEST_H
#define SQUEAL_LIB_WIRE_MC_REQUEST_H

#include <stdbool.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum {
	MC_KEY_MAX = 250,				 /* bytes of a key */
	MC_DELETE_QUIET_EXTRA = sizeof("md  q\r\n") - 1, /* bytes of a quiet delete beyond its key */
};

/* May `key` stand in a request? */
bool mc_request_key_ok(struct span key);

/*
 * "md <key> q": HD (deleted) is suppressed.  NF (was not there) comes or not, depending on the server's
 * version: memcached 1.6.18 sends it.  EX, CLIENT_ERROR, SERVER_ERROR and ERROR always come.  So replies
 * cannot be counted against requests; the fence behind them tells when all are done.
 */
err_t mc_request_delete_quiet(struct buf *out, struct span key) MUST_CHECK;

/* What a delete asks for beside the delete. */
struct mc_delete {
	bool quiet;
	uint32_t stale_s;    /* I T<s>: the value stays, as a stale one, for so long; 0: it goes */
	uint32_t holdoff_ms; /* H<ms>, for servers that know it (schemas/cache-protocol.md); 0: none */
};

/* "md <key> [q] [I T<s>] [H<ms>]". */
err_t mc_request_delete(struct buf *out, struct span key, const struct mc_delete *d) MUST_CHECK;

/*
 * "caughtup", or "caughtup <part>/<parts>" where `parts` is above 1: OK.  For squeal-cache only
 * (schemas/cache-protocol.md): it has had every delete of this part of the log that it missed while it was
 * away.
 */
void mc_request_caught_up(struct buf *out, uint32_t part, uint32_t parts);

/* "mn": the server answers MN after everything that was sent before it has been done. */
void mc_request_fence(struct buf *out);

/* "md <key>": HD or NF. */
err_t mc_request_delete_meta(struct buf *out, struct span key) MUST_CHECK;

/* "delete <key>", for servers without meta commands: DELETED or NOT_FOUND. */
err_t mc_request_delete_classic(struct buf *out, struct span key) MUST_CHECK;

/* "flush_all": OK. */
void mc_request_flush_all(struct buf *out);

/*
 * "me <key>": ME with the item's CAS id among other things (mc_reply_cas()), or EN.  Unlike "mg" it is no use
 * of the item: it does not move it in the LRU, and takes nobody's place as the one who refills a stale item.
 */
err_t mc_request_inspect(struct buf *out, struct span key) MUST_CHECK;

/* "ms <key> 0 c T<ttl>": stores an empty item; HD with its CAS id. */
err_t mc_request_put_empty(struct buf *out, struct span key, unsigned ttl_s) MUST_CHECK;

/* "set auth 0 0 <n>" and the login, "user password": STORED, or CLIENT_ERROR; memcached -Y. */
void mc_request_login(struct buf *out, struct span login);

/* "stats", or "stats <which>": STAT <name> <value> ..., END. */
void mc_request_stats(struct buf *out, const char *which);

/* "version": VERSION ... */
void mc_request_version(struct buf *out);

#endif
