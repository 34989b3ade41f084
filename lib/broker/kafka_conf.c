#include "lib/broker/kafka_conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "lib/core/option.h"

enum { READERS = KAFKA_LOOKER | KAFKA_STREAM | KAFKA_MEMBER };
enum { ALL = READERS | KAFKA_PRODUCER };
enum { REFUSAL_MAX = 512, VALUE_MAX = 1024 };

/* --- settings ----------------------------------------------------------------------------------------------
 */

struct role_setting {
	unsigned roles;
	const char *name, *value;
	const char *refused; /* why log.properties may not change it; NULL: it may */
};

/* clang-format off */
static const struct role_setting settings[] = {
    {ALL,            "client.id",                     "squeal", NULL},
    {ALL,            "socket.nagle.disable",          "true",   NULL}, /* an acknowledgement must not wait for more bytes */
    {ALL,            "socket.keepalive.enable",       "true",   NULL},
    {ALL,            "reconnect.backoff.ms",          "50",     NULL},
    {ALL,            "reconnect.backoff.max.ms",      "2000",   NULL},
    /* A broker that stands still keeps its connections open: the answer that does not come, and the new leader, are noticed by these. */
    {ALL,            "socket.timeout.ms",             "10000",  NULL},
    {ALL,            "topic.metadata.refresh.interval.ms", "5000", NULL},
    {ALL,            "log.connection.close",          "false",  NULL},
    {ALL,            "bootstrap.servers",             NULL,     "set log.brokers"},
    {ALL,            "metadata.broker.list",          NULL,     "set log.brokers"},
    {ALL,            "test.mock.num.brokers",         NULL,     "its brokers keep nothing"},
    {KAFKA_PRODUCER, "acks",                          "all",    "an acknowledged record must survive the loss of a broker"},
    {KAFKA_PRODUCER, "request.required.acks",         NULL,     "an acknowledged record must survive the loss of a broker"},
    {KAFKA_PRODUCER, "enable.idempotence",            "true",   "records must not change their order"},
    /* A record that no broker takes must not be overtaken: the position of the one behind it would be wrong. */
    {KAFKA_PRODUCER, "enable.gapless.guarantee",      "true",   "records must not change their order"},
    {KAFKA_PRODUCER, "max.in.flight",                 "1",      "records must not change their order"},
    {KAFKA_PRODUCER, "max.in.flight.requests.per.connection", NULL, "records must not change their order"},
    {KAFKA_PRODUCER, "message.timeout.ms",            "0",      "set log.timeout"},
    {KAFKA_PRODUCER, "delivery.timeout.ms",           NULL,     "set log.timeout"},
    {KAFKA_PRODUCER, "transactional.id",              NULL,     "squeal writes without Kafka's transactions"},
    {KAFKA_PRODUCER, "retries",                       NULL,     "a record is tried until it is taken"},
    {KAFKA_PRODUCER, "message.send.max.retries",      NULL,     "a record is tried until it is taken"},
    {KAFKA_PRODUCER, "partitioner",                   "murmur2_random", "a source's records stay in one partition"},
    {KAFKA_PRODUCER, "linger.ms",                     "0",      NULL}, /* squeal.linger gathers transactions before they are records */
    {KAFKA_PRODUCER, "retry.backoff.ms",              "50",     NULL},
    {KAFKA_PRODUCER, "compression.type",              "lz4",    NULL},
    {READERS,        "group.id",                      NULL,     "a router's group is squeal.CLUSTER"},
    {READERS,        "group.instance.id",             NULL,     "it is the router's name (squeal-router --instance)"},
    {READERS,        "group.protocol.type",           NULL,     "a router's group is a consumer group"},
    {READERS,        "partition.assignment.strategy", NULL,     "a partition that stays must not be interrupted"},
    {READERS,        "enable.auto.commit",            "false",  "a cursor is saved when servers have acknowledged, not before"},
    {READERS,        "auto.commit.enable",            NULL,     "a cursor is saved when servers have acknowledged, not before"},
    {READERS,        "enable.auto.offset.store",      "false",  "a cursor is saved when servers have acknowledged, not before"},
    {READERS,        "auto.offset.reset",             "error",  "records that are gone must be noticed"},
    {READERS,        "enable.partition.eof",          "true",   "the end of the log must be seen"},
    {READERS,        "allow.auto.create.topics",      "false",  "set log.create"},
    {READERS,        "check.crcs",                    "true",   "damaged records must be noticed"},
    {READERS,        "fetch.wait.max.ms",             "500",    NULL}, /* a fetch that waits is answered as soon as a record comes */
    {READERS,        "fetch.min.bytes",               "1",      NULL},
    {READERS,        "fetch.error.backoff.ms",        "20",     NULL}, /* also the pause when the queue is full */
    {KAFKA_LOOKER,   "socket.timeout.ms",             "6000",   NULL}, /* how long a question to a dead leader blocks */
    {KAFKA_LOOKER,   "queued.max.messages.kbytes",    "4096",   NULL},
    {KAFKA_STREAM,   "queued.max.messages.kbytes",    "8192",   NULL},
    {KAFKA_MEMBER,   "queued.max.messages.kbytes",    "64",     NULL},
    {KAFKA_MEMBER,   "queued.min.messages",           "1",      NULL},
    {KAFKA_STREAM,   "fetch.message.max.bytes",       "2097152", NULL},
};
/* clang-format on */

/* librdkafka's name that is most like `name`, appended; false: none is near.  It prints its names as the
 * first column of a table. */
static bool
put_nearest(const char *name, struct buf *out)
{
	enum { MAX_NAMES = 400 };
	const char *words[MAX_NAMES], *near;
	char *text = NULL, *rest = NULL;
	size_t len, n = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return false;
	rd_kafka_conf_properties_show(f);
	fclose(f);
	for (char *line = strtok_r(text, "\n", &rest); line != NULL && n < MAX_NAMES;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *end = strchr(line, ' ');

		if (end != NULL && end > line && strstr(end, "| ") != NULL) {
			*end = '\0';
			words[n++] = line;
		}
	}
	near = option_nearest_word(words, n, span_of(name));
	if (near != NULL)
		buf_put_str(out, near);
	free(text);
	return near != NULL;
}

static err_t
unknown(const char *name, const char *where, struct err_detail *why)
{
	struct buf near = BUF_INIT;

	if (put_nearest(name, &near))
		err_set(why, ERR_CONFIG, "%s: librdkafka has no setting \"%.100s\"; did you mean \"%s\"?",
			where, name, buf_str(&near));
	else
		err_set(why, ERR_CONFIG,
			"%s: librdkafka has no setting \"%.100s\"; take it out, or look in librdkafka's "
			"CONFIGURATION.md how it is called",
			where, name);
	buf_fini(&near);
	return ERR_CONFIG;
}

static err_t
set(rd_kafka_conf_t *conf, const char *name, const char *value, const char *where, struct err_detail *why)
{
	char text[REFUSAL_MAX];

	switch (rd_kafka_conf_set(conf, name, value, text, sizeof(text))) {
	case RD_KAFKA_CONF_OK:
		return ERR_OK;
	case RD_KAFKA_CONF_UNKNOWN:
		return unknown(name, where, why);
	default:
		err_set(why, ERR_CONFIG,
			"%s: librdkafka refuses %s: %.*s; give it another value, or take it out", where, name,
			SPAN_FMT(span_trim(span_of(text))));
		err_one_line(why);
		return ERR_CONFIG;
	}
}

/* Takes the next setting off log.properties; the caller frees the texts.  false at the end. */
static bool
next_property(struct span *rest, char **name, char **value)
{
	struct span line;

	while (option_line(rest, &line)) {
		struct span v = line, n = span_cut(&v, '=');

		if (line.len == 0)
			continue;
		*name = span_dup(span_trim(n));
		*value = span_dup(v);
		return true;
	}
	return false;
}

static struct span
properties_of(const struct log_options *opt)
{
	return span_of(opt->properties != NULL ? opt->properties : "");
}

static err_t
set_property(rd_kafka_conf_t *conf, const char *name, const char *value, struct err_detail *why)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (settings[i].refused != NULL && strcmp(settings[i].name, name) == 0)
			return err_set(why, ERR_CONFIG, "log.properties: %s cannot be set: %s", name,
				       settings[i].refused);
	}
	return set(conf, name, value, "log.properties", why);
}

err_t
kafka_conf_fill(rd_kafka_conf_t *conf, unsigned roles, const struct log_options *opt,
		const struct kafka_setting *more, struct err_detail *why)
{
	struct span rest = properties_of(opt);
	char *name, *value;
	err_t err = ERR_OK;

	if (opt->brokers == NULL || opt->brokers[0] == '\0')
		return err_set(why, ERR_CONFIG,
			       "log.brokers is missing; set it as in kafka1:9092,kafka2:9092");
	if (opt->topic == NULL || opt->topic[0] == '\0')
		return err_set(why, ERR_CONFIG, "log.topic is empty; name the topic of the log");
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]) && err == ERR_OK; i++) {
		if ((settings[i].roles & roles) != 0 && settings[i].value != NULL)
			err = set(conf, settings[i].name, settings[i].value, "log", why);
	}
	while (err == ERR_OK && next_property(&rest, &name, &value)) {
		err = set_property(conf, name, value, why);
		free(name);
		free(value);
	}
	for (; more != NULL && more->name != NULL && err == ERR_OK; more++)
		err = set(conf, more->name, more->value, "log", why);
	return err == ERR_OK ? set(conf, "bootstrap.servers", opt->brokers, "log.brokers", why) : err;
}

/* --- settings that do not go together ----------------------------------------------------------------------
 */

/* "" where it has none. */
static void
get(const rd_kafka_conf_t *conf, const char *name, char out[VALUE_MAX])
{
	size_t n = VALUE_MAX;

	if (rd_kafka_conf_get(conf, name, out, &n) != RD_KAFKA_CONF_OK)
		out[0] = '\0';
}

/* Of the files that are named in the refusal, the one that cannot be read. */
static bool
file_is_away(const rd_kafka_conf_t *conf, const char *refusal, struct err_detail *why)
{
	static const char *const files[] = {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location",
					    "ssl.keystore.location", "ssl.crl.location"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[VALUE_MAX];

		get(conf, files[i], path);
		if (strstr(refusal, files[i]) == NULL || path[0] == '\0' || access(path, R_OK) == 0)
			continue;
		err_set(why, ERR_CONFIG,
			"log.properties: %s: cannot read %.300s: %s; name a file that squeal and its routers "
			"can read",
			files[i], path, strerror(errno));
		return true;
	}
	return false;
}

/* What to change, by what librdkafka says. */
static const char *
advice_for(const char *refusal)
{
	static const struct {
		const char *says, *advice;
	} rows[] = {
	    {"sasl.username and sasl.password",
	     "set both in log.properties, as in {sasl.username: squeal, sasl.password: SECRET}"},
	    {"sasl.kerberos",
	     "without sasl.mechanisms it is GSSAPI (Kerberos), which needs sasl.kerberos.keytab: set that, "
	     "or "
	     "sasl.mechanisms: SCRAM-SHA-512 (or PLAIN) with sasl.username and sasl.password"},
	    {"Unsupported SASL mechanism",
	     "set sasl.mechanisms to SCRAM-SHA-512, SCRAM-SHA-256, PLAIN, OAUTHBEARER or GSSAPI"},
	    {"ssl.key",
	     "look whether it is the certificate's key, in PEM, and whether ssl.key.password is right"},
	    {"location failed", "look whether the file holds PEM and is complete"},
	    {"must be", "change one of the two in log.properties, or take it out"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strstr(refusal, rows[i].says) != NULL)
			return rows[i].advice;
	}
	return "change or take out the setting in log.properties";
}

err_t
kafka_conf_open(rd_kafka_t **out, enum kafka_role role, rd_kafka_conf_t *conf, struct err_detail *why)
{
	char text[REFUSAL_MAX];

	*out = rd_kafka_new(role == KAFKA_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text,
			    sizeof(text));
	if (*out != NULL)
		return ERR_OK;
	if (!file_is_away(conf, text, why))
		err_set(why, ERR_CONFIG, "log.properties: librdkafka refuses these settings: %.*s; %s",
			SPAN_FMT(span_trim(span_of(text))), advice_for(text));
	err_one_line(why);
	rd_kafka_conf_destroy(conf);
	return ERR_CONFIG;
}

/* A setting that is written down and does nothing was meant to do something: credentials that are not used,
 * or a certificate that nobody looks at. */
static err_t
check_effect(const rd_kafka_conf_t *conf, const struct log_options *opt, struct err_detail *why)
{
	struct span rest = properties_of(opt);
	char protocol[VALUE_MAX], *name, *value;
	err_t err = ERR_OK;
	bool sasl, ssl;

	get(conf, "security.protocol", protocol);
	sasl = strncmp(protocol, "sasl", 4) == 0;
	ssl = strstr(protocol, "ssl") != NULL;
	while (err == ERR_OK && next_property(&rest, &name, &value)) {
		if (!sasl && strncmp(name, "sasl.", 5) == 0)
			err = err_set(why, ERR_CONFIG,
				      "log.properties: %s has no effect with security.protocol: %s; set "
				      "security.protocol: sasl_ssl (or sasl_plaintext), or take it out",
				      name, protocol);
		else if (!ssl && strncmp(name, "ssl.", 4) == 0)
			err = err_set(why, ERR_CONFIG,
				      "log.properties: %s has no effect with security.protocol: %s; set "
				      "security.protocol: %s, or take it out",
				      name, protocol, sasl ? "sasl_ssl" : "ssl");
		free(name);
		free(value);
	}
	return err;
}

/* librdkafka waits for a token without end where nothing makes one. */
static err_t
check_token(const rd_kafka_conf_t *conf, struct err_detail *why)
{
	char protocol[VALUE_MAX], mechanism[VALUE_MAX], method[VALUE_MAX], unsecure[VALUE_MAX];

	get(conf, "security.protocol", protocol);
	get(conf, "sasl.mechanisms", mechanism);
	get(conf, "sasl.oauthbearer.method", method);
	get(conf, "enable.sasl.oauthbearer.unsecure.jwt", unsecure);
	if (strncmp(protocol, "sasl", 4) != 0 || strcmp(mechanism, "OAUTHBEARER") != 0 ||
	    strcmp(method, "oidc") == 0 || strcmp(unsecure, "true") == 0)
		return ERR_OK;
	return err_set(why, ERR_CONFIG,
		       "log.properties: sasl.mechanisms: OAUTHBEARER has nobody to get a token from; set "
		       "sasl.oauthbearer.method: oidc with sasl.oauthbearer.client.id, .client.secret and "
		       ".token.endpoint.url");
}

static void
say_nothing(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
}

/* Kerberos's command is not for a check to run. */
static err_t
keep_kinit(rd_kafka_conf_t *conf, struct err_detail *why)
{
	char command[VALUE_MAX];
	struct buf nothing = BUF_INIT;
	err_t err = ERR_OK;

	get(conf, "sasl.kerberos.kinit.cmd", command);
	buf_printf(&nothing, "exit 0; %s", command);
	if (command[0] != '\0')
		err = set(conf, "sasl.kerberos.kinit.cmd", buf_str(&nothing), "log.properties", why);
	buf_fini(&nothing);
	return err;
}

/* Without brokers a client has nobody to connect to, but its settings are judged all the same. */
static err_t
check_role(enum kafka_role role, const struct log_options *opt, struct err_detail *why)
{
	static const struct kafka_setting member[] = {
	    {"group.id", "squeal"}, {"partition.assignment.strategy", "cooperative-sticky"}, {NULL, NULL}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk = NULL;
	err_t err = kafka_conf_fill(conf, role, opt, role == KAFKA_MEMBER ? member : NULL, why);

	if (err == ERR_OK)
		err = set(conf, "bootstrap.servers", NULL, "log.brokers", why);
	if (err == ERR_OK)
		err = keep_kinit(conf, why);
	if (err != ERR_OK) {
		rd_kafka_conf_destroy(conf);
		return err;
	}
	rd_kafka_conf_set_log_cb(conf, say_nothing);
	err = kafka_conf_open(&rk, role, conf, why);
	if (rk != NULL)
		rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	return err;
}

err_t
kafka_conf_check(const struct log_options *opt, struct err_detail *why)
{
	static const enum kafka_role roles[] = {KAFKA_PRODUCER, KAFKA_LOOKER, KAFKA_STREAM, KAFKA_MEMBER};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	err_t err = kafka_conf_fill(conf, ALL, opt, NULL, why);

	if (err == ERR_OK)
		err = check_effect(conf, opt, why);
	if (err == ERR_OK)
		err = check_token(conf, why);
	rd_kafka_conf_destroy(conf);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]) && err == ERR_OK; i++)
		err = check_role(roles[i], opt, why);
	return err;
}
