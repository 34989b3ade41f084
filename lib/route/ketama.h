/*
 * ketama - a circle of points: the consistent hashing of libmemcached and twemproxy.
 *
 * Each server has points that come from the hashes of "NAME-0", "NAME-1" and so on.  Either one point from
 * each, by a key hash, or four from each, the words of its MD5.  A key belongs to the first point at or after
 * its hash, the last point is followed by the first, and of equal points the server that stands first in the
 * list has the key.  (twemproxy does not say which of equal points is first; glibc's merge sort, which it is
 * used with, keeps the list's order.)
 *
 * Dalli's points are the first words of the SHA-1 of "NAME:0" and so on, and a key belongs to the last point
 * at or before its hash.  Such a circle is kept upside down, all bits of point and hash inverted.
 *
 * How many MD5s a server gets is shared out in single-precision floats, like the originals do, because the
 * rounding decides.
 *
 * Sources: libmemcached, src/libmemcached/hosts.cc (update_continuum) and hash.cc (dispatch_host); twemproxy,
 * src/hashkit/nc_ketama.c; spymemcached, KetamaNodeLocator.java; Dalli, lib/dalli/ring.rb.
 *
 * Threads: any may look up; building is for one.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_KETAMA_H
#define SQUEAL_LIB_ROUTE_KETAMA_H

#include "lib/core/span.h"
#include "lib/route/keyhash.h"

struct ketama_point {
	uint32_t at;	 /* inverted with KETAMA_SHA1 */
	uint32_t server; /* index in the list */
};

struct ketama {
	struct ketama_point *points; /* by at, then by server */
	uint32_t n;
	unsigned shift;	 /* a hash's upper bits, 32 - shift of them, are its slot */
	uint32_t *slots; /* the first point at or after each slot's beginning; one more that is n */
};

/* One server: the text before "-0", and how many texts there are. */
struct ketama_server {
	struct span name;
	uint32_t texts;
};

enum ketama_kind {
	KETAMA_HASH,	 /* one point from each text, by `hash` */
	KETAMA_MD5,	 /* four; `hash` is not used, here and below */
	KETAMA_MD5_LAST, /* four; of equal ones the last server's counts */
	KETAMA_SHA1,	 /* Dalli's */
};

void ketama_init(struct ketama *k, enum ketama_kind kind, const struct ketama_server *servers, size_t n,
		 const struct keyhash *hash);
void ketama_fini(struct ketama *k);

/* How many MD5s a server of that weight has, out of 40 per server on average. */
uint32_t ketama_share(uint64_t weight, uint64_t total, size_t nservers);

/* The point that has the hash, of KETAMA_SHA1 the inverted hash; valid as long as the circle.  There must be
 * one. */
const struct ketama_point *ketama_find(const struct ketama *k, uint32_t hash);

#endif
