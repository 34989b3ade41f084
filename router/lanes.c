#include "router/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/crash.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/route/ring.h"

void
lanes_init(struct lanes *l, const struct lanes_context *ctx)
{
	memset(l, 0, sizeof(*l));
	l->ctx = *ctx;
}

static void
drop_lane(struct lane **lane)
{
	if (*lane == NULL)
		return;
	lane_fini(*lane);
	server_security_destroy(&(*lane)->security);
	free(*lane);
	*lane = NULL;
}

void
lanes_fini(struct lanes *l)
{
	lanes_abandon(l);
	lanes_show(l, false);
	for (size_t i = 0; i < l->n; i++)
		drop_lane(&l->lane[i]);
	free(l->lane);
	free(l->outboxes);
	memset(l, 0, sizeof(*l));
}

/* --- metrics ----------------------------------------------------------------------------------------------
 */

void
lanes_labels(const struct lanes *l, const char *server, struct buf *out)
{
	if (server != NULL)
		buf_printf(out, "server=\"%s\"", server);
	if (l->ctx.partitions > 1)
		buf_printf(out, "%spartition=\"%u\"", out->len > 0 ? "," : "", (unsigned)l->ctx.partition);
}

static void
show_lane(struct lanes *l, struct lane *lane, bool show)
{
	struct buf labels = BUF_INIT;

	if (l->ctx.registry == NULL)
		return;
	lanes_labels(l, server_name(lane->server), &labels);
	if (show) {
		metric_registry_add(l->ctx.registry, lane_metric_rows, lane_metric_nrows, &lane->metrics,
				    buf_str(&labels));
		server_metrics_add(lane->server, l->ctx.registry, buf_str(&labels));
	} else {
		metric_registry_remove(l->ctx.registry, &lane->metrics);
		server_metrics_remove(lane->server, l->ctx.registry);
	}
	buf_fini(&labels);
}

void
lanes_show(struct lanes *l, bool show)
{
	if (l->shown == show)
		return;
	l->shown = show;
	for (size_t i = 0; i < l->n; i++)
		show_lane(l, l->lane[i], show);
}

void
lanes_partitions(struct lanes *l, uint32_t partitions)
{
	bool shown = l->shown;

	lanes_show(l, false);
	l->ctx.partitions = partitions;
	lanes_show(l, shown);
	for (size_t i = 0; i < l->n; i++)
		outbox_part(l->lane[i]->outbox, l->ctx.partition, partitions);
}

/* --- who is there -----------------------------------------------------------------------------------------
 */

/* Tells settings of TLS and login apart. */
static uint64_t
security_sum(const struct server_security_options *opt)
{
	const char *const texts[] = {opt->tls, opt->tls_ca, opt->tls_cert, opt->tls_key, opt->auth_file};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		sum = hash_span(span_of(texts[i] != NULL ? texts[i] : ""), sum + i);
	return sum;
}

static struct server_security_options
security_of(const struct pool_options *pool)
{
	if (pool == NULL)
		return (struct server_security_options){0};
	return (struct server_security_options){.tls = pool->tls,
						.tls_ca = pool->tls_ca,
						.tls_cert = pool->tls_cert,
						.tls_key = pool->tls_key,
						.auth_file = pool->auth_file};
}

static err_t
make_lane(struct lanes *l, const struct lanes_server *of, struct lane **out, struct err_detail *why)
{
	struct server_security_options security = security_of(of->pool);
	struct lane *lane = MEM_NEW(struct lane);
	struct server_security *secured;
	struct server_context ctx = {0};
	struct buf name = BUF_INIT;
	err_t err;

	*out = NULL;
	err = server_security_create(&secured, &security, why);
	if (err != ERR_OK) {
		free(lane);
		return err;
	}
	ring_server_name(of->opt, &name);
	ctx.loop = l->ctx.loop;
	ctx.opt = l->ctx.opt;
	ctx.log = l->ctx.log;
	ctx.seed = hash_span(buf_span(&name), l->ctx.seed + l->ctx.partition);
	ctx.security = secured;
	ctx.on_progress = l->ctx.on_progress;
	ctx.on_acked = l->ctx.on_acked;
	ctx.on_coalesced = l->ctx.on_coalesced;
	ctx.arg = lane;
	lane_init(lane, server_create(of->opt, &ctx), l->ctx.opt, l->ctx.log);
	lane->security = secured;
	lane->security_sum = security_sum(&security);
	lane->owner = l->ctx.owner;
	outbox_part(lane->outbox, l->ctx.partition, l->ctx.partitions);
	buf_fini(&name);
	err = cursor_load(l->ctx.cursors, &lane->cursor, &lane->had_cursor, why);
	if (err != ERR_OK)
		drop_lane(&lane);
	*out = lane;
	return err;
}

/* The lane of that name among `n`; NULL when there is none. */
static struct lane *
lane_named(struct lane *const *lanes, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(server_name(lanes[i]->server), name) == 0)
			return lanes[i];
	}
	return NULL;
}

/* Of the server that `of` names. */
static struct lane *
find_lane(const struct lanes *l, const struct lanes_server *of)
{
	struct buf name = BUF_INIT;
	struct lane *found;

	ring_server_name(of->opt, &name);
	found = lane_named(l->lane, l->n, buf_str(&name));
	buf_fini(&name);
	return found;
}

static bool
same_address(const struct lane *lane, const struct lanes_server *of)
{
	struct buf address = BUF_INIT;
	bool same;

	topology_server_address(of->opt, &address);
	same = strcmp(server_address(lane->server), buf_str(&address)) == 0;
	buf_fini(&address);
	return same;
}

static err_t
stage_lane(struct lanes *l, size_t i, const struct lanes_server *of, struct err_detail *why)
{
	struct server_security_options security = security_of(of->pool);
	struct lane *former = find_lane(l, of);
	bool moved = former != NULL && !same_address(former, of);
	err_t err;

	l->shadow[i] = of->shadow;
	if (former != NULL && !moved && former->security_sum == security_sum(&security)) {
		l->staged[i] = former;
		return ERR_OK;
	}
	err = make_lane(l, of, &l->staged[i], why);
	if (err != ERR_OK)
		return err;
	l->made[i] = true;
	/* Nobody knows what is at the new address; and what was not certain before is not so now. */
	if (of->anew || moved || (former != NULL && (former->unproven || former->distrust)))
		lane_distrust(l->staged[i]);
	if (former != NULL && former->paused)
		lane_pause(l->staged[i], true);
	return ERR_OK;
}

err_t
lanes_stage(struct lanes *l, const struct lanes_server *servers, size_t n, struct err_detail *why)
{
	err_t err;

	l->staged = mem_zalloc(n + 1, sizeof(l->staged[0]));
	l->made = mem_zalloc(n + 1, sizeof(l->made[0]));
	l->shadow = mem_zalloc(n + 1, sizeof(l->shadow[0]));
	l->nstaged = n;
	/* Those that are made again begin where the former ones are. */
	err = lanes_save(l, &(size_t){0}, why);
	for (size_t i = 0; i < n && err == ERR_OK; i++)
		err = stage_lane(l, i, &servers[i], why);
	if (err != ERR_OK)
		lanes_abandon(l);
	return err;
}

static void
unstage(struct lanes *l)
{
	free(l->staged);
	free(l->made);
	free(l->shadow);
	l->staged = NULL;
	l->made = l->shadow = NULL;
	l->nstaged = 0;
}

void
lanes_abandon(struct lanes *l)
{
	for (size_t i = 0; i < l->nstaged; i++) {
		if (l->made[i])
			drop_lane(&l->staged[i]);
	}
	unstage(l);
}

static bool
stays(const struct lanes *l, const struct lane *lane)
{
	for (size_t i = 0; i < l->nstaged; i++) {
		if (l->staged[i] == lane)
			return true;
	}
	return false;
}

/* The server is no longer among ours: neither is its cursor. */
static void
forget(struct lanes *l, const char *name)
{
	struct err_detail why = {0};

	if (cursor_forget(l->ctx.cursors, name, &why) != ERR_OK)
		log_error(l->ctx.log, "the cursor of a server that left the cluster stays",
			  F_STR("server", name), F_STR("reason", err_why(&why)));
}

void
lanes_commit(struct lanes *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (stays(l, l->lane[i]))
			continue;
		if (lane_named(l->staged, l->nstaged, server_name(l->lane[i]->server)) == NULL)
			forget(l, server_name(l->lane[i]->server));
		if (l->shown)
			show_lane(l, l->lane[i], false);
		drop_lane(&l->lane[i]);
	}
	free(l->lane);
	l->lane = l->staged;
	l->n = l->nstaged;
	l->staged = NULL;
	l->outboxes = mem_realloc(l->outboxes, (l->n + 1) * sizeof(l->outboxes[0]));
	for (size_t i = 0; i < l->n; i++) {
		l->outboxes[i] = l->lane[i]->outbox;
		l->lane[i]->shadow = l->shadow[i];
		if (l->made[i] && l->shown)
			show_lane(l, l->lane[i], true);
	}
	unstage(l);
}

void
lanes_limits(struct lanes *l, const struct outbox_limit *limits, size_t n)
{
	for (size_t i = 0; i < l->n; i++)
		outbox_limits(l->outboxes[i], limits, n);
}

/* --- all of them ------------------------------------------------------------------------------------------
 */

void
lanes_connect(struct lanes *l, const char *server)
{
	for (size_t i = 0; i < l->n; i++) {
		if (server == NULL || strcmp(server, server_name(l->lane[i]->server)) == 0)
			lane_start(l->lane[i]);
	}
}

bool
lanes_pause(struct lanes *l, const char *server, bool pause)
{
	bool found = server == NULL;

	for (size_t i = 0; i < l->n; i++) {
		if (server != NULL && strcmp(server, server_name(l->lane[i]->server)) != 0)
			continue;
		found = true;
		lane_pause(l->lane[i], pause);
	}
	return found;
}

err_t
lanes_save(struct lanes *l, size_t *n, struct err_detail *why)
{
	struct cursor *cursors = mem_zalloc(l->n + 1, sizeof(cursors[0]));
	err_t err = ERR_OK;

	*n = 0;
	for (size_t i = 0; i < l->n; i++)
		*n += lane_cursor(l->lane[i], &cursors[*n]);
	if (*n == 0)
		goto done;
	if (l->ctx.on_saving != NULL)
		l->ctx.on_saving(l->ctx.owner);
	CRASH_POINT("router.cursor.before");
	err = cursor_save(l->ctx.cursors, cursors, *n, why);
	CRASH_POINT("router.cursor.after");
	for (size_t i = 0, c = 0; err == ERR_OK && i < l->n && c < *n; i++) {
		if (cursors[c].server == l->lane[i]->cursor.server)
			l->lane[i]->cursor = cursors[c++];
	}
done:
	free(cursors);
	return err;
}
