/*
 * resolve - looks names up without making the loop wait.
 *
 * getaddrinfo(3) runs in a thread of its own, so that hosts files, NSS modules and search domains count as
 * they do for every other program.  Everybody who asks for the same name while a look-up runs shares it: a
 * name server that does not answer costs one thread per name, however often it is asked.  Nothing is cached.
 *
 * Threads: the loop's.   Blocks: never.
 */
#ifndef SQUEAL_LIB_NET_RESOLVE_H
#define SQUEAL_LIB_NET_RESOLVE_H

#include <stdbool.h>

#include "lib/net/loop.h"

struct addrinfo;
struct lookup;

/*
 * Stream addresses of any family, in the order in which they should be tried, without ports; valid during the
 * call. NULL `list`: there is none, and `why` is the resolver's text.
 */
typedef void resolve_fn(void *arg, const struct addrinfo *list, const char *why);

/* Somebody who waits for a name; owned by the caller. */
struct resolve {
	resolve_fn *fn;
	void *arg;
	struct lookup *lookup; /* NULL: not waiting */
	struct resolve *next;
};

/* Calls fn once, never from inside this call.  `host` is copied. */
void resolve_start(struct resolve *r, struct loop *l, const char *host, resolve_fn *fn, void *arg);

/* It is not called any more.  One that does not wait is fine, and so is a zeroed one. */
void resolve_stop(struct resolve *r);

/* A function like getaddrinfo() and one to free its list; for tests.  Call it before the first look-up. */
struct resolve_ops {
	int (*look_up)(const char *host, const struct addrinfo *hints, struct addrinfo **list);
	void (*free_list)(struct addrinfo *list);
};
void resolve_use(struct loop *l, const struct resolve_ops *ops);

#endif
