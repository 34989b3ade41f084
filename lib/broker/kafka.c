#include "lib/broker/kafka.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/clock.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

struct kafka {
	rd_kafka_t *rk;
	const struct log_options *opt;
	struct log *_Atomic log; /* librdkafka's threads read it */
	void *arg;
	pthread_mutex_t lock; /* guards trouble; librdkafka's threads write it */
	char trouble[KAFKA_TROUBLE_MAX];
};

/* --- what librdkafka says ----------------------------------------------------------------------------------
 */

static void
on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
	struct kafka *k = rd_kafka_opaque(rk);
	enum log_level to = level <= 3	 ? LOG_WARN
			    : level <= 4 ? LOG_NOTICE
			    : level <= 6 ? LOG_INFO
					 : LOG_DEBUG;

	/* Settings of the other role, which the user gave for both. */
	if (k == NULL || strcmp(fac, "CONFWARN") == 0)
		return;
	LOG_AT(k->log, to, "librdkafka", F_STR("about", fac), F_STR("says", text));
}

static void
on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka *k = opaque;

	pthread_mutex_lock(&k->lock);
	snprintf(k->trouble, sizeof(k->trouble), "%s", reason);
	pthread_mutex_unlock(&k->lock);
}

bool
kafka_trouble(struct kafka *k, struct buf *out)
{
	bool any;

	pthread_mutex_lock(&k->lock);
	any = k->trouble[0] != '\0';
	buf_put_str(out, k->trouble);
	pthread_mutex_unlock(&k->lock);
	return any;
}

void
kafka_untroubled(struct kafka *k)
{
	pthread_mutex_lock(&k->lock);
	k->trouble[0] = '\0';
	pthread_mutex_unlock(&k->lock);
}

static err_t
err_of(rd_kafka_resp_err_t code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__RESOLVE:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__WAIT_COORD:
		return ERR_CONN;
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR__SSL:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		return ERR_AUTH;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
		return ERR_PRIVILEGE;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return ERR_TOO_LONG;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		return ERR_NOT_FOUND;
	default:
		return ERR_BUSY;
	}
}

static const char *
advice_of(err_t err)
{
	switch (err) {
	case ERR_CONN:
		return "look whether the brokers run and log.brokers is right; it is tried again";
	case ERR_AUTH:
		return "look at security.protocol, sasl.* and ssl.* in log.properties; it is tried again";
	case ERR_PRIVILEGE:
		return "give this user the right (kafka-acls.sh); it is tried again";
	case ERR_NOT_FOUND:
		return "create it (kafka-topics.sh --create), or set log.create";
	default:
		return "it is tried again";
	}
}

err_t
kafka_error(struct kafka *k, rd_kafka_resp_err_t code, const char *doing, struct err_detail *why)
{
	err_t err = err_of(code);
	struct buf trouble = BUF_INIT;

	if (kafka_trouble(k, &trouble))
		err_set(why, err, "topic %s: %s while %s (%s); %s", k->opt->topic, rd_kafka_err2str(code),
			doing, buf_str(&trouble), advice_of(err));
	else
		err_set(why, err, "topic %s: %s while %s; %s", k->opt->topic, rd_kafka_err2str(code), doing,
			advice_of(err));
	err_one_line(why);
	buf_fini(&trouble);
	return err;
}

/* --- life --------------------------------------------------------------------------------------------------
 */

err_t
kafka_open(struct kafka **out, enum kafka_role role, const struct log_options *opt,
	   const struct kafka_setting *more, kafka_prepare_fn *prepare, void *arg, struct log *log,
	   struct err_detail *why)
{
	struct kafka *k = MEM_NEW(struct kafka);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	err_t err;

	*out = NULL;
	k->opt = opt;
	k->log = log;
	k->arg = arg;
	pthread_mutex_init(&k->lock, NULL);
	err = kafka_conf_fill(conf, role, opt, more, why);
	if (err != ERR_OK)
		goto done;
	rd_kafka_conf_set_opaque(conf, k);
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	if (prepare != NULL)
		prepare(conf);
	err = kafka_conf_open(&k->rk, role, conf, why);
	conf = NULL; /* the client's now */
	if (err != ERR_OK)
		goto done;
	*out = k;
	k = NULL;
done:
	if (conf != NULL)
		rd_kafka_conf_destroy(conf);
	kafka_close(&k);
	return err;
}

void
kafka_abandon(struct kafka **kp)
{
	struct kafka *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	k->log = NULL;
	k->arg = NULL;
	rd_kafka_set_log_level(k->rk, 0);
}

void
kafka_close(struct kafka **kp)
{
	struct kafka *k = *kp;

	if (k == NULL)
		return;
	/* A group member has left by itself before. */
	if (k->rk != NULL)
		rd_kafka_destroy_flags(k->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	pthread_mutex_destroy(&k->lock);
	free(k);
	*kp = NULL;
}

rd_kafka_t *
kafka_rk(const struct kafka *k)
{
	return k->rk;
}

void *
kafka_arg(const rd_kafka_t *rk)
{
	return ((struct kafka *)rd_kafka_opaque(rk))->arg;
}

/* --- questions ---------------------------------------------------------------------------------------------
 */

err_t
kafka_find_topic(struct kafka *k, int timeout_ms, struct kafka_topic *out, struct err_detail *why)
{
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(k->rk, k->opt->topic, NULL);
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_resp_err_t code;
	char *cluster = NULL;
	err_t err = ERR_OK;

	*out = (struct kafka_topic){.npartitions = 0};
	if (rkt == NULL)
		return err_set(why, ERR_CONFIG, "log.topic: librdkafka refuses the name %s", k->opt->topic);
	code = rd_kafka_metadata(k->rk, 0, rkt, &md, timeout_ms);
	rd_kafka_poll(k->rk, 0); /* gives us its errors */
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && md->topic_cnt == 1 &&
	    md->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
		code = md->topics[0].err;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && (md->topic_cnt != 1 || md->topics[0].partition_cnt == 0))
		code = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		err = kafka_error(k, code, "looking for it", why);
		goto done;
	}
	out->npartitions = (uint32_t)md->topics[0].partition_cnt;
	out->nreplicas = (uint32_t)md->topics[0].partitions[0].replica_cnt;
	cluster = rd_kafka_clusterid(k->rk, timeout_ms);
	snprintf(out->cluster, sizeof(out->cluster), "%s", cluster != NULL ? cluster : "");
	kafka_untroubled(k);
done:
	if (cluster != NULL)
		rd_kafka_mem_free(k->rk, cluster);
	if (md != NULL)
		rd_kafka_metadata_destroy(md);
	rd_kafka_topic_destroy(rkt);
	return err;
}

void
kafka_log_id(const char *cluster, const char *topic, uint32_t partition, char out[KAFKA_LOG_ID_LEN + 1])
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "%s\n%s\n%u", cluster, topic, partition);
	snprintf(out, KAFKA_LOG_ID_LEN + 1, "%016" PRIx64 "%016" PRIx64, hash_span(buf_span(&b), 1),
		 hash_span(buf_span(&b), 2));
	buf_fini(&b);
}

uint32_t
kafka_partition(const char *source, uint32_t npartitions)
{
	return (uint32_t)rd_kafka_msg_partitioner_murmur2(NULL, source, strlen(source), (int32_t)npartitions,
							  NULL, NULL);
}

/*
 * The partition's first offset (RD_KAFKA_OFFSET_BEGINNING) or the one behind its last (RD_KAFKA_OFFSET_END).
 * rd_kafka_query_watermark_offsets() would ask for both, but never ends while the leader's address refuses
 * connections: each refusal is a change of state, after which it tries again without looking at the time.
 */
static rd_kafka_resp_err_t
ask_offset(struct kafka *k, uint32_t partition, int64_t which, int timeout_ms, uint64_t *out)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *p =
	    rd_kafka_topic_partition_list_add(list, k->opt->topic, (int32_t)partition);
	rd_kafka_resp_err_t code;

	p->offset = which;
	code = rd_kafka_offsets_for_times(k->rk, list, timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = p->err;
	/* No answer in time is no error of its own. */
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && p->offset < 0)
		code = RD_KAFKA_RESP_ERR__TIMED_OUT;
	*out = code == RD_KAFKA_RESP_ERR_NO_ERROR ? (uint64_t)p->offset : 0;
	rd_kafka_topic_partition_list_destroy(list);
	return code;
}

err_t
kafka_bounds(struct kafka *k, uint32_t partition, int timeout_ms, uint64_t *first, uint64_t *end,
	     struct err_detail *why)
{
	struct kafka_topic topic;
	rd_kafka_resp_err_t code;
	err_t err;

	*first = *end = 0;
	/* librdkafka asks the leader that it remembers, also where that is gone: so it is told first who the
	 * leader is now. */
	err = kafka_find_topic(k, timeout_ms, &topic, why);
	if (err != ERR_OK)
		return err;
	code = ask_offset(k, partition, RD_KAFKA_OFFSET_END, timeout_ms, end);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = ask_offset(k, partition, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, first);
	rd_kafka_poll(k->rk, 0);
	/* It calls a partition unknown that has no leader just now. */
	if (code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && partition < topic.npartitions)
		code = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_error(k, code, "asking for its first and last record", why);
	/* Between the two answers all that there was may have been removed. */
	if (*first > *end)
		*end = *first;
	return ERR_OK;
}

struct broker_record
kafka_record(const rd_kafka_message_t *m)
{
	int64_t ms = rd_kafka_message_timestamp(m, NULL);

	return (struct broker_record){
	    .offset = (uint64_t)m->offset,
	    .source = m->key != NULL ? span_make(m->key, m->key_len) : SPAN_LIT(""),
	    .at_us = ms > 0 ? (uint64_t)ms * 1000 : 0,
	    .bytes = m->payload != NULL ? span_make(m->payload, m->len) : SPAN_LIT(""),
	};
}

/* One message of a walk.  True: the walk is over, *err says how. */
static bool
walk_on(struct kafka *k, const rd_kafka_message_t *m, uint64_t end, kafka_walk_fn *fn, void *arg, err_t *err,
	struct err_detail *why)
{
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return (uint64_t)m->offset >= end;
	if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
	    m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
		*err =
		    err_set(why, ERR_GAP, "topic %s: a record was removed before it was read", k->opt->topic);
		return true;
	}
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR && m->err != RD_KAFKA_RESP_ERR__BAD_MSG) {
		*err = kafka_error(k, m->err, "reading", why);
		return *err == ERR_NOT_FOUND || *err == ERR_PRIVILEGE;
	}
	if ((uint64_t)m->offset >= end)
		return true;
	return !fn(arg, m) || (uint64_t)m->offset + 1 >= end;
}

err_t
kafka_walk(struct kafka *k, uint32_t partition, uint64_t from, uint64_t end, int timeout_ms,
	   kafka_walk_fn *fn, void *arg, struct err_detail *why)
{
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(k->rk, k->opt->topic, NULL);
	uint64_t until_ms = clock_mono_ms(clock_system()) + (uint64_t)timeout_ms;
	err_t err = ERR_OK;
	bool done = from >= end;

	if (!done && rd_kafka_consume_start(rkt, (int32_t)partition, (int64_t)from) != 0) {
		err = kafka_error(k, rd_kafka_last_error(), "reading", why);
		goto done;
	}
	if (done)
		goto done;
	while (!done) {
		uint64_t now_ms = clock_mono_ms(clock_system());
		rd_kafka_message_t *m;

		if (now_ms >= until_ms) {
			err = err_set(why, ERR_TIMEOUT,
				      "topic %s: record %" PRIu64
				      " has not come within %d ms; it is tried again",
				      k->opt->topic, from, timeout_ms);
			break;
		}
		m = rd_kafka_consume(rkt, (int32_t)partition, (int)(until_ms - now_ms));
		if (m == NULL)
			continue;
		done = walk_on(k, m, end, fn, arg, &err, why);
		if (!done && err != ERR_OK) {
			err = ERR_OK; /* librdkafka tries again */
			err_clear(why);
		}
		rd_kafka_message_destroy(m);
	}
	rd_kafka_consume_stop(rkt, (int32_t)partition);
done:
	rd_kafka_topic_destroy(rkt);
	return err;
}
