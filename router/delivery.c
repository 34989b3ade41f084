#include "router/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/crash.h"
#include "lib/core/mem.h"

typedef struct delivery_metrics metric_owner;
const struct metric_row delivery_metric_rows[] = {METRIC_ROWS(DELIVERY_METRICS)};
const size_t delivery_metric_nrows = sizeof(delivery_metric_rows) / sizeof(delivery_metric_rows[0]);
#define metric_owner struct lane_metrics
const struct metric_row lane_metric_rows[] = {METRIC_ROWS(LANE_METRICS)};
const size_t lane_metric_nrows = sizeof(lane_metric_rows) / sizeof(lane_metric_rows[0]);
#undef metric_owner

enum {
	SLICE_RECORDS = 64,
	SLICE_BYTES = 128 * 1024,
	TICK_MS = 1000,
	REOPEN_FIRST_MS = 100,
	REOPEN_MAX_MS = 2000,
	SAY_AGAIN_MS = 30000, /* a log that stays unreadable is mentioned this often */
};

struct gap {
	uint64_t from, to; /* records from .. to-1 */
	char reason[200];
};

/* One server's way through the log. */
struct lane {
	struct delivery *d;
	struct server *server;
	struct outbox *outbox;
	uint64_t next_read; /* first record that is not in the outbox */
	bool full;	    /* the outbox takes nothing more until it is half empty */
	bool heavy;	    /* the outbox is at least half full */
	bool placed;	    /* next_read means something in the log that is open */
	bool unproven; /* acked offsets mean nothing yet: the log is another, and the flush is not done */
	bool had_cursor;
	struct cursor cursor; /* as loaded or saved last */
	struct gap gap;	      /* the last one */
	struct lane_metrics metrics;
};

struct delivery {
	struct delivery_context ctx;
	struct lane *lanes;
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
	char log_id[CURSOR_LOG_ID_MAX + 1]; /* of the log that the lanes are placed in */
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
on_lane_acked(void *arg, uint64_t offset, struct span key)
{
	struct lane *lane = arg;

	if (lane->d->ctx.on_acked != NULL)
		lane->d->ctx.on_acked(lane->d->ctx.arg, lane->server, offset, key);
}

static err_t
lane_init(struct lane *lane, struct delivery *d, size_t i, struct err_detail *why)
{
	struct server_context ctx = {0};

	ctx.loop = d->ctx.loop;
	ctx.opt = d->ctx.opt;
	ctx.log = d->ctx.log;
	ctx.seed = d->ctx.seed + i * 0x9e3779b97f4a7c15ull;
	ctx.namespace = d->ctx.cluster->opt.namespace;
	ctx.on_progress = on_progress;
	ctx.on_acked = on_lane_acked;
	ctx.arg = lane;
	lane->d = d;
	lane->server = server_create(&d->ctx.cluster->servers[i], &ctx);
	lane->outbox = server_outbox(lane->server);
	lane->cursor.server = server_name(lane->server);
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
	d->outboxes = mem_zalloc(d->nlanes, sizeof(d->outboxes[0]));
	d->takes_part = mem_zalloc(d->nlanes, sizeof(d->takes_part[0]));
	snprintf(d->log_error, sizeof(d->log_error), "not opened yet");
	loop_timer_init(&d->turn, ctx->loop, on_turn, d);
	loop_timer_init(&d->tick, ctx->loop, on_tick, d);
	loop_timer_init(&d->reopen, ctx->loop, on_reopen, d);
	loop_timer_init(&d->save, ctx->loop, on_save, d);
	for (size_t i = 0; i < d->nlanes && err == ERR_OK; i++) {
		err = lane_init(&d->lanes[i], d, i, why);
		d->outboxes[i] = d->lanes[i].outbox;
	}
	if (err != ERR_OK)
		goto done;
	d->feed = feed_create(ctx->ring, d->outboxes, d->nlanes, &d->feed_metrics, ctx->log);
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
		server_destroy(&d->lanes[i].server);
	}
	if (d->ctx.registry != NULL) {
		metric_registry_remove(d->ctx.registry, &d->metrics);
		metric_registry_remove(d->ctx.registry, &d->feed_metrics);
		metric_registry_remove(d->ctx.registry, &d->broker_metrics);
	}
	feed_destroy(&d->feed);
	free(d->lanes);
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

/* --- lanes ------------------------------------------------------------------------------------------------
 */

static void
lane_gauges(struct lane *lane)
{
	uint64_t acked = outbox_acked(lane->outbox);

	if (outbox_flushes_pending(lane->outbox) == 0)
		lane->unproven = false;
	metric_set(&lane->metrics.router_in_gap, outbox_flushes_pending(lane->outbox) > 0);
	if (lane->unproven || !lane->placed)
		return;
	metric_set(&lane->metrics.router_acked_offset, acked);
	metric_set(&lane->metrics.router_behind, lane->d->log_end > acked ? lane->d->log_end - acked : 0);
}

static void
lane_fullness(struct lane *lane)
{
	size_t bytes = outbox_bytes(lane->outbox);

	lane->heavy = bytes > lane->d->ctx.opt->queue_bytes / 2;
	if (bytes >= lane->d->ctx.opt->queue_bytes)
		lane->full = true;
	else if (!lane->heavy)
		lane->full = false;
}

/* Everything before `next` is in the outbox. */
static void
lane_advance(struct lane *lane, uint64_t next)
{
	lane->next_read = next;
	outbox_record_end(lane->outbox, next);
	lane_fullness(lane);
	lane_gauges(lane);
}

/* The server may have missed deletes of the records from .. to-1. */
static void
lane_gap(struct lane *lane, uint64_t from, uint64_t to, const char *reason)
{
	if (outbox_flushes_pending(lane->outbox) == 0 || lane->gap.to != from)
		lane->gap.from = from;
	lane->gap.to = to;
	snprintf(lane->gap.reason, sizeof(lane->gap.reason), "%s", reason);
	metric_inc(&lane->metrics.router_gaps);
	log_error(lane->d->ctx.log,
		  "GAP: the server may have missed deletes; it is flushed before anything else counts",
		  F_STR("server", server_name(lane->server)), F_UINT("from", from), F_UINT("to", to),
		  F_STR("reason", reason));
	outbox_flush_all(lane->outbox);
	lane_advance(lane, to);
	server_pump(lane->server);
}

/* Finds the lane's place in a log that was just opened. */
static void
lane_place(struct lane *lane, const char *log_id, uint64_t first)
{
	struct delivery *d = lane->d;
	bool other;

	if (lane->placed && strcmp(d->log_id, log_id) == 0)
		return;
	other = lane->placed || (lane->had_cursor && strcmp(lane->cursor.log_id, log_id) != 0);
	if (!outbox_is_empty(lane->outbox))
		server_reconnect(lane->server, "the log is another one");
	lane->placed = true;
	lane->full = false;
	if (!lane->had_cursor && !other) {
		log_notice(d->ctx.log, "server without a cursor starts at the log's first record",
			   F_STR("server", server_name(lane->server)), F_UINT("offset", first));
		outbox_restart(lane->outbox, first);
		lane->next_read = first;
	} else if (!other) {
		outbox_restart(lane->outbox, lane->cursor.offset);
		lane->next_read = lane->cursor.offset;
	} else {
		outbox_restart(lane->outbox, 0);
		lane->unproven = true;
		lane_gap(lane, 0, first, "the log is not the one that the server's cursor was made in");
	}
	lane_gauges(lane);
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
	snprintf(d->log_id, sizeof(d->log_id), "%s", broker_reader_log_id(d->reader));
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
		lane_gauges(lane);
	}
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
	struct lane *lane = arg;
	struct delivery *d = lane->d;
	bool was_heavy = lane->heavy;

	(void)s;
	lane_fullness(lane);
	lane_gauges(lane);
	if (d->ctx.on_settled != NULL)
		d->ctx.on_settled(d->ctx.arg);
	if (was_heavy && !lane->heavy)
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

	for (size_t i = 0; i < d->nlanes; i++) {
		struct lane *lane = &d->lanes[i];
		uint64_t acked = outbox_acked(lane->outbox);

		lane_gauges(lane);
		if (!lane->placed || lane->unproven ||
		    (acked == lane->cursor.offset && strcmp(d->log_id, lane->cursor.log_id) == 0))
			continue;
		cursors[n].server = lane->cursor.server;
		memcpy(cursors[n].log_id, d->log_id, sizeof(d->log_id));
		cursors[n++].offset = acked;
	}
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
		lane_fullness(&d->lanes[i]);
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

		if (outbox_flushes_pending(lane->outbox) > 0)
			admin_not_ready(reasons,
					"server %s is in GAP: records %llu up to %llu are missing (%s); it "
					"is being flushed",
					server_name(lane->server), (unsigned long long)lane->gap.from,
					(unsigned long long)lane->gap.to, lane->gap.reason);
	}
}

static void
lane_status(const struct lane *lane, struct json *j)
{
	const struct outbox_metrics *m = server_outbox_metrics(lane->server);

	json_object(j);
	json_kv_str(j, "server", server_name(lane->server));
	json_kv_str(j, "state", server_state(lane->server));
	json_kv_str(j, "address", server_address(lane->server));
	json_kv_str(j, "version", server_version(lane->server));
	json_kv_str(j, "deletes", server_has_meta(lane->server) ? "meta" : "classic");
	json_kv_u64(j, "acked_offset", metric_get(&lane->metrics.router_acked_offset));
	json_kv_u64(j, "next_offset", lane->next_read);
	json_kv_u64(j, "behind_records", metric_get(&lane->metrics.router_behind));
	json_kv_u64(j, "queue_bytes", outbox_bytes(lane->outbox));
	json_kv_bool(j, "queue_full", lane->full);
	json_kv_u64(j, "deletes_acked", metric_get(&m->router_deletes_acked));
	json_kv_u64(j, "retries", metric_get(&m->router_retries));
	json_kv_u64(j, "given_up", metric_get(&m->router_deletes_given_up));
	json_kv_str(j, "last_error", server_last_error(lane->server));
	json_kv_bool(j, "in_gap", outbox_flushes_pending(lane->outbox) > 0);
	json_name(j, "last_gap");
	if (lane->gap.reason[0] == '\0') {
		json_null(j);
	} else {
		json_object(j);
		json_kv_u64(j, "from", lane->gap.from);
		json_kv_u64(j, "to", lane->gap.to);
		json_kv_str(j, "reason", lane->gap.reason);
		json_object_end(j);
	}
	json_object_end(j);
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
	json_kv_str(j, "id", d->log_id);
	json_kv_str(j, "error", d->log_error);
	json_kv_u64(j, "first_offset", d->log_first);
	json_kv_u64(j, "live_offset", live_place(d));
	json_kv_u64(j, "end_offset", d->log_end);
	json_object_end(j);
	json_name(j, "servers_cannot");
	json_array(j);
	json_str(j, "hold-off: a plain delete leaves nothing behind that would refuse a late fill");
	json_str(j, "epochs: every delete removes whatever is there");
	json_array_end(j);
	json_kv_u64(j, "holdoff_unsupported", metric_get(&d->feed_metrics.router_holdoff_unsupported));
	json_name(j, "servers");
	json_array(j);
	for (size_t i = 0; i < d->nlanes; i++)
		lane_status(&d->lanes[i], j);
	json_array_end(j);
}
