/*
 * kafka_topic - is the topic fit to be the log?  Looks it up, creates it where log.create says so, and reads
 * its settings.
 *
 * What would lose records is an error: cleanup.policy compact (all records of a source have one key, and
 * would replace each other).  What makes them less safe is a finding: a sentence with the command that mends
 * it.  A cluster that does not tell its settings (no right to, or too old) is a finding too.
 *
 * Threads: one at a time.   Blocks: for up to the timeout with each question, of which there are four.
 * Clock: librdkafka's own.
 */
#ifndef SQUEAL_LIB_BROKER_KAFKA_TOPIC_H
#define SQUEAL_LIB_BROKER_KAFKA_TOPIC_H

#include "lib/broker/kafka.h"
#include "lib/core/log.h"

struct kafka_settings {
	bool known;
	char cleanup_policy[64];
	int64_t retention_ms, retention_bytes; /* -1: without limit */
	int64_t min_insync;
	int64_t max_message_bytes;
	bool unclean_election;
};

/* LOG_INFO: as it should be; LOG_WARN: less safe. */
typedef void kafka_finding_fn(void *arg, enum log_level level, const char *sentence);

/*
 * ERR_NOT_FOUND: it is not there and log.create is off.  ERR_CONFIG: it cannot be the log.  Others as
 * kafka_error().  `batch_bytes` 0: records' size is not looked at.
 */
err_t kafka_topic_check(struct kafka *k, const struct log_options *opt, uint64_t batch_bytes, int timeout_ms,
			struct kafka_topic *topic, struct kafka_settings *settings, kafka_finding_fn *fn,
			void *arg, struct err_detail *why) MUST_CHECK;

/* The part of it that needs no broker: what is wrong with these settings?  For kafka_topic_check() and tests.
 */
err_t kafka_topic_judge(const struct log_options *opt, const struct kafka_topic *topic,
			const struct kafka_settings *s, uint64_t batch_bytes, kafka_finding_fn *fn, void *arg,
			struct err_detail *why) MUST_CHECK;

#endif
