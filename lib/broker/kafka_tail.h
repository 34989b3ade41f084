/*
 * kafka_tail - the last checkpoint that a source has written into a topic.
 *
 * A partition is searched from its end, in growing steps, for a record of the source with the header
 * "checkpoint" (broker_kafka.h).  The last record of each append has one, and everything before it is in the
 * topic, because records are written in order.
 *
 * Threads: one walk at a time per client.   Blocks: for as long as reading takes, `timeout_ms` for each step.
 * Clock: kafka_walk()'s.
 */
#ifndef SQUEAL_LIB_BROKER_KAFKA_TAIL_H
#define SQUEAL_LIB_BROKER_KAFKA_TAIL_H

#include "lib/broker/kafka.h"

struct kafka_tail {
	bool found;
	uint64_t offset;  /* of the record */
	uint64_t witness; /* of it */
	struct buf checkpoint;
};

#define KAFKA_TAIL_INIT ((struct kafka_tail){.found = false})

/* Looks at the records before `end` (UINT64_MAX: all).  The caller calls kafka_tail_fini() after errors too.
 */
err_t kafka_tail_find(struct kafka *k, uint32_t partition, const char *source, uint64_t end, int timeout_ms,
		      struct kafka_tail *out, struct err_detail *why) MUST_CHECK;
void kafka_tail_fini(struct kafka_tail *t);

#endif
