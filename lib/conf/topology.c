#include "lib/conf/topology.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/check.h"
#include "lib/conf/host.h"
#include "lib/conf/section.h"
#include "lib/conf/yaml.h"
#include "lib/core/file.h"
#include "lib/core/mem.h"

/* --- the tables as rows -------------------------------------------------------------------------- */

#define option_owner struct region_options
static const struct option_row region_rows[] = {OPTION_ROWS(REGION_OPTIONS)};
#undef option_owner
#define option_owner struct log_options
static const struct option_row log_rows[] = {OPTION_ROWS(LOG_OPTIONS)};
#undef option_owner
#define option_owner struct source_options
static const struct option_row source_rows[] = {OPTION_ROWS(SOURCE_OPTIONS)};
#undef option_owner
#define option_owner struct markers_options
static const struct option_row markers_rows[] = {OPTION_ROWS(MARKERS_OPTIONS)};
#undef option_owner
#define option_owner struct squeal_options
static const struct option_row squeal_rows[] = {OPTION_ROWS(SQUEAL_OPTIONS)};
#undef option_owner
#define option_owner struct router_options
static const struct option_row router_rows[] = {OPTION_ROWS(ROUTER_OPTIONS)};
#undef option_owner
#define option_owner struct cluster_options
static const struct option_row cluster_rows[] = {OPTION_ROWS(CLUSTER_OPTIONS)};
#undef option_owner
#define option_owner struct server_options
static const struct option_row server_rows[] = {OPTION_ROWS(SERVER_OPTIONS)};
#undef option_owner

#define FITS(t) _Static_assert(sizeof(t) / sizeof((t)[0]) <= SECTION_MAX_ROWS, "raise SECTION_MAX_ROWS")
FITS(log_rows);
FITS(source_rows);
FITS(markers_rows);
FITS(squeal_rows);
FITS(router_rows);
FITS(cluster_rows);
FITS(server_rows);

#define TABLE(t, type) .rows = (t), .nrows = sizeof(t) / sizeof((t)[0]), .size = sizeof(type)

static const struct option_section sections[TOPOLOGY_NSECTIONS] = {
    [TOPOLOGY_TOP] = {.name = "top level",
		      .help = "where this file applies",
		      TABLE(region_rows, struct region_options)},
    [TOPOLOGY_LOG] = {.name = "log",
		      .help = "the durable log between squeal and the routers",
		      TABLE(log_rows, struct log_options)},
    [TOPOLOGY_SOURCE] = {.name = "source",
			 .help = "the database whose binlog is followed",
			 TABLE(source_rows, struct source_options)},
    [TOPOLOGY_MARKERS] = {.name = "markers",
			  .help = "how keys are found in SQL",
			  TABLE(markers_rows, struct markers_options)},
    [TOPOLOGY_SQUEAL] = {.name = "squeal",
			 .help = "the daemon squeal",
			 TABLE(squeal_rows, struct squeal_options)},
    [TOPOLOGY_ROUTER] = {.name = "router",
			 .help = "squeal-router, the same for every cluster",
			 TABLE(router_rows, struct router_options)},
    [TOPOLOGY_CLUSTER] = {.name = "clusters[]",
			  .help = "one memcached fleet and how its clients use it",
			  TABLE(cluster_rows, struct cluster_options)},
    [TOPOLOGY_SERVER] = {.name = "clusters[].servers[]",
			 .help = "one memcached server; host:port, /path/of/a/socket, or a mapping",
			 TABLE(server_rows, struct server_options)},
};

enum { MAX_CLUSTERS = 1000, MAX_SERVERS = 4096 };

const struct option_section *
topology_sections(size_t *n)
{
	*n = TOPOLOGY_NSECTIONS;
	return sections;
}

static void *
section_base(const struct topology *t, int which)
{
	switch (which) {
	case TOPOLOGY_TOP:
		return (void *)&t->region;
	case TOPOLOGY_LOG:
		return (void *)&t->log;
	case TOPOLOGY_SOURCE:
		return (void *)&t->source;
	case TOPOLOGY_MARKERS:
		return (void *)&t->markers;
	case TOPOLOGY_SQUEAL:
		return (void *)&t->squeal;
	default:
		return (void *)&t->router;
	}
}

/* --- clusters and servers ------------------------------------------------------------------------ */

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
	       option_find(&sections[TOPOLOGY_SERVER], node->first->key) == NULL &&
	       span_u64(node->first->text, &port);
}

static err_t
take_server(const struct section_file *r, struct cluster *c, const struct yaml_node *node, const char *path)
{
	struct server_options *o = &c->servers[c->nservers];
	struct section f = {.table = &sections[TOPOLOGY_SERVER], .path = path, .base = o};
	err_t err;

	option_defaults(&sections[TOPOLOGY_SERVER], o);
	c->nservers++;
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
		err = check_server(r, &f, o, &c->opt);
	for (size_t i = 0; err == ERR_OK && i + 1 < c->nservers; i++) {
		if (strcmp(c->servers[i].host, o->host) == 0 && c->servers[i].port == o->port)
			err =
			    section_bad(r, node->at, "the server %s:%" PRIu64 " is in %s twice; keep it once",
					o->host, o->port, path);
	}
	return err;
}

static err_t
take_servers(const struct section_file *r, struct cluster *c, const struct yaml_node *node,
	     struct yaml_place at)
{
	struct buf path = BUF_INIT;
	err_t err = ERR_OK;

	buf_printf(&path, "servers of cluster \"%.64s\"", c->opt.name);
	if (node == NULL || yaml_is_nothing(node) || (node->kind == YAML_LIST && node->n == 0)) {
		err = section_bad(r, node != NULL ? node->at : at,
				  "%s are missing; list them as \"- host:port\"", buf_str(&path));
	} else if (node->kind != YAML_LIST) {
		err = section_bad(r, node->at, "%s must be a list (\"- host:port\" lines), not %s",
				  buf_str(&path), yaml_kind_text(node));
	} else if (node->n > MAX_SERVERS) {
		err = section_bad(r, node->at, "%s: %zu are more than 4096; split the cluster",
				  buf_str(&path), node->n);
	} else {
		c->servers = mem_zalloc(node->n, sizeof(*c->servers));
		for (const struct yaml_node *v = node->first; v != NULL && err == ERR_OK; v = v->next)
			err = take_server(r, c, v, buf_str(&path));
	}
	buf_fini(&path);
	return err;
}

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

static err_t
check_unique(const struct section_file *r, const struct section *f, const struct topology *t)
{
	const struct cluster *c = &t->clusters[t->nclusters - 1];

	for (const struct cluster *other = t->clusters; other < c; other++) {
		if (strcmp(other->opt.name, c->opt.name) == 0)
			return section_bad(r, section_place(f, "name"),
					   "there are two clusters \"%s\"; give each a name of its own",
					   c->opt.name);
		if (c->opt.cursors[0] != '\0' && strcmp(other->opt.cursors, c->opt.cursors) == 0)
			return section_bad(
			    r, section_place(f, "cursors"),
			    "the clusters \"%s\" and \"%s\" cannot share the cursors file \"%.80s\"; "
			    "give each its own",
			    other->opt.name, c->opt.name, c->opt.cursors);
	}
	return ERR_OK;
}

static err_t
take_cluster(const struct section_file *r, struct topology *t, const struct yaml_node *node)
{
	static const char *const extra[] = {"servers"};
	struct cluster *c = &t->clusters[t->nclusters];
	struct section f = {.table = &sections[TOPOLOGY_CLUSTER], .base = &c->opt};
	struct buf path = BUF_INIT;
	err_t err;

	option_defaults(&sections[TOPOLOGY_CLUSTER], &c->opt);
	t->nclusters++;
	put_cluster_path(node, &path);
	f.path = buf_str(&path);
	if (yaml_is_nothing(node)) {
		err = section_bad(r, node->at,
				  "a cluster in clusters has no value; give it a name and servers");
		goto done;
	}
	err = section_read(&f, r, node, extra, 1);
	if (err == ERR_OK)
		err = check_cluster(r, &f, &c->opt);
	if (err == ERR_OK)
		err = check_unique(r, &f, t);
	if (err == ERR_OK)
		err = take_servers(r, c, yaml_get(node, "servers"), node->at);
done:
	buf_fini(&path);
	return err;
}

static err_t
take_clusters(const struct section_file *r, struct topology *t, const struct yaml_node *node)
{
	err_t err = ERR_OK;

	if (node == NULL || yaml_is_nothing(node))
		return ERR_OK;
	if (node->kind != YAML_LIST)
		return section_bad(r, node->at, "clusters must be a list (\"- name: ...\" lines), not %s",
				   yaml_kind_text(node));
	if (node->n > MAX_CLUSTERS)
		return section_bad(r, node->at, "%zu clusters are more than 1000; this cannot be meant",
				   node->n);
	t->clusters = mem_zalloc(node->n, sizeof(*t->clusters));
	for (const struct yaml_node *v = node->first; v != NULL && err == ERR_OK; v = v->next)
		err = take_cluster(r, t, v);
	return err;
}

/* --- the whole file ------------------------------------------------------------------------------ */

static err_t
take_all(const struct section_file *r, struct topology *t, const struct yaml_node *root)
{
	static const char *const extra[] = {"log", "source", "markers", "squeal", "router", "clusters"};
	struct section found[TOPOLOGY_CLUSTER] = {{0}};
	err_t err = ERR_OK;

	if (yaml_is_nothing(root))
		return section_bad(
		    r, root->at,
		    "the file is empty; it needs at least \"log: {path: /var/lib/squeal/log.db}\"");
	for (int i = TOPOLOGY_TOP; i < TOPOLOGY_CLUSTER && err == ERR_OK; i++) {
		found[i] = (struct section){.table = &sections[i],
					    .path = i == TOPOLOGY_TOP ? "the file" : sections[i].name,
					    .base = section_base(t, i)};
		if (i == TOPOLOGY_TOP)
			err = section_read(&found[i], r, root, extra, sizeof(extra) / sizeof(extra[0]));
		else
			err = section_read(&found[i], r, yaml_get(root, sections[i].name), NULL, 0);
	}
	if (err == ERR_OK)
		err = check_region(r, &found[TOPOLOGY_TOP], &t->region);
	if (err == ERR_OK)
		err = check_log(r, &found[TOPOLOGY_LOG], &t->log);
	if (err == ERR_OK)
		err = check_source(r, &found[TOPOLOGY_SOURCE], &t->source);
	if (err == ERR_OK)
		err = check_markers(r, &found[TOPOLOGY_MARKERS], &t->markers);
	if (err == ERR_OK)
		err = check_squeal(r, &found[TOPOLOGY_SQUEAL], &t->squeal);
	if (err == ERR_OK)
		err = check_router(r, &found[TOPOLOGY_ROUTER], &t->router);
	return err == ERR_OK ? take_clusters(r, t, yaml_get(root, "clusters")) : err;
}

err_t
topology_parse(struct topology **out, struct span yaml, const char *name, struct err_detail *why)
{
	struct topology *t = MEM_NEW(struct topology);
	struct section_file r = {.name = name, .why = why};
	struct yaml *tree = NULL;
	err_t err;

	*out = NULL;
	for (int i = TOPOLOGY_TOP; i < TOPOLOGY_CLUSTER; i++)
		option_defaults(&sections[i], section_base(t, i));
	err = yaml_create(&tree, yaml, name, why);
	if (err == ERR_OK)
		err = take_all(&r, t, yaml_root(tree));
	if (err == ERR_OK) {
		*out = t;
		t = NULL;
	} else {
		err_one_line(why);
	}
	yaml_destroy(&tree);
	topology_destroy(&t);
	return err;
}

/* `folder` ends in "/" or is empty. */
static void
resolve(char **path, struct span folder)
{
	struct buf whole = BUF_INIT;

	if ((*path)[0] == '\0' || (*path)[0] == '/' || folder.len == 0)
		return;
	buf_put_span(&whole, folder);
	buf_put_str(&whole, *path);
	free(*path);
	*path = span_dup(buf_span(&whole));
	buf_fini(&whole);
}

err_t
topology_load(struct topology **out, const char *path, struct err_detail *why)
{
	const char *slash = strrchr(path, '/');
	struct span folder = span_first(span_of(path), slash != NULL ? (size_t)(slash - path) + 1 : 0);
	struct buf text = BUF_INIT;
	struct topology *t = NULL;
	err_t err;

	*out = NULL;
	err = file_read(path, YAML_MAX_BYTES, &text, why);
	if (err == ERR_OK)
		err = topology_parse(&t, buf_span(&text), path, why);
	if (err != ERR_OK)
		goto done;
	resolve(&t->log.path, folder);
	resolve(&t->log.state, folder);
	resolve(&t->source.socket, folder);
	resolve(&t->source.password_file, folder);
	resolve(&t->source.tls_ca, folder);
	resolve(&t->source.tls_cert, folder);
	resolve(&t->source.tls_key, folder);
	resolve(&t->markers.rules, folder);
	resolve(&t->squeal.spill_dir, folder);
	resolve(&t->router.trace_file, folder);
	for (size_t i = 0; i < t->nclusters; i++)
		resolve(&t->clusters[i].opt.cursors, folder);
	*out = t;
done:
	buf_fini(&text);
	return err;
}

void
topology_destroy(struct topology **tp)
{
	struct topology *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->nclusters; i++) {
		struct cluster *c = &t->clusters[i];

		for (size_t j = 0; j < c->nservers; j++)
			option_fini(&sections[TOPOLOGY_SERVER], &c->servers[j]);
		free(c->servers);
		option_fini(&sections[TOPOLOGY_CLUSTER], &c->opt);
	}
	free(t->clusters);
	for (int i = TOPOLOGY_TOP; i < TOPOLOGY_CLUSTER; i++)
		option_fini(&sections[i], section_base(t, i));
	free(t);
}

const struct cluster *
topology_cluster(const struct topology *t, const char *name)
{
	for (size_t i = 0; i < t->nclusters; i++) {
		if (strcmp(t->clusters[i].opt.name, name) == 0)
			return &t->clusters[i];
	}
	return NULL;
}

void
topology_server_address(const struct server_options *s, struct buf *out)
{
	if (s->connect[0] != '\0')
		buf_put_str(out, s->connect);
	else if (s->host[0] == '/')
		buf_put_str(out, s->host);
	else
		buf_printf(out, strchr(s->host, ':') != NULL ? "[%s]:%" PRIu64 : "%s:%" PRIu64, s->host,
			   s->port);
}

/* --- reload -------------------------------------------------------------------------------------- */

static void
copy_value(const struct option_row *row, void *to, const void *from)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};

	option_print(row, from, &text);
	if (option_set(row, to, buf_span(&text), &why) != ERR_OK)
		abort(); /* what is printed can be parsed: lib/core/test/test_option.c */
	buf_fini(&text);
}

static bool
same_servers(const struct cluster *a, const struct cluster *b)
{
	if (a->nservers != b->nservers)
		return false;
	for (size_t i = 0; i < a->nservers; i++) {
		for (size_t j = 0; j < sections[TOPOLOGY_SERVER].nrows; j++) {
			if (!option_same(&sections[TOPOLOGY_SERVER].rows[j], &a->servers[i], &b->servers[i]))
				return false;
		}
	}
	return true;
}

static void
compare_clusters(const struct topology *t, const struct topology *fresh, topology_change_fn *fn, void *arg)
{
	struct buf section = BUF_INIT;

	for (size_t i = 0; i < fresh->nclusters; i++) {
		const struct cluster *b = &fresh->clusters[i];
		const struct cluster *a = topology_cluster(t, b->opt.name);

		if (a == NULL) {
			fn(arg, "clusters", b->opt.name, false);
			continue;
		}
		buf_clear(&section);
		buf_printf(&section, "clusters[%s]", b->opt.name);
		for (size_t j = 0; j < sections[TOPOLOGY_CLUSTER].nrows; j++) {
			if (!option_same(&sections[TOPOLOGY_CLUSTER].rows[j], &a->opt, &b->opt))
				fn(arg, buf_str(&section), sections[TOPOLOGY_CLUSTER].rows[j].name, false);
		}
		if (!same_servers(a, b))
			fn(arg, buf_str(&section), "servers", false);
	}
	for (size_t i = 0; i < t->nclusters; i++) {
		if (topology_cluster(fresh, t->clusters[i].opt.name) == NULL)
			fn(arg, "clusters", t->clusters[i].opt.name, false);
	}
	buf_fini(&section);
}

void
topology_reload(struct topology *t, const struct topology *fresh, topology_change_fn *fn, void *arg)
{
	for (int i = TOPOLOGY_TOP; i < TOPOLOGY_CLUSTER; i++) {
		for (size_t j = 0; j < sections[i].nrows; j++) {
			const struct option_row *row = &sections[i].rows[j];

			if (option_same(row, section_base(t, i), section_base(fresh, i)))
				continue;
			if (row->reload)
				copy_value(row, section_base(t, i), section_base(fresh, i));
			fn(arg, sections[i].name, row->name, row->reload);
		}
	}
	compare_clusters(t, fresh, fn, arg);
}
