#include "lib/route/ring.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/mem.h"
#include "lib/route/crc.h"
#include "lib/route/furc.h"
#include "lib/route/jump.h"
#include "lib/route/ketama.h"
#include "lib/route/keyhash.h"
#include "lib/route/pymemcache.h"
#include "lib/route/rendezvous.h"
#include "lib/route/twemproxy.h"
#include "lib/route/wch3.h"

enum {
	DEFAULT_PORT = 11211,
	POINTS_UNWEIGHTED = 100, /* libmemcached's, per server */
	ROOM = 1024,		 /* a key and what is hashed behind it; more is done on the heap */
	NAME_MAX_BYTES = 255,	 /* twemproxy cuts what is longer */
	SALT_MAX_BYTES = 512,
};

typedef size_t route_fn(const struct ring *r, struct span key);

struct ring {
	const struct algorithm *algorithm;
	route_fn *route;
	size_t n;
	char **shown;		    /* "host:port" of each server */
	const struct keyhash *hash; /* NULL: the algorithm has none to choose */
	char tag[2];
	bool has_tag;
	bool switched; /* "ketama", but a weight above 1 made it weighted */
	struct span salt;
	struct ketama circle;
	uint32_t *numbers; /* per server.  twemproxy_modula: weights up to and with it; wch3: its share */
	uint64_t *hashes;  /* rendezvous: of the servers */
	double *weights;   /* weighted_rendezvous */
	struct pymemcache *pymemcache;
};

/* --- routing ----------------------------------------------------------------------------------------------
 */

static size_t
route_circle(const struct ring *r, struct span key)
{
	return ketama_find(&r->circle, (uint32_t)r->hash->of(key))->server;
}

static size_t
route_modula(const struct ring *r, struct span key)
{
	return (uint32_t)r->hash->of(key) % (uint32_t)r->n;
}

static uint32_t
twemproxy_hash_of(const struct ring *r, struct span key)
{
	return twemproxy_hash(r->hash->of, r->has_tag ? twemproxy_tagged(key, r->tag[0], r->tag[1]) : key);
}

static size_t
route_twemproxy_ketama(const struct ring *r, struct span key)
{
	return ketama_find(&r->circle, twemproxy_hash_of(r, key))->server;
}

/* As if every server stood in the list once per unit of its weight. */
static size_t
route_twemproxy_modula(const struct ring *r, struct span key)
{
	uint32_t slot = twemproxy_hash_of(r, key) % r->numbers[r->n - 1];
	size_t low = 0, high = r->n - 1;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->numbers[middle] <= slot)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t
route_ch3(const struct ring *r, struct span key)
{
	return furc_of(key, (uint32_t)r->n);
}

static size_t
route_crc32(const struct ring *r, struct span key)
{
	return (crc32_of(key) & 0x7fffffff) % (uint32_t)r->n;
}

static size_t
route_rendezvous(const struct ring *r, struct span key)
{
	return rendezvous_of(key, r->hashes, r->weights, r->n);
}

/* `key` has room for WCH3_DIGITS bytes behind it. */
static size_t
route_wch3_here(const struct ring *r, struct span key)
{
	return wch3_of((char *)(uintptr_t)key.p, key.len, r->numbers, (uint32_t)r->n);
}

/* Calls `fn` with a copy of the key that has the salt behind it, and room for WCH3_DIGITS more. */
static size_t
with_copy(const struct ring *r, struct span key, route_fn *fn)
{
	char room[ROOM];
	char *p = room;
	size_t need = key.len + r->salt.len + WCH3_DIGITS;
	size_t index;

	if (need > sizeof(room))
		p = mem_alloc(need);
	if (key.len > 0)
		memcpy(p, key.p, key.len);
	if (r->salt.len > 0)
		memcpy(p + key.len, r->salt.p, r->salt.len);
	index = fn(r, span_make(p, key.len + r->salt.len));
	if (p != room)
		free(p);
	return index;
}

static size_t
route_wch3(const struct ring *r, struct span key)
{
	return with_copy(r, key, route_wch3_here);
}

static size_t
route_ch3_salted(const struct ring *r, struct span key)
{
	return with_copy(r, key, route_ch3);
}

static size_t
route_crc32_salted(const struct ring *r, struct span key)
{
	return with_copy(r, key, route_crc32);
}

static size_t
route_rendezvous_salted(const struct ring *r, struct span key)
{
	return with_copy(r, key, route_rendezvous);
}

static size_t
route_pymemcache(const struct ring *r, struct span key)
{
	return pymemcache_route(r->pymemcache, key);
}

static size_t
route_jump(const struct ring *r, struct span key)
{
	return jump_of(r->hash->of(key), (uint32_t)r->n);
}

static size_t
route_only(const struct ring *r, struct span key)
{
	(void)r;
	(void)key;
	return 0;
}

size_t
ring_route(const struct ring *r, struct span key)
{
	return r->route(r, key);
}

size_t
ring_nservers(const struct ring *r)
{
	return r->n;
}

/* --- creating ---------------------------------------------------------------------------------------------
 */

static double
weight_of(const struct ring_spec *spec, size_t i)
{
	return spec->weights != NULL ? spec->weights[i] : (double)spec->servers[i].weight;
}

static const char *
name_of(const struct ring_spec *spec, size_t i)
{
	const char *name = spec->names != NULL ? spec->names[i] : NULL;

	return name != NULL && name[0] != '\0' ? name : NULL;
}

static err_t
check_weights(const struct algorithm *a, const struct ring_spec *spec, struct err_detail *why)
{
	double total = 0;

	for (size_t i = 0; i < spec->nservers; i++) {
		double w = weight_of(spec, i);
		bool ok = a->weight == ALGORITHM_WEIGHT_FRACTION ? w >= 0 && w <= 1
								 : w >= 1 && w <= UINT32_MAX && w == floor(w);

		total += w;
		if (a->weight == ALGORITHM_WEIGHT_NONE && w != 1)
			return err_set(
			    why, ERR_CONFIG,
			    "server %zu has weight %g, but weights mean nothing to %s; leave it out", i, w,
			    a->name);
		if (a->weight != ALGORITHM_WEIGHT_NONE && !ok)
			return err_set(
			    why, ERR_CONFIG, "server %zu has weight %g, but %s wants %s", i, w, a->name,
			    a->weight == ALGORITHM_WEIGHT_FRACTION ? "0 to 1" : "a whole number from 1 on");
	}
	if (a->weight == ALGORITHM_WEIGHT_WHOLE && total > UINT32_MAX)
		return err_set(why, ERR_CONFIG, "the weights come to more than %u; make all of them smaller",
			       UINT32_MAX);
	return ERR_OK;
}

static err_t
check_spec(const struct algorithm *a, const struct ring_spec *spec, struct err_detail *why)
{
	const char *hash = spec->hash != NULL ? spec->hash : "";

	if (spec->nservers == 0 || spec->nservers > FURC_SERVERS_MAX)
		return err_set(why, ERR_CONFIG, "there are %zu servers; list 1 to %d under servers",
			       spec->nservers, FURC_SERVERS_MAX);
	if (!algorithm_has_hash(a, hash))
		return err_set(why, ERR_CONFIG, "%s has no hash \"%s\"; it has %s", a->name, hash,
			       a->hashes[0] != '\0' ? a->hashes : "only one and no choice");
	if (spec->hash_tag != NULL && spec->hash_tag[0] != '\0' &&
	    (!algorithm_takes(a, 'T') || strlen(spec->hash_tag) != 2))
		return err_set(why, ERR_CONFIG,
			       algorithm_takes(a, 'T') ? "the hash tag of %s is two characters, as in \"{}\""
						       : "%s has no hash tag; leave it out",
			       a->name);
	if (spec->salt != NULL && spec->salt[0] != '\0' &&
	    (!algorithm_takes(a, 'S') || strlen(spec->salt) > SALT_MAX_BYTES))
		return err_set(why, ERR_CONFIG,
			       algorithm_takes(a, 'S') ? "the salt of %s is too long"
						       : "%s has no salt; leave it out",
			       a->name);
	for (size_t i = 0; i < spec->nservers; i++) {
		const char *name = name_of(spec, i);

		if (name != NULL && !algorithm_takes(a, 'N'))
			return err_set(
			    why, ERR_CONFIG,
			    "server %zu is named \"%.80s\", but names mean nothing to %s; leave it out", i,
			    name, a->name);
		if (name != NULL && strlen(name) > NAME_MAX_BYTES)
			return err_set(why, ERR_CONFIG, "the name of server %zu has more than %d bytes", i,
				       NAME_MAX_BYTES);
	}
	return check_weights(a, spec, why);
}

/* The text that is hashed for a server's points. */
static void
point_name(const struct algorithm *a, const struct ring_spec *spec, size_t i, struct buf *out)
{
	const struct server_options *s = &spec->servers[i];

	if (a->id == ALGORITHM_TWEMPROXY_KETAMA) {
		twemproxy_server(s, name_of(spec, i), out);
	} else if (a->id == ALGORITHM_KETAMA_SPY) {
		buf_printf(out, "/%s:%u", s->host, (unsigned)s->port);
	} else {
		buf_put_str(out, s->host);
		if (s->port != DEFAULT_PORT)
			buf_printf(out, ":%u", (unsigned)s->port);
	}
}

static void
make_circle(struct ring *r, const struct ring_spec *spec, bool weighted)
{
	struct ketama_server *servers = mem_zalloc(r->n, sizeof(servers[0]));
	struct buf *names = mem_zalloc(r->n, sizeof(names[0]));
	uint64_t total = 0;

	for (size_t i = 0; i < r->n; i++)
		total += (uint64_t)weight_of(spec, i);
	for (size_t i = 0; i < r->n; i++) {
		point_name(r->algorithm, spec, i, &names[i]);
		servers[i].name = buf_span(&names[i]);
		servers[i].texts =
		    weighted ? ketama_share((uint64_t)weight_of(spec, i), total, r->n) : POINTS_UNWEIGHTED;
	}
	ketama_init(&r->circle, servers, r->n, weighted ? NULL : r->hash);
	for (size_t i = 0; i < r->n; i++)
		buf_fini(&names[i]);
	free(names);
	free(servers);
}

static void
make_wheel(struct ring *r, const struct ring_spec *spec)
{
	uint32_t total = 0;

	r->numbers = mem_zalloc(r->n, sizeof(r->numbers[0]));
	for (size_t i = 0; i < r->n; i++) {
		total += (uint32_t)weight_of(spec, i);
		r->numbers[i] = total;
	}
}

static void
make_shares(struct ring *r, const struct ring_spec *spec)
{
	r->numbers = mem_zalloc(r->n, sizeof(r->numbers[0]));
	for (size_t i = 0; i < r->n; i++)
		r->numbers[i] = wch3_share(weight_of(spec, i));
}

static void
make_tags(struct ring *r, const struct ring_spec *spec, bool weighted)
{
	r->hashes = mem_zalloc(r->n, sizeof(r->hashes[0]));
	if (weighted)
		r->weights = mem_zalloc(r->n, sizeof(r->weights[0]));
	for (size_t i = 0; i < r->n; i++) {
		const char *name = name_of(spec, i);

		r->hashes[i] = rendezvous_server(span_of(name != NULL ? name : r->shown[i]));
		if (weighted)
			r->weights[i] = weight_of(spec, i);
	}
}

/* Makes what the algorithm needs and chooses how to route. */
static void
make(struct ring *r, const struct ring_spec *spec)
{
	bool salted = r->salt.len > 0;

	switch (r->algorithm->id) {
	case ALGORITHM_KETAMA:
		for (size_t i = 0; i < r->n; i++)
			r->switched |= weight_of(spec, i) > 1;
		make_circle(r, spec, r->switched);
		r->route = route_circle;
		break;
	case ALGORITHM_KETAMA_WEIGHTED:
	case ALGORITHM_KETAMA_SPY:
		make_circle(r, spec, true);
		r->route = route_circle;
		break;
	case ALGORITHM_MODULA:
		r->route = route_modula;
		break;
	case ALGORITHM_TWEMPROXY_KETAMA:
		make_circle(r, spec, true);
		r->route = route_twemproxy_ketama;
		break;
	case ALGORITHM_TWEMPROXY_MODULA:
		make_wheel(r, spec);
		r->route = route_twemproxy_modula;
		break;
	case ALGORITHM_CH3:
		r->route = salted ? route_ch3_salted : route_ch3;
		break;
	case ALGORITHM_WCH3:
		make_shares(r, spec);
		r->route = route_wch3;
		break;
	case ALGORITHM_RENDEZVOUS:
	case ALGORITHM_WEIGHTED_RENDEZVOUS:
		make_tags(r, spec, r->algorithm->id == ALGORITHM_WEIGHTED_RENDEZVOUS);
		r->route = salted ? route_rendezvous_salted : route_rendezvous;
		break;
	case ALGORITHM_CRC32:
		r->route = salted ? route_crc32_salted : route_crc32;
		break;
	case ALGORITHM_PYMEMCACHE:
		r->pymemcache = pymemcache_create(spec->servers, r->n,
						  spec->hash != NULL && strcmp(spec->hash, "bytes") == 0);
		r->route = route_pymemcache;
		break;
	case ALGORITHM_JUMP:
		r->route = route_jump;
		break;
	case ALGORITHM_N:
		break;
	}
	if (r->n == 1)
		r->route = route_only; /* as every peer does */
}

/* NULL where the algorithm leaves no choice that keyhash knows of. */
static const struct keyhash *
hash_of_spec(const struct algorithm *a, const struct ring_spec *spec)
{
	const char *hash = spec->hash != NULL && spec->hash[0] != '\0' ? spec->hash : "default";

	switch (a->id) {
	case ALGORITHM_KETAMA:
	case ALGORITHM_MODULA:
		return keyhash_find(KEYHASH_LIBMEMCACHED, hash);
	case ALGORITHM_KETAMA_WEIGHTED:
	case ALGORITHM_KETAMA_SPY:
		return keyhash_find(KEYHASH_LIBMEMCACHED, "md5");
	case ALGORITHM_TWEMPROXY_KETAMA:
	case ALGORITHM_TWEMPROXY_MODULA:
		return keyhash_find(KEYHASH_TWEMPROXY, hash);
	case ALGORITHM_JUMP:
		return keyhash_find(KEYHASH_JUMP, hash);
	default:
		return NULL;
	}
}

err_t
ring_create(struct ring **out, const struct ring_spec *spec, struct err_detail *why)
{
	const struct algorithm *a = algorithm_find(spec->algorithm);
	struct buf shown = BUF_INIT;
	struct ring *r;
	err_t err;

	*out = NULL;
	if (a == NULL)
		return err_set(why, ERR_CONFIG, "there is no distribution \"%s\"; there are %s",
			       spec->algorithm, ALGORITHM_CHOICES);
	err = check_spec(a, spec, why);
	if (err != ERR_OK)
		return err;
	r = MEM_NEW(struct ring);
	r->algorithm = a;
	r->n = spec->nservers;
	r->shown = mem_zalloc(r->n, sizeof(r->shown[0]));
	for (size_t i = 0; i < r->n; i++) {
		buf_clear(&shown);
		ring_server_name(&spec->servers[i], &shown);
		r->shown[i] = mem_strdup(buf_str(&shown));
	}
	r->hash = hash_of_spec(a, spec);
	if (spec->hash_tag != NULL && spec->hash_tag[0] != '\0') {
		memcpy(r->tag, spec->hash_tag, sizeof(r->tag));
		r->has_tag = true;
	}
	if (spec->salt != NULL && spec->salt[0] != '\0')
		r->salt = span_of(mem_strdup(spec->salt));
	make(r, spec);
	*out = r;
	buf_fini(&shown);
	return ERR_OK;
}

void
ring_destroy(struct ring **out)
{
	struct ring *r = *out;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		free(r->shown[i]);
	free(r->shown);
	ketama_fini(&r->circle);
	pymemcache_destroy(&r->pymemcache);
	free((char *)(uintptr_t)r->salt.p);
	free(r->numbers);
	free(r->hashes);
	free(r->weights);
	free(r);
	*out = NULL;
}

struct ring_spec
ring_spec_of_cluster(const struct cluster *cluster)
{
	const struct algorithm *a = algorithm_find(cluster->opt.distribution);

	return (struct ring_spec){
	    .algorithm = cluster->opt.distribution,
	    /* What an algorithm without a choice is told is the setting's default. */
	    .hash = a != NULL && a->hashes[0] == '\0' ? "default" : cluster->opt.hash,
	    .servers = cluster->servers,
	    .nservers = cluster->nservers,
	};
}

/* --- explaining -------------------------------------------------------------------------------------------
 */

static void
explain_circle(const struct ring *r, uint32_t hash, struct buf *out)
{
	const struct ketama_point *point = ketama_find(&r->circle, hash);

	buf_printf(out, "point: %08x%s\n", point->at,
		   point->at < hash ? " (behind the last point comes the first)" : "");
}

static void
explain_twemproxy(const struct ring *r, struct span key, struct buf *out)
{
	struct span tagged = r->has_tag ? twemproxy_tagged(key, r->tag[0], r->tag[1]) : key;

	if (r->has_tag) {
		buf_put_str(out, "hashed: ");
		log_escape(out, tagged);
		buf_put_str(out,
			    tagged.len == key.len ? " (no tag in it: all of the key)\n" : " (the tag)\n");
	}
}

/* "hash: " and "distribution: " lines. */
static void
explain_rule(const struct ring *r, struct span key, struct buf *out)
{
	const struct algorithm *a = r->algorithm;
	bool twemproxy = a->id == ALGORITHM_TWEMPROXY_KETAMA || a->id == ALGORITHM_TWEMPROXY_MODULA;
	uint64_t hash = 0;

	if (twemproxy)
		explain_twemproxy(r, key, out);
	if (r->salt.len > 0) {
		buf_put_str(out, "hashed behind the key: ");
		log_escape(out, r->salt);
		buf_putc(out, '\n');
	}
	if (r->hash != NULL) {
		hash = twemproxy ? twemproxy_hash_of(r, key) : r->hash->of(key);
		buf_printf(out, "hash: %s = %0*llx\n", r->hash->name, a->id == ALGORITHM_JUMP ? 16 : 8,
			   (unsigned long long)hash);
	}
	buf_printf(out, "distribution: %s", a->name);
	switch (a->id) {
	case ALGORITHM_MODULA:
		buf_printf(out, ": %u %% %zu = %zu", (unsigned)hash, r->n, (size_t)(hash % r->n));
		break;
	case ALGORITHM_TWEMPROXY_MODULA:
		buf_printf(out, ": %u %% %u = %u of the weights", (unsigned)hash,
			   (unsigned)r->numbers[r->n - 1], (unsigned)(hash % r->numbers[r->n - 1]));
		break;
	case ALGORITHM_KETAMA:
		buf_printf(
		    out, ", %s, %u points",
		    r->switched
			? "points by md5, shared by weight (libmemcached switches when a weight is above 1)"
			: "100 points per server",
		    (unsigned)r->circle.n);
		break;
	case ALGORITHM_KETAMA_WEIGHTED:
	case ALGORITHM_KETAMA_SPY:
	case ALGORITHM_TWEMPROXY_KETAMA:
		buf_printf(out, ", %s by md5, points shared by weight, %u points",
			   a->id == ALGORITHM_TWEMPROXY_KETAMA ? "points" : "keys and points",
			   (unsigned)r->circle.n);
		break;
	default:
		buf_printf(out, " of %s", a->peer);
		break;
	}
	buf_putc(out, '\n');
	if (r->n == 1)
		buf_put_str(out, "the only server has every key\n");
	else if (r->circle.n > 0)
		explain_circle(r, (uint32_t)hash, out);
}

void
ring_explain(const struct ring *r, struct span key, struct buf *out)
{
	size_t index = ring_route(r, key);

	buf_put_str(out, "key: ");
	log_escape(out, key);
	buf_printf(out, "\nserver: %s\nindex: %zu of %zu\n", r->shown[index], index, r->n);
	explain_rule(r, key, out);
}

void
ring_explain_cluster(const struct ring *r, const struct cluster *cluster, struct span key, struct buf *out)
{
	const char *connect = cluster->servers[ring_route(r, key)].connect;

	buf_printf(out, "cluster: %s\n", cluster->opt.name);
	ring_explain(r, key, out);
	if (connect[0] != '\0')
		buf_printf(out, "connect: %s\n", connect);
	if (cluster->opt.namespace[0] != '\0') {
		buf_put_str(out, "sent as: ");
		buf_put_str(out, cluster->opt.namespace);
		log_escape(out, key);
		buf_put_str(out, " (the namespace is not hashed)\n");
	}
}

void
ring_server_name(const struct server_options *server, struct buf *out)
{
	buf_printf(out, "%s:%u", server->host, (unsigned)server->port);
}
