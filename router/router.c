#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/group.h"
#include "lib/core/mem.h"
#include "lib/core/metric.h"
#include "lib/net/admin.h"
#include "lib/net/daemon.h"
#include "lib/net/loop.h"
#include "router/control.h"
#include "router/delivery.h"
#include "router/pace.h"
#include "router/recall.h"
#include "router/routing.h"
#include "router/status.h"
#include "router/trace.h"

enum { DRAIN_MS = 2000, STATUS_MS = 10000, GROUP_MS = 1000 };

struct router {
	const struct router_setup *setup;
	struct loop *loop;
	struct metric_registry *registry;
	struct routing *routing;
	struct recall *recall;
	struct control *control;
	struct group *group;
	struct broker_metrics group_metrics; /* of what the group itself asks the log */
	struct broker_context broker;	     /* the group keeps it */
	struct loop_fd group_fd;
	char trouble[400]; /* with the group; "" when there is none */
	struct trace *trace;
	struct trace_metrics trace_metrics;
	struct delivery **deliveries; /* of our partitions, in the order in which they came */
	size_t n;
	struct turns turns; /* of the deliveries */
	size_t draining;    /* deliveries that are not drained yet */
	bool cold;	    /* every delete holds fills off */
	struct admin *admin;
	struct daemon *daemon;
	bool leaving;
	struct loop_timer status, group_tick;
	err_t failed; /* why the loop was left */
	struct err_detail why;
};

static void
on_acked(void *arg, const struct delivery *d, const struct server *s, const struct outbox_ack *ack)
{
	struct router *r = arg;

	(void)d;
	trace_delete(r->trace, server_name(s), ack->offset, ack->key);
	control_acked(r->control, ack);
}

static void
on_coalesced(void *arg, uint64_t ref, uint64_t offset)
{
	struct router *r = arg;

	story_coalesced(control_story(r->control), ref, offset);
}

static void
on_settled(void *arg)
{
	struct router *r = arg;

	trace_flush(r->trace);
}

static void
on_saving(void *arg)
{
	struct router *r = arg;

	recall_saving(r->recall);
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

static struct routing_users
users_of(const struct router *r)
{
	return (struct routing_users){r->deliveries, r->n};
}

/* --- partitions -------------------------------------------------------------------------------------------
 */

static uint32_t
partitions_of(const struct router *r)
{
	uint32_t n = group_partitions(r->group);

	return n > 0 ? n : 1;
}

/* The hold-off of a cold cluster. */
static uint32_t
cold_of(const struct router *r)
{
	return r->cold ? (uint32_t)r->setup->cluster->opt.cold_holdoff : 0;
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
	    .partition = partition,
	    .partitions = partitions_of(r),
	    .route = routing_route(r->routing),
	    .anew = routing_anew(r->routing),
	    .turns = &r->turns,
	    .story = control_story(r->control),
	    .cursors = cursors,
	    .log = setup->log,
	    .registry = r->registry,
	    .seed = setup->seed,
	    .on_acked = on_acked,
	    .on_coalesced = on_coalesced,
	    .on_settled = on_settled,
	    .on_saving = on_saving,
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
	recall_tell(r->recall, d);
	delivery_cold(d, cold_of(r));
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
	struct routing_users users = users_of(r);

	recall_look(r->recall, &users);
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

	struct routing_users users;

	group_turn(r->group);
	for (size_t i = 0; i < r->n; i++)
		delivery_partitions(r->deliveries[i], partitions_of(r));
	users = users_of(r);
	routing_look(r->routing, &users);
	recall_look(r->recall, &users);
	pace_share(&users);
}

static err_t
join_group(struct router *r, struct err_detail *why)
{
	static const struct group_ops ops = {
	    .on_assigned = on_assigned, .on_dropped = on_dropped, .on_trouble = on_trouble};
	const struct router_setup *setup = r->setup;
	struct group_context ctx = {
	    .log = &setup->topology->log,
	    .cluster = setup->cluster->opt.name,
	    .instance = setup->instance,
	    .broker = &r->broker,
	    .ops = &ops,
	    .arg = r,
	};
	struct buf path = BUF_INIT;
	err_t err;

	r->broker = (struct broker_context){setup->clock, setup->log, &r->group_metrics};
	topology_cursor_path(setup->topology, setup->cluster, &path);
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
set_cold(struct router *r)
{
	r->cold = recall_is_cold(r->recall);
	for (size_t i = 0; i < r->n; i++)
		delivery_cold(r->deliveries[i], cold_of(r));
}

/* Everything that can fail is made first; then all of it takes the place of what was. */
static err_t
reload_topology(struct router *r, struct err_detail *why)
{
	const struct router_setup *setup = r->setup;
	struct routing_users users = users_of(r);
	struct topology *fresh = NULL;
	const struct cluster *cluster;
	err_t err;

	err = topology_load(&fresh, setup->config, why);
	if (err != ERR_OK)
		return err;
	cluster = topology_cluster(fresh, setup->cluster->opt.name);
	if (cluster == NULL)
		err =
		    err_set(why, ERR_CONFIG, "%s: there is no cluster \"%s\" any more; stop its router first",
			    setup->config, setup->cluster->opt.name);
	else
		err = routing_change(r->routing, cluster, &users, why);
	if (err == ERR_OK) {
		topology_reload(setup->topology, fresh, changed, r);
		recall_changed(r->recall, routing_route(r->routing), &users);
	}
	topology_destroy(&fresh);
	return err;
}

static void
reload(void *arg)
{
	struct router *r = arg;
	const struct router_setup *setup = r->setup;
	struct err_detail why = {0};
	enum log_level level;

	if (reload_topology(r, &why) != ERR_OK) {
		log_error(setup->log, "the configuration was not reloaded; the old one stays",
			  F_STR("reason", err_why(&why)));
		return;
	}
	if (log_level_parse(span_of(setup->topology->router.log_level), &level))
		log_set_level(setup->log, level);
	trace_reopen(r->trace);
	set_cold(r);
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
	const struct router *r = arg;
	struct status s = status_of(r);

	status_write(&s, j);
	json_kv_str(j, "mode", r->cold ? "cold" : "warm");
	rings_status(routing_rings(r->routing), j);
	recall_status(r->recall, j);
	control_status(r->control, j);
}

/* For squeal-replay, whose deletes go where ours go. */
static void
rings_page(void *arg, const char *query, struct buf *out, int *status)
{
	const struct router *r = arg;

	(void)query;
	(void)status;
	rings_text(routing_rings(r->routing), out);
}

/* --- what squealctl asks for ------------------------------------------------------------------------------
 */

static void
explain(void *arg, struct span key, struct buf *text)
{
	struct router *r = arg;

	route_explain(routing_route(r->routing), key, SPAN_LIT(""), text);
}

static err_t
pause_server(void *arg, const char *server, bool paused, struct err_detail *why)
{
	struct router *r = arg;
	struct routing_users users = users_of(r);
	size_t i;

	if (server != NULL && !route_server_find(routing_route(r->routing), server, &i))
		return ERR_NOT_FOUND;
	return recall_pause(r->recall, server, paused, &users, why);
}

static err_t
set_mode(void *arg, bool cold, struct err_detail *why)
{
	struct router *r = arg;
	err_t err = recall_mode(r->recall, cold, why);

	set_cold(r);
	log_notice(r->setup->log, "mode was set", F_STR("mode", cold ? "cold" : "warm"));
	return err;
}

static void
caveat(void *arg, struct buf *text)
{
	const struct router *r = arg;

	if (!recall_lasts(r->recall))
		buf_put_str(text, "; a restart of the router forgets it: set cursors of the cluster in "
				  "squeal.yaml to keep it");
	if (r->n < group_partitions(r->group))
		buf_printf(text,
			   "; this router has %zu of %u partitions: tell the other routers of the cluster, "
			   "too",
			   r->n, (unsigned)group_partitions(r->group));
}

static err_t
seal(void *arg, size_t *rings, struct err_detail *why)
{
	struct router *r = arg;
	struct routing_users users = users_of(r);
	err_t err = routing_seal(r->routing, r->setup->cluster, &users, rings, why);

	if (err == ERR_OK && *rings > 0) {
		recall_changed(r->recall, routing_route(r->routing), &users);
		log_notice(r->setup->log, "rings of before are sealed", F_UINT("rings", *rings));
	}
	return err;
}

static void
make_control(struct router *r)
{
	static const struct control_ops ops = {
	    .explain = explain, .pause = pause_server, .mode = set_mode, .caveat = caveat, .seal = seal};
	struct control_context ctx = {
	    .loop = r->loop,
	    .opt = &r->setup->topology->router,
	    .registry = r->registry,
	    .seed = r->setup->seed,
	    .ops = &ops,
	    .arg = r,
	};

	r->control = control_create(&ctx);
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
	admin_page(r->admin, "/rings", "text/plain; charset=utf-8", rings_page, r);
	control_open(r->control, r->admin);
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
	err = routing_open(&r.routing, setup->topology, setup->cluster, setup->clock, setup->log, why);
	if (err != ERR_OK)
		goto done;
	make_control(&r);
	r.trace = trace_create(&setup->topology->router, setup->clock, &r.trace_metrics, setup->log);
	metric_registry_add(r.registry, trace_metric_rows, trace_metric_nrows, &r.trace_metrics, "");
	err = recall_open(&r.recall, setup, why);
	if (err != ERR_OK)
		goto done;
	r.cold = recall_is_cold(r.recall);
	err = join_group(&r, why);
	if (err != ERR_OK)
		goto done;
	recall_own(r.recall);
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
	recall_close(&r.recall);
	trace_destroy(&r.trace);
	control_destroy(&r.control);
	routing_close(&r.routing);
	if (r.registry != NULL)
		metric_registry_destroy(&r.registry);
	loop_destroy(&r.loop);
	return err;
}
