#include "lib/route/ring.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "lib/route/crc.h"
#include "lib/route/furc.h"
#include "lib/route/jump.h"
#include "lib/route/rendezvous.h"
#include "lib/route/ring_inside.h"
#include "lib/route/wch3.h"

enum {
	DEFAULT_PORT = 11211,
	GOMEMCACHE_BYTES = 256, /* of a key, that it hashes */
	SPYMEMCACHED_DIGESTS = 40,
	DALLI_POINTS = 160,
	POINTS_UNWEIGHTED = 100, /* libmemcached's, per server */
	ROOM = 1024,		 /* a key and what is hashed behind it; more is done on the heap */
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

static size_t
route_twemproxy_ketama(const struct ring *r, struct span key)
{
	return ketama_find(&r->circle, ring_twemproxy_hash(r, key))->server;
}

/* As if every server stood in the list once per unit of its weight. */
static size_t
on_wheel(const struct ring *r, uint32_t hash)
{
	uint32_t slot = hash % r->numbers[r->n - 1];
	size_t low = 0, high = r->n - 1;

	if (r->numbers[r->n - 1] == r->n)
		return slot; /* all weights are 1 */
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
route_twemproxy_modula(const struct ring *r, struct span key)
{
	return on_wheel(r, ring_twemproxy_hash(r, key));
}

static size_t
route_python_memcached(const struct ring *r, struct span key)
{
	uint32_t hash = crc32_of(key) >> 16 & 0x7fff;

	return on_wheel(r, hash != 0 ? hash : 1);
}

static size_t
route_gomemcache(const struct ring *r, struct span key)
{
	return crc32_of(span_first(key, GOMEMCACHE_BYTES)) % (uint32_t)r->n;
}

static size_t
route_dalli(const struct ring *r, struct span key)
{
	return ketama_find(&r->circle, ~crc32_of(key))->server;
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

static void
append(char *text, size_t *n, struct span s)
{
	if (s.len > 0)
		memcpy(text + *n, s.p, s.len);
	*n += s.len;
}

/* Calls `fn` with a copy of the key between prefix and salt, and room for WCH3_DIGITS more. */
static size_t
with_copy(const struct ring *r, struct span key, route_fn *fn)
{
	char room[ROOM];
	char *p = room;
	size_t n = 0, need = r->prefix.len + key.len + r->salt.len + WCH3_DIGITS;
	size_t index;

	if (need > sizeof(room))
		p = mem_alloc(need);
	append(p, &n, r->prefix);
	append(p, &n, key);
	append(p, &n, r->salt);
	index = fn(r, span_make(p, n));
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
route_dalli_prefixed(const struct ring *r, struct span key)
{
	return with_copy(r, key, route_dalli);
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

/* The text that is hashed for a server's points. */
static void
point_name(const struct ring *r, const struct ring_spec *spec, size_t i, struct buf *out)
{
	const struct server_options *s = &spec->servers[i];
	const char *name = ring_spec_name(spec, i);

	switch (r->algorithm->id) {
	case ALGORITHM_TWEMPROXY_KETAMA:
		twemproxy_server(s, name, out);
		break;
	case ALGORITHM_KETAMA_SPY:
		buf_printf(out, "/%s:%u", s->host, (unsigned)s->port);
		break;
	case ALGORITHM_SPYMEMCACHED:
		buf_put_str(out, name != NULL ? name : r->shown[i]);
		break;
	case ALGORITHM_DALLI:
		buf_put_str(out, s->host[0] == '/' ? s->host : r->shown[i]);
		break;
	default:
		buf_put_str(out, s->host);
		if (s->port != DEFAULT_PORT)
			buf_printf(out, ":%u", (unsigned)s->port);
		break;
	}
}

/* How many texts a server's points come from. */
static uint32_t
point_texts(const struct ring *r, uint64_t weight, uint64_t total, bool weighted)
{
	switch (r->algorithm->id) {
	case ALGORITHM_DALLI:
		return (uint32_t)((double)(r->n * DALLI_POINTS * weight) / (double)total);
	case ALGORITHM_SPYMEMCACHED:
		return weighted ? ketama_share(weight, total, r->n) : SPYMEMCACHED_DIGESTS;
	default:
		return weighted ? ketama_share(weight, total, r->n) : POINTS_UNWEIGHTED;
	}
}

static void
make_circle(struct ring *r, const struct ring_spec *spec, enum ketama_kind kind, bool weighted)
{
	struct ketama_server *servers = mem_zalloc(r->n, sizeof(servers[0]));
	struct buf *names = mem_zalloc(r->n, sizeof(names[0]));
	uint64_t total = 0;

	for (size_t i = 0; i < r->n; i++)
		total += (uint64_t)ring_spec_weight(spec, i);
	for (size_t i = 0; i < r->n; i++) {
		point_name(r, spec, i, &names[i]);
		servers[i].name = buf_span(&names[i]);
		servers[i].texts = point_texts(r, (uint64_t)ring_spec_weight(spec, i), total, weighted);
	}
	ketama_init(&r->circle, kind, servers, r->n, r->hash);
	for (size_t i = 0; i < r->n; i++)
		buf_fini(&names[i]);
	free(names);
	free(servers);
}

static bool
any_weight_above_one(const struct ring_spec *spec)
{
	for (size_t i = 0; i < spec->nservers; i++) {
		if (ring_spec_weight(spec, i) > 1)
			return true;
	}
	return false;
}

static void
make_wheel(struct ring *r, const struct ring_spec *spec)
{
	uint32_t total = 0;

	r->numbers = mem_zalloc(r->n, sizeof(r->numbers[0]));
	for (size_t i = 0; i < r->n; i++) {
		total += (uint32_t)ring_spec_weight(spec, i);
		r->numbers[i] = total;
	}
}

static void
make_shares(struct ring *r, const struct ring_spec *spec)
{
	r->numbers = mem_zalloc(r->n, sizeof(r->numbers[0]));
	for (size_t i = 0; i < r->n; i++)
		r->numbers[i] = wch3_share(ring_spec_weight(spec, i));
}

static void
make_tags(struct ring *r, const struct ring_spec *spec, bool weighted)
{
	r->hashes = mem_zalloc(r->n, sizeof(r->hashes[0]));
	if (weighted)
		r->weights = mem_zalloc(r->n, sizeof(r->weights[0]));
	for (size_t i = 0; i < r->n; i++) {
		const char *name = ring_spec_name(spec, i);

		r->hashes[i] = rendezvous_server(span_of(name != NULL ? name : r->shown[i]));
		if (weighted)
			r->weights[i] = ring_spec_weight(spec, i);
	}
}

/* Makes what the algorithm needs and chooses how to route. */
static void
make(struct ring *r, const struct ring_spec *spec)
{
	bool salted = r->salt.len > 0;

	switch (r->algorithm->id) {
	case ALGORITHM_KETAMA:
		r->switched = any_weight_above_one(spec);
		make_circle(r, spec, r->switched ? KETAMA_MD5 : KETAMA_HASH, r->switched);
		r->route = route_circle;
		break;
	case ALGORITHM_KETAMA_WEIGHTED:
	case ALGORITHM_KETAMA_SPY:
		make_circle(r, spec, KETAMA_MD5, true);
		r->route = route_circle;
		break;
	case ALGORITHM_SPYMEMCACHED:
		make_circle(r, spec, KETAMA_MD5_LAST, any_weight_above_one(spec));
		r->route = route_circle;
		break;
	case ALGORITHM_DALLI:
		make_circle(r, spec, KETAMA_SHA1, true);
		r->route = r->prefix.len > 0 ? route_dalli_prefixed : route_dalli;
		break;
	case ALGORITHM_MODULA:
	case ALGORITHM_SPYMEMCACHED_MODULA:
		r->route = route_modula;
		break;
	case ALGORITHM_GOMEMCACHE:
		r->route = route_gomemcache;
		break;
	case ALGORITHM_PYTHON_MEMCACHED:
		make_wheel(r, spec);
		r->route = route_python_memcached;
		break;
	case ALGORITHM_TWEMPROXY_KETAMA:
		make_circle(r, spec, KETAMA_MD5, true);
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
	case ALGORITHM_SPYMEMCACHED:
		return keyhash_find(KEYHASH_LIBMEMCACHED, "md5");
	case ALGORITHM_SPYMEMCACHED_MODULA:
		return keyhash_find(KEYHASH_SPYMEMCACHED, hash);
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
	err = ring_spec_check(spec, a, why);
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
	if (spec->prefix != NULL && spec->prefix[0] != '\0')
		r->prefix = span_of(mem_strdup(spec->prefix));
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
	free((char *)(uintptr_t)r->prefix.p);
	free(r->numbers);
	free(r->hashes);
	free(r->weights);
	free(r);
	*out = NULL;
}

void
ring_server_name(const struct server_options *server, struct buf *out)
{
	buf_printf(out, "%s:%u", server->host, (unsigned)server->port);
}
