/*
 * gauge - how many keys a memcached's readers miss, asked on a connection of its own ("stats", get_misses).
 *
 * A server that cannot be reached or does not answer says nothing; it is asked again at the next turn.
 *
 * Threads: the loop's.   Blocks: never.   Clock: the loop's.
 */
#ifndef SQUEAL_REPLAY_SEND_GAUGE_H
#define SQUEAL_REPLAY_SEND_GAUGE_H

#include "lib/deliver/server_security.h"
#include "lib/net/loop.h"

struct gauge; /* opaque */

/* `address` is copied, `security` borrowed. */
struct gauge *gauge_create(struct loop *loop, const char *address, const char *tls_name,
			   const struct server_security *security);
void gauge_destroy(struct gauge **g); /* NULL is fine */

/* Asks, unless an answer is still awaited.  About once a second. */
void gauge_ask(struct gauge *g);

/* Misses per second between the last two answers; false: not known. */
bool gauge_misses(const struct gauge *g, uint64_t *per_s);

/* Takes what came: for tests too.  Returns how many bytes were taken. */
size_t gauge_take(struct gauge *g, struct span bytes);

#endif
