#include "lib/core/log.h"
#include "lib/route/ring_inside.h"

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
	if (r->prefix.len > 0) {
		buf_put_str(out, "hashed before the key: ");
		log_escape(out, r->prefix);
		buf_putc(out, '\n');
	}
	if (r->salt.len > 0) {
		buf_put_str(out, "hashed behind the key: ");
		log_escape(out, r->salt);
		buf_putc(out, '\n');
	}
	if (r->hash != NULL) {
		hash = twemproxy ? ring_twemproxy_hash(r, key) : r->hash->of(key);
		buf_printf(out, "hash: %s = %0*llx\n", r->hash->name, a->id == ALGORITHM_JUMP ? 16 : 8,
			   (unsigned long long)hash);
	}
	buf_printf(out, "distribution: %s", a->name);
	switch (a->id) {
	case ALGORITHM_MODULA:
	case ALGORITHM_SPYMEMCACHED_MODULA:
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
	case ALGORITHM_SPYMEMCACHED:
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
	else if (r->hash != NULL && r->circle.n > 0)
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
		buf_printf(out, " (the namespace is %shashed)\n", r->prefix.len > 0 ? "" : "not ");
	}
}
