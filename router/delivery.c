#include "router/delivery_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

typedef struct delivery_metrics metric_owner;
const struct metric_row delivery_metric_rows[] = {METRIC_ROWS(DELIVERY_METRICS)};
const size_t delivery_metric_nrows = sizeof(delivery_metric_rows) / sizeof(delivery_metric_rows[0]);

enum { TICK_MS = 1000 };

static void on_tick(void *arg);
static void on_save(void *arg);
static void on_open(void *arg);
static void on_progress(void *arg, struct server *s);
static void drain_check(struct delivery *d);

static void
on_lane_acked(void *arg, const struct outbox_ack *ack)
{
	const struct lane *lane = arg;
	const struct delivery *d = lane->owner;

	if (d->ctx.on_acked != NULL)
		d->ctx.on_acked(d->ctx.arg, d, lane->server, ack);
}

static void
on_lane_coalesced(void *arg, uint64_t ref, uint64_t offset)
{
	const struct lane *lane = arg;
	const struct delivery *d = lane->owner;

	if (d->ctx.on_coalesced != NULL)
		d->ctx.on_coalesced(d->ctx.arg, ref, offset);
}

static void
on_saving(void *arg)
{
	const struct delivery *d = arg;

	if (d->ctx.on_saving != NULL)
		d->ctx.on_saving(d->ctx.arg);
}

/* --- making -----------------------------------------------------------------------------------------------
 */

static void
show_metrics(struct delivery *d, bool show)
{
	struct metric_registry *r = d->ctx.registry;
	struct buf labels = BUF_INIT;

	if (r == NULL)
		return;
	lanes_show(&d->lanes, show);
	lanes_labels(&d->lanes, NULL, &labels);
	if (show) {
		metric_registry_add(r, delivery_metric_rows, delivery_metric_nrows, &d->metrics,
				    buf_str(&labels));
		metric_registry_add(r, feed_metric_rows, feed_metric_nrows, &d->feed_metrics,
				    buf_str(&labels));
		metric_registry_add(r, broker_metric_rows, broker_metric_nrows, &d->broker_metrics,
				    buf_str(&labels));
	} else {
		metric_registry_remove(r, &d->metrics);
		metric_registry_remove(r, &d->feed_metrics);
		metric_registry_remove(r, &d->broker_metrics);
	}
	buf_fini(&labels);
}

/* Those that are new find their place; the others have it. */
static void
place_lanes(struct delivery *d)
{
	for (size_t i = 0; i < d->lanes.n; i++)
		lane_place(d->lanes.lane[i], broker_reader_log_id(d->in.reader), d->in.first);
}

err_t
delivery_stage(struct delivery *d, const struct route *route, const bool *anew, struct err_detail *why)
{
	size_t n = route_nservers(route);
	struct lanes_server *servers = mem_zalloc(n + 1, sizeof(servers[0]));
	err_t err;

	for (size_t i = 0; i < n; i++)
		servers[i] = (struct lanes_server){
		    .opt = route_server(route, i),
		    .pool = route_server_pool(route, i),
		    .anew = anew != NULL && anew[i],
		    .shadow = route_server_is_shadow(route, i),
		};
	err = lanes_stage(&d->lanes, servers, n, why);
	if (err == ERR_OK)
		d->staged = route;
	free(servers);
	return err;
}

void
delivery_abandon(struct delivery *d)
{
	lanes_abandon(&d->lanes);
	d->staged = NULL;
}

static void
set_limits(struct delivery *d)
{
	size_t n = route_nlimits(d->ctx.route);
	struct outbox_limit *limits = mem_zalloc(n + 1, sizeof(limits[0]));

	for (size_t i = 0; i < n; i++)
		limits[i].keys_per_s = (uint32_t)route_limit(d->ctx.route, i);
	lanes_limits(&d->lanes, limits, n);
	free(limits);
}

void
delivery_commit(struct delivery *d)
{
	bool connected = false;

	for (size_t i = 0; i < d->lanes.n; i++)
		connected |= d->lanes.lane[i]->started;
	lanes_commit(&d->lanes);
	d->ctx.route = d->staged;
	d->staged = NULL;
	places_set(&d->places, d->lanes.lane, d->lanes.n);
	set_limits(d);
	if (d->feed != NULL)
		feed_route(d->feed, d->ctx.route, d->lanes.outboxes, d->lanes.n);
	if (d->in.reader != NULL)
		place_lanes(d);
	if (connected)
		lanes_connect(&d->lanes, NULL);
	delivery_read_soon(d);
	drain_check(d);
}

err_t
delivery_create(struct delivery **out, const struct delivery_context *ctx, struct err_detail *why)
{
	struct delivery *d = MEM_NEW(struct delivery);
	struct lanes_context lanes = {
	    .loop = ctx->loop,
	    .opt = ctx->opt,
	    .cursors = ctx->cursors,
	    .log = ctx->log,
	    .registry = ctx->registry,
	    .seed = ctx->seed,
	    .partition = ctx->partition,
	    .partitions = ctx->partitions,
	    .on_progress = on_progress,
	    .on_acked = on_lane_acked,
	    .on_coalesced = on_lane_coalesced,
	    .on_saving = on_saving,
	    .owner = d,
	};
	struct intake_context in = {
	    .loop = ctx->loop,
	    .opt = ctx->log_opt,
	    .partition = ctx->partition,
	    .log = ctx->log,
	    .metrics = &d->broker_metrics,
	    .errors = &d->metrics.router_log_errors,
	    .on_open = on_open,
	    .on_woken = delivery_read_woken,
	    .arg = d,
	};
	err_t err;

	*out = NULL;
	d->ctx = *ctx;
	intake_init(&d->in, &in);
	loop_timer_init(&d->turn, ctx->loop, delivery_read_turn, d);
	loop_timer_init(&d->behind, ctx->loop, delivery_read_behind, d);
	loop_timer_init(&d->tick, ctx->loop, on_tick, d);
	loop_timer_init(&d->save, ctx->loop, on_save, d);
	lanes_init(&d->lanes, &lanes);
	err = delivery_stage(d, ctx->route, ctx->anew, why);
	if (err != ERR_OK)
		goto done;
	delivery_commit(d);
	d->feed = feed_create(ctx->route, d->lanes.outboxes, d->lanes.n, &d->feed_metrics, ctx->log);
	feed_story(d->feed, ctx->story, ctx->partition);
	show_metrics(d, true);
	*out = d;
	d = NULL;
done:
	if (d != NULL)
		d->ctx.registry = NULL; /* nothing is registered */
	delivery_destroy(&d);
	return err;
}

void
delivery_destroy(struct delivery **dp)
{
	struct delivery *d = *dp;

	if (d == NULL)
		return;
	loop_timer_stop(&d->turn);
	loop_timer_stop(&d->behind);
	loop_timer_stop(&d->tick);
	loop_timer_stop(&d->save);
	intake_stop(&d->in);
	show_metrics(d, false);
	feed_destroy(&d->feed);
	lanes_fini(&d->lanes);
	places_fini(&d->places);
	free(d);
	*dp = NULL;
}

/* --- the log ----------------------------------------------------------------------------------------------
 */

static void
on_open(void *arg)
{
	struct delivery *d = arg;

	place_lanes(d);
	for (size_t i = 0; i < d->lanes.n; i++)
		d->lanes.lane[i]->asked = broker_ask(d->in.reader);
	if (d->in.end > d->in.first)
		delivery_connect(d, NULL);
	d->more = true;
	places_arrived(&d->places);
	delivery_read_soon(d);
}

/* Once a second: for the append whose writer died before it could wake anybody, for the gauges, and for a
 * lane that takes nothing at the moment while the log is trimmed in front of it. */
static void
on_tick(void *arg)
{
	struct delivery *d = arg;

	if (d->in.reader == NULL || d->draining || !intake_look(&d->in))
		return;
	metric_set(&d->metrics.router_log_end, d->in.end);
	for (size_t i = 0; i < d->lanes.n; i++) {
		struct lane *lane = d->lanes.lane[i];

		if (lane->next_read < d->in.first)
			lane_gap(lane, lane->next_read, d->in.first,
				 "the log was trimmed before the server could take these records");
	}
	delivery_look_all(d);
	for (size_t i = 0; i < d->lanes.n; i++) {
		if (broker_answered(d->in.reader, d->lanes.lane[i]->asked))
			lane_caught_up(d->lanes.lane[i], d->in.end);
	}
	d->more = true;
	places_arrived(&d->places);
	delivery_read_soon(d);
}

/* --- progress ---------------------------------------------------------------------------------------------
 */

static void
drain_check(struct delivery *d)
{
	void (*done)(void *arg) = d->drained;

	if (!d->draining || done == NULL)
		return;
	for (size_t i = 0; i < d->lanes.n; i++) {
		const struct lane *lane = d->lanes.lane[i];

		if (server_is_up(lane->server) && outbox_in_flight(lane->outbox) + !lane->paused > 0 &&
		    !outbox_is_empty(lane->outbox))
			return;
	}
	d->drained = NULL;
	done(d->drained_arg);
}

static void
on_progress(void *arg, struct server *s)
{
	struct lane *lane = arg;
	struct delivery *d = lane->owner;
	bool was_heavy = lane->heavy;
	bool new = server_is_up(s) && lane->greeted != server_greetings(s);

	if (new) {
		lane_greeted(lane);
		if (d->in.reader != NULL)
			lane->asked = broker_ask(d->in.reader);
		if (d->ctx.on_greeted != NULL)
			d->ctx.on_greeted(d->ctx.arg, s, server_can(s));
	}
	delivery_look(d, lane, places_live(&d->places));
	if (d->ctx.on_settled != NULL)
		d->ctx.on_settled(d->ctx.arg);
	if (was_heavy && !lane->heavy)
		delivery_read_soon(d);
	drain_check(d);
}

void
delivery_save(struct delivery *d)
{
	struct err_detail why = {0};
	size_t n;

	delivery_look_all(d);
	if (lanes_save(&d->lanes, &n, &why) != ERR_OK) {
		metric_inc(&d->metrics.router_cursor_errors);
		log_error(d->ctx.log, "cursors cannot be saved; delivery goes on, and they are tried again",
			  F_STR("reason", err_why(&why)));
	} else if (n > 0) {
		metric_inc(&d->metrics.router_cursor_saves);
	}
}

static void
on_save(void *arg)
{
	delivery_save(arg);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

void
delivery_start(struct delivery *d)
{
	intake_start(&d->in);
	loop_timer_every(&d->tick, TICK_MS);
	loop_timer_every(&d->save, d->ctx.opt->cursor_interval);
}

void
delivery_connect(struct delivery *d, const char *server)
{
	lanes_connect(&d->lanes, server);
}

void
delivery_reloaded(struct delivery *d)
{
	loop_timer_every(&d->save, d->ctx.opt->cursor_interval);
	delivery_look_all(d);
	for (size_t i = 0; i < d->lanes.n; i++)
		server_pump(d->lanes.lane[i]->server);
	delivery_read_soon(d);
}

void
delivery_cold(struct delivery *d, uint32_t holdoff_ms)
{
	feed_cold(d->feed, holdoff_ms);
}

void
delivery_partitions(struct delivery *d, uint32_t partitions)
{
	if (partitions == d->ctx.partitions)
		return;
	show_metrics(d, false);
	d->ctx.partitions = partitions;
	lanes_partitions(&d->lanes, partitions);
	show_metrics(d, true);
}

bool
delivery_pause(struct delivery *d, const char *server, bool pause)
{
	bool found = lanes_pause(&d->lanes, server, pause);

	drain_check(d);
	return found;
}

void
delivery_sharers(struct delivery *d, size_t i, unsigned sharers)
{
	struct lane *lane = d->lanes.lane[i];

	if (lane->sharers == sharers)
		return;
	lane->sharers = sharers;
	delivery_look(d, lane, places_live(&d->places));
	server_pump(lane->server);
}

void
delivery_drain(struct delivery *d, void (*done)(void *arg), void *arg)
{
	d->draining = true;
	d->drained = done;
	d->drained_arg = arg;
	loop_timer_stop(&d->turn);
	loop_timer_stop(&d->behind);
	loop_timer_stop(&d->tick);
	intake_stop(&d->in);
	drain_check(d);
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

struct delivery_log
delivery_log(const struct delivery *d)
{
	return (struct delivery_log){
	    .id = d->in.reader != NULL ? broker_reader_log_id(d->in.reader) : NULL,
	    .error = d->in.error,
	    .first = d->in.first,
	    .live = places_live(&d->places),
	    .end = d->in.end,
	};
}

uint32_t
delivery_partition(const struct delivery *d)
{
	return d->ctx.partition;
}

size_t
delivery_nservers(const struct delivery *d)
{
	return d->lanes.n;
}

const struct lane *
delivery_lane(const struct delivery *d, size_t i)
{
	return d->lanes.lane[i];
}

struct server *
delivery_server(const struct delivery *d, size_t i)
{
	return d->lanes.lane[i]->server;
}

uint64_t
delivery_acked(const struct delivery *d, size_t i)
{
	return outbox_acked(d->lanes.lane[i]->outbox);
}

const struct delivery_metrics *
delivery_metrics(const struct delivery *d)
{
	return &d->metrics;
}

const struct lane_metrics *
delivery_lane_metrics(const struct delivery *d, size_t i)
{
	return &d->lanes.lane[i]->metrics;
}

const struct feed_metrics *
delivery_feed_metrics(const struct delivery *d)
{
	return &d->feed_metrics;
}
