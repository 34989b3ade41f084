#include "lib/route/route.h"

#include <stdlib.h>
#include <string.h>

#include "lib/conf/cluster.h"
#include "lib/core/mem.h"
#include "lib/route/route_inside.h"
#include "lib/route/route_key.h"

/* --- building ---------------------------------------------------------------------------------------------
 */

static uint32_t
add_server(struct route *r, const struct server_options *opt, const struct pool *pool, bool old)
{
	bool shadow = strcmp(pool->opt.role, "shadow") == 0;
	struct buf name = BUF_INIT;
	size_t i = 0;

	ring_server_name(opt, &name);
	while (i < r->nservers && strcmp(r->servers[i].name, buf_str(&name)) != 0)
		i++;
	if (i < r->nservers) {
		r->servers[i].shadow &= shadow;
	} else {
		r->servers = mem_realloc(r->servers, (r->nservers + 1) * sizeof(r->servers[0]));
		r->servers[r->nservers++] =
		    (struct route_server){opt, &pool->opt, span_dup(buf_span(&name)), old, shadow};
	}
	buf_fini(&name);
	return (uint32_t)i;
}

static uint32_t
add_pool_name(struct route *r, const char *name)
{
	size_t i = 0;

	while (i < r->npools && strcmp(r->pool_names[i], name) != 0)
		i++;
	if (i == r->npools) {
		r->pool_names = mem_realloc(r->pool_names, (r->npools + 1) * sizeof(r->pool_names[0]));
		r->pool_names[r->npools++] = name;
	}
	return (uint32_t)i;
}

/* What the algorithm does not take was left out of the file, or is the cluster's for its other pools. */
static err_t
make_ring(struct ring **out, const struct pool *p, struct err_detail *why)
{
	const struct algorithm *a = algorithm_find(p->opt.distribution);
	const char **names = mem_zalloc(p->nservers, sizeof(names[0]));
	struct ring_spec spec = {
	    .algorithm = p->opt.distribution, .servers = p->servers, .nservers = p->nservers, .names = names};
	struct err_detail detail = {0};
	err_t err;

	for (size_t i = 0; i < p->nservers; i++)
		names[i] = p->servers[i].name;
	if (a != NULL && a->hashes[0] != '\0')
		spec.hash = p->opt.hash;
	if (a != NULL && algorithm_takes(a, 'T'))
		spec.hash_tag = p->opt.hash_tag;
	if (a != NULL && algorithm_takes(a, 'S'))
		spec.salt = p->opt.salt;
	if (a != NULL && algorithm_takes(a, 'P'))
		spec.prefix = p->opt.namespace;
	err = ring_create(out, &spec, &detail);
	if (err != ERR_OK)
		err = err_set(why, err, "pool \"%s\": %s", p->opt.name, err_why(&detail));
	free(names);
	return err;
}

/* What is done with a pool's keys.  The pool is of the latest configuration; NULL where that has none. */
static void
set_action(struct route_pool *p, const struct pool *now)
{
	p->action = ROUTE_DELETE;
	if (now == NULL)
		return;
	if (strcmp(now->opt.action, "stale") == 0) {
		p->action = ROUTE_STALE;
		p->stale_ms = (uint32_t)now->opt.stale_for;
	} else if (strcmp(now->opt.action, "holdoff") == 0) {
		p->holdoff_ms = (uint32_t)now->opt.holdoff;
	}
}

static bool
has_keys(const struct pool *p)
{
	return strcmp(p->opt.role, "main") == 0 || strcmp(p->opt.role, "regional") == 0;
}

static const struct pool *
find_pool(const struct cluster *c, const char *name)
{
	for (size_t i = 0; i < c->npools; i++) {
		if (strcmp(c->pools[i].opt.name, name) == 0)
			return &c->pools[i];
	}
	return NULL;
}

static err_t
fill_pool(struct route *r, struct generation *g, struct route_pool *p, const struct pool *conf,
	  struct err_detail *why)
{
	const struct algorithm *a = algorithm_find(conf->opt.distribution);
	bool old = g != &r->gens[0];

	p->conf = conf;
	p->id = add_pool_name(r, conf->opt.name);
	p->stop = strcmp(conf->opt.hash_stop, "on") == 0 ||
		  (strcmp(conf->opt.hash_stop, "auto") == 0 && a != NULL && strcmp(a->peer, "mcrouter") == 0);
	p->shadow = strcmp(conf->opt.role, "shadow") == 0;
	p->prefix = span_of(conf->opt.namespace);
	set_action(p, find_pool(&r->gens[0].cluster, conf->opt.name));
	p->servers = mem_zalloc(conf->nservers, sizeof(p->servers[0]));
	for (size_t i = 0; i < conf->nservers; i++)
		p->servers[i] = add_server(r, &conf->servers[i], conf, old);
	if (strcmp(conf->opt.kind, "replicated") == 0)
		return ERR_OK;
	return make_ring(&p->ring, conf, why);
}

static bool
stands_for(const struct pool *extra, const struct pool *p)
{
	struct span rest = span_of(extra->opt.stands_for), name;

	if (has_keys(extra))
		return false;
	if (rest.len == 0)
		return true;
	while (option_line(&rest, &name)) {
		if (span_is(name, p->opt.name))
			return true;
	}
	return false;
}

static void
fill_extras(struct generation *g, struct route_pool *p)
{
	p->extras = mem_zalloc(g->npools, sizeof(p->extras[0]));
	for (size_t i = 0; i < g->npools && has_keys(p->conf); i++) {
		if (stands_for(&g->cluster.pools[i], p->conf))
			p->extras[p->nextras++] = (uint32_t)i;
	}
}

static err_t
fill_generation(struct route *r, struct generation *g, struct err_detail *why)
{
	struct span mcrouter = span_of(g->cluster.opt.mcrouter_prefix);
	err_t err = ERR_OK;

	g->rest = ROUTE_NO_POOL;
	if (mcrouter.len > 0) {
		mcrouter = span_from(mcrouter, 1);
		g->region = span_cut(&mcrouter, '/');
		g->clustername = span_cut(&mcrouter, '/');
	}
	g->pools = mem_zalloc(g->cluster.npools, sizeof(g->pools[0]));
	for (size_t i = 0; i < g->cluster.npools && err == ERR_OK; i++) {
		const struct pool *conf = &g->cluster.pools[i];
		struct span rest = span_of(conf->opt.prefixes), prefix;

		err = fill_pool(r, g, &g->pools[g->npools++], conf, why);
		if (!has_keys(conf))
			continue;
		if (rest.len == 0)
			g->rest = (int)i;
		while (option_line(&rest, &prefix))
			prefixes_add(&g->by_prefix, prefix, (uint32_t)i);
	}
	for (size_t i = 0; i < g->npools && err == ERR_OK; i++)
		fill_extras(g, &g->pools[i]);
	prefixes_sort(&g->by_prefix);
	return err;
}

err_t
route_create(struct route **out, const struct cluster *c, const struct cluster *const *before, size_t nbefore,
	     struct err_detail *why)
{
	struct route *r = MEM_NEW(struct route);
	err_t err = ERR_OK;

	*out = NULL;
	r->ngens = 1 + nbefore;
	r->gens = mem_zalloc(r->ngens, sizeof(r->gens[0]));
	for (size_t i = 0; i < r->ngens; i++)
		cluster_copy(&r->gens[i].cluster, i == 0 ? c : before[i - 1]);
	for (size_t i = 0; i < r->ngens && err == ERR_OK; i++)
		err = fill_generation(r, &r->gens[i], why);
	for (size_t i = 0; i < r->gens[0].cluster.nlimits; i++)
		prefixes_add(&r->limits, span_of(r->gens[0].cluster.limits[i].prefix), (uint32_t)i);
	prefixes_sort(&r->limits);
	if (err == ERR_OK) {
		*out = r;
		r = NULL;
	}
	route_destroy(&r);
	return err;
}

void
route_destroy(struct route **rp)
{
	struct route *r = *rp;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->ngens; i++) {
		struct generation *g = &r->gens[i];

		for (size_t p = 0; p < g->npools; p++) {
			ring_destroy(&g->pools[p].ring);
			free(g->pools[p].servers);
			free(g->pools[p].extras);
		}
		free(g->pools);
		prefixes_fini(&g->by_prefix);
		cluster_fini(&g->cluster);
	}
	for (size_t i = 0; i < r->nservers; i++)
		free(r->servers[i].name);
	free(r->gens);
	free(r->servers);
	free(r->pool_names);
	prefixes_fini(&r->limits);
	free(r);
	*rp = NULL;
}

/* --- choosing ---------------------------------------------------------------------------------------------
 */

/* Takes a routing prefix off; false: it means another cluster. */
static bool
strip(const struct generation *g, struct span *text)
{
	struct route_key parts;

	if (text->len == 0 || text->p[0] != '/')
		return true;
	parts = route_key_split(*text);
	*text = parts.sent;
	return route_key_means(&parts, g->region, g->clustername);
}

bool
generation_strip(const struct generation *g, struct span *key, struct span *pool)
{
	return g->region.len == 0 || (strip(g, key) && strip(g, pool));
}

struct route_choice
generation_choose(const struct generation *g, struct span key, struct span pool)
{
	struct route_choice choice = {.pool = g->rest, .reason = ROUTE_BY_REST};
	const struct prefixes_item *item;

	for (size_t i = 0; pool.len > 0 && i < g->npools; i++) {
		if (span_is(pool, g->pools[i].conf->opt.name))
			return (struct route_choice){.pool = (int)i, .reason = ROUTE_BY_NAME};
	}
	choice.unknown = pool.len > 0;
	item = prefixes_find(&g->by_prefix, key);
	if (item != NULL) {
		choice.pool = (int)item->value;
		choice.reason = ROUTE_BY_PREFIX;
		choice.prefix = item->text;
	} else if (choice.pool == ROUTE_NO_POOL) {
		choice.reason = ROUTE_NOWHERE;
	}
	return choice;
}

struct span
route_pool_hashed(const struct route_pool *p, struct span key)
{
	ptrdiff_t stop = p->stop ? span_find(key, SPAN_LIT("|#|")) : -1;

	return stop < 0 ? key : span_first(key, (size_t)stop);
}

/* One more server; one that is there with the same namespace does both.  Only the first `others` can be. */
static void
add_hop(struct route_answer *a, size_t others, const struct route_pool *p, uint32_t server, bool old)
{
	struct route_hop *hop;

	for (size_t i = 0; i < others; i++) {
		hop = &a->hops[i];
		if (hop->server != server || !span_eq(hop->prefix, p->prefix))
			continue;
		if (p->action == ROUTE_DELETE)
			hop->action = ROUTE_DELETE;
		if (p->holdoff_ms > hop->holdoff_ms)
			hop->holdoff_ms = p->holdoff_ms;
		hop->shadow &= p->shadow;
		return;
	}
	if (a->n == a->cap) {
		a->cap = a->cap > 0 ? 2 * a->cap : 8;
		a->hops = mem_realloc(a->hops, a->cap * sizeof(a->hops[0]));
	}
	a->hops[a->n++] = (struct route_hop){.server = server,
					     .pool = p->id,
					     .action = p->action,
					     .stale_ms = p->stale_ms,
					     .holdoff_ms = p->holdoff_ms,
					     .old = old,
					     .shadow = p->shadow,
					     .prefix = p->prefix};
}

static void
add_pool(struct route_answer *a, const struct route_pool *p, struct span key, bool old)
{
	size_t others = a->n;

	if (p->ring != NULL) {
		add_hop(a, others, p, p->servers[ring_route(p->ring, route_pool_hashed(p, key))], old);
		return;
	}
	for (size_t i = 0; i < p->conf->nservers; i++)
		add_hop(a, others, p, p->servers[i], old);
}

void
route_key(const struct route *r, struct span key, struct span pool, struct route_answer *out)
{
	const struct prefixes_item *limit;

	out->n = 0;
	out->key = key;
	out->unknown_pool = out->homeless = false;
	out->foreign = true;
	for (size_t i = 0; i < r->ngens; i++) {
		const struct generation *g = &r->gens[i];
		struct span sent = key, named = pool;
		struct route_choice choice;

		if (!generation_strip(g, &sent, &named))
			continue;
		/* A prefix that means another key now is of no use there. */
		if (!out->foreign && !span_eq(sent, out->key))
			continue;
		choice = generation_choose(g, sent, named);
		if (out->foreign)
			out->key = sent;
		out->foreign = false;
		if (i == 0) {
			out->unknown_pool = choice.unknown;
			out->homeless = choice.pool == ROUTE_NO_POOL;
		}
		if (choice.pool == ROUTE_NO_POOL)
			continue;
		add_pool(out, &g->pools[choice.pool], sent, i > 0);
		for (size_t e = 0; e < g->pools[choice.pool].nextras; e++)
			add_pool(out, &g->pools[g->pools[choice.pool].extras[e]], sent, i > 0);
	}
	if (r->limits.n == 0 || (limit = prefixes_find(&r->limits, out->key)) == NULL)
		return;
	for (size_t i = 0; i < out->n; i++)
		out->hops[i].limit = limit->value + 1;
}

void
route_answer_fini(struct route_answer *a)
{
	free(a->hops);
	*a = (struct route_answer){0};
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

size_t
route_nservers(const struct route *r)
{
	return r->nservers;
}

const struct server_options *
route_server(const struct route *r, size_t i)
{
	return r->servers[i].opt;
}

const char *
route_server_name(const struct route *r, size_t i)
{
	return r->servers[i].name;
}

const struct pool_options *
route_server_pool(const struct route *r, size_t i)
{
	return r->servers[i].pool;
}

bool
route_server_is_old(const struct route *r, size_t i)
{
	return r->servers[i].old;
}

bool
route_server_is_shadow(const struct route *r, size_t i)
{
	return r->servers[i].shadow;
}

bool
route_server_find(const struct route *r, const char *name, size_t *i)
{
	for (*i = 0; *i < r->nservers; ++*i) {
		if (strcmp(r->servers[*i].name, name) == 0)
			return true;
	}
	return false;
}

size_t
route_npools(const struct route *r)
{
	return r->npools;
}

const char *
route_pool_name(const struct route *r, size_t pool)
{
	return r->pool_names[pool];
}

size_t
route_nlimits(const struct route *r)
{
	return r->gens[0].cluster.nlimits;
}

uint64_t
route_limit(const struct route *r, size_t i)
{
	return r->gens[0].cluster.limits[i].rate;
}

size_t
route_nunsealed(const struct route *r)
{
	return r->ngens - 1;
}
