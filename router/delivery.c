#include "router/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/crash.h"
#include "lib/core/mem.h"

typedef struct delivery_metrics metric_owner;
const struct metric_row delivery_metric_rows[] = {METRIC_ROWS(DELIVERY_METRICS)};
const size_t delivery_metric_nrows = sizeof(delivery_metric_rows) / sizeof(delivery_metric_rows[0]);

enum {
	SLICE_RECORDS = 64,
	SLICE_BYTES = 128 * 1024,
	TICK_MS = 1000,
	REOPEN_FIRST_MS = 100,
	REOPEN_MAX_MS = 2000,
	SAY_AGAIN_MS = 30000, /* a log that stays unreadable is mentioned this often */
};

/* The argument of a server's callbacks. */
struct link {
	struct delivery *d;
	struct lane *lane;
};

struct delivery {
	struct delivery_context ctx;
	struct lane *lanes;
	struct link *links;
	size_t nlanes;
	struct outbox **outboxes;
	bool *takes_part;
	struct feed *feed;
	struct feed_metrics feed_metrics;
	struct delivery_metrics metrics;
	struct broker_metrics broker_metrics;
	struct broker_reader *reader; /* NULL: not open */
	struct loop_fd woken;
	struct loop_timer turn, tick, reopen, save;
	uint64_t log_first, log_end;
	unsigned open_failures;
	char log_error[600]; /* "" while the log can be read */
	err_t log_err;
	uint64_t log_said_ms;
	bool more;	    /* the live feed has not come to the end yet */
	size_t last_served; /* among those behind */
	uint64_t expect;    /* while reading: the next record's least offset */
	bool handed;	    /* while reading: there was a record */
	bool patient;	    /* while reading: lanes with plenty to send take no more */
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
};

static void on_turn(void *arg);
static void on_tick(void *arg);
static void on_reopen(void *arg);
static void on_save(void *arg);
static void on_woken(void *arg, int what);
static void on_progress(void *arg, struct server *s);

static void
on_lane_acked(void *arg, const struct outbox_ack *ack)
{
	const struct link *link = arg;

	if (link->d->ctx.on_acked != NULL)
		link->d->ctx.on_acked(link->d->ctx.arg, link->lane->server, ack->offset, ack->key);
}

static err_t
make_lane(struct delivery *d, size_t i, struct err_detail *why)
{
	struct lane *lane = &d->lanes[i];
	struct server_context ctx = {0};

	d->links[i] = (struct link){d, lane};
	ctx.loop = d->ctx.loop;
	ctx.opt = d->ctx.opt;
	ctx.log = d->ctx.log;
	ctx.seed = d->ctx.seed + i * 0x9e3779b97f4a7c15ull;
	ctx.on_progress = on_progress;
	ctx.on_acked = on_lane_acked;
	ctx.arg = &d->links[i];
	lane_init(lane, server_create(&d->ctx.cluster->servers[i], &ctx), d->ctx.opt, d->ctx.log);
	d->outboxes[i] = lane->outbox;
	return cursor_load(d->ctx.cursors, &lane->cursor, &lane->had_cursor, why);
}

static void
register_metrics(struct delivery *d)
{
	struct metric_registry *r = d->ctx.registry;

	if (r == NULL)
		return;
	metric_registry_add(r, delivery_metric_rows, delivery_metric_nrows, &d->metrics, "");
	metric_registry_add(r, feed_metric_rows, feed_metric_nrows, &d->feed_metrics, "");
	metric_registry_add(r, broker_metric_rows, broker_metric_nrows, &d->broker_metrics, "");
	for (size_t i = 0; i < d->nlanes; i++) {
		struct buf label = BUF_INIT;

		buf_printf(&label, "server=\"%s\"", server_name(d->lanes[i].server));
		metric_registry_add(r, lane_metric_rows, lane_metric_nrows, &d->lanes[i].metrics,
				    buf_str(&label));
		server_metrics_add(d->lanes[i].server, r);
		buf_fini(&label);
	}
}

err_t
delivery_create(struct delivery **out, const struct delivery_context *ctx, struct err_detail *why)
{
	struct delivery *d = MEM_NEW(struct delivery);
	err_t err = ERR_OK;

	*out = NULL;
	d->ctx = *ctx;
	d->nlanes = ctx->cluster->nservers;
	d->lanes = mem_zalloc(d->nlanes, sizeof(d->lanes[0]));
	d->links = mem_zalloc(d->nlanes, sizeof(d->links[0]));
	d->outboxes = mem_zalloc(d->nlanes, sizeof(d->outboxes[0]));
	d->takes_part = mem_zalloc(d->nlanes, sizeof(d->takes_part[0]));
	snprintf(d->log_error, sizeof(d->log_error), "not opened yet");
	loop_timer_init(&d->turn, ctx->loop, on_turn, d);
	loop_timer_init(&d->tick, ctx->loop, on_tick, d);
	loop_timer_init(&d->reopen, ctx->loop, on_reopen, d);
	loop_timer_init(&d->save, ctx->loop, on_save, d);
	for (size_t i = 0; i < d->nlanes && err == ERR_OK; i++)
		err = make_lane(d, i, why);
	if (err != ERR_OK)
		goto done;
	d->feed = feed_create(ctx->ring, d->outboxes, d->nlanes, &d->feed_metrics, ctx->log);
	feed_namespace(d->feed, ctx->cluster->opt.namespace);
	register_metrics(d);
	*out = d;
	d = NULL;
done:
	if (d != NULL)
		d->ctx.registry = NULL; /* nothing is registered */
	delivery_destroy(&d);
	return err;
}

static void
close_log(struct delivery *d)
{
	loop_fd_fini(&d->woken);
	d->woken = (struct loop_fd){0};
	broker_reader_close(&d->reader);
}

void
delivery_destroy(struct delivery **dp)
{
	struct delivery *d = *dp;

	if (d == NULL)
		return;
	loop_timer_stop(&d->turn);
	loop_timer_stop(&d->tick);
	loop_timer_stop(&d->reopen);
	loop_timer_stop(&d->save);
	close_log(d);
	for (size_t i = 0; i < d->nlanes; i++) {
		if (d->ctx.registry != NULL) {
			server_metrics_remove(d->lanes[i].server, d->ctx.registry);
			metric_registry_remove(d->ctx.registry, &d->lanes[i].metrics);
		}
		lane_fini(&d->lanes[i]);
	}
	if (d->ctx.registry != NULL) {
		metric_registry_remove(d->ctx.registry, &d->metrics);
		metric_registry_remove(d->ctx.registry, &d->feed_metrics);
		metric_registry_remove(d->ctx.registry, &d->broker_metrics);
	}
	feed_destroy(&d->feed);
	free(d->lanes);
	free(d->links);
	free(d->outboxes);
	free(d->takes_part);
	free(d);
	*dp = NULL;
}

static uint64_t
now_ms(const struct delivery *d)
{
	return clock_mono_ms(loop_clock(d->ctx.loop));
}

static void
take_turn(struct delivery *d)
{
	if (!loop_timer_is_set(&d->turn) && d->reader != NULL && !d->draining)
		loop_timer_once(&d->turn, 0);
}

static void
look_at_lanes(struct delivery *d)
{
	for (size_t i = 0; i < d->nlanes; i++)
		lane_look(&d->lanes[i], d->log_end);
}

/* --- reading ----------------------------------------------------------------------------------------------
 */

static void
log_failed(struct delivery *d, err_t err, const struct err_detail *why)
{
	uint64_t ms = (uint64_t)REOPEN_FIRST_MS << (d->open_failures < 8 ? d->open_failures : 8);

	metric_inc(&d->metrics.router_log_errors);
	if (d->log_err != err || now_ms(d) - d->log_said_ms >= SAY_AGAIN_MS) {
		log_error(d->ctx.log, "the log cannot be read; it is tried again",
			  F_STR("reason", err_why(why)));
		d->log_said_ms = now_ms(d);
	}
	d->log_err = err;
	snprintf(d->log_error, sizeof(d->log_error), "%s", err_why(why));
	close_log(d);
	d->open_failures++;
	loop_timer_once(&d->reopen, ms < REOPEN_MAX_MS ? ms : REOPEN_MAX_MS);
}

/* A record that says nothing: whoever should have had its deletes is flushed. */
static void
bad_record(struct delivery *d, uint64_t offset, const char *reason)
{
	metric_inc(&d->metrics.router_bad_records);
	for (size_t i = 0; i < d->nlanes; i++) {
		if (d->takes_part[i])
			lane_gap(&d->lanes[i], offset, offset + 1, reason);
	}
}

/* Marks the lanes at from .. upto that take the next record; false when there are none. */
static bool
choose_lanes(struct delivery *d, uint64_t from, uint64_t upto)
{
	bool any = false;

	for (size_t i = 0; i < d->nlanes; i++) {
		const struct lane *lane = &d->lanes[i];

		d->takes_part[i] = lane->next_read >= from && lane->next_read <= upto && !lane->full &&
				   !(d->patient && lane->heavy);
		any |= d->takes_part[i];
	}
	return any;
}

static bool
on_record(void *arg, const struct broker_record *rec)
{
	struct delivery *d = arg;
	struct err_detail why = {0};

	CRASH_POINT("router.read");
	d->handed = true;
	if (!choose_lanes(d, d->expect, rec->offset))
		return false;
	metric_inc(&d->metrics.router_records);
	d->expect = rec->offset + 1;
	if (rec->damaged) {
		bad_record(d, rec->offset, "the record's checksum does not match");
	} else if (feed_record(d->feed, rec->offset, rec->bytes, d->takes_part, &why) != ERR_OK) {
		bad_record(d, rec->offset, err_why(&why));
	} else {
		for (size_t i = 0; i < d->nlanes; i++) {
			if (d->takes_part[i])
				lane_advance(&d->lanes[i], rec->offset + 1);
		}
	}
	CRASH_POINT("router.enqueued");
	return true;
}

/* Nothing is left to read at `from`: whoever stands there stands at `next` just as well. */
static void
skip_hole(struct delivery *d, uint64_t from, uint64_t next)
{
	for (size_t i = 0; i < d->nlanes; i++) {
		if (d->lanes[i].next_read == from)
			lane_advance(&d->lanes[i], next);
	}
}

/* Reads one slice for the lanes at `from` that have room; false when there was nothing to read. */
static bool
read_slice(struct delivery *d, uint64_t from)
{
	struct err_detail why = {0};
	uint64_t next = from;
	err_t err;

	d->expect = from;
	d->handed = false;
	err = broker_read(d->reader, from, SLICE_RECORDS, SLICE_BYTES, on_record, d, &next, &why);
	if (err == ERR_GAP) {
		for (size_t i = 0; i < d->nlanes; i++) {
			if (d->lanes[i].next_read == from)
				lane_gap(&d->lanes[i], from, next, err_why(&why));
		}
		return true;
	}
	if (err == ERR_OK && next > from && !d->handed)
		skip_hole(d, from, next);
	if (next > d->log_end)
		d->log_end = next;
	for (size_t i = 0; i < d->nlanes; i++)
		server_pump(d->lanes[i].server);
	look_at_lanes(d);
	if (err != ERR_OK)
		log_failed(d, err, &why);
	return next > from;
}

static uint64_t
live_place(const struct delivery *d)
{
	uint64_t live = 0;

	for (size_t i = 0; i < d->nlanes; i++) {
		if (d->lanes[i].next_read > live)
			live = d->lanes[i].next_read;
	}
	return live;
}

/*
 * Is a server that is up behind?  Then those ahead take no more than half a queue, so that servers of equal
 * speed meet again and share one reading.  Nobody is ever short of work for that.
 */
static bool
anybody_follows(const struct delivery *d, uint64_t live)
{
	for (size_t i = 0; i < d->nlanes; i++) {
		if (d->lanes[i].next_read < live && server_is_up(d->lanes[i].server))
			return true;
	}
	return false;
}

/* The next one in turn of those behind that have room; NULL when there is none. */
static struct lane *
next_behind(struct delivery *d, uint64_t live)
{
	for (size_t n = 1; n <= d->nlanes; n++) {
		size_t i = (d->last_served + n) % d->nlanes;
		struct lane *lane = &d->lanes[i];

		if (lane->next_read < live && !lane->full) {
			d->last_served = i;
			return lane;
		}
	}
	return NULL;
}

/* One slice for the live feed, one for somebody behind, and then the loop may do other things. */
static void
on_turn(void *arg)
{
	struct delivery *d = arg;
	uint64_t live = live_place(d);
	struct lane *behind;
	bool again = false;

	if (d->reader == NULL || d->draining)
		return;
	d->patient = anybody_follows(d, live);
	if (d->more && choose_lanes(d, live, live)) {
		d->more = read_slice(d, live);
		again = d->more;
	}
	d->patient = false;
	metric_set(&d->metrics.router_live_offset, live_place(d));
	if (d->reader == NULL)
		return;
	behind = next_behind(d, live_place(d));
	if (behind != NULL) {
		metric_inc(&d->metrics.router_catch_up_reads);
		read_slice(d, behind->next_read);
		again = true;
	}
	if (again)
		take_turn(d);
}

static void
on_woken(void *arg, int what)
{
	struct delivery *d = arg;

	(void)what;
	broker_reader_woken(d->reader);
	d->more = true;
	/* At once: nothing is gained by another round of the loop. */
	if (!loop_timer_is_set(&d->turn))
		on_turn(d);
}

/* --- the log ----------------------------------------------------------------------------------------------
 */

static void
on_reopen(void *arg)
{
	struct delivery *d = arg;
	struct broker_context ctx = {loop_clock(d->ctx.loop), d->ctx.log, &d->broker_metrics};
	struct err_detail why = {0};
	err_t err;

	if (d->draining)
		return;
	err = broker_reader_open(&d->reader, d->ctx.log_opt, &ctx, &why);
	if (err == ERR_OK)
		err = broker_bounds(d->reader, &d->log_first, &d->log_end, &why);
	if (err != ERR_OK) {
		log_failed(d, err, &why);
		return;
	}
	log_info(d->ctx.log, "reading the log", F_STR("path", d->ctx.log_opt->path),
		 F_STR("id", broker_reader_log_id(d->reader)), F_UINT("first", d->log_first),
		 F_UINT("end", d->log_end));
	d->open_failures = 0;
	d->log_err = ERR_OK;
	d->log_error[0] = '\0';
	for (size_t i = 0; i < d->nlanes; i++)
		lane_place(&d->lanes[i], broker_reader_log_id(d->reader), d->log_first);
	loop_fd_init(&d->woken, d->ctx.loop, broker_reader_fd(d->reader), on_woken, d);
	loop_fd_want(&d->woken, LOOP_READ);
	d->more = true;
	take_turn(d);
}

/* Once a second: for the append whose writer died before it could wake anybody, for the gauges, and for a
 * lane that takes nothing at the moment while the log is trimmed in front of it. */
static void
on_tick(void *arg)
{
	struct delivery *d = arg;
	struct err_detail why = {0};
	err_t err;

	if (d->reader == NULL || d->draining)
		return;
	err = broker_bounds(d->reader, &d->log_first, &d->log_end, &why);
	if (err != ERR_OK) {
		log_failed(d, err, &why);
		return;
	}
	metric_set(&d->metrics.router_log_end, d->log_end);
	for (size_t i = 0; i < d->nlanes; i++) {
		struct lane *lane = &d->lanes[i];

		if (lane->next_read < d->log_first)
			lane_gap(lane, lane->next_read, d->log_first,
				 "the log was trimmed before the server could take these records");
	}
	look_at_lanes(d);
	for (size_t i = 0; i < d->nlanes; i++)
		lane_caught_up(&d->lanes[i], d->log_end);
	d->more = true;
	take_turn(d);
}

/* --- progress ---------------------------------------------------------------------------------------------
 */

static void
drain_check(struct delivery *d)
{
	void (*done)(void *arg) = d->drained;

	if (!d->draining || done == NULL)
		return;
	for (size_t i = 0; i < d->nlanes; i++) {
		if (server_is_up(d->lanes[i].server) && !outbox_is_empty(d->lanes[i].outbox))
			return;
	}
	d->drained = NULL;
	done(d->drained_arg);
}

static void
on_progress(void *arg, struct server *s)
{
	const struct link *link = arg;
	struct delivery *d = link->d;
	bool was_heavy = link->lane->heavy;

	(void)s;
	lane_look(link->lane, d->log_end);
	if (d->ctx.on_settled != NULL)
		d->ctx.on_settled(d->ctx.arg);
	if (was_heavy && !link->lane->heavy)
		take_turn(d);
	drain_check(d);
}

void
delivery_save(struct delivery *d)
{
	struct cursor *cursors = mem_zalloc(d->nlanes, sizeof(cursors[0]));
	struct err_detail why = {0};
	size_t n = 0;
	err_t err = ERR_OK;

	look_at_lanes(d);
	for (size_t i = 0; i < d->nlanes; i++)
		n += lane_cursor(&d->lanes[i], &cursors[n]);
	if (n == 0)
		goto done;
	CRASH_POINT("router.cursor.before");
	err = cursor_save(d->ctx.cursors, cursors, n, &why);
	CRASH_POINT("router.cursor.after");
	if (err != ERR_OK) {
		metric_inc(&d->metrics.router_cursor_errors);
		log_error(d->ctx.log, "cursors cannot be saved; delivery goes on, and they are tried again",
			  F_STR("reason", err_why(&why)));
		goto done;
	}
	metric_inc(&d->metrics.router_cursor_saves);
	for (size_t i = 0, c = 0; i < d->nlanes && c < n; i++) {
		if (cursors[c].server == d->lanes[i].cursor.server)
			d->lanes[i].cursor = cursors[c++];
	}
done:
	free(cursors);
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
	for (size_t i = 0; i < d->nlanes; i++)
		server_start(d->lanes[i].server);
	loop_timer_once(&d->reopen, 0);
	loop_timer_every(&d->tick, TICK_MS);
	loop_timer_every(&d->save, d->ctx.opt->cursor_interval);
}

void
delivery_reloaded(struct delivery *d)
{
	loop_timer_every(&d->save, d->ctx.opt->cursor_interval);
	for (size_t i = 0; i < d->nlanes; i++) {
		lane_look(&d->lanes[i], d->log_end);
		server_pump(d->lanes[i].server);
	}
	take_turn(d);
}

void
delivery_drain(struct delivery *d, void (*done)(void *arg), void *arg)
{
	d->draining = true;
	d->drained = done;
	d->drained_arg = arg;
	loop_timer_stop(&d->turn);
	loop_timer_stop(&d->tick);
	loop_timer_stop(&d->reopen);
	close_log(d);
	drain_check(d);
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

size_t
delivery_nservers(const struct delivery *d)
{
	return d->nlanes;
}

struct server *
delivery_server(const struct delivery *d, size_t i)
{
	return d->lanes[i].server;
}

uint64_t
delivery_acked(const struct delivery *d, size_t i)
{
	return outbox_acked(d->lanes[i].outbox);
}

const struct delivery_metrics *
delivery_metrics(const struct delivery *d)
{
	return &d->metrics;
}

const struct lane_metrics *
delivery_lane_metrics(const struct delivery *d, size_t i)
{
	return &d->lanes[i].metrics;
}

const struct feed_metrics *
delivery_feed_metrics(const struct delivery *d)
{
	return &d->feed_metrics;
}

void
delivery_ready(void *delivery, struct admin_reasons *reasons)
{
	struct delivery *d = delivery;

	if (d->log_error[0] != '\0')
		admin_not_ready(reasons, "the log cannot be read: %s", d->log_error);
	for (size_t i = 0; i < d->nlanes; i++) {
		const struct lane *lane = &d->lanes[i];

		if (lane_in_gap(lane))
			admin_not_ready(reasons,
					"server %s is in GAP: records %llu up to %llu are missing (%s); it "
					"is being flushed",
					server_name(lane->server), (unsigned long long)lane->gap.from,
					(unsigned long long)lane->gap.to, lane->gap.reason);
	}
}

void
delivery_status(void *delivery, struct json *j)
{
	struct delivery *d = delivery;

	json_kv_str(j, "cluster", d->ctx.cluster->opt.name);
	json_kv_str(j, "distribution", d->ctx.cluster->opt.distribution);
	json_kv_str(j, "hash", d->ctx.cluster->opt.hash);
	json_name(j, "log");
	json_object(j);
	json_kv_str(j, "path", d->ctx.log_opt->path);
	json_kv_str(j, "id", d->reader != NULL ? broker_reader_log_id(d->reader) : NULL);
	json_kv_str(j, "error", d->log_error);
	json_kv_u64(j, "first_offset", d->log_first);
	json_kv_u64(j, "live_offset", live_place(d));
	json_kv_u64(j, "end_offset", d->log_end);
	json_object_end(j);
	json_name(j, "servers");
	json_array(j);
	for (size_t i = 0; i < d->nlanes; i++)
		lane_status(&d->lanes[i], j);
	json_array_end(j);
}
