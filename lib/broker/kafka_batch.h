/*
 * kafka_batch - records on their way into a partition, until every one is acknowledged.
 *
 * A producer is made for them, and kept for the next ones.  One request is under way at a time, and a record
 * that no broker takes is not overtaken by one behind it.  What was not acknowledged when librdkafka ends a
 * producer, or when log.timeout passes, is handed to a new one; a record that a broker had taken all the same
 * is there twice, which does no harm.
 *
 * Private to lib/broker.   Threads: one.   Blocks: kafka_batch_send() for about two seconds at a time.
 * Clock: injected.
 */
#ifndef SQUEAL_LIB_BROKER_KAFKA_BATCH_H
#define SQUEAL_LIB_BROKER_KAFKA_BATCH_H

#include "lib/broker/kafka.h"

struct kafka_batch; /* opaque */

/* `max_message_bytes` as the topic has it, 0 where that is not known.  `opt`, `source` and what `ctx` points
 * to are borrowed. */
struct kafka_batch *kafka_batch_create(const struct log_options *opt, const char *source,
				       int64_t max_message_bytes, const struct broker_context *ctx);
void kafka_batch_destroy(struct kafka_batch **b); /* NULL is fine; gives up what is under way */

/* Begins with these records, the last of which carries the checkpoint (empty: none); goes on with them where
 * they are those that are under way already. */
void kafka_batch_begin(struct kafka_batch *b, uint32_t partition, const struct span *records, size_t n,
		       struct span checkpoint);

/* Begins with squeal's mark of a gap (broker_kafka.h), to be sent as one empty record. */
void kafka_batch_gap(struct kafka_batch *b, uint32_t partition, const char *reason);

/*
 * Until every record is acknowledged.  `records` and `checkpoint` are those that it began with.  ERR_BUSY,
 * ERR_CONN and the like: not yet; call again.  ERR_TOO_LONG: the topic does not take one of them, *why says
 * which setting to change; nothing is under way any more.
 */
err_t kafka_batch_send(struct kafka_batch *b, const struct span *records, struct span checkpoint,
		       struct err_detail *why) MUST_CHECK;

/* Where they are, once all are acknowledged; valid until the next kafka_batch_begin().  Returns how many. */
size_t kafka_batch_offsets(const struct kafka_batch *b, const uint64_t **offsets);

/* The hash of the last one (kafka_witness.h). */
uint64_t kafka_batch_witness(const struct kafka_batch *b);

/* The next kafka_batch_begin() begins anew, also with the same records. */
void kafka_batch_end(struct kafka_batch *b);

#endif
