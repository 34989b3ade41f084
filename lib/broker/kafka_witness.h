/*
 * kafka_witness - tells a topic from another one of the same name: a record of it, by its offset and a hash.
 *
 * A topic that is deleted and made anew has the same name and the same offsets, and the protocol as
 * librdkafka 2.0 speaks it has no id of a topic.  But where a record was it never becomes another one: it
 * stays, or retention removes it, or the topic is not the same any more (or has lost its end, with the
 * record).
 *
 * A witness must be a record that was read from the log that it is to vouch for, by whoever relies on it; one
 * that is only looked up later may be of the log that came after.  A new witness is good when the old one was
 * still there after the new one had been found.
 *
 * Private to lib/broker.   Threads: one question at a time per client.   Blocks: for `timeout_ms` for each
 * answer, a few times.
 */
#ifndef SQUEAL_LIB_BROKER_KAFKA_WITNESS_H
#define SQUEAL_LIB_BROKER_KAFKA_WITNESS_H

#include "lib/broker/broker_ops.h"
#include "lib/broker/kafka.h"

/* A hash of its key and its bytes, in which squeal writes when it saw the commit. */
struct broker_witness kafka_witness_of(const rd_kafka_message_t *m);

/*
 * The last record before `end` that is one: squeal's marks of a gap (broker_kafka.h) all look the same.
 * out->known is false when there is none.  ERR_GAP: records are removed by retention just now.
 */
err_t kafka_witness_before(struct kafka *k, uint32_t partition, uint64_t end, int timeout_ms,
			   struct broker_witness *out, struct err_detail *why) MUST_CHECK;

/*
 * Does the partition still have the record?  *same stays true where retention has removed it.  Where the log
 * ends before it this is looked at for a second: a new leader may be behind for a moment.
 */
err_t kafka_witness_same(struct kafka *k, uint32_t partition, const struct broker_witness *w, int timeout_ms,
			 bool *same, struct err_detail *why) MUST_CHECK;

#endif
