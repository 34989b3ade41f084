#include "lib/conf/cluster.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/check.h"
#include "lib/conf/host.h"
#include "lib/core/mem.h"

/* The section of the pool that is being read stays, so that later checks find its places. */
struct reader {
	const struct section_file *r;
	struct cluster *c;
	struct section *pools;	    /* by pool */
	struct yaml_place *servers; /* by pool: where its list stands */
};

static const struct option_section *
table(int which)
{
	size_t n;

	return &topology_sections(&n)[which];
}

/* --- servers -------------------------------------------------------------------------------------------- */

/* "host:port" or "/path" */
static err_t
take_short_server(const struct section_file *r, struct section *f, const struct yaml_node *node)
{
	struct server_options *o = f->base;
	struct span host, port;
	uint64_t number = 0;

	f->node = node;
	if (node->text.len > 0 && node->text.p[0] == '/') {
		host = node->text;
	} else if (!host_split(node->text, &host, &port) || !span_u64(port, &number) || number == 0) {
		return section_bad(r, node->at,
				   "\"%.*s\" in %s is not a server; write host:port, /path/of/a/socket, or a "
				   "mapping such as "
				   "{host: 10.0.0.1, port: 11211, weight: 2}",
				   SPAN_FMT(span_first(node->text, 80)), f->path);
	}
	free(o->host);
	o->host = span_dup(host);
	o->port = number;
	return ERR_OK;
}

/* "- cache1: 11211" is a mapping for YAML. */
static bool
is_split_by_a_space(const struct yaml_node *node)
{
	uint64_t port;

	return node->kind == YAML_MAP && node->n == 1 && node->first->kind == YAML_TEXT &&
	       option_find(table(TOPOLOGY_SERVER), node->first->key) == NULL &&
	       span_u64(node->first->text, &port);
}

static bool
is_same_server(const struct server_options *a, const struct server_options *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* Two servers of one pool must differ in what is hashed as well. */
static err_t
check_server_unique(const struct section_file *r, const struct section *f, const struct pool *p)
{
	const struct server_options *o = &p->servers[p->nservers - 1];

	for (const struct server_options *other = p->servers; other < o; other++) {
		if (is_same_server(other, o))
			return section_bad(r, f->node->at,
					   "the server %s:%" PRIu64 " is in %s twice; keep it once", o->host,
					   o->port, f->path);
		if (o->name[0] != '\0' && strcmp(other->name, o->name) == 0)
			return section_bad(r, section_place(f, "name"),
					   "two servers \"%.80s\" are in %s; give each a name of its own",
					   o->name, f->path);
	}
	return ERR_OK;
}

static err_t
take_server(const struct section_file *r, struct pool *p, const struct yaml_node *node, const char *path)
{
	struct server_options *o = &p->servers[p->nservers];
	struct section f = {.table = table(TOPOLOGY_SERVER), .path = path, .base = o, .node = node};
	err_t err;

	option_defaults(f.table, o);
	p->nservers++;
	if (is_split_by_a_space(node))
		err = section_bad(
		    r, node->at, "\"%.*s: %.*s\" in %s is not a server; write %.*s:%.*s without the space",
		    SPAN_FMT(span_first(node->first->key, 80)), SPAN_FMT(span_first(node->first->text, 8)),
		    path, SPAN_FMT(span_first(node->first->key, 80)),
		    SPAN_FMT(span_first(node->first->text, 8)));
	else if (node->kind == YAML_TEXT && !yaml_is_nothing(node))
		err = take_short_server(r, &f, node);
	else if (node->kind == YAML_MAP)
		err = section_read(&f, r, node, NULL, 0);
	else
		err = section_bad(r, node->at, "a server in %s must be host:port or a mapping, not %s", path,
				  yaml_kind_text(node));
	if (err == ERR_OK)
		err = check_server(r, &f, o, p->opt.distribution);
	return err == ERR_OK ? check_server_unique(r, &f, p) : err;
}

/* `path` names the list in messages. */
static err_t
take_servers(const struct section_file *r, struct pool *p, const struct yaml_node *node, struct yaml_place at,
	     const char *path)
{
	err_t err = ERR_OK;

	if (node == NULL || yaml_is_nothing(node) || (node->kind == YAML_LIST && node->n == 0))
		return section_bad(r, node != NULL ? node->at : at,
				   "%s are missing; list them as \"- host:port\"", path);
	if (node->kind != YAML_LIST)
		return section_bad(r, node->at, "%s must be a list (\"- host:port\" lines), not %s", path,
				   yaml_kind_text(node));
	if (node->n > CLUSTER_MAX_SERVERS)
		return section_bad(r, node->at, "%s: %zu are more than %d; split the pool", path, node->n,
				   CLUSTER_MAX_SERVERS);
	p->servers = mem_zalloc(node->n, sizeof(*p->servers));
	for (const struct yaml_node *v = node->first; v != NULL && err == ERR_OK; v = v->next)
		err = take_server(r, p, v, path);
	return err;
}

/* --- pools ---------------------------------------------------------------------------------------------- */

/* What a pool does not say itself its cluster says. */
static void
inherit(const struct section *f, struct pool_options *o, const struct cluster_options *c)
{
	const struct option_section *ours = f->table, *theirs = table(TOPOLOGY_CLUSTER);

	for (size_t i = 0; i < ours->nrows; i++) {
		const struct option_row *row = &ours->rows[i];
		const struct option_row *from = option_find(theirs, span_of(row->name));

		if (from == NULL || strcmp(row->name, "name") == 0 || f->values[i] != NULL)
			continue;
		free(*(char **)((char *)o + row->offset));
		*(char **)((char *)o + row->offset) =
		    mem_strdup(*(char *const *)((const char *)c + from->offset));
	}
}

static struct pool *
new_pool(struct reader *in, struct section *f)
{
	struct pool *p = &in->c->pools[in->c->npools];

	*f = (struct section){.table = table(TOPOLOGY_POOL), .path = "a pool", .base = &p->opt};
	option_defaults(f->table, &p->opt);
	in->c->npools++;
	return p;
}

/* `servers` of the cluster itself. */
static err_t
take_default_pool(struct reader *in, const struct yaml_node *node, struct yaml_place at)
{
	struct section *f = &in->pools[in->c->npools];
	struct pool *p = new_pool(in, f);
	struct buf path = BUF_INIT;
	err_t err;

	free(p->opt.name);
	p->opt.name = mem_strdup("default");
	inherit(f, &p->opt, &in->c->opt);
	f->node = node;
	buf_printf(&path, "servers of cluster \"%.64s\"", in->c->opt.name);
	f->path = buf_str(&path);
	err = check_pool(in->r, f, &p->opt);
	if (err == ERR_OK)
		err = take_servers(in->r, p, node, at, buf_str(&path));
	f->path = "a pool";
	buf_fini(&path);
	return err;
}

static err_t
take_pool(struct reader *in, const struct yaml_node *node)
{
	static const char *const extra[] = {"servers"};
	struct section *f = &in->pools[in->c->npools];
	struct pool *p = new_pool(in, f);
	const struct yaml_node *name = yaml_get(node, "name");
	struct buf path = BUF_INIT, servers = BUF_INIT;
	err_t err;

	buf_put_str(&path, "a pool");
	if (name != NULL && name->kind == YAML_TEXT && !yaml_is_nothing(name)) {
		buf_clear(&path);
		buf_printf(&path, "pool \"%.*s\"", SPAN_FMT(span_first(name->text, 64)));
	}
	buf_printf(&path, " of cluster \"%.64s\"", in->c->opt.name);
	buf_printf(&servers, "servers of %s", buf_str(&path));
	f->path = buf_str(&path);
	if (yaml_is_nothing(node))
		err = section_bad(in->r, node->at, "%s has no value; give it a name and servers", f->path);
	else
		err = section_read(f, in->r, node, extra, 1);
	if (err == ERR_OK) {
		inherit(f, &p->opt, &in->c->opt);
		err = check_pool(in->r, f, &p->opt);
	}
	if (err == ERR_OK)
		err = take_servers(in->r, p, yaml_get(node, "servers"), node->at, buf_str(&servers));
	f->path = "a pool"; /* the text goes */
	buf_fini(&path);
	buf_fini(&servers);
	return err;
}

static bool
has_line(const char *lines, struct span text)
{
	struct span rest = span_of(lines), line;

	while (option_line(&rest, &line)) {
		if (span_eq(line, text))
			return true;
	}
	return false;
}

/* The place of an item of a pool's list. */
static struct yaml_place
item_place(const struct section *f, const char *option, struct span text)
{
	for (size_t i = 0; i < f->table->nrows; i++) {
		const struct yaml_node *list = f->values[i];

		if (strcmp(f->table->rows[i].name, option) != 0 || list == NULL || list->kind != YAML_LIST)
			continue;
		for (const struct yaml_node *v = list->first; v != NULL; v = v->next) {
			if (span_eq(v->text, text))
				return v->at;
		}
	}
	return section_place(f, option);
}

static bool
has_keys(const struct pool *p)
{
	return strcmp(p->opt.role, "main") == 0 || strcmp(p->opt.role, "regional") == 0;
}

/* Every prefix, "none" among them, belongs to one pool. */
static err_t
check_prefixes(const struct reader *in, size_t which)
{
	const struct pool *p = &in->c->pools[which];
	const struct section *f = &in->pools[which];
	struct span rest = span_of(p->opt.prefixes), prefix;

	for (size_t i = 0; i < which && has_keys(p); i++) {
		const struct pool *other = &in->c->pools[i];

		if (!has_keys(other))
			continue;
		if (p->opt.prefixes[0] == '\0' && other->opt.prefixes[0] == '\0')
			return section_bad(
			    in->r, f->node->at,
			    "the pools \"%s\" and \"%s\" of cluster \"%s\" have no prefixes, and only "
			    "one can take what no other pool takes; give one of them prefixes",
			    other->opt.name, p->opt.name, in->c->opt.name);
		rest = span_of(p->opt.prefixes);
		while (option_line(&rest, &prefix)) {
			if (has_line(other->opt.prefixes, prefix))
				return section_bad(
				    in->r, item_place(f, "prefixes", prefix),
				    "the prefix \"%.*s\" of pool \"%s\" is pool \"%s\"'s already (line "
				    "%u); a prefix belongs to one pool",
				    SPAN_FMT(span_first(prefix, 60)), p->opt.name, other->opt.name,
				    item_place(&in->pools[i], "prefixes", prefix).line);
		}
	}
	return ERR_OK;
}

/* The pools that a gutter or shadow stands for exist and have keys. */
static err_t
check_stands_for(const struct reader *in, size_t which)
{
	const struct section *f = &in->pools[which];
	struct span rest = span_of(in->c->pools[which].opt.stands_for), name;
	const char *words[CLUSTER_MAX_POOLS];
	size_t n = 0;

	for (size_t i = 0; i < in->c->npools; i++) {
		if (has_keys(&in->c->pools[i]))
			words[n++] = in->c->pools[i].opt.name;
	}
	while (option_line(&rest, &name)) {
		const char *near = option_nearest_word(words, n, name);
		bool known = false;

		for (size_t i = 0; i < n && !known; i++)
			known = span_is(name, words[i]);
		if (!known)
			return section_bad(
			    in->r, item_place(f, "stands_for", name),
			    "stands_for of pool \"%s\": cluster \"%s\" has no main or regional pool "
			    "\"%.*s\"%s%s%s",
			    in->c->pools[which].opt.name, in->c->opt.name, SPAN_FMT(span_first(name, 60)),
			    near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
			    near != NULL ? "\"?" : "");
	}
	return ERR_OK;
}

/* A server has one connection, whichever pools it is in. */
static err_t
check_shared(const struct reader *in, const struct pool *p, const struct pool *q)
{
	static const char *const same[] = {"tls", "tls_ca", "tls_cert", "tls_key", "auth_file"};
	const struct section *f = &in->pools[p - in->c->pools];

	for (size_t i = 0; i < p->nservers; i++) {
		for (size_t j = 0; j < q->nservers; j++) {
			const struct server_options *a = &p->servers[i], *b = &q->servers[j];

			if (!is_same_server(a, b))
				continue;
			if (strcmp(a->connect, b->connect) != 0)
				return section_bad(
				    in->r, f->node->at,
				    "the server %s:%" PRIu64 " has another \"connect\" in pool \"%s\" than "
				    "in pool \"%s\"; it has one connection, so write the same in both",
				    a->host, a->port, p->opt.name, q->opt.name);
			for (size_t s = 0; s < sizeof(same) / sizeof(same[0]); s++) {
				if (!option_same(option_find(f->table, span_of(same[s])), &p->opt, &q->opt))
					return section_bad(
					    in->r, f->node->at,
					    "the server %s:%" PRIu64 " is in the pools \"%s\" and \"%s\", "
					    "which differ in %s; it has one connection, so write the same in "
					    "both",
					    a->host, a->port, p->opt.name, q->opt.name, same[s]);
			}
		}
	}
	return ERR_OK;
}

static err_t
check_pools(const struct reader *in, const struct yaml_node *node)
{
	const struct cluster *c = in->c;
	bool any = false;
	err_t err = ERR_OK;

	for (size_t i = 0; i < c->npools && err == ERR_OK; i++) {
		const struct pool *p = &c->pools[i];

		any |= has_keys(p);
		for (size_t j = 0; j < i && err == ERR_OK; j++) {
			if (strcmp(c->pools[j].opt.name, p->opt.name) == 0)
				err = section_bad(
				    in->r, section_place(&in->pools[i], "name"),
				    "there are two pools \"%s\" in cluster \"%s\"%s; give each a name of "
				    "its own",
				    p->opt.name, c->opt.name,
				    strcmp(p->opt.name, "default") == 0
					? " (\"servers\" of a cluster is one of that name)"
					: "");
			else
				err = check_shared(in, p, &c->pools[j]);
		}
		if (err == ERR_OK)
			err = check_prefixes(in, i);
		if (err == ERR_OK)
			err = check_stands_for(in, i);
	}
	if (err == ERR_OK && !any)
		err =
		    section_bad(in->r, node->at,
				"cluster \"%s\" has no pool of role main or regional, so no key would have a "
				"server; add one",
				c->opt.name);
	return err;
}

static err_t
take_pools(struct reader *in, const struct yaml_node *cluster)
{
	const struct yaml_node *servers = yaml_get(cluster, "servers"), *list = yaml_get(cluster, "pools");
	size_t n = list != NULL && list->kind == YAML_LIST ? list->n : 0;
	err_t err = ERR_OK;

	if (list != NULL && list->kind != YAML_LIST)
		return section_bad(in->r, list->at,
				   "pools of cluster \"%s\" must be a list (\"- name: ...\" lines), not %s",
				   in->c->opt.name, yaml_kind_text(list));
	if (n > CLUSTER_MAX_POOLS - 1)
		return section_bad(in->r, list->at,
				   "pools of cluster \"%s\": %zu are more than %d; split the cluster",
				   in->c->opt.name, n, CLUSTER_MAX_POOLS - 1);
	in->c->pools = mem_zalloc(n + 1, sizeof(*in->c->pools));
	in->pools = mem_zalloc(n + 1, sizeof(*in->pools));
	if (servers != NULL || n == 0)
		err = take_default_pool(in, servers, cluster->at);
	for (const struct yaml_node *v = n > 0 ? list->first : NULL; v != NULL && err == ERR_OK; v = v->next)
		err = take_pool(in, v);
	return err == ERR_OK ? check_pools(in, cluster) : err;
}

/* --- limits --------------------------------------------------------------------------------------------- */

static err_t
take_limit(struct reader *in, const struct yaml_node *node)
{
	struct cluster *c = in->c;
	struct limit_options *o = &c->limits[c->nlimits++];
	struct section f = {.table = table(TOPOLOGY_LIMIT), .path = "a limit", .base = o};
	err_t err;

	option_defaults(f.table, o);
	if (yaml_is_nothing(node))
		return section_bad(in->r, node->at, "a limit has no value; give it a prefix and a rate");
	err = section_read(&f, in->r, node, NULL, 0);
	if (err != ERR_OK)
		return err;
	if (o->prefix[0] == '\0')
		return section_bad(
		    in->r, section_place(&f, "prefix"),
		    "a limit has no prefix; say which keys it is for, as in {prefix: \"counter:\", rate: "
		    "100}");
	if (!section_has(&f, "rate"))
		return section_bad(in->r, node->at,
				   "the limit of \"%.60s\" has no rate; add one, as in rate: 100", o->prefix);
	for (const struct limit_options *other = c->limits; other < o; other++) {
		if (strcmp(other->prefix, o->prefix) == 0)
			return section_bad(in->r, section_place(&f, "prefix"),
					   "there are two limits of \"%.60s\" in cluster \"%s\"; keep one",
					   o->prefix, c->opt.name);
	}
	return ERR_OK;
}

static err_t
take_limits(struct reader *in, const struct yaml_node *list)
{
	err_t err = ERR_OK;

	if (list == NULL)
		return ERR_OK;
	if (list->kind != YAML_LIST)
		return section_bad(
		    in->r, list->at,
		    "limits of cluster \"%s\" must be a list (\"- {prefix: ..., rate: ...}\" lines), not "
		    "%s",
		    in->c->opt.name, yaml_kind_text(list));
	if (list->n > CLUSTER_MAX_LIMITS)
		return section_bad(in->r, list->at, "limits of cluster \"%s\": %zu are more than %d",
				   in->c->opt.name, list->n, CLUSTER_MAX_LIMITS);
	in->c->limits = mem_zalloc(list->n, sizeof(*in->c->limits));
	for (const struct yaml_node *v = list->first; v != NULL && err == ERR_OK; v = v->next)
		err = take_limit(in, v);
	return err;
}

/* --- the cluster ---------------------------------------------------------------------------------------- */

/* A cluster is called by its name in messages, as soon as it has one. */
static void
put_cluster_path(const struct yaml_node *node, struct buf *out)
{
	const struct yaml_node *name = yaml_get(node, "name");

	if (name == NULL || name->kind != YAML_TEXT || yaml_is_nothing(name))
		buf_put_str(out, "a cluster");
	else
		buf_printf(out, "cluster \"%.*s\"", SPAN_FMT(span_first(name->text, 64)));
}

err_t
cluster_read(struct cluster *c, const struct section_file *r, struct section *f, struct buf *path,
	     const struct yaml_node *node)
{
	static const char *const extra[] = {"servers", "pools", "limits"};
	struct reader in = {.r = r, .c = c};
	err_t err;

	option_defaults(f->table, &c->opt);
	put_cluster_path(node, path);
	f->path = buf_str(path);
	f->base = &c->opt;
	if (yaml_is_nothing(node))
		return section_bad(r, node->at,
				   "a cluster in clusters has no value; give it a name and servers");
	err = section_read(f, r, node, extra, sizeof(extra) / sizeof(extra[0]));
	if (err == ERR_OK)
		err = check_cluster(r, f, &c->opt);
	if (err == ERR_OK)
		err = take_pools(&in, node);
	if (err == ERR_OK)
		err = take_limits(&in, yaml_get(node, "limits"));
	if (err == ERR_OK)
		cluster_gather_servers(c);
	free(in.pools);
	return err;
}
