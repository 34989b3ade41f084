/*
 * feed - takes a record of the log apart and puts its deletes into the outboxes of the servers that take
 * part.
 *
 * The keys and marker keys of a transaction become deletes, with the hold-off that it asked for.  A pool that
 * it named is counted and ignored (a cluster has one pool here).  A key that cannot be sent is counted and
 * logged, and the rest of the record goes on.
 *
 * Threads: the loop's.   Blocks: never.
 */
#ifndef SQUEAL_ROUTER_FEED_H
#define SQUEAL_ROUTER_FEED_H

#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"
#include "lib/deliver/outbox.h"
#include "lib/route/ring.h"

/* clang-format off */
/*	  name                          kind     unit       help */
#define FEED_METRICS(M)                                                                                         \
	M(router_keys,                  COUNTER, "keys",    "keys taken from the log for a server")            \
	M(router_markers,               COUNTER, "keys",    "marker keys among them; they are deleted like any key") \
	M(router_keys_invalid,          COUNTER, "keys",    "keys in a record that cannot be sent (length, control bytes, too long with the namespace)") \
	M(router_pool_ignored,          COUNTER, "keys",    "deletes that named a pool; a cluster has one pool here")
/* clang-format on */

struct feed_metrics {
	METRIC_FIELDS(FEED_METRICS)
};
extern const struct metric_row feed_metric_rows[];
extern const size_t feed_metric_nrows;

struct feed; /* opaque */

/* `outboxes`: one per server of the ring's cluster, in its order.  The pointers must outlive the feed. */
struct feed *feed_create(struct ring *ring, struct outbox **outboxes, size_t n, struct feed_metrics *metrics,
			 struct log *log);
void feed_destroy(struct feed **f);

/* Put before every key; "" at first.  Must outlive the feed. */
void feed_namespace(struct feed *f, const char *namespace);

/*
 * Puts in the deletes for the servers with takes_part[i], which are told neither the record's end nor its
 * beginning. ERR_BAD_RECORD: it cannot be decoded, and nothing was put in.
 */
err_t feed_record(struct feed *f, uint64_t offset, struct span bytes, const bool *takes_part,
		  struct err_detail *why) MUST_CHECK;

#endif
