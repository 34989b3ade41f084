#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/broker/group.h"
#include "lib/core/mem.h"
#include "lib/core/metric.h"
#include "lib/net/admin.h"
#include "lib/net/daemon.h"
#include "lib/net/loop.h"
#include "lib/route/route.h"
#include "router/delivery.h"
#include "router/status.h"
#include "router/trace.h"

enum { DRAIN_MS = 2000, STATUS_MS = 10000, GROUP_MS = 1000 };

struct router {
	const struct router_setup *setup;
	struct loop *loop;
	struct metric_registry *registry;
	struct route *route;
	struct group *group;
	struct broker_metrics group_metrics; /* of what the group itself asks the log */
	struct loop_fd group_fd;
	char trouble[400]; /* with the group; "" when there is none */
	struct trace *trace;
	struct trace_metrics trace_metrics;
	struct delivery **deliveries; /* of our partitions, in the order in which they came */
	size_t n;
	size_t draining; /* deliveries that are not drained yet */
	bool paused;	 /* all servers: also those of partitions that come later */
	struct admin *admin;
	struct daemon *daemon;
	bool leaving;
	struct loop_timer status, group_tick;
	err_t failed; /* why the loop was left */
	struct err_detail why;
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
on_acked(void *arg, const struct delivery *d, const struct server *s, const struct outbox_ack *ack)
{
	struct router *r = arg;

	(void)d;
	trace_delete(r->trace, server_name(s), ack->offset, ack->key);
}

static void
on_settled(void *arg)
{
	struct router *r = arg;

	trace_flush(r->trace);
}

/* A cache that wants to be told when it has caught up wants it from every partition, the empty ones too. */
static void
on_greeted(void *arg, const struct server *s, unsigned can)
{
	struct router *r = arg;

	if (!(can & OUTBOX_CAUGHT_UP))
		return;
	for (size_t i = 0; i < r->n; i++)
		delivery_connect(r->deliveries[i], server_name(s));
}

/* --- partitions -------------------------------------------------------------------------------------------
 */

static uint32_t
partitions_of(const struct router *r)
{
	uint32_t n = group_partitions(r->group);

	return n > 0 ? n : 1;
}

/* One partition connects to the servers even when it is empty, so that /status knows them. */
static void
connect_one(struct router *r)
{
	if (r->n > 0)
		delivery_connect(r->deliveries[0], NULL);
}

static void
on_assigned(void *arg, uint32_t partition, struct cursor_store *cursors)
{
	struct router *r = arg;
	const struct router_setup *setup = r->setup;
	struct delivery_context ctx = {
	    .loop = r->loop,
	    .log_opt = &setup->topology->log,
	    .opt = &setup->topology->router,
	    .cluster = setup->cluster,
	    .partition = partition,
	    .partitions = partitions_of(r),
	    .route = r->route,
	    .cursors = cursors,
	    .log = setup->log,
	    .registry = r->registry,
	    .seed = setup->seed,
	    .on_acked = on_acked,
	    .on_settled = on_settled,
	    .on_greeted = on_greeted,
	    .arg = r,
	};
	struct delivery *d;

	if (r->failed != ERR_OK)
		return;
	log_info(setup->log, "partition is ours", F_UINT("partition", partition));
	r->failed = delivery_create(&d, &ctx, &r->why);
	if (r->failed != ERR_OK) {
		loop_stop(r->loop);
		return;
	}
	r->deliveries = mem_realloc(r->deliveries, (r->n + 1) * sizeof(r->deliveries[0]));
	r->deliveries[r->n++] = d;
	if (r->paused)
		delivery_pause(d, NULL, true);
	delivery_start(d);
	for (size_t i = 0; i < r->n; i++)
		delivery_partitions(r->deliveries[i], partitions_of(r));
	connect_one(r);
}

static void
drop_delivery(struct router *r, size_t i)
{
	delivery_save(r->deliveries[i]);
	delivery_destroy(&r->deliveries[i]);
	r->n--;
	for (; i < r->n; i++)
		r->deliveries[i] = r->deliveries[i + 1];
}

static void
on_dropped(void *arg, uint32_t partition)
{
	struct router *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		if (delivery_partition(r->deliveries[i]) != partition)
			continue;
		log_info(r->setup->log, "partition is no longer ours", F_UINT("partition", partition));
		drop_delivery(r, i);
		break;
	}
	if (!r->leaving)
		connect_one(r);
}

static void
on_trouble(void *arg, const char *why)
{
	struct router *r = arg;

	snprintf(r->trouble, sizeof(r->trouble), "%s", why);
}

static void
on_group_fd(void *arg, int what)
{
	struct router *r = arg;

	(void)what;
	group_turn(r->group);
}

static void
on_group_tick(void *arg)
{
	struct router *r = arg;

	group_turn(r->group);
	for (size_t i = 0; i < r->n; i++)
		delivery_partitions(r->deliveries[i], partitions_of(r));
}

static err_t
join_group(struct router *r, struct err_detail *why)
{
	static const struct group_ops ops = {
	    .on_assigned = on_assigned, .on_dropped = on_dropped, .on_trouble = on_trouble};
	const struct router_setup *setup = r->setup;
	struct broker_context broker = {setup->clock, setup->log, &r->group_metrics};
	struct group_context ctx = {
	    .log = &setup->topology->log,
	    .cluster = setup->cluster->opt.name,
	    .instance = setup->instance,
	    .broker = &broker,
	    .ops = &ops,
	    .arg = r,
	};
	struct buf path = BUF_INIT;
	err_t err;

	router_cursor_path(setup->topology, setup->cluster, &path);
	ctx.cursor_path = buf_str(&path);
	err = group_open(&r->group, &ctx, why);
	buf_fini(&path);
	if (err != ERR_OK)
		return err;
	loop_fd_init(&r->group_fd, r->loop, group_fd(r->group), on_group_fd, r);
	loop_fd_want(&r->group_fd, LOOP_READ);
	loop_timer_init(&r->group_tick, r->loop, on_group_tick, r);
	loop_timer_every(&r->group_tick, GROUP_MS);
	/* What a file has to say is known at once, and so is what is wrong with it. */
	group_turn(r->group);
	if (r->failed != ERR_OK)
		*why = r->why;
	return r->failed;
}

static void
leave_group(struct router *r)
{
	r->leaving = true;
	loop_timer_stop(&r->group_tick);
	loop_fd_fini(&r->group_fd);
	group_close(&r->group);
	free(r->deliveries);
}

/* --- signals ----------------------------------------------------------------------------------------------
 */

static void
drained(void *arg)
{
	struct router *r = arg;

	if (--r->draining == 0)
		daemon_drained(r->daemon);
}

static void
drain(void *arg)
{
	struct router *r = arg;

	log_info(r->setup->log, "stopping: waiting for what is in flight");
	/* No partition comes or goes any more. */
	loop_timer_stop(&r->group_tick);
	loop_fd_want(&r->group_fd, 0);
	r->draining = r->n + 1;
	for (size_t i = 0; i < r->n; i++)
		delivery_drain(r->deliveries[i], drained, r);
	drained(r);
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
	for (size_t i = 0; i < r->n; i++)
		delivery_reloaded(r->deliveries[i]);
	log_notice(setup->log, "configuration reloaded", F_STR("file", setup->config));
}

static void
say_status(void *arg)
{
	struct router *r = arg;
	size_t up = 0, all = 0;

	for (size_t p = 0; p < r->n; p++) {
		for (size_t i = 0; i < delivery_nservers(r->deliveries[p]); i++, all++)
			up += server_is_up(delivery_server(r->deliveries[p], i));
	}
	if (r->n == 1)
		daemon_status(r->daemon, "%zu of %zu servers up", up, all);
	else
		daemon_status(r->daemon, "%zu partitions, %zu of %zu connections up", r->n, up, all);
}

/* --- pages ------------------------------------------------------------------------------------------------
 */

static struct status
status_of(const struct router *r)
{
	return (struct status){
	    .cluster = r->setup->cluster,
	    .log = &r->setup->topology->log,
	    .instance = r->setup->instance,
	    .trouble = r->trouble,
	    .partitions = group_partitions(r->group),
	    .deliveries = r->deliveries,
	    .n = r->n,
	};
}

static void
ready_page(void *arg, struct admin_reasons *reasons)
{
	struct status s = status_of(arg);

	status_ready(&s, reasons);
}

static void
status_page(void *arg, struct json *j)
{
	struct status s = status_of(arg);

	status_write(&s, j);
}

/* /explain?key=user%3A42 */
static void
explain_page(void *arg, const char *query, struct buf *out, int *status)
{
	struct router *r = arg;
	struct buf key = BUF_INIT;

	if (admin_query(query, "key", &key) && key.len > 0) {
		route_explain(r->route, buf_span(&key), SPAN_LIT(""), out);
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
	admin_on_ready(r->admin, ready_page, r);
	admin_on_status(r->admin, status_page, r);
	admin_page(r->admin, "/explain", "text/plain; charset=utf-8", explain_page, r);
	log_info(setup->log, "admin port is open", F_STR("address", opt.address),
		 F_UINT("port", admin_port(r->admin)));
	return ERR_OK;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

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
	err = route_create(&r.route, setup->cluster, NULL, 0, why);
	if (err != ERR_OK)
		goto done;
	r.trace = trace_create(&setup->topology->router, setup->clock, &r.trace_metrics, setup->log);
	metric_registry_add(r.registry, trace_metric_rows, trace_metric_nrows, &r.trace_metrics, "");
	err = join_group(&r, why);
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
	loop_timer_init(&r.status, r.loop, say_status, &r);
	loop_timer_every(&r.status, STATUS_MS);
	daemon_ready(r.daemon);
	loop_run(r.loop);
	err = r.failed;
	if (err != ERR_OK)
		*why = r.why;
done:
	loop_timer_stop(&r.status);
	daemon_destroy(&r.daemon);
	admin_close(&r.admin);
	leave_group(&r);
	trace_destroy(&r.trace);
	route_destroy(&r.route);
	if (r.registry != NULL)
		metric_registry_destroy(&r.registry);
	loop_destroy(&r.loop);
	return err;
}
