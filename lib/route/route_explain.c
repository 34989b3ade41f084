/* Where a key goes, and why, for people and for programs. */
#include <string.h>

#include "lib/core/log.h"
#include "lib/route/route_inside.h"

static const char *
generation_word(size_t i)
{
	return i == 0 ? "" : "not sealed: ";
}

static void
put_reason(const struct route_choice *c, const struct route_pool *p, struct buf *out)
{
	switch (c->reason) {
	case ROUTE_BY_NAME:
		buf_put_str(out, "named by the transaction");
		break;
	case ROUTE_BY_PREFIX:
		buf_put_str(out, "prefix ");
		log_escape(out, c->prefix);
		break;
	case ROUTE_BY_REST:
		buf_put_str(out, "takes what no other pool takes");
		break;
	case ROUTE_NOWHERE:
		buf_put_str(out, "no pool takes it");
		break;
	}
	if (p != NULL && strcmp(p->conf->opt.role, "main") != 0)
		buf_printf(out, ", %s", p->conf->opt.role);
	if (c->unknown)
		buf_put_str(out, "; the pool that was named does not exist");
}

static void
put_action(const struct route_pool *p, struct buf *out)
{
	if (p->action == ROUTE_STALE)
		buf_printf(out, "stale for %us", (unsigned)(p->stale_ms / 1000));
	else if (p->holdoff_ms > 0)
		buf_printf(out, "delete, no fill for %ums", (unsigned)p->holdoff_ms);
	else
		buf_put_str(out, "delete");
}

/* Without its first line, the key. */
static void
put_ring_lines(const struct ring *ring, struct span hashed, struct buf *out)
{
	struct buf text = BUF_INIT;
	struct span rest, line;

	ring_explain(ring, hashed, &text);
	rest = buf_span(&text);
	while (option_line(&rest, &line)) {
		if (span_starts(line, SPAN_LIT("key: ")))
			continue;
		buf_put_span(out, line);
		buf_putc(out, '\n');
	}
	buf_fini(&text);
}

/* One pool's part: the servers, and how they were found. */
static void
explain_pool(const struct route *r, const struct route_pool *p, struct span key, struct buf *out)
{
	struct span hashed = route_pool_hashed(p, key);

	buf_put_str(out, "action: ");
	put_action(p, out);
	buf_putc(out, '\n');
	if (hashed.len < key.len) {
		buf_put_str(out, "hashed: ");
		log_escape(out, hashed);
		buf_put_str(out, " (what stands before |#|)\n");
	}
	if (p->prefix.len > 0) {
		buf_put_str(out, "sent as: ");
		log_escape(out, p->prefix);
		log_escape(out, key);
		buf_put_str(out, " (the namespace is not hashed)\n");
	}
	if (p->ring != NULL) {
		const struct route_server *s = &r->servers[p->servers[ring_route(p->ring, hashed)]];

		put_ring_lines(p->ring, hashed, out);
		if (s->opt->connect[0] != '\0')
			buf_printf(out, "connect: %s\n", s->opt->connect);
		return;
	}
	for (size_t i = 0; i < p->conf->nservers; i++)
		buf_printf(out, "server: %s (%zu of %zu, replicated)\n", r->servers[p->servers[i]].name,
			   i + 1, p->conf->nservers);
}

static void
explain_generation(const struct route *r, size_t i, struct span key, struct span pool, struct buf *out)
{
	const struct generation *g = &r->gens[i];
	struct span sent = key;
	struct route_choice choice;
	const struct route_pool *p;

	if (!generation_strip(g, &sent, &pool)) {
		buf_printf(out, "%spool: none: the key is for another region or cluster\n",
			   generation_word(i));
		return;
	}
	if (sent.len < key.len) {
		buf_put_str(out, "without routing prefix: ");
		log_escape(out, sent);
		buf_putc(out, '\n');
	}
	choice = generation_choose(g, sent, pool);
	p = choice.pool != ROUTE_NO_POOL ? &g->pools[choice.pool] : NULL;
	buf_printf(out, "%spool: %s (", generation_word(i), p != NULL ? p->conf->opt.name : "none");
	put_reason(&choice, p, out);
	buf_put_str(out, ")\n");
	if (p == NULL)
		return;
	explain_pool(r, p, sent, out);
	for (size_t e = 0; e < p->nextras; e++) {
		const struct route_pool *extra = &g->pools[p->extras[e]];

		buf_printf(out, "%spool: %s (%s of %s)\n", generation_word(i), extra->conf->opt.name,
			   extra->conf->opt.role, p->conf->opt.name);
		explain_pool(r, extra, sent, out);
	}
}

static void
put_limit(const struct route *r, const struct route_answer *a, struct buf *out)
{
	if (a->n > 0 && a->hops[0].limit > 0)
		buf_printf(out, "limit: %llu keys/s and server\n",
			   (unsigned long long)route_limit(r, a->hops[0].limit - 1));
}

void
route_explain(const struct route *r, struct span key, struct span pool, struct buf *out)
{
	struct route_answer a = {0};

	route_key(r, key, pool, &a);
	buf_put_str(out, "key: ");
	log_escape(out, key);
	buf_printf(out, "\ncluster: %s\n", r->gens[0].cluster.opt.name);
	for (size_t i = 0; i < r->ngens; i++)
		explain_generation(r, i, key, pool, out);
	put_limit(r, &a, out);
	buf_put_str(out, "deletes go to:");
	for (size_t i = 0; i < a.n; i++)
		buf_printf(out, "%s%s%s", i > 0 ? ", " : " ", r->servers[a.hops[i].server].name,
			   a.hops[i].old      ? " (old owner)"
			   : a.hops[i].shadow ? " (shadow)"
					      : "");
	buf_put_str(out, a.n > 0 ? "\n" : " none\n");
	route_answer_fini(&a);
}

/* --- JSON -------------------------------------------------------------------------------------------------
 */

static void
put_hop(const struct route *r, const struct route_answer *a, const struct route_hop *hop, struct json *j)
{
	struct buf text = BUF_INIT;

	json_object(j);
	json_kv_str(j, "server", r->servers[hop->server].name);
	topology_server_address(r->servers[hop->server].opt, &text);
	json_kv_str(j, "address", buf_str(&text));
	json_kv_str(j, "pool", r->pool_names[hop->pool]);
	buf_clear(&text);
	buf_put_span(&text, hop->prefix);
	buf_put_span(&text, a->key);
	json_kv_span(j, "sent_as", buf_span(&text));
	json_kv_str(j, "action", hop->action == ROUTE_STALE ? "stale" : "delete");
	json_kv_u64(j, "stale_ms", hop->stale_ms);
	json_kv_u64(j, "holdoff_ms", hop->holdoff_ms);
	json_kv_u64(j, "limit", hop->limit > 0 ? route_limit(r, hop->limit - 1) : 0);
	json_kv_bool(j, "old_owner", hop->old);
	json_kv_bool(j, "shadow", hop->shadow);
	json_object_end(j);
	buf_fini(&text);
}

/* The lines "name: value" of a ring's explanation. */
static void
put_ring(const struct route_pool *p, struct span key, struct json *j)
{
	struct buf text = BUF_INIT;
	struct span rest, line;

	if (p->ring != NULL)
		ring_explain(p->ring, route_pool_hashed(p, key), &text);
	rest = buf_span(&text);
	json_name(j, "ring");
	json_object(j);
	while (option_line(&rest, &line)) {
		ptrdiff_t colon = span_find(line, SPAN_LIT(": "));
		struct span name = span_first(line, colon > 0 ? (size_t)colon : 0);
		char copy[40];

		if (name.len == 0 || name.len >= sizeof(copy))
			continue;
		for (size_t i = 0; i < name.len; i++)
			copy[i] = name.p[i] == ' ' ? '_' : name.p[i];
		copy[name.len] = '\0';
		json_kv_span(j, copy, span_from(line, (size_t)colon + 2));
	}
	json_object_end(j);
	buf_fini(&text);
}

static void
put_generation(const struct route *r, size_t i, struct span key, struct span pool, struct json *j)
{
	const struct generation *g = &r->gens[i];
	struct buf reason = BUF_INIT;
	struct span sent = key;
	struct route_choice choice;
	const struct route_pool *p;
	bool ours = generation_strip(g, &sent, &pool);

	choice = ours ? generation_choose(g, sent, pool)
		      : (struct route_choice){.pool = ROUTE_NO_POOL, .reason = ROUTE_NOWHERE};
	p = choice.pool != ROUTE_NO_POOL ? &g->pools[choice.pool] : NULL;
	json_object(j);
	json_kv_bool(j, "current", i == 0);
	json_kv_bool(j, "foreign", !ours);
	json_kv_str(j, "pool", p != NULL ? p->conf->opt.name : NULL);
	put_reason(&choice, p, &reason);
	json_kv_str(j, "reason", buf_str(&reason));
	if (p != NULL) {
		json_kv_str(j, "role", p->conf->opt.role);
		json_kv_str(j, "kind", p->conf->opt.kind);
		json_kv_str(j, "distribution", p->conf->opt.distribution);
		json_kv_span(j, "hashed", route_pool_hashed(p, sent));
		put_ring(p, sent, j);
	}
	json_object_end(j);
	buf_fini(&reason);
}

void
route_explain_json(const struct route *r, struct span key, struct span pool, struct json *j)
{
	struct route_answer a = {0};

	route_key(r, key, pool, &a);
	json_kv_span(j, "key", key);
	json_kv_str(j, "cluster", r->gens[0].cluster.opt.name);
	json_kv_span(j, "sent", a.key);
	json_kv_bool(j, "foreign", a.foreign);
	json_kv_bool(j, "unknown_pool", a.unknown_pool);
	json_name(j, "routes");
	json_array(j);
	for (size_t i = 0; i < r->ngens; i++)
		put_generation(r, i, key, pool, j);
	json_array_end(j);
	json_name(j, "servers");
	json_array(j);
	for (size_t i = 0; i < a.n; i++)
		put_hop(r, &a, &a.hops[i], j);
	json_array_end(j);
	route_answer_fini(&a);
}
