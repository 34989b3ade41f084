/*
 * feed - takes a record of the log apart and puts its deletes into the outboxes of the servers that take
 * part.
 *
 * The keys and marker keys of a transaction go where the route says (lib/route/route.h), each with the
 * longest hold-off that the transaction, the pool or a cold cluster asks for.  A key that cannot be sent is
 * counted and logged, and the rest of the record goes on.
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
#include "lib/route/route.h"
#include "router/story.h"

/* clang-format off */
/*	  name                          kind     unit       help */
#define FEED_METRICS(M)                                                                                         \
	M(router_keys,                  COUNTER, "keys",    "deletes taken from the log for a server")         \
	M(router_markers,               COUNTER, "keys",    "deletes of marker keys among them; they are deleted like any key") \
	M(router_keys_invalid,          COUNTER, "keys",    "deletes in a record that cannot be sent (length, control bytes, too long with the namespace)") \
	M(router_keys_foreign,          COUNTER, "keys",    "keys of another region or cluster by their routing prefix; not delivered here, counted at each reading") \
	M(router_keys_homeless,         COUNTER, "keys",    "keys that no pool takes; counted at each reading") \
	M(router_pool_unknown,          COUNTER, "keys",    "keys that named a pool that the cluster does not have, routed by prefix; counted at each reading") \
	M(router_deletes_extra,         COUNTER, "keys",    "deletes for old owners, because a ring of before is not sealed") \
	M(router_deletes_shadow,        COUNTER, "keys",    "deletes for shadow pools")
/* clang-format on */

struct feed_metrics {
	METRIC_FIELDS(FEED_METRICS)
};
extern const struct metric_row feed_metric_rows[];
extern const size_t feed_metric_nrows;

struct feed; /* opaque */

/* `outboxes`: one per server of the route, in its order.  The pointers must outlive the feed, or the next
 * feed_route(). */
struct feed *feed_create(const struct route *route, struct outbox **outboxes, size_t n,
			 struct feed_metrics *metrics, struct log *log);
void feed_destroy(struct feed **f);

/* From the next record on: another route, with other outboxes. */
void feed_route(struct feed *f, const struct route *route, struct outbox **outboxes, size_t n);

/* Every key is told to the story, as of this partition; NULL: none is. */
void feed_story(struct feed *f, struct story *story, uint32_t partition);

/* A cold cluster: every delete has at least this hold-off.  0: warm. */
void feed_cold(struct feed *f, uint32_t holdoff_ms);

/*
 * Puts in the deletes for the servers with takes_part[i], which are told neither the record's end nor its
 * beginning.  `at_us`: when the record came into the log.  ERR_BAD_RECORD: it cannot be decoded, and nothing
 * was put in.
 */
err_t feed_record(struct feed *f, uint64_t offset, uint64_t at_us, struct span bytes, const bool *takes_part,
		  struct err_detail *why) MUST_CHECK;

#endif
