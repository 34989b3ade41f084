/* Clusters after they were read: copied, compared, taken over, written, freed. */
#include <stdlib.h>
#include <string.h>

#include "lib/conf/algorithm.h"
#include "lib/conf/cluster.h"
#include "lib/core/json.h"
#include "lib/core/mem.h"

static const struct option_section *
table(int which)
{
	size_t n;

	return &topology_sections(&n)[which];
}

/* --- memory --------------------------------------------------------------------------------------------- */

static void
pool_fini(struct pool *p)
{
	for (size_t i = 0; i < p->nservers; i++)
		option_fini(table(TOPOLOGY_SERVER), &p->servers[i]);
	free(p->servers);
	option_fini(table(TOPOLOGY_POOL), &p->opt);
}

static void
free_pools(struct pool *pools, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pool_fini(&pools[i]);
	free(pools);
}

static void
free_limits(struct limit_options *limits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		option_fini(table(TOPOLOGY_LIMIT), &limits[i]);
	free(limits);
}

void
cluster_fini(struct cluster *c)
{
	free_pools(c->pools, c->npools);
	free_limits(c->limits, c->nlimits);
	free(c->servers);
	option_fini(table(TOPOLOGY_CLUSTER), &c->opt);
}

void
cluster_gather_servers(struct cluster *c)
{
	size_t room = 0;

	for (size_t i = 0; i < c->npools; i++)
		room += c->pools[i].nservers;
	free(c->servers);
	c->servers = mem_zalloc(room, sizeof(*c->servers));
	c->nservers = 0;
	for (size_t i = 0; i < c->npools; i++) {
		for (size_t j = 0; j < c->pools[i].nservers; j++) {
			const struct server_options *o = &c->pools[i].servers[j];
			bool known = false;

			for (size_t k = 0; i > 0 && k < c->nservers && !known; k++)
				known =
				    c->servers[k].port == o->port && strcmp(c->servers[k].host, o->host) == 0;
			if (!known)
				c->servers[c->nservers++] = *o;
		}
	}
}

static void
copy_options(const struct option_section *s, void *to, const void *from)
{
	option_defaults(s, to);
	for (size_t i = 0; i < s->nrows; i++)
		option_copy(&s->rows[i], to, from);
}

static void
pool_copy(struct pool *to, const struct pool *from)
{
	copy_options(table(TOPOLOGY_POOL), &to->opt, &from->opt);
	to->nservers = from->nservers;
	to->servers = mem_zalloc(from->nservers, sizeof(*to->servers));
	for (size_t i = 0; i < from->nservers; i++)
		copy_options(table(TOPOLOGY_SERVER), &to->servers[i], &from->servers[i]);
}

static void
copy_pools_and_limits(struct cluster *to, const struct cluster *from)
{
	to->npools = from->npools;
	to->pools = mem_zalloc(from->npools, sizeof(*to->pools));
	for (size_t i = 0; i < from->npools; i++)
		pool_copy(&to->pools[i], &from->pools[i]);
	to->nlimits = from->nlimits;
	to->limits = mem_zalloc(from->nlimits, sizeof(*to->limits));
	for (size_t i = 0; i < from->nlimits; i++)
		copy_options(table(TOPOLOGY_LIMIT), &to->limits[i], &from->limits[i]);
}

void
cluster_copy(struct cluster *to, const struct cluster *from)
{
	*to = (struct cluster){0};
	copy_options(table(TOPOLOGY_CLUSTER), &to->opt, &from->opt);
	copy_pools_and_limits(to, from);
	cluster_gather_servers(to);
}

void
path_resolve(char **path, struct span folder)
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

void
cluster_resolve(struct cluster *c, struct span folder)
{
	path_resolve(&c->opt.cursors, folder);
	path_resolve(&c->opt.tls_ca, folder);
	path_resolve(&c->opt.tls_cert, folder);
	path_resolve(&c->opt.tls_key, folder);
	path_resolve(&c->opt.auth_file, folder);
	for (size_t i = 0; i < c->npools; i++) {
		struct pool_options *o = &c->pools[i].opt;

		path_resolve(&o->tls_ca, folder);
		path_resolve(&o->tls_cert, folder);
		path_resolve(&o->tls_key, folder);
		path_resolve(&o->auth_file, folder);
	}
}

/* --- reload --------------------------------------------------------------------------------------------- */

static const struct pool *
find_pool(const struct cluster *c, const char *name)
{
	for (size_t i = 0; i < c->npools; i++) {
		if (strcmp(c->pools[i].opt.name, name) == 0)
			return &c->pools[i];
	}
	return NULL;
}

static bool
same_rows(const struct option_section *s, const void *a, const void *b)
{
	for (size_t i = 0; i < s->nrows; i++) {
		if (!option_same(&s->rows[i], a, b))
			return false;
	}
	return true;
}

static bool
same_servers(const struct pool *a, const struct pool *b)
{
	if (a->nservers != b->nservers)
		return false;
	for (size_t i = 0; i < a->nservers; i++) {
		if (!same_rows(table(TOPOLOGY_SERVER), &a->servers[i], &b->servers[i]))
			return false;
	}
	return true;
}

static bool
same_limits(const struct cluster *a, const struct cluster *b)
{
	if (a->nlimits != b->nlimits)
		return false;
	for (size_t i = 0; i < a->nlimits; i++) {
		if (!same_rows(table(TOPOLOGY_LIMIT), &a->limits[i], &b->limits[i]))
			return false;
	}
	return true;
}

/* The same pools in the same order? */
static bool
same_pool_names(const struct cluster *a, const struct cluster *b)
{
	if (a->npools != b->npools)
		return false;
	for (size_t i = 0; i < a->npools; i++) {
		if (strcmp(a->pools[i].opt.name, b->pools[i].opt.name) != 0)
			return false;
	}
	return true;
}

/* *to is a copy of `fresh`; what cannot be taken goes back to what `old` has. */
static void
reload_pool(struct pool *to, const struct pool *old, const struct pool *fresh, const char *cluster,
	    topology_change_fn *fn, void *arg)
{
	const struct option_section *s = table(TOPOLOGY_POOL);
	struct buf section = BUF_INIT;

	buf_printf(&section, "clusters[%s].pools[%s]", cluster, fresh->opt.name);
	for (size_t i = 0; i < s->nrows; i++) {
		if (option_same(&s->rows[i], &old->opt, &fresh->opt))
			continue;
		fn(arg, buf_str(&section), s->rows[i].name, s->rows[i].reload);
		if (!s->rows[i].reload)
			option_copy(&s->rows[i], &to->opt, &old->opt);
	}
	if (!same_servers(old, fresh))
		fn(arg, buf_str(&section), "servers", true);
	buf_fini(&section);
}

void
cluster_reload(struct cluster *c, const struct cluster *fresh, topology_change_fn *fn, void *arg)
{
	const struct option_section *s = table(TOPOLOGY_CLUSTER);
	struct cluster old = *c;
	struct buf section = BUF_INIT;

	buf_printf(&section, "clusters[%s]", c->opt.name);
	for (size_t i = 0; i < s->nrows; i++) {
		if (option_same(&s->rows[i], &c->opt, &fresh->opt))
			continue;
		if (s->rows[i].reload)
			option_copy(&s->rows[i], &c->opt, &fresh->opt);
		fn(arg, buf_str(&section), s->rows[i].name, s->rows[i].reload);
	}
	if (!same_pool_names(&old, fresh))
		fn(arg, buf_str(&section), "pools", true);
	copy_pools_and_limits(c, fresh);
	for (size_t i = 0; i < fresh->npools; i++) {
		const struct pool *before = find_pool(&old, fresh->pools[i].opt.name);

		if (before != NULL)
			reload_pool(&c->pools[i], before, &fresh->pools[i], c->opt.name, fn, arg);
	}
	if (!same_limits(&old, fresh))
		fn(arg, buf_str(&section), "limits", true);
	free_pools(old.pools, old.npools);
	free_limits(old.limits, old.nlimits);
	cluster_gather_servers(c);
	buf_fini(&section);
}

/* --- the ring as text ----------------------------------------------------------------------------------- */

/* JSON is YAML. */
static void
put_lines(struct json *j, const char *name, const char *lines)
{
	struct span rest = span_of(lines), line;

	json_name(j, name);
	json_array(j);
	while (option_line(&rest, &line))
		json_span(j, line);
	json_array_end(j);
}

static void
put_server(struct json *j, const struct server_options *o, bool reach)
{
	struct buf weight = BUF_INIT;

	option_print(option_find(table(TOPOLOGY_SERVER), SPAN_LIT("weight")), o, &weight);
	json_object(j);
	json_kv_str(j, "host", o->host);
	if (o->port != 0)
		json_kv_u64(j, "port", o->port);
	json_kv_str(j, "weight", buf_str(&weight));
	if (o->name[0] != '\0')
		json_kv_str(j, "name", o->name);
	if (reach && o->connect[0] != '\0')
		json_kv_str(j, "connect", o->connect);
	json_object_end(j);
	buf_fini(&weight);
}

/* Is the row part of the text?  What has no effect is not: it must not make a difference, nor be read again.
 */
static bool
is_ring_row(const char *name, const struct pool_options *o, bool reach)
{
	static const char *const ring[] = {"kind", "role", "distribution", "hash_stop", "namespace"};
	static const char *const security[] = {"tls_ca", "tls_cert", "tls_key"};
	const struct algorithm *a = algorithm_find(o->distribution);

	for (size_t i = 0; i < sizeof(ring) / sizeof(ring[0]); i++) {
		if (strcmp(ring[i], name) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(security) / sizeof(security[0]); i++) {
		if (strcmp(security[i], name) == 0)
			return reach && strcmp(o->tls, "off") != 0;
	}
	return (strcmp(name, "hash") == 0 && a->hashes[0] != '\0') ||
	       (strcmp(name, "hash_tag") == 0 && algorithm_takes(a, 'T')) ||
	       (strcmp(name, "salt") == 0 && algorithm_takes(a, 'S')) ||
	       (reach && (strcmp(name, "tls") == 0 || strcmp(name, "auth_file") == 0));
}

static void
put_pool(struct json *j, const struct pool *p, bool reach)
{
	const struct option_section *s = table(TOPOLOGY_POOL);

	json_object(j);
	json_kv_str(j, "name", p->opt.name);
	if (p->opt.prefixes[0] != '\0')
		put_lines(j, "prefixes", p->opt.prefixes);
	if (p->opt.stands_for[0] != '\0')
		put_lines(j, "stands_for", p->opt.stands_for);
	for (size_t i = 0; i < s->nrows; i++) {
		const char *const *value = (const void *)((const char *)&p->opt + s->rows[i].offset);

		if (is_ring_row(s->rows[i].name, &p->opt, reach) && (*value)[0] != '\0')
			json_kv_str(j, s->rows[i].name, *value);
	}
	json_name(j, "servers");
	json_array(j);
	for (size_t i = 0; i < p->nservers; i++)
		put_server(j, &p->servers[i], reach);
	json_array_end(j);
	json_object_end(j);
}

/* Letters beyond ASCII as escapes of YAML: some of them end a line there, or are not let in. */
static void
put_ascii(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.len;) {
		unsigned char c = (unsigned char)text.p[i];
		size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		uint32_t letter = n == 1 ? c : c & (0xffu >> (n + 1));

		for (size_t k = 1; k < n && i + k < text.len; k++)
			letter = letter << 6 | ((unsigned char)text.p[i + k] & 0x3f);
		if (n == 1)
			buf_putc(out, (char)c);
		else
			buf_printf(out, letter > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)letter);
		i += n;
	}
}

void
topology_ring_text(const struct cluster *c, bool reach, struct buf *out)
{
	struct buf text = BUF_INIT;
	struct json j;

	json_init(&j, &text);
	json_object(&j);
	json_name(&j, "log");
	json_object(&j);
	json_kv_str(&j, "path", "none");
	json_object_end(&j);
	json_name(&j, "clusters");
	json_array(&j);
	json_object(&j);
	json_kv_str(&j, "name", c->opt.name);
	if (c->opt.mcrouter_prefix[0] != '\0')
		json_kv_str(&j, "mcrouter_prefix", c->opt.mcrouter_prefix);
	json_name(&j, "pools");
	json_array(&j);
	for (size_t i = 0; i < c->npools; i++)
		put_pool(&j, &c->pools[i], reach);
	json_array_end(&j);
	json_object_end(&j);
	json_array_end(&j);
	json_object_end(&j);
	put_ascii(buf_span(&text), out);
	buf_fini(&text);
}
