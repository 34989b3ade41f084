/*
 * group - which partitions of the log one instance of a cluster's router delivers, and the cursors of each.
 *
 * A file has one partition, which belongs to whoever holds the cursor file.  With Kafka the instances of a
 * cluster's router are the members of the consumer group "squeal.CLUSTER" (static membership by the
 * instance's name, cooperative assignment: a partition that stays is never interrupted), and the cursors are
 * the group's committed offsets: the offset is the least of all servers, so that ordinary tools show the
 * right lag, and the servers that differ are in the commit's metadata.  What does not fit there costs
 * repeats, never losses.
 *
 * Two instances may deliver the same partition for a moment while it moves; that is repeats too.
 *
 * Threads: the one that opened it.   Blocks: group_open() and group_close() for a bounded time; nothing else.
 * Clock: injected.
 */
#ifndef SQUEAL_LIB_BROKER_GROUP_H
#define SQUEAL_LIB_BROKER_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "lib/broker/broker.h"
#include "lib/broker/cursor.h"
#include "lib/conf/topology.h"
#include "lib/core/err.h"

struct group; /* opaque */

struct group_ops {
	/* Ours from now on: load the cursors from `cursors` (the group's, valid until dropped) and deliver.
	 */
	void (*on_assigned)(void *arg, uint32_t partition, struct cursor_store *cursors);

	/* No longer ours: save the cursors once more and stop; after the call `cursors` is gone. */
	void (*on_dropped)(void *arg, uint32_t partition);

	/* The group cannot be reached, or can again (why is ""); a sentence for /readyz.  May be NULL. */
	void (*on_trouble)(void *arg, const char *why);
};

struct group_context {
	const struct log_options *log;
	const char *cluster;	 /* name */
	const char *instance;	 /* of this router, unique in the cluster; stays the same over restarts */
	const char *cursor_path; /* where the log is a file */
	const struct broker_context *broker; /* outlives the group */
	const struct group_ops *ops;
	void *arg;
};

/*
 * Joins.  Nothing is assigned from inside the call: group_turn() does that.  ERR_IN_USE, ERR_CORRUPT,
 * ERR_CONFIG and so on as cursor_open(); ERR_CONFIG too where librdkafka refuses a property.  A cluster of
 * brokers that cannot be reached is no error: it is tried for ever, and told by on_trouble().
 */
err_t group_open(struct group **out, const struct group_context *ctx, struct err_detail *why) MUST_CHECK;

/* Drops every partition (on_dropped() is called), commits and leaves.  NULL is fine. */
void group_close(struct group **g);

/* Becomes readable when group_turn() has something to do; call it once a second too. */
int group_fd(const struct group *g);
void group_turn(struct group *g);

/* Partitions that the log has, as far as is known; 0 before that. */
uint32_t group_partitions(const struct group *g);

#endif
