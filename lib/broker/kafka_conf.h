/*
 * kafka_conf - what librdkafka is set to: what each role of a client needs, what log.properties may change,
 * and what is wrong with it, found without a broker.
 *
 * Private to lib/broker.  The table in kafka_conf.c says which of librdkafka's settings each role needs;
 * log.properties may change all but those that a promise of ours stands on.  Each refusal is a sentence that
 * names the setting and says what to change.
 *
 * Source: librdkafka 2.0.2 (rdkafka.h, CONFIGURATION.md).
 *
 * Threads: any.   Blocks: kafka_conf_check() while librdkafka starts and ends threads, some milliseconds.
 * Clock: none.
 */
#ifndef SQUEAL_LIB_BROKER_KAFKA_CONF_H
#define SQUEAL_LIB_BROKER_KAFKA_CONF_H

#include <librdkafka/rdkafka.h>

#include "lib/conf/topology.h"
#include "lib/core/err.h"

enum kafka_role {
	KAFKA_LOOKER = 1, /* asks about the cluster and reads single records */
	KAFKA_PRODUCER = 2,
	KAFKA_STREAM = 4, /* reads a partition from one place on */
	KAFKA_MEMBER = 8, /* of a consumer group; reads nothing */
};

/* A setting beside the role's own; NULL name ends a list. */
struct kafka_setting {
	const char *name, *value;
};

/* ERR_CONFIG: a setting is refused, by us or by librdkafka. */
err_t kafka_conf_fill(rd_kafka_conf_t *conf, unsigned roles, const struct log_options *opt,
		      const struct kafka_setting *more, struct err_detail *why) MUST_CHECK;

/* Takes `conf` and makes a client of it.  ERR_CONFIG: its settings contradict each other, or name a file that
 * cannot be read; *out is NULL. */
err_t kafka_conf_open(rd_kafka_t **out, enum kafka_role role, rd_kafka_conf_t *conf,
		      struct err_detail *why) MUST_CHECK;

/* Each setting by itself, and all of them together, as each role would use them.  Connects to nobody. */
err_t kafka_conf_check(const struct log_options *opt, struct err_detail *why) MUST_CHECK;

#endif
