/*
 * listener - a TCP port that takes connections.
 *
 * Threads: the loop's.   Blocks: listener_open() on a name look-up when the address holds a name.
 */
#ifndef SQUEAL_LIB_NET_LISTENER_H
#define SQUEAL_LIB_NET_LISTENER_H

#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/net/loop.h"

struct listener; /* opaque */

/* A new connection, non-blocking and close-on-exec; `fd` belongs to the callback from here on. */
typedef void listener_fn(void *arg, int fd);

/*
 * Binds "host:port"; port 0 takes a free one.  `setting` is named in messages as what to change.  ERR_IN_USE:
 * the port is taken; ERR_CONFIG: not an address; ERR_SYS: not an address of this machine, or not allowed.
 */
err_t listener_open(struct listener **out, struct loop *l, const char *address, const char *setting,
		    struct log *log, listener_fn *fn, void *arg, struct err_detail *why) MUST_CHECK;

/* NULL is fine. */
void listener_close(struct listener **ls);

unsigned listener_port(const struct listener *ls);

#endif
