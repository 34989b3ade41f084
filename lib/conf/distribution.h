/*
 * distribution - what goes with each word of the setting `distribution`: hashes, weights, names, tag, salt.
 *
 * How they work is lib/route's matter (lib/route/algorithm.h); its tests hold the two tables against each
 * other.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_DISTRIBUTION_H
#define SQUEAL_LIB_CONF_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>

enum distribution_weights {
	DISTRIBUTION_NO_WEIGHTS,
	DISTRIBUTION_WHOLE,  /* whole numbers from 1; 1 where there is none */
	DISTRIBUTION_SHARES, /* 0 to 1, at every server */
};

struct distribution {
	const char *name;
	const char *hashes; /* "a|b|c", what the setting `hash` may be; "" where there is no choice */
	enum distribution_weights weights;
	bool names; /* a server's `name` is hashed instead of its address */
	bool tag;   /* hash_tag counts */
	bool salt;  /* salt counts: mcrouter's, whose keys are cut at |#| unless told otherwise */
};

/* In the order of DISTRIBUTIONS. */
const struct distribution *distribution_all(size_t *n);

/* NULL when there is none of that name. */
const struct distribution *distribution_find(const char *name);

/* "default" is among the hashes of each. */
bool distribution_has_hash(const struct distribution *d, const char *hash);

#endif
