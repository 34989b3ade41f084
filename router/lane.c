#include "router/lane.h"

#include <stdio.h>
#include <string.h>

enum { BEHIND_RECORDS = 64 }; /* so far from the log's end is no longer the bustle of a moment */

typedef struct lane_metrics metric_owner;
const struct metric_row lane_metric_rows[] = {METRIC_ROWS(LANE_METRICS)};
const size_t lane_metric_nrows = sizeof(lane_metric_rows) / sizeof(lane_metric_rows[0]);

void
lane_init(struct lane *lane, struct server *server, const struct router_options *opt, struct log *log)
{
	memset(lane, 0, sizeof(*lane));
	lane->opt = opt;
	lane->log = log;
	lane->server = server;
	lane->outbox = server_outbox(server);
	lane->cursor.server = server_name(server);
}

void
lane_fini(struct lane *lane)
{
	server_destroy(&lane->server);
	lane->outbox = NULL;
}

void
lane_start(struct lane *lane)
{
	if (lane->started)
		return;
	lane->started = true;
	server_start(lane->server);
}

void
lane_distrust(struct lane *lane)
{
	lane->distrust = true;
}

static void
lane_fullness(struct lane *lane)
{
	size_t bytes = outbox_bytes(lane->outbox);

	lane->heavy = bytes > lane->opt->queue_bytes / 2;
	if (bytes >= lane->opt->queue_bytes)
		lane->full = true;
	else if (!lane->heavy)
		lane->full = false;
}

bool
lane_in_gap(const struct lane *lane)
{
	return outbox_flushes_pending(lane->outbox) > 0;
}

/* As long as the lane is behind it takes no more than its share of catch_up_rate. */
static void
lane_rate(struct lane *lane, uint64_t log_end, uint64_t live)
{
	uint64_t rate = lane->opt->catch_up_rate;

	lane->behind = lane->next_read < live || log_end > lane->next_read + BEHIND_RECORDS;
	if (rate > 0 && lane->sharers > 1)
		rate = rate > lane->sharers ? rate / lane->sharers : 1;
	outbox_rate(lane->outbox, lane->behind ? rate : 0);
}

static uint64_t
lane_behind_us(const struct lane *lane, uint64_t acked, uint64_t live, uint64_t now_us)
{
	uint64_t at_us = age_oldest_us(&lane->age);

	/* Those at the foremost place have acknowledged everything that anybody has read. */
	if ((acked >= lane->next_read && lane->next_read >= live) || at_us == 0 || at_us > now_us)
		return 0;
	return now_us - at_us;
}

void
lane_look(struct lane *lane, uint64_t log_end, uint64_t live, uint64_t now_us)
{
	uint64_t acked = outbox_acked(lane->outbox);

	lane_fullness(lane);
	lane_rate(lane, log_end, live);
	metric_set(&lane->metrics.router_in_gap, lane_in_gap(lane));
	if (!lane_in_gap(lane))
		lane->unproven = false;
	if (lane->unproven || !lane->placed)
		return;
	age_forget(&lane->age, acked);
	metric_set(&lane->metrics.router_acked_offset, acked);
	metric_set(&lane->metrics.router_behind, log_end > acked ? log_end - acked : 0);
	metric_set(&lane->metrics.router_behind_seconds, lane_behind_us(lane, acked, live, now_us) / 1000000);
}

void
lane_pause(struct lane *lane, bool pause)
{
	if (lane->paused == pause)
		return;
	lane->paused = pause;
	metric_set(&lane->metrics.router_paused, pause);
	log_notice(lane->log,
		   pause ? "deliveries to the server are paused" : "deliveries to the server go on",
		   F_STR("server", server_name(lane->server)));
	outbox_pause(lane->outbox, pause);
	server_pump(lane->server);
}

void
lane_advance(struct lane *lane, uint64_t next)
{
	lane->next_read = next;
	outbox_record_end(lane->outbox, next);
	lane_fullness(lane);
}

void
lane_gap(struct lane *lane, uint64_t from, uint64_t to, const char *reason)
{
	if (!lane_in_gap(lane) || lane->gap.to != from)
		lane->gap.from = from;
	lane->gap.to = to;
	snprintf(lane->gap.reason, sizeof(lane->gap.reason), "%s", reason);
	metric_inc(&lane->metrics.router_gaps);
	log_error(lane->log,
		  "GAP: the server may have missed deletes; it is flushed before anything else counts",
		  F_STR("server", server_name(lane->server)), F_UINT("from", from), F_UINT("to", to),
		  F_STR("reason", reason));
	outbox_flush_all(lane->outbox);
	metric_set(&lane->metrics.router_in_gap, 1);
	lane_advance(lane, to);
	lane_start(lane);
	server_pump(lane->server);
}

void
lane_greeted(struct lane *lane)
{
	uint64_t greeting = server_greetings(lane->server);

	if (lane->greeted == greeting || !server_is_up(lane->server))
		return;
	lane->greeted = greeting;
	if (server_identity(lane->server)->changed != SERVER_OTHER)
		return;
	if (!lane->placed) {
		lane->distrust = true;
		return;
	}
	lane->unproven = true;
	lane_gap(lane, outbox_acked(lane->outbox), lane->next_read,
		 "another server answers at the address, which ran already while the one before was there");
}

void
lane_caught_up(struct lane *lane, uint64_t log_end)
{
	uint64_t greeting = server_greetings(lane->server);

	if (lane->told == greeting || !lane->placed || lane->next_read < log_end ||
	    !server_is_up(lane->server))
		return;
	lane->told = greeting;
	if (server_can(lane->server) & OUTBOX_CAUGHT_UP) {
		outbox_caught_up(lane->outbox);
		server_pump(lane->server);
	}
}

bool
lane_is_caught_up(const struct lane *lane)
{
	return server_is_up(lane->server) && lane->told == server_greetings(lane->server);
}

void
lane_place(struct lane *lane, const char *log_id, uint64_t first)
{
	bool other;

	if (lane->placed && strcmp(lane->log_id, log_id) == 0)
		return;
	other = lane->placed || (lane->had_cursor && strcmp(lane->cursor.log_id, log_id) != 0);
	if (!outbox_is_empty(lane->outbox))
		server_reconnect(lane->server, "the log is another one");
	lane->placed = true;
	lane->full = lane->heavy = lane->dry = false;
	age_clear(&lane->age);
	snprintf(lane->log_id, sizeof(lane->log_id), "%s", log_id);
	if (other) {
		outbox_restart(lane->outbox, 0);
		lane->unproven = true;
		lane_gap(lane, 0, first, "the log is not the one that the server's cursor was made in");
	} else if (lane->distrust) {
		outbox_restart(lane->outbox, 0);
		lane->unproven = true;
		lane_gap(lane, 0, first, "its cursor does not tell what the server holds");
	} else if (lane->had_cursor) {
		outbox_restart(lane->outbox, lane->cursor.offset);
		lane->next_read = lane->cursor.offset;
	} else {
		log_notice(lane->log, "server without a cursor starts at the log's first record",
			   F_STR("server", server_name(lane->server)), F_UINT("offset", first));
		outbox_restart(lane->outbox, first);
		lane->next_read = first;
	}
	lane->distrust = false;
}

bool
lane_cursor(const struct lane *lane, struct cursor *out)
{
	uint64_t acked = outbox_acked(lane->outbox);

	if (!lane->placed || lane->unproven ||
	    (acked == lane->cursor.offset && strcmp(lane->log_id, lane->cursor.log_id) == 0))
		return false;
	out->server = lane->cursor.server;
	memcpy(out->log_id, lane->log_id, sizeof(out->log_id));
	out->offset = acked;
	return true;
}

void
lane_status(const struct lane *lane, struct json *j)
{
	const struct outbox_metrics *m = server_outbox_metrics(lane->server);

	json_object(j);
	json_kv_str(j, "server", server_name(lane->server));
	json_kv_str(j, "state", server_state(lane->server));
	server_status(lane->server, j);
	json_kv_u64(j, "acked_offset", metric_get(&lane->metrics.router_acked_offset));
	json_kv_u64(j, "next_offset", lane->next_read);
	json_kv_u64(j, "behind_records", metric_get(&lane->metrics.router_behind));
	json_kv_u64(j, "behind_seconds", metric_get(&lane->metrics.router_behind_seconds));
	json_kv_bool(j, "caught_up", lane_is_caught_up(lane));
	json_kv_bool(j, "shadow", lane->shadow);
	json_kv_u64(j, "queue_bytes", outbox_bytes(lane->outbox));
	json_kv_bool(j, "queue_full", lane->full);
	json_kv_u64(j, "in_flight", outbox_in_flight(lane->outbox));
	json_kv_u64(j, "deletes_acked", metric_get(&m->router_deletes_acked));
	json_kv_u64(j, "retries", metric_get(&m->router_retries));
	json_kv_u64(j, "given_up", metric_get(&m->router_deletes_given_up));
	json_kv_str(j, "last_error", server_last_error(lane->server));
	json_kv_bool(j, "in_gap", lane_in_gap(lane));
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
