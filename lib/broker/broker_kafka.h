/*
 * broker_kafka - the log as a topic of a Kafka cluster.
 *
 * Private to lib/broker.  A record is a message: its value is the record's bytes, its key the source's name,
 * its time the append's (in ms).  All records of a source are in the partition that Java's default
 * partitioner chooses for the key.  The last record of an append carries the source's checkpoint in the
 * header "checkpoint", from which a lost state file is made again.
 *
 * What is not for readers is in a file on squeal's machine, log.state: checkpoint, notes, and a mark of how
 * far the topic went (kafka_state.h).
 *
 *     broker_append ──▶ messages, one request at a time ──▶ every ack, in order ──▶ state file, one
 * transaction
 *
 * So the checkpoint in the file is never ahead of the topic.  Dying in between means repeats.
 *
 * Where squeal finds that the topic has lost records which nothing can bring back (it was made anew, or is
 * another one than before), it writes a mark: a message without a value that has the header "gap".  Readers
 * give ERR_GAP there, so that routers flush, also those that have no cursor any more because their group's
 * offsets went with the topic.
 */
#ifndef SQUEAL_LIB_BROKER_BROKER_KAFKA_H
#define SQUEAL_LIB_BROKER_BROKER_KAFKA_H

#include "lib/broker/broker.h"

#define BROKER_KAFKA_CHECKPOINT "checkpoint" /* headers */
#define BROKER_KAFKA_GAP	"gap"

/* As broker_writer_open() and broker_reader_open_partition(); `source` not NULL: the partition of that
 * source. */
err_t broker_kafka_writer_open(struct broker_writer **out, const struct log_options *opt, const char *source,
			       const struct broker_context *ctx, struct err_detail *why) MUST_CHECK;
err_t broker_kafka_reader_open(struct broker_reader **out, const struct log_options *opt, uint32_t partition,
			       const char *source, const struct broker_context *ctx,
			       struct err_detail *why) MUST_CHECK;

err_t broker_kafka_check(const struct log_options *opt, uint64_t batch_bytes,
			 const struct broker_context *ctx, broker_finding_fn *fn, void *arg,
			 struct err_detail *why) MUST_CHECK;

#endif
