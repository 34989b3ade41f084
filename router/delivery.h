/*
 * delivery - which server gets which part of one partition of the log, and when.
 *
 * The log is the buffer.  Every server has a place in the log (the next record to queue for it) and a cursor
 * (the first record that it has not acknowledged whole).  Servers at the foremost place are fed together by
 * the live feed; a server whose queue is full does not take the next record and so falls behind alone.  When
 * it has room again it is fed from its own place, in short slices between those of the live feed (turns.h),
 * until it meets the others again (places.h).  The live feed waits for nobody, and a server that is away
 * costs its queue (queue_bytes) and nothing else.
 *
 * A delivery has connections of its own: nothing that happens in one partition is felt in another.  Without
 * delivery_connect() it connects when the partition has its first record.
 *
 * Cursors are saved every cursor_interval, all in one transaction.  A server without a cursor starts at the
 * log's first record.
 *
 * GAP: where a server may have missed deletes it is flushed before anything else counts: the log was trimmed
 * beyond its place, is another log or shorter than before, or has a record that is damaged, missing or cannot
 * be decoded; or another server than before answers at its address.  The cursor passes the gap only with the
 * flush acknowledged, so a crash in between leads to the same gap.
 *
 * A log that is missing, corrupt or replaced is tried again with a growing pause.
 *
 * Threads: the loop's.   Blocks: on reading the log and writing the cursors.   Clock: the loop's.
 */
#ifndef SQUEAL_ROUTER_DELIVERY_H
#define SQUEAL_ROUTER_DELIVERY_H

#include "lib/broker/broker.h"
#include "lib/broker/cursor.h"
#include "lib/conf/topology.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/deliver/server.h"
#include "lib/net/loop.h"
#include "lib/route/route.h"
#include "router/feed.h"
#include "router/lane.h"
#include "router/turns.h"

/* clang-format off */
/*	  name                        kind     unit       help */
#define DELIVERY_METRICS(M)                                                                                     \
	M(router_records,             COUNTER, "records", "records read from the log; one reading serves all servers at the same place") \
	M(router_catch_up_reads,      COUNTER, "calls",   "readings of the log for servers that had fallen behind") \
	M(router_bad_records,         COUNTER, "records", "records that are damaged, missing or cannot be decoded; the servers were flushed") \
	M(router_log_errors,          COUNTER, "calls",   "failed tries to open or read the log")              \
	M(router_cursor_saves,        COUNTER, "calls",   "times that the cursors were saved")                 \
	M(router_cursor_errors,       COUNTER, "calls",   "times that the cursors could not be saved")         \
	M(router_log_end,             GAUGE,   "offset",  "offset of the log's next record")                   \
	M(router_live_offset,         GAUGE,   "offset",  "next record of the live feed")
/* clang-format on */

struct delivery_metrics {
	METRIC_FIELDS(DELIVERY_METRICS)
};
extern const struct metric_row delivery_metric_rows[];
extern const size_t delivery_metric_nrows;

struct delivery; /* opaque */

/* Called with each delete when it is acknowledged; per server in the log's order. */
typedef void delivery_acked_fn(void *arg, const struct delivery *d, const struct server *s,
			       const struct outbox_ack *ack);

/* Called with a delete that another one stands for that waits already: story.h. */
typedef void delivery_coalesced_fn(void *arg, uint64_t ref, uint64_t offset);

/* Called after all acknowledgements that came together. */
typedef void delivery_settled_fn(void *arg);

/* A server came up that can do what `can` says (enum outbox_ability). */
typedef void delivery_greeted_fn(void *arg, const struct server *s, unsigned can);

struct delivery_context {
	struct loop *loop;
	const struct log_options *log_opt;
	const struct router_options *opt; /* may change between callbacks; see delivery_reloaded() */
	uint32_t partition;
	uint32_t
	    partitions; /* that the log has, at least 1; delivery_partitions() says when there are more */
	const struct route *route; /* of the cluster */
	const bool *anew; /* servers of the route that are flushed before anything else counts; NULL: none */
	struct turns *turns; /* of all partitions that share the loop */
	struct story *story; /* may be NULL */
	struct cursor_store *cursors;
	struct log *log;		     /* may be NULL */
	struct metric_registry *registry;    /* may be NULL */
	uint64_t seed;			     /* of the jitter */
	delivery_acked_fn *on_acked;	     /* may be NULL */
	delivery_coalesced_fn *on_coalesced; /* may be NULL */
	delivery_settled_fn *on_settled;     /* may be NULL */
	delivery_greeted_fn *on_greeted;     /* may be NULL */
	void (*on_saving)(void *arg);	     /* cursors are about to be saved; may be NULL */
	void *arg;
};

/*
 * Loads the cursors, and makes the servers.  ERR_CORRUPT and the like: the cursors cannot be read.  What
 * `ctx` points to must outlive it.
 */
err_t delivery_create(struct delivery **out, const struct delivery_context *ctx,
		      struct err_detail *why) MUST_CHECK;

/* At once: what is in flight is delivered again by whoever has the partition next. */
void delivery_destroy(struct delivery **d);

/* Opens the log and begins. */
void delivery_start(struct delivery *d);

/* Connects to the servers although the partition may be empty; `server` NULL: to all.  One that is not known
 * is none of ours. */
void delivery_connect(struct delivery *d, const char *server);

/* Takes changed options. */
void delivery_reloaded(struct delivery *d);

/*
 * Another route, in two steps so that several deliveries change together or not at all.  delivery_stage()
 * makes the servers ready that are new and changes nothing else; then either delivery_commit(): from the next
 * record on `route` counts, servers that it does not have are dropped with their cursors, and the former
 * route is no longer used; or delivery_abandon().  A server whose name, address and protection stay is not
 * disturbed.  `anew` as in delivery_context.
 */
err_t delivery_stage(struct delivery *d, const struct route *route, const bool *anew,
		     struct err_detail *why) MUST_CHECK;
void delivery_commit(struct delivery *d);
void delivery_abandon(struct delivery *d);

/* A cold cluster: every delete has at least this hold-off; 0: a warm one. */
void delivery_cold(struct delivery *d, uint32_t holdoff_ms);

/* The log has so many partitions now. */
void delivery_partitions(struct delivery *d, uint32_t partitions);

/*
 * Sends nothing more to `server` (NULL: to all), or goes on.  What is in flight is awaited; the server falls
 * behind alone.  False: there is no such server.
 */
bool delivery_pause(struct delivery *d, const char *server, bool pause);

/* So many lanes of server i, in all partitions, share catch_up_rate. */
void delivery_sharers(struct delivery *d, size_t i, unsigned sharers);

/*
 * Reads nothing more; calls done(arg) once when every server that is up and not paused has acknowledged what
 * it was sent (from inside is possible).
 */
void delivery_drain(struct delivery *d, void (*done)(void *arg), void *arg);

/* Saves the cursors that have moved.  An error is logged and counted. */
void delivery_save(struct delivery *d);

/* --- looking ----------------------------------------------------------------------------------------------
 */

struct delivery_log {
	const char *id;	   /* NULL while it is not open */
	const char *error; /* "" while it can be read */
	uint64_t first, live, end;
};

struct delivery_log delivery_log(const struct delivery *d);

uint32_t delivery_partition(const struct delivery *d);
size_t delivery_nservers(const struct delivery *d);
const struct lane *delivery_lane(const struct delivery *d, size_t i);
struct server *delivery_server(const struct delivery *d, size_t i);

/* First record that server i has not acknowledged whole. */
uint64_t delivery_acked(const struct delivery *d, size_t i);
const struct delivery_metrics *delivery_metrics(const struct delivery *d);
const struct lane_metrics *delivery_lane_metrics(const struct delivery *d, size_t i);
const struct feed_metrics *delivery_feed_metrics(const struct delivery *d);

#endif
