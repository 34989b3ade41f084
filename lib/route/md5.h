/*
 * md5 - MD5 (RFC 1321) of a key in one call.
 *
 * The rings' points and libmemcached's "md5" need it for every key, and it decides only where a key goes, so
 * nothing here is secret.  A library's digest sets up and tears down an object per call, which for keys of a
 * few dozen bytes costs more than the digest; and where it is run in FIPS mode it refuses MD5.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_MD5_H
#define SQUEAL_LIB_ROUTE_MD5_H

#include "lib/core/span.h"

/* The digest as four little-endian numbers: what a ring's four points are. */
struct md5 {
	uint32_t word[4];
};

struct md5 md5_of(struct span bytes);

#endif
