/*
 * place - the admin ports that a command goes to: those of squeal.yaml, or those given by --admin.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ASK_PLACE_H
#define SQUEAL_LIB_ASK_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/conf/topology.h"
#include "lib/core/err.h"

struct place {
	bool is_router;
	char *cluster; /* of a router; NULL where it was given by --admin and nobody knows */
	char *address; /* to dial; NULL: it has no admin port */
};

struct places {
	struct place *at;
	size_t n;
};

/* What to look for. */
struct place_choice {
	const char *cluster;	  /* only this one's router; NULL: all */
	const char *const *admin; /* given by hand, instead of squeal.yaml */
	size_t nadmin;
	bool with_squeal; /* squeal's own port too */
};

/* `t` may be NULL where ports are given.  ERR_CONFIG: no such cluster, or not an address. */
err_t places_find(struct places *out, const struct topology *t, const struct place_choice *choice,
		  struct err_detail *why) MUST_CHECK;
void places_fini(struct places *p);

#endif
