/*
 * ask - one question to an admin port, and its answer.
 *
 * Threads: any.   Blocks: until the answer is whole, or for the time given.   Clock: the system's monotonic
 * one.
 */
#ifndef SQUEAL_LIB_ASK_ASK_H
#define SQUEAL_LIB_ASK_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"

enum { ASK_MAX_BYTES = 32 << 20 };

struct ask {
	const char *address; /* "127.0.0.1:9402" as a client dials it */
	const char *target;  /* "/trace?key=user%3A42" */
	bool acts;	     /* POST with the header that actions want; otherwise GET */
	uint64_t timeout_ms;
};

/*
 * Appends the answer's body to `body`; *status is its HTTP status, whatever it is.  ERR_CONN, ERR_TIMEOUT:
 * nobody answers there; ERR_PROTOCOL: whoever answers is not ours; ERR_CONFIG: not an address.
 */
err_t ask(const struct ask *q, struct buf *body, int *status, struct err_detail *why) MUST_CHECK;

/* Appends `text` as it stands in a query: "a b&c" as "a%20b%26c". */
void ask_put_query(struct buf *out, const char *text);

#endif
