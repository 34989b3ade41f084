#include "lib/route/ring.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/mem.h"
#include "lib/route/ketama.h"
#include "lib/route/keyhash.h"

struct ring {
	const struct cluster *cluster;
	struct keyhash *hash;
	struct ketama circle; /* empty for modula */
	bool modula;
	bool weighted;
	bool switched; /* "ketama", but a weight above 1 made it weighted */
};

err_t
ring_create(struct ring **out, const struct cluster *cluster, struct err_detail *why)
{
	const char *distribution = cluster->opt.distribution;
	struct ring *r = MEM_NEW(struct ring);
	err_t err;

	*out = NULL;
	r->cluster = cluster;
	r->modula = strcmp(distribution, "modula") == 0;
	r->weighted = strcmp(distribution, "ketama_weighted") == 0;
	if (cluster->nservers == 0) {
		err = err_set(why, ERR_CONFIG, "cluster \"%s\" has no servers; list them under servers",
			      cluster->opt.name);
		goto done;
	}
	if (!r->modula && !r->weighted && strcmp(distribution, "ketama") != 0) {
		err = err_set(why, ERR_CONFIG, "there is no distribution \"%s\"", distribution);
		goto done;
	}
	err = keyhash_create(&r->hash, r->weighted ? "md5" : cluster->opt.hash, why);
	if (err != ERR_OK)
		goto done;
	for (size_t i = 0; i < cluster->nservers; i++) {
		if (!r->modula && !r->weighted && cluster->servers[i].weight > 1)
			r->switched = true;
	}
	if (!r->modula)
		ketama_init(&r->circle, cluster->servers, cluster->nservers, r->weighted || r->switched,
			    r->hash);
	*out = r;
	r = NULL;
done:
	ring_destroy(&r);
	return err;
}

void
ring_destroy(struct ring **r)
{
	if (*r == NULL)
		return;
	ketama_fini(&(*r)->circle);
	keyhash_destroy(&(*r)->hash);
	free(*r);
	*r = NULL;
}

size_t
ring_route(struct ring *r, struct span key)
{
	const struct ketama_point *point;

	if (r->cluster->nservers == 1)
		return 0;
	if (r->modula)
		return keyhash_of(r->hash, key) % r->cluster->nservers;
	point = ketama_find(&r->circle, keyhash_of(r->hash, key));
	return point != NULL ? point->server : 0;
}

void
ring_server_name(const struct server_options *server, struct buf *out)
{
	buf_printf(out, "%s:%u", server->host, (unsigned)server->port);
}

void
ring_explain(struct ring *r, struct span key, struct buf *out)
{
	const struct cluster_options *opt = &r->cluster->opt;
	size_t index = ring_route(r, key);
	const struct server_options *server = &r->cluster->servers[index];
	uint32_t hash = keyhash_of(r->hash, key);

	buf_put_str(out, "key: ");
	log_escape(out, key);
	buf_printf(out, "\ncluster: %s\nserver: ", opt->name);
	ring_server_name(server, out);
	buf_printf(out, "\nindex: %zu of %zu\n", index, r->cluster->nservers);
	if (server->connect[0] != '\0')
		buf_printf(out, "connect: %s\n", server->connect);
	if (opt->namespace[0] != '\0') {
		buf_put_str(out, "sent as: ");
		buf_put_str(out, opt->namespace);
		log_escape(out, key);
		buf_put_str(out, " (the namespace is not hashed)\n");
	}
	buf_printf(out, "hash: %s = %08x\n", keyhash_name(r->hash), hash);
	if (r->modula) {
		buf_printf(out, "distribution: modula: %u %% %zu = %zu\n", hash, r->cluster->nservers, index);
		return;
	}
	buf_printf(out, "distribution: %s, %s, %zu points\n", opt->distribution,
		   r->weighted ? "keys and points by md5, points shared by weight"
		   : r->switched
		       ? "points by md5, shared by weight (libmemcached switches when a weight is above 1)"
		       : "100 points per server",
		   r->circle.n);
	if (r->cluster->nservers == 1) {
		buf_put_str(out, "point: none: the only server has every key\n");
		return;
	}
	if (ketama_find(&r->circle, hash) != NULL)
		buf_printf(out, "point: %08x%s\n", ketama_find(&r->circle, hash)->at,
			   ketama_find(&r->circle, hash)->at < hash
			       ? " (behind the last point comes the first)"
			       : "");
}
