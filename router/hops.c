#include "router/hops.h"

typedef struct hops_metrics metric_owner;
const struct metric_row hops_metric_rows[] = {METRIC_ROWS(HOPS_METRICS)};
const size_t hops_metric_nrows = sizeof(hops_metric_rows) / sizeof(hops_metric_rows[0]);

static void
note(struct histogram *h, uint64_t from_us, uint64_t to_us)
{
	if (from_us > 0 && to_us >= from_us)
		histogram_bump(h, to_us - from_us);
}

void
hops_note(struct hops_metrics *h, const struct outbox_ack *ack)
{
	if (ack->commit_us % 1000000 != 0)
		note(&h->router_hop_commit_to_seen, ack->commit_us, ack->seen_us);
	note(&h->router_hop_seen_to_queued, ack->seen_us, ack->queued_us);
	note(&h->router_hop_queued_to_sent, ack->queued_us, ack->sent_us);
	note(&h->router_hop_sent_to_acked, ack->sent_us, ack->acked_us);
}

static void
put(struct json *j, const char *name, const struct histogram *h)
{
	json_name(j, name);
	if (histogram_count(h) == 0) {
		json_null(j);
		return;
	}
	json_object(j);
	json_kv_u64(j, "p50", histogram_percentile(h, 0.5));
	json_kv_u64(j, "p99", histogram_percentile(h, 0.99));
	json_kv_u64(j, "max", histogram_max(h));
	json_object_end(j);
}

void
hops_json(const struct hops_metrics *h, struct json *j)
{
	json_name(j, "hops_us");
	json_object(j);
	put(j, "commit_to_seen", &h->router_hop_commit_to_seen);
	put(j, "seen_to_queued", &h->router_hop_seen_to_queued);
	put(j, "queued_to_sent", &h->router_hop_queued_to_sent);
	put(j, "sent_to_acked", &h->router_hop_sent_to_acked);
	json_object_end(j);
}
