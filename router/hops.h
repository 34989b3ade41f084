/*
 * hops - how long each leg of a delete's way took, from the commit to the acknowledgement.
 *
 * Threads: the loop's.   Blocks: never.   Time: in what it is given.
 */
#ifndef SQUEAL_ROUTER_HOPS_H
#define SQUEAL_ROUTER_HOPS_H

#include "lib/core/json.h"
#include "lib/core/metric.h"
#include "lib/deliver/outbox.h"

/* clang-format off */
/*	  name                          kind       unit  help */
#define HOPS_METRICS(M)                                                                                         \
	M(router_hop_commit_to_seen,    HISTOGRAM, "us", "from the commit, by the source's clock, to squeal's reading of it; sources that say whole seconds only are left out") \
	M(router_hop_seen_to_queued,    HISTOGRAM, "us", "from there to the router's queue for the server: the log") \
	M(router_hop_queued_to_sent,    HISTOGRAM, "us", "from there to the first sending: waiting for the server, a window, a limit, or the end of a pause") \
	M(router_hop_sent_to_acked,     HISTOGRAM, "us", "from there to the server's acknowledgement")
/* clang-format on */

struct hops_metrics {
	METRIC_FIELDS(HOPS_METRICS)
};
extern const struct metric_row hops_metric_rows[];
extern const size_t hops_metric_nrows;

/* One delete is done.  Legs whose ends are not both known, or that clocks turn around, are left out. */
void hops_note(struct hops_metrics *h, const struct outbox_ack *ack);

/* Adds "hops_us":{"commit_to_seen":{"p50":…,"p99":…,"max":…}, …}; legs without a delete are null. */
void hops_json(const struct hops_metrics *h, struct json *j);

#endif
