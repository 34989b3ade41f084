#include "lib/conf/topology.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/check.h"
#include "lib/conf/cluster.h"
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
#define option_owner struct pool_options
static const struct option_row pool_rows[] = {OPTION_ROWS(POOL_OPTIONS)};
#undef option_owner
#define option_owner struct server_options
static const struct option_row server_rows[] = {OPTION_ROWS(SERVER_OPTIONS)};
#undef option_owner
#define option_owner struct limit_options
static const struct option_row limit_rows[] = {OPTION_ROWS(LIMIT_OPTIONS)};
#undef option_owner

#define FITS(t) _Static_assert(sizeof(t) / sizeof((t)[0]) <= SECTION_MAX_ROWS, "raise SECTION_MAX_ROWS")
FITS(log_rows);
FITS(source_rows);
FITS(markers_rows);
FITS(squeal_rows);
FITS(router_rows);
FITS(cluster_rows);
FITS(pool_rows);
FITS(server_rows);
FITS(limit_rows);

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
    [TOPOLOGY_POOL] =
	{.name = "clusters[].pools[]",
	 .help = "servers that share the keys with certain prefixes; `servers` of the cluster itself is a "
		 "pool \"default\" with the cluster's settings",
	 TABLE(pool_rows, struct pool_options)},
    [TOPOLOGY_SERVER] = {.name = "clusters[].servers[]",
			 .help = "one memcached server; host:port, /path/of/a/socket, or a mapping",
			 TABLE(server_rows, struct server_options)},
    [TOPOLOGY_LIMIT] = {.name = "clusters[].limits[]",
			.help = "a limit on the rate of deletes of certain keys",
			TABLE(limit_rows, struct limit_options)},
};

enum { MAX_CLUSTERS = 1000 };

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

/* --- clusters ----------------------------------------------------------------------------------- */

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
	struct cluster *c = &t->clusters[t->nclusters++];
	struct section f = {.table = &sections[TOPOLOGY_CLUSTER]};
	struct buf path = BUF_INIT;
	err_t err = cluster_read(c, r, &f, &path, node);

	if (err == ERR_OK)
		err = check_unique(r, &f, t);
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
	path_resolve(&t->log.path, folder);
	path_resolve(&t->log.state, folder);
	path_resolve(&t->source.socket, folder);
	path_resolve(&t->source.password_file, folder);
	path_resolve(&t->source.tls_ca, folder);
	path_resolve(&t->source.tls_cert, folder);
	path_resolve(&t->source.tls_key, folder);
	path_resolve(&t->markers.rules, folder);
	path_resolve(&t->squeal.spill_dir, folder);
	path_resolve(&t->router.trace_file, folder);
	for (size_t i = 0; i < t->nclusters; i++)
		cluster_resolve(&t->clusters[i], folder);
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
	for (size_t i = 0; i < t->nclusters; i++)
		cluster_fini(&t->clusters[i]);
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
reload_clusters(struct topology *t, const struct topology *fresh, topology_change_fn *fn, void *arg)
{
	for (size_t i = 0; i < fresh->nclusters; i++) {
		const struct cluster *b = &fresh->clusters[i];
		struct cluster *a = (struct cluster *)topology_cluster(t, b->opt.name);

		if (a == NULL)
			fn(arg, "clusters", b->opt.name, false);
		else if (a != b)
			cluster_reload(a, b, fn, arg);
	}
	for (size_t i = 0; i < t->nclusters; i++) {
		if (topology_cluster(fresh, t->clusters[i].opt.name) == NULL)
			fn(arg, "clusters", t->clusters[i].opt.name, false);
	}
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
				option_copy(row, section_base(t, i), section_base(fresh, i));
			fn(arg, sections[i].name, row->name, row->reload);
		}
	}
	reload_clusters(t, fresh, fn, arg);
}

void
topology_cursor_path(const struct topology *t, const struct cluster *c, struct buf *out)
{
	if (c->opt.cursors[0] != '\0')
		buf_put_str(out, c->opt.cursors);
	else
		buf_printf(out, "%s.%s.cursors", t->log.path, c->opt.name);
}
