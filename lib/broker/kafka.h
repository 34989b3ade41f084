/*
 * kafka - one client of a Kafka cluster: what its errors mean, and the few questions that every user of a
 * topic asks.
 *
 * Private to lib/broker.  A client is made for one role (kafka_conf.h).  librdkafka's own log lines go to our
 * log; its errors that concern the cluster (nobody answers, a certificate is wrong) are kept as the client's
 * last trouble.
 *
 * Protocol: https://kafka.apache.org/protocol; librdkafka 2.0.2 (rdkafka.h, CONFIGURATION.md).
 *
 * Threads: a client may be used from any; kafka_trouble() too.   Blocks: where a timeout is given, that long.
 * Clock: librdkafka's own (it paces its threads by the system's clock).
 */
#ifndef SQUEAL_LIB_BROKER_KAFKA_H
#define SQUEAL_LIB_BROKER_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "lib/broker/broker.h"
#include "lib/broker/kafka_conf.h"
#include "lib/conf/topology.h"
#include "lib/core/err.h"

enum {
	KAFKA_LOG_ID_LEN = 32,
	KAFKA_TROUBLE_MAX = 256,
};

struct kafka; /* opaque */

/* `prepare` (may be NULL) sets callbacks; `arg` is what they get as opaque through kafka_arg(). */
typedef void kafka_prepare_fn(rd_kafka_conf_t *conf);

/*
 * Makes a client; no broker need be there.  ERR_CONFIG: a setting is refused, by us or by librdkafka (*why
 * names it).  `opt` and `ctx->log` are borrowed and must outlive it.
 */
err_t kafka_open(struct kafka **out, enum kafka_role role, const struct log_options *opt,
		 const struct kafka_setting *more, kafka_prepare_fn *prepare, void *arg, struct log *log,
		 struct err_detail *why) MUST_CHECK;
void kafka_close(struct kafka **k); /* NULL is fine */

/* Lets it be, with its threads and its memory, where closing is worse: it is never polled again. */
void kafka_abandon(struct kafka **k);

rd_kafka_t *kafka_rk(const struct kafka *k);
void *kafka_arg(const rd_kafka_t *rk);

/* Appends the last thing that librdkafka complained of since the last kafka_untroubled(); false: nothing. */
bool kafka_trouble(struct kafka *k, struct buf *out);
void kafka_untroubled(struct kafka *k);

/* The meaning of librdkafka's code, with the sentence "topic TOPIC: REASON while DOING; ADVICE". */
err_t kafka_error(struct kafka *k, rd_kafka_resp_err_t code, const char *doing, struct err_detail *why);

/* --- questions ---------------------------------------------------------------------------------------------
 */

struct kafka_topic {
	char cluster[128];
	uint32_t npartitions;
	uint32_t nreplicas; /* of partition 0 */
};

/* ERR_NOT_FOUND: the cluster has no such topic.  Never creates it. */
err_t kafka_find_topic(struct kafka *k, int timeout_ms, struct kafka_topic *out,
		       struct err_detail *why) MUST_CHECK;

/* 32 hex digits and a NUL. */
void kafka_log_id(const char *cluster, const char *topic, uint32_t partition, char out[KAFKA_LOG_ID_LEN + 1]);

/* The partition of a source's records: Java's default partitioner (murmur2) on the source's name. */
uint32_t kafka_partition(const char *source, uint32_t npartitions);

/* Offsets of the first record and behind the last one that every in-sync replica has. */
err_t kafka_bounds(struct kafka *k, uint32_t partition, int timeout_ms, uint64_t *first, uint64_t *end,
		   struct err_detail *why) MUST_CHECK;

/* A message as a record; the spans are the message's. */
struct broker_record kafka_record(const rd_kafka_message_t *m);

/*
 * Hands over the messages from `from` on that lie before `end`, in order, until `fn` returns false.  Blocks
 * for at most `timeout_ms` (then ERR_TIMEOUT).  ERR_GAP: there is no record at `from` any more.  Only for a
 * KAFKA_LOOKER, and one walk at a time.
 */
typedef bool kafka_walk_fn(void *arg, const rd_kafka_message_t *m);
err_t kafka_walk(struct kafka *k, uint32_t partition, uint64_t from, uint64_t end, int timeout_ms,
		 kafka_walk_fn *fn, void *arg, struct err_detail *why) MUST_CHECK;

#endif
