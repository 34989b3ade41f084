/*
 * group_ops - what a kind of log implements behind group.h.
 *
 * Private to lib/broker.
 */
#ifndef SQUEAL_LIB_BROKER_GROUP_OPS_H
#define SQUEAL_LIB_BROKER_GROUP_OPS_H

#include "lib/broker/group.h"

struct group_kind {
	void (*close)(struct group *g);
	int (*fd)(const struct group *g);
	void (*turn)(struct group *g);
	uint32_t (*partitions)(const struct group *g);
};

struct group {
	const struct group_kind *kind;
};

err_t group_kafka_open(struct group **out, const struct group_context *ctx,
		       struct err_detail *why) MUST_CHECK;

#endif
