#include "replay/plan/targets.h"

#include <stdlib.h>

#include "lib/core/mem.h"

struct target_cluster {
	const struct cluster *cluster;
	struct route *route;
	struct targets_now now;
	size_t first;	    /* number of its first server among all */
	bool *takes_pool;   /* per pool of the route */
	bool *takes_server; /* per server of the route */
};

struct targets {
	uint32_t stale_ms, holdoff_ms;
	struct target_cluster *clusters;
	size_t n;
	size_t nservers;
	uint64_t foreign, homeless, elsewhere;
};

static bool
is_chosen(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return n == 0;
}

/* ERR_USAGE: one of the names is none of those that `has` knows. */
static err_t
check_names(char *const *names, size_t n, const char *what,
	    bool (*has)(const struct targets *t, const char *name),
	    void (*list)(const struct targets *t, struct buf *out), const struct targets *t,
	    struct err_detail *why)
{
	struct buf known = BUF_INIT;
	err_t err = ERR_OK;

	for (size_t i = 0; i < n && err == ERR_OK; i++) {
		if (has(t, names[i]))
			continue;
		list(t, &known);
		err =
		    err_set(why, ERR_USAGE, "there is no %s \"%.100s\" in what was chosen; there are:%.400s",
			    what, names[i], buf_str(&known));
	}
	buf_fini(&known);
	return err;
}

static bool
has_server(const struct targets *t, const char *name)
{
	size_t i;

	for (size_t c = 0; c < t->n; c++) {
		if (route_server_find(t->clusters[c].route, name, &i))
			return true;
	}
	return false;
}

static void
list_servers(const struct targets *t, struct buf *out)
{
	for (size_t c = 0; c < t->n; c++) {
		for (size_t i = 0; i < route_nservers(t->clusters[c].route); i++)
			buf_printf(out, " %s", route_server_name(t->clusters[c].route, i));
	}
}

static bool
has_pool(const struct targets *t, const char *name)
{
	for (size_t c = 0; c < t->n; c++) {
		for (size_t i = 0; i < route_npools(t->clusters[c].route); i++) {
			if (strcmp(route_pool_name(t->clusters[c].route, i), name) == 0)
				return true;
		}
	}
	return false;
}

static void
list_pools(const struct targets *t, struct buf *out)
{
	for (size_t c = 0; c < t->n; c++) {
		for (size_t i = 0; i < route_npools(t->clusters[c].route); i++)
			buf_printf(out, " %s", route_pool_name(t->clusters[c].route, i));
	}
}

static err_t
check_clusters(const struct topology *topo, const struct targets_options *opt, struct err_detail *why)
{
	struct buf known = BUF_INIT;
	err_t err = ERR_OK;

	for (size_t i = 0; i < opt->nclusters && err == ERR_OK; i++) {
		if (topology_cluster(topo, opt->clusters[i]) != NULL)
			continue;
		for (size_t c = 0; c < topo->nclusters; c++)
			buf_printf(&known, " %s", topo->clusters[c].opt.name);
		err = err_set(why, ERR_USAGE, "there is no cluster \"%.100s\"; there are:%.400s",
			      opt->clusters[i], buf_str(&known));
	}
	buf_fini(&known);
	return err;
}

static err_t
add_cluster(struct targets *t, const struct cluster *cluster, const struct targets_now *now,
	    const struct targets_options *opt, struct err_detail *why)
{
	struct target_cluster *c = &t->clusters[t->n];
	err_t err = route_create(&c->route, cluster, now->before, now->nbefore, why);

	if (err != ERR_OK)
		return err;
	t->n++;
	c->cluster = cluster;
	c->now = *now;
	c->first = t->nservers;
	t->nservers += route_nservers(c->route);
	c->takes_pool = mem_zalloc(route_npools(c->route) + 1, sizeof(*c->takes_pool));
	c->takes_server = mem_zalloc(route_nservers(c->route) + 1, sizeof(*c->takes_server));
	for (size_t i = 0; i < route_npools(c->route); i++)
		c->takes_pool[i] = is_chosen(opt->pools, opt->npools, route_pool_name(c->route, i));
	for (size_t i = 0; i < route_nservers(c->route); i++)
		c->takes_server[i] = is_chosen(opt->servers, opt->nservers, route_server_name(c->route, i));
	return ERR_OK;
}

err_t
targets_create(struct targets **out, const struct topology *topology, const struct targets_options *opt,
	       struct err_detail *why)
{
	struct targets *t = MEM_NEW(struct targets);
	err_t err;

	*out = NULL;
	t->stale_ms = opt->stale_ms;
	t->holdoff_ms = opt->holdoff_ms;
	t->clusters = mem_zalloc(topology->nclusters + 1, sizeof(*t->clusters));
	err = check_clusters(topology, opt, why);
	for (size_t i = 0; i < topology->nclusters && err == ERR_OK; i++) {
		const struct cluster *c = &topology->clusters[i];
		const struct targets_now as_is = {.cold = strcmp(c->opt.mode, "cold") == 0};

		if (is_chosen(opt->clusters, opt->nclusters, c->opt.name))
			err = add_cluster(t, c, opt->now != NULL ? &opt->now[i] : &as_is, opt, why);
	}
	if (err == ERR_OK && t->n == 0)
		err = err_set(why, ERR_USAGE,
			      "squeal.yaml has no clusters, so there is nothing to delete from");
	if (err == ERR_OK)
		err = check_names(opt->pools, opt->npools, "pool", has_pool, list_pools, t, why);
	if (err == ERR_OK)
		err = check_names(opt->servers, opt->nservers, "server", has_server, list_servers, t, why);
	if (err != ERR_OK)
		targets_destroy(&t);
	*out = t;
	return err;
}

void
targets_destroy(struct targets **tp)
{
	struct targets *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++) {
		route_destroy(&t->clusters[i].route);
		free(t->clusters[i].takes_pool);
		free(t->clusters[i].takes_server);
	}
	free(t->clusters);
	free(t);
}

/* --- keys -------------------------------------------------------------------------------------------------
 */

void
targets_answer_fini(struct targets_answer *a)
{
	free(a->hops);
	route_answer_fini(&a->route);
	*a = (struct targets_answer){0};
}

static uint32_t
greatest(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void
add_hop(const struct targets *t, const struct target_cluster *c, const struct route_hop *from,
	uint32_t holdoff_ms, struct targets_answer *out)
{
	struct targets_hop *hop;

	if (out->n == out->cap) {
		out->cap = out->cap > 0 ? 2 * out->cap : 8;
		out->hops = mem_realloc(out->hops, out->cap * sizeof(*out->hops));
	}
	hop = &out->hops[out->n++];
	*hop = (struct targets_hop){
	    .server = (uint32_t)c->first + from->server,
	    .shadow = from->shadow,
	    .former = from->old,
	    .key =
		{
		    .prefix = from->prefix,
		    .key = out->route.key,
		    .action = from->action == ROUTE_STALE ? OUTBOX_STALE : OUTBOX_DELETE,
		    .stale_ms = from->stale_ms,
		    .holdoff_ms = greatest(greatest(from->holdoff_ms, holdoff_ms), t->holdoff_ms),
		    .limit = from->limit,
		},
	};
	if (c->now.cold)
		hop->key.holdoff_ms = greatest(hop->key.holdoff_ms, (uint32_t)c->cluster->opt.cold_holdoff);
	if (t->stale_ms > 0) {
		hop->key.action = OUTBOX_STALE;
		hop->key.stale_ms = t->stale_ms;
	}
}

void
targets_route(struct targets *t, struct span key, struct span pool, uint32_t holdoff_ms,
	      struct targets_answer *out)
{
	out->n = 0;
	for (size_t i = 0; i < t->n; i++) {
		struct target_cluster *c = &t->clusters[i];
		size_t before = out->n;

		route_key(c->route, key, pool, &out->route);
		t->foreign += out->route.foreign;
		t->homeless += out->route.homeless;
		for (size_t h = 0; h < out->route.n; h++) {
			const struct route_hop *hop = &out->route.hops[h];

			if (c->takes_pool[hop->pool] && c->takes_server[hop->server])
				add_hop(t, c, hop, holdoff_ms, out);
		}
		t->elsewhere += out->route.n > 0 && out->n == before;
	}
}

uint64_t
targets_foreign(const struct targets *t)
{
	return t->foreign;
}

uint64_t
targets_homeless(const struct targets *t)
{
	return t->homeless;
}

uint64_t
targets_elsewhere(const struct targets *t)
{
	return t->elsewhere;
}

/* --- clusters and servers ---------------------------------------------------------------------------------
 */

size_t
targets_nclusters(const struct targets *t)
{
	return t->n;
}

const struct cluster *
targets_cluster(const struct targets *t, size_t i)
{
	return t->clusters[i].cluster;
}

size_t
targets_nservers(const struct targets *t)
{
	return t->nservers;
}

size_t
targets_server_cluster(const struct targets *t, size_t i)
{
	size_t c = t->n - 1;

	while (c > 0 && i < t->clusters[c].first)
		c--;
	return c;
}

static const struct target_cluster *
cluster_of(const struct targets *t, size_t i)
{
	return &t->clusters[targets_server_cluster(t, i)];
}

const struct server_options *
targets_server(const struct targets *t, size_t i)
{
	return route_server(cluster_of(t, i)->route, i - cluster_of(t, i)->first);
}

const struct pool_options *
targets_server_pool(const struct targets *t, size_t i)
{
	return route_server_pool(cluster_of(t, i)->route, i - cluster_of(t, i)->first);
}

const char *
targets_server_name(const struct targets *t, size_t i)
{
	return route_server_name(cluster_of(t, i)->route, i - cluster_of(t, i)->first);
}

bool
targets_server_is_old(const struct targets *t, size_t i)
{
	return route_server_is_old(cluster_of(t, i)->route, i - cluster_of(t, i)->first);
}

/* Of a pool that was not chosen it gets nothing, which is_chosen cannot tell: it may be in several. */
bool
targets_server_is_chosen(const struct targets *t, size_t i)
{
	return cluster_of(t, i)->takes_server[i - cluster_of(t, i)->first];
}

size_t
targets_server_limits(const struct targets *t, size_t i, struct outbox_limit *limits, size_t max)
{
	const struct route *r = cluster_of(t, i)->route;
	size_t n = route_nlimits(r) < max ? route_nlimits(r) : max;

	for (size_t l = 0; l < n; l++)
		limits[l].keys_per_s = (uint32_t)route_limit(r, l);
	return n;
}

void
targets_print(const struct targets *t, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct target_cluster *c = &t->clusters[i];

		topology_ring_text(c->cluster, true, out);
		for (size_t b = 0; b < c->now.nbefore; b++)
			topology_ring_text(c->now.before[b], true, out);
		for (size_t s = 0; s < route_nservers(c->route); s++)
			buf_printf(out, "# server %s %d\n", route_server_name(c->route, s),
				   c->takes_server[s]);
		for (size_t p = 0; p < route_npools(c->route); p++)
			buf_printf(out, "# pool %s %d\n", route_pool_name(c->route, p), c->takes_pool[p]);
	}
	buf_printf(out, "# stale %u holdoff %u\n", (unsigned)t->stale_ms, (unsigned)t->holdoff_ms);
}
