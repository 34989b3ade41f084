/*
 * cache - what the demo application knows about memcached: which server owns a key, and how to fill safely.
 *
 * Stock memcached can keep a look-aside cache right, if every reader plays by these rules:
 *
 *     mg <key> v c N30   hit: the value.  Miss: memcached puts a placeholder there, and W says that we won
 * the right to fill it, together with its CAS; Z says that somebody else did. W                  read the
 * database, then  ms <key> <len> C<cas>.  A delete in between removed the placeholder, so the fill is
 * refused: what we read may be older than the delete. Z                  read the database and leave the
 * cache alone.
 *
 * A token counts only on the connection it came from: memcached's CAS starts again when memcached does, and a
 * new process might hand out an old number.  A timeout is a miss, and the connection is dropped, since a late
 * answer would be taken for the next one.
 *
 * Routing is libmemcached's own, not the router's code: that both agree is part of what the demo shows.
 *
 * Threads: one per object.   Blocks: as long as the timeout.
 */
#ifndef SQUEAL_INTEGRATION_DEMO_CACHE_H
#define SQUEAL_INTEGRATION_DEMO_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CACHE_MAX_SERVERS = 16,
	CACHE_MAX_CLUSTERS = 8,
	CACHE_MAX_VALUE = 256,
	CACHE_TIMEOUT_MS = 200,
	CACHE_RETRY_MS = 20,
};

struct cache_cluster {
	char name[64];
	size_t nservers;
	struct {
		char host[64];
		unsigned port;
	} servers[CACHE_MAX_SERVERS];
};

/* From "name=host:port,host:port".  False when it is not that. */
bool cache_cluster_parse(struct cache_cluster *out, const char *text);

enum cache_result {
	CACHE_HIT,     /* the value is in `value` */
	CACHE_WON,     /* a miss, and ours to fill with the token */
	CACHE_BUSY,    /* a miss that somebody else fills */
	CACHE_MISS,    /* nothing there */
	CACHE_STORED,  /* the fill was taken */
	CACHE_REFUSED, /* the fill came too late: a delete was faster, or the token's connection is gone */
	CACHE_DOWN,    /* no answer */
};

struct cache_token {
	size_t server;
	uint64_t connection;
	uint64_t cas;
};

struct cache; /* opaque: one thread's connections to one cluster */

struct cache *cache_create(const struct cache_cluster *cluster);
void cache_destroy(struct cache **c);

size_t cache_server_of(struct cache *c, const char *key);

/* `value` has room for CACHE_MAX_VALUE bytes and is ended by NUL. */
enum cache_result cache_lease(struct cache *c, const char *key, char *value, struct cache_token *token);
enum cache_result cache_fill(struct cache *c, const char *key, const char *value,
			     const struct cache_token *token);

/* Looks without leaving a trace. */
enum cache_result cache_peek(struct cache *c, const char *key, char *value);

#endif
