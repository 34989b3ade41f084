#include "router/router.h"

#include <stdlib.h>

#include "lib/broker/cursor.h"
#include "lib/core/metric.h"
#include "lib/net/admin.h"
#include "lib/net/daemon.h"
#include "lib/net/loop.h"
#include "lib/route/ring.h"
#include "router/delivery.h"
#include "router/trace.h"

enum { DRAIN_MS = 2000, STATUS_MS = 10000 };

struct router {
	const struct router_setup *setup;
	struct loop *loop;
	struct metric_registry *registry;
	struct ring *ring;
	struct cursor_store *cursors;
	struct trace *trace;
	struct trace_metrics trace_metrics;
	struct delivery *delivery;
	struct admin *admin;
	struct daemon *daemon;
	struct loop_timer status;
};

void
router_cursor_path(const struct topology *t, const struct cluster *c, struct buf *out)
{
	if (c->opt.cursors[0] != '\0')
		buf_put_str(out, c->opt.cursors);
	else
		buf_printf(out, "%s.%s.cursors", t->log.path, c->opt.name);
}

static void
on_acked(void *arg, const struct server *s, uint64_t offset, struct span key)
{
	struct router *r = arg;

	trace_delete(r->trace, server_name(s), offset, key);
}

static void
on_settled(void *arg)
{
	struct router *r = arg;

	trace_flush(r->trace);
}

/* --- signals ----------------------------------------------------------------------------------------------
 */

static void
drained(void *arg)
{
	struct router *r = arg;

	daemon_drained(r->daemon);
}

static void
drain(void *arg)
{
	struct router *r = arg;

	log_info(r->setup->log, "stopping: waiting for what is in flight");
	delivery_drain(r->delivery, drained, r);
}

static void
changed(void *arg, const char *section, const char *name, bool taken)
{
	struct router *r = arg;

	if (taken)
		log_notice(r->setup->log, "setting changed", F_STR("section", section), F_STR("name", name));
	else
		log_warn(r->setup->log, "setting changed, which needs a restart", F_STR("section", section),
			 F_STR("name", name));
}

static void
reload(void *arg)
{
	struct router *r = arg;
	const struct router_setup *setup = r->setup;
	struct topology *fresh = NULL;
	struct err_detail why = {0};
	enum log_level level;

	if (topology_load(&fresh, setup->config, &why) != ERR_OK) {
		log_error(setup->log, "the configuration was not reloaded; the old one stays",
			  F_STR("reason", err_why(&why)));
		return;
	}
	topology_reload(setup->topology, fresh, changed, r);
	topology_destroy(&fresh);
	if (log_level_parse(span_of(setup->topology->router.log_level), &level))
		log_set_level(setup->log, level);
	trace_reopen(r->trace);
	delivery_reloaded(r->delivery);
	log_notice(setup->log, "configuration reloaded", F_STR("file", setup->config));
}

static void
say_status(void *arg)
{
	struct router *r = arg;
	size_t n = delivery_nservers(r->delivery), up = 0;

	for (size_t i = 0; i < n; i++)
		up += server_is_up(delivery_server(r->delivery, i));
	daemon_status(r->daemon, "%zu of %zu servers up", up, n);
}

/* --- pages ------------------------------------------------------------------------------------------------
 */

/* /explain?key=user%3A42 */
static void
explain_page(void *arg, const char *query, struct buf *out, int *status)
{
	struct router *r = arg;
	struct buf key = BUF_INIT;

	if (admin_query(query, "key", &key) && key.len > 0) {
		ring_explain(r->ring, buf_span(&key), out);
	} else {
		*status = 400;
		buf_put_str(out, "which key? /explain?key=user:42\n");
	}
	buf_fini(&key);
}

static err_t
open_admin(struct router *r, struct err_detail *why)
{
	const struct router_setup *setup = r->setup;
	struct admin_options opt = {0};
	err_t err;

	if (setup->cluster->opt.admin[0] == '\0')
		return ERR_OK;
	opt.address = setup->cluster->opt.admin;
	opt.setting = "admin of the cluster in squeal.yaml";
	opt.program = "squeal-router";
	opt.metrics = r->registry;
	opt.log = setup->log;
	err = admin_open(&r->admin, r->loop, &opt, why);
	if (err != ERR_OK)
		return err;
	admin_on_ready(r->admin, delivery_ready, r->delivery);
	admin_on_status(r->admin, delivery_status, r->delivery);
	admin_page(r->admin, "/explain", "text/plain; charset=utf-8", explain_page, r);
	log_info(setup->log, "admin port is open", F_STR("address", opt.address),
		 F_UINT("port", admin_port(r->admin)));
	return ERR_OK;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static err_t
open_delivery(struct router *r, struct err_detail *why)
{
	const struct router_setup *setup = r->setup;
	struct delivery_context ctx = {0};
	struct buf path = BUF_INIT;
	err_t err;

	router_cursor_path(setup->topology, setup->cluster, &path);
	err = cursor_open(&r->cursors, buf_str(&path), setup->cluster->opt.name, why);
	buf_fini(&path);
	if (err != ERR_OK)
		return err;
	ctx.loop = r->loop;
	ctx.log_opt = &setup->topology->log;
	ctx.opt = &setup->topology->router;
	ctx.cluster = setup->cluster;
	ctx.ring = r->ring;
	ctx.cursors = r->cursors;
	ctx.log = setup->log;
	ctx.registry = r->registry;
	ctx.seed = setup->seed;
	ctx.on_acked = on_acked;
	ctx.on_settled = on_settled;
	ctx.arg = r;
	return delivery_create(&r->delivery, &ctx, why);
}

err_t
router_run(const struct router_setup *setup, struct err_detail *why)
{
	static const struct daemon_ops ops = {.drain = drain, .reload = reload};
	struct router r = {.setup = setup};
	struct daemon_options daemon_opt = {0};
	err_t err;

	err = loop_create(&r.loop, setup->clock, why);
	if (err != ERR_OK)
		goto done;
	r.registry = metric_registry_create();
	err = ring_create(&r.ring, setup->cluster, why);
	if (err != ERR_OK)
		goto done;
	r.trace = trace_create(&setup->topology->router, setup->clock, &r.trace_metrics, setup->log);
	metric_registry_add(r.registry, trace_metric_rows, trace_metric_nrows, &r.trace_metrics, "");
	err = open_delivery(&r, why);
	if (err != ERR_OK)
		goto done;
	err = open_admin(&r, why);
	if (err != ERR_OK)
		goto done;
	daemon_options_from_env(&daemon_opt);
	daemon_opt.drain_ms = DRAIN_MS;
	daemon_opt.log = setup->log;
	err = daemon_create(&r.daemon, r.loop, &daemon_opt, &ops, &r, why);
	if (err != ERR_OK)
		goto done;
	delivery_start(r.delivery);
	loop_timer_init(&r.status, r.loop, say_status, &r);
	loop_timer_every(&r.status, STATUS_MS);
	daemon_ready(r.daemon);
	loop_run(r.loop);
	delivery_save(r.delivery);
done:
	loop_timer_stop(&r.status);
	daemon_destroy(&r.daemon);
	admin_close(&r.admin);
	delivery_destroy(&r.delivery);
	cursor_close(&r.cursors);
	trace_destroy(&r.trace);
	ring_destroy(&r.ring);
	if (r.registry != NULL)
		metric_registry_destroy(&r.registry);
	loop_destroy(&r.loop);
	return err;
}
