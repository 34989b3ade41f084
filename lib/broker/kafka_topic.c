#include "lib/broker/kafka_topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker_kafka.h"

enum {
	RECORD_OVERHEAD = 1024, /* of a batch and a record beside its bytes, amply */
	SHORT_RETENTION_MS = 3600 * 1000,
	SMALL_RETENTION_BYTES = 64 << 20,
	CHECK_MS = 5000,
};

/* --- asking ------------------------------------------------------------------------------------------------
 */

/* Waits for the one answer on `queue`; NULL when none came. */
static rd_kafka_event_t *
await(rd_kafka_queue_t *queue, int timeout_ms)
{
	return rd_kafka_queue_poll(queue, timeout_ms + 100);
}

static rd_kafka_AdminOptions_t *
admin_options(struct kafka *k, rd_kafka_admin_op_t op, int timeout_ms)
{
	rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(kafka_rk(k), op);
	char text[128];

	rd_kafka_AdminOptions_set_request_timeout(o, timeout_ms, text, sizeof(text));
	return o;
}

static err_t
create_topic(struct kafka *k, const struct log_options *opt, int timeout_ms, struct err_detail *why)
{
	rd_kafka_AdminOptions_t *o = admin_options(k, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka_rk(k));
	const rd_kafka_topic_result_t **results = NULL;
	rd_kafka_NewTopic_t *topic;
	rd_kafka_event_t *ev;
	char text[256], value[32];
	err_t err = ERR_OK;
	size_t n = 0;

	topic = rd_kafka_NewTopic_new(opt->topic, (int)opt->partitions, (int)opt->replication, text,
				      sizeof(text));
	if (topic == NULL) {
		err = err_set(why, ERR_CONFIG, "log: librdkafka refuses to create topic %s: %s", opt->topic,
			      text);
		goto done;
	}
	snprintf(value, sizeof(value), "%u", (unsigned)(opt->replication > 1 ? opt->replication - 1 : 1));
	rd_kafka_NewTopic_set_config(topic, "min.insync.replicas", value);
	rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "delete");
	rd_kafka_NewTopic_set_config(topic, "unclean.leader.election.enable", "false");
	snprintf(value, sizeof(value), "%" PRIu64, opt->retention * 1000);
	rd_kafka_NewTopic_set_config(topic, "retention.ms", value);
	snprintf(value, sizeof(value), "%" PRIu64, opt->max_size);
	rd_kafka_NewTopic_set_config(topic, "retention.bytes", value);
	rd_kafka_CreateTopics(kafka_rk(k), &topic, 1, o, queue);
	ev = await(queue, timeout_ms);
	if (ev != NULL && rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR_NO_ERROR)
		results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
	if (ev == NULL || rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		err = kafka_error(k, ev != NULL ? rd_kafka_event_error(ev) : RD_KAFKA_RESP_ERR__TIMED_OUT,
				  "creating it", why);
	} else if (n == 1 && rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_NO_ERROR &&
		   rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
		err = err_set(
		    why,
		    rd_kafka_topic_result_error(results[0]) == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR
			? ERR_CONFIG
			: ERR_BUSY,
		    "topic %s cannot be created: %s; look at log.partitions and log.replication", opt->topic,
		    rd_kafka_topic_result_error_string(results[0]) != NULL
			? rd_kafka_topic_result_error_string(results[0])
			: rd_kafka_err2str(rd_kafka_topic_result_error(results[0])));
		err_one_line(why);
	}
	if (ev != NULL)
		rd_kafka_event_destroy(ev);
	rd_kafka_NewTopic_destroy(topic);
done:
	rd_kafka_AdminOptions_destroy(o);
	rd_kafka_queue_destroy(queue);
	return err;
}

/* Every partition has a leader that knows so. */
static bool
is_there(struct kafka *k, int timeout_ms, struct kafka_topic *topic)
{
	struct err_detail unused = {0};
	uint64_t first, end;

	if (kafka_find_topic(k, timeout_ms, topic, &unused) != ERR_OK)
		return false;
	for (uint32_t p = 0; p < topic->npartitions; p++) {
		if (kafka_bounds(k, p, timeout_ms, &first, &end, &unused) != ERR_OK)
			return false;
	}
	return true;
}

static void
take_setting(struct kafka_settings *s, const char *name, const char *value)
{
	if (value == NULL)
		return;
	if (strcmp(name, "cleanup.policy") == 0)
		snprintf(s->cleanup_policy, sizeof(s->cleanup_policy), "%s", value);
	else if (strcmp(name, "retention.ms") == 0)
		s->retention_ms = strtoll(value, NULL, 10);
	else if (strcmp(name, "retention.bytes") == 0)
		s->retention_bytes = strtoll(value, NULL, 10);
	else if (strcmp(name, "min.insync.replicas") == 0)
		s->min_insync = strtoll(value, NULL, 10);
	else if (strcmp(name, "max.message.bytes") == 0)
		s->max_message_bytes = strtoll(value, NULL, 10);
	else if (strcmp(name, "unclean.leader.election.enable") == 0)
		s->unclean_election = strcmp(value, "true") == 0;
}

/* `text` says why they are not known. */
static void
ask_settings(struct kafka *k, const struct log_options *opt, int timeout_ms, struct kafka_settings *s,
	     char *text, size_t size)
{
	rd_kafka_AdminOptions_t *o = admin_options(k, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka_rk(k));
	rd_kafka_ConfigResource_t *res = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, opt->topic);
	const rd_kafka_ConfigResource_t **found;
	const rd_kafka_ConfigEntry_t **entries = NULL;
	rd_kafka_event_t *ev;
	size_t n = 0, nentries = 0;

	*s = (struct kafka_settings){.retention_ms = -1, .retention_bytes = -1, .min_insync = 1};
	rd_kafka_DescribeConfigs(kafka_rk(k), &res, 1, o, queue);
	ev = await(queue, timeout_ms);
	if (ev == NULL) {
		snprintf(text, size, "no answer");
	} else if (rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		snprintf(text, size, "%s", rd_kafka_event_error_string(ev));
	} else {
		found =
		    rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(ev), &n);
		if (n == 1 && rd_kafka_ConfigResource_error(found[0]) == RD_KAFKA_RESP_ERR_NO_ERROR) {
			entries = rd_kafka_ConfigResource_configs(found[0], &nentries);
			s->known = true;
		} else if (n == 1) {
			snprintf(text, size, "%s", rd_kafka_err2str(rd_kafka_ConfigResource_error(found[0])));
		}
		for (size_t i = 0; i < nentries; i++)
			take_setting(s, rd_kafka_ConfigEntry_name(entries[i]),
				     rd_kafka_ConfigEntry_value(entries[i]));
	}
	if (ev != NULL)
		rd_kafka_event_destroy(ev);
	rd_kafka_ConfigResource_destroy(res);
	rd_kafka_AdminOptions_destroy(o);
	rd_kafka_queue_destroy(queue);
}

/* --- judging -----------------------------------------------------------------------------------------------
 */

err_t
kafka_topic_judge(const struct log_options *opt, const struct kafka_topic *topic,
		  const struct kafka_settings *s, uint64_t batch_bytes, kafka_finding_fn *fn, void *arg,
		  struct err_detail *why)
{
	char alter[256], text[600];

	snprintf(alter, sizeof(alter),
		 "kafka-configs.sh --bootstrap-server %.80s --alter --topic %.80s --add-config", opt->brokers,
		 opt->topic);
	if (topic->nreplicas == 1)
		fn(arg, LOG_WARN,
		   "the topic has one replica: a broker that loses its disk takes records with it; give it "
		   "three "
		   "(kafka-reassign-partitions.sh)");
	if (!s->known)
		return ERR_OK;
	if (strstr(s->cleanup_policy, "compact") != NULL)
		return err_set(
		    why, ERR_CONFIG,
		    "topic %s has cleanup.policy %s: records of a source would replace each other; run %s "
		    "cleanup.policy=delete",
		    opt->topic, s->cleanup_policy, alter);
	if (topic->nreplicas > 1 && s->min_insync < 2) {
		snprintf(
		    text, sizeof(text),
		    "min.insync.replicas is %" PRId64
		    ": a record is acknowledged when one broker has it, and is lost with that broker; run %s "
		    "min.insync.replicas=2",
		    s->min_insync, alter);
		fn(arg, LOG_WARN, text);
	}
	if (topic->nreplicas > 1 && s->min_insync >= (int64_t)topic->nreplicas) {
		snprintf(text, sizeof(text),
			 "min.insync.replicas is %" PRId64
			 " of %u replicas: nothing can be written while one broker "
			 "is away; run %s min.insync.replicas=%u",
			 s->min_insync, topic->nreplicas, alter, topic->nreplicas - 1);
		fn(arg, LOG_WARN, text);
	}
	if (s->unclean_election) {
		snprintf(text, sizeof(text),
			 "unclean.leader.election.enable is true: acknowledged records can be lost when "
			 "brokers fail; "
			 "run %s unclean.leader.election.enable=false",
			 alter);
		fn(arg, LOG_WARN, text);
	}
	if (s->retention_ms >= 0 && s->retention_ms < SHORT_RETENTION_MS) {
		snprintf(text, sizeof(text),
			 "retention.ms is %" PRId64
			 ": a cache server that is away for longer is flushed when it is "
			 "back; run %s retention.ms=86400000",
			 s->retention_ms, alter);
		fn(arg, LOG_WARN, text);
	}
	if (s->retention_bytes >= 0 && s->retention_bytes < SMALL_RETENTION_BYTES) {
		snprintf(text, sizeof(text),
			 "retention.bytes is %" PRId64
			 ": a cache server that is away while more than this is "
			 "written is flushed when it is back; run %s retention.bytes=-1",
			 s->retention_bytes, alter);
		fn(arg, LOG_WARN, text);
	}
	if (batch_bytes > 0 && s->max_message_bytes > 0 &&
	    batch_bytes + RECORD_OVERHEAD > (uint64_t)s->max_message_bytes) {
		snprintf(text, sizeof(text),
			 "max.message.bytes is %" PRId64 " and squeal.batch_bytes is %" PRIu64
			 ": long records are made again in halves; lower squeal.batch_bytes or run %s "
			 "max.message.bytes=%" PRIu64,
			 s->max_message_bytes, batch_bytes, alter, batch_bytes + 65536);
		fn(arg, LOG_WARN, text);
	}
	return ERR_OK;
}

err_t
kafka_topic_check(struct kafka *k, const struct log_options *opt, uint64_t batch_bytes, int timeout_ms,
		  struct kafka_topic *topic, struct kafka_settings *settings, kafka_finding_fn *fn, void *arg,
		  struct err_detail *why)
{
	char text[400], reason[200] = "no answer";
	bool there = false;
	err_t err = kafka_find_topic(k, timeout_ms, topic, why);

	*settings = (struct kafka_settings){.known = false};
	if (err == ERR_NOT_FOUND && opt->create) {
		err_clear(why);
		err = create_topic(k, opt, timeout_ms, why);
		/* It takes the cluster a moment to tell all brokers; each try asks anew. */
		for (int i = 0; err == ERR_OK && i < 50 && !(there = is_there(k, timeout_ms, topic)); i++)
			rd_kafka_poll(kafka_rk(k), 100);
		if (err == ERR_OK && !there)
			err = err_set(why, ERR_BUSY,
				      "topic %s was created and is not there yet; it is tried again",
				      opt->topic);
		if (err == ERR_OK) {
			snprintf(text, sizeof(text), "topic %.200s was created with %u partitions",
				 opt->topic, topic->npartitions);
			fn(arg, LOG_NOTICE, text);
		}
	}
	if (err != ERR_OK)
		return err;
	ask_settings(k, opt, timeout_ms, settings, reason, sizeof(reason));
	if (!settings->known) {
		snprintf(text, sizeof(text),
			 "the topic's settings cannot be read (%.200s); see yourself that cleanup.policy is "
			 "delete "
			 "and min.insync.replicas 2",
			 reason);
		fn(arg, LOG_NOTICE, text);
	}
	return kafka_topic_judge(opt, topic, settings, batch_bytes, fn, arg, why);
}

/* --- without a writer --------------------------------------------------------------------------------------
 */

struct findings {
	broker_finding_fn *fn;
	void *arg;
};

static void
pass_on(void *arg, enum log_level level, const char *sentence)
{
	struct findings *f = arg;

	if (level >= LOG_NOTICE)
		f->fn(f->arg, sentence);
}

err_t
broker_kafka_check(const struct log_options *opt, uint64_t batch_bytes, const struct broker_context *ctx,
		   broker_finding_fn *fn, void *arg, struct err_detail *why)
{
	int ask_ms = opt->timeout < CHECK_MS ? (int)opt->timeout : CHECK_MS;
	struct findings findings = {fn, arg};
	struct log_options looks = *opt;
	struct kafka_settings settings;
	struct kafka_topic topic;
	struct kafka *k = NULL;
	err_t err;

	looks.create = false;
	err = kafka_open(&k, KAFKA_LOOKER, &looks, NULL, NULL, NULL, ctx->log, why);
	if (err == ERR_OK)
		err = kafka_topic_check(k, &looks, batch_bytes, ask_ms, &topic, &settings, pass_on, &findings,
					why);
	kafka_close(&k);
	return err;
}
