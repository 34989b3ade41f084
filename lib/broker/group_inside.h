/*
 * group_inside - a member of a consumer group, for the two files that are it: group_kafka.c (membership:
 * joining, being fenced, leaving) and group_parts.c (what it was assigned, and the cursors of that).
 *
 * Private to lib/broker.   Threads: the group's.   Blocks: group_parts_close() for GROUP_CLOSE_MS; nothing
 * else.
 */
#ifndef SQUEAL_LIB_BROKER_GROUP_INSIDE_H
#define SQUEAL_LIB_BROKER_GROUP_INSIDE_H

#include "lib/broker/cursor_kafka.h"
#include "lib/broker/group_helper.h"
#include "lib/broker/group_ops.h"
#include "lib/broker/kafka.h"

enum { GROUP_CLOSE_MS = 5000 }; /* patience for the last commit, and for the group to let go */

struct part; /* group_parts.c */

struct kafka_group {
	struct group base;
	struct group_context ctx;
	char name[160];
	struct kafka *member;
	rd_kafka_queue_t *queue;
	int fd;
	bool closing, fenced, fenced_often;
	bool was_assigned; /* the member, something or nothing */
	uint64_t fenced_ms;
	bool troubled;
	struct part *parts;
	size_t nparts; /* room in parts; only grows */
	struct group_helper *helper;
};

/* Callbacks of librdkafka, from the group's rd_kafka_consumer_poll(). */
void group_parts_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
			      void *opaque);
void group_parts_on_committed(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
			      void *opaque);

/* Loads, drops and looks at what is due. */
void group_parts_turn(struct kafka_group *g);

/* Sends the cursors that have moved; the answer comes to group_parts_on_committed(). */
void group_parts_commit(struct kafka_group *g);

/* Nothing is ours any more; commits what it still may. */
void group_parts_drop(struct kafka_group *g);

/* The end: saves the cursors of everything that is ours, commits and waits. */
void group_parts_close(struct kafka_group *g);

#endif
