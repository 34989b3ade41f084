#include "router/status.h"

#include <stdio.h>
#include <string.h>

/* --- ready ------------------------------------------------------------------------------------------------
 */

static void
ready_partition(const struct status *s, const struct delivery *d, struct admin_reasons *reasons)
{
	struct delivery_log log = delivery_log(d);
	char where[48] = "";

	if (s->partitions > 1)
		snprintf(where, sizeof(where), "partition %u: ", (unsigned)delivery_partition(d));
	if (log.error[0] != '\0')
		admin_not_ready(reasons, "%sthe log cannot be read: %s", where, log.error);
	for (size_t i = 0; i < delivery_nservers(d); i++) {
		const struct lane *lane = delivery_lane(d, i);

		if (lane_in_gap(lane) && !lane->shadow)
			admin_not_ready(reasons,
					"%sserver %s is in GAP: records %llu up to %llu are missing (%s); it "
					"is being flushed",
					where, server_name(lane->server), (unsigned long long)lane->gap.from,
					(unsigned long long)lane->gap.to, lane->gap.reason);
	}
}

void
status_ready(const struct status *s, struct admin_reasons *reasons)
{
	if (s->trouble[0] != '\0')
		admin_not_ready(reasons, "%s", s->trouble);
	else if (s->partitions == 0)
		admin_not_ready(reasons, "the partitions of the log are not known yet");
	for (size_t i = 0; i < s->n; i++)
		ready_partition(s, s->deliveries[i], reasons);
}

/* --- status -----------------------------------------------------------------------------------------------
 */

static void
write_log(const struct status *s, const struct delivery *d, struct json *j)
{
	struct delivery_log log = delivery_log(d);

	json_name(j, "log");
	json_object(j);
	json_kv_str(j, "path", s->log->path);
	json_kv_str(j, "id", log.id);
	json_kv_str(j, "error", log.error);
	json_kv_u64(j, "first_offset", log.first);
	json_kv_u64(j, "live_offset", log.live);
	json_kv_u64(j, "end_offset", log.end);
	json_object_end(j);
}

static void
write_lanes(const struct delivery *d, struct json *j)
{
	json_name(j, "servers");
	json_array(j);
	for (size_t i = 0; i < delivery_nservers(d); i++)
		lane_status(delivery_lane(d, i), j);
	json_array_end(j);
}

/* Lane `i` of every delivery belongs to the same server: they all have the cluster's order. */
static void
write_server(const struct status *s, size_t i, struct json *j)
{
	const char *state = "up", *error = "";
	uint64_t behind = 0, seconds = 0, queued = 0, acked = 0, retries = 0, given_up = 0;
	bool gap = false, full = false, paused = true, caught_up = true;

	for (size_t p = 0; p < s->n; p++) {
		const struct lane *lane = delivery_lane(s->deliveries[p], i);
		const struct outbox_metrics *m = server_outbox_metrics(lane->server);

		if (!server_is_up(lane->server) && lane->started)
			state = server_state(lane->server);
		if (server_last_error(lane->server)[0] != '\0')
			error = server_last_error(lane->server);
		behind += metric_get(&lane->metrics.router_behind);
		if (metric_get(&lane->metrics.router_behind_seconds) > seconds)
			seconds = metric_get(&lane->metrics.router_behind_seconds);
		queued += outbox_bytes(lane->outbox);
		acked += metric_get(&m->router_deletes_acked);
		retries += metric_get(&m->router_retries);
		given_up += metric_get(&m->router_deletes_given_up);
		gap |= lane_in_gap(lane);
		full |= lane->full;
		paused &= lane->paused;
		caught_up &= lane_is_caught_up(lane) || !lane->started;
	}
	json_object(j);
	json_kv_str(j, "server", server_name(delivery_server(s->deliveries[0], i)));
	json_kv_str(j, "state", state);
	json_kv_str(j, "address", server_address(delivery_server(s->deliveries[0], i)));
	json_kv_str(j, "version", server_version(delivery_server(s->deliveries[0], i)));
	json_kv_u64(j, "behind_records", behind);
	json_kv_u64(j, "behind_seconds", seconds);
	json_kv_bool(j, "caught_up", caught_up);
	json_kv_bool(j, "paused", paused);
	json_kv_u64(j, "queue_bytes", queued);
	json_kv_bool(j, "queue_full", full);
	json_kv_u64(j, "deletes_acked", acked);
	json_kv_u64(j, "retries", retries);
	json_kv_u64(j, "given_up", given_up);
	json_kv_str(j, "last_error", error);
	json_kv_bool(j, "in_gap", gap);
	json_object_end(j);
}

static void
write_sums(const struct status *s, struct json *j)
{
	json_name(j, "servers");
	json_array(j);
	for (size_t i = 0; s->n > 0 && i < delivery_nservers(s->deliveries[0]); i++)
		write_server(s, i, j);
	json_array_end(j);
}

void
status_write(const struct status *s, struct json *j)
{
	json_kv_str(j, "cluster", s->cluster->opt.name);
	json_kv_str(j, "instance", s->instance);
	json_kv_str(j, "distribution", s->cluster->opt.distribution);
	json_kv_str(j, "hash", s->cluster->opt.hash);
	json_kv_str(j, "group_trouble", s->trouble);
	json_kv_u64(j, "log_partitions", s->partitions);
	if (s->n == 1) {
		write_log(s, s->deliveries[0], j);
		write_lanes(s->deliveries[0], j);
	} else {
		write_sums(s, j);
	}
	json_name(j, "partitions");
	json_array(j);
	for (size_t i = 0; i < s->n; i++) {
		json_object(j);
		json_kv_u64(j, "partition", delivery_partition(s->deliveries[i]));
		write_log(s, s->deliveries[i], j);
		write_lanes(s->deliveries[i], j);
		json_object_end(j);
	}
	json_array_end(j);
}
