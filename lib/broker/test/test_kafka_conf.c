#include "lib/broker/kafka_conf.h"

#include "lib/broker/test/fixture.h"

/* Names of properties and values, as lines. */
static err_t
check(const char *properties, struct err_detail *why)
{
	struct log_options opt = {
	    .brokers = (char *)"k1:9092", .topic = (char *)"squeal", .properties = (char *)properties};

	return kafka_conf_check(&opt, why);
}

static void
good(const char *properties)
{
	struct err_detail why = {0};

	if (check(properties, &why) != ERR_OK)
		fail_msg("%s: %s", properties, err_why(&why));
}

/* Refused with one line that begins so, and says that. */
static void
bad(const char *properties, const char *begins, const char *says)
{
	struct err_detail why = {0};

	if (check(properties, &why) != ERR_CONFIG)
		fail_msg("%s is not refused", properties);
	if (strncmp(err_why(&why), begins, strlen(begins)) != 0 || strstr(err_why(&why), says) == NULL ||
	    strchr(err_why(&why), '\n') != NULL)
		fail_msg("\"%s\" does not begin \"%s\" and say \"%s\"", err_why(&why), begins, says);
}

static void
settings_that_work_together_pass(void **state)
{
	good(NULL);
	good("");
	good("compression.type=zstd\nclient.id=a");
	good("security.protocol=ssl");
	good("security.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=a\nsasl.password=b");
	good("security.protocol=sasl_ssl\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=a\nsasl.password=b");
	good("message.max.bytes=2000000\nqueued.max.messages.kbytes=1000");
}

static void
an_unknown_setting_gets_the_nearest_name(void **state)
{
	bad("sasl.usernam=x", "log.properties: librdkafka has no setting \"sasl.usernam\"",
	    "did you mean \"sasl.username\"?");
	bad("quite.another.thing.altogether=1", "log.properties: ", "take it out");
}

static void
a_value_that_cannot_be_is_refused_with_its_range(void **state)
{
	bad("message.max.bytes=10",
	    "log.properties: librdkafka refuses message.max.bytes: ", "1000..1000000000; give it another");
	bad("compression.type=brotli", "log.properties: librdkafka refuses compression.type: ", "\"brotli\"");
	bad("security.protocol=tls", "log.properties: librdkafka refuses security.protocol: ", "take it out");
}

static void
what_a_promise_stands_on_cannot_be_changed(void **state)
{
	bad("acks=1", "log.properties: acks cannot be set", "must survive");
	bad("request.required.acks=1", "log.properties: request.required.acks cannot be set", "survive");
	bad("max.in.flight=6", "log.properties: max.in.flight cannot be set", "order");
	bad("enable.idempotence=false", "log.properties: enable.idempotence cannot be set", "order");
	bad("transactional.id=x", "log.properties: transactional.id cannot be set", "without Kafka's");
}

static void
a_mechanism_needs_its_credentials(void **state)
{
	bad("security.protocol=sasl_ssl\nsasl.mechanisms=PLAIN",
	    "log.properties: librdkafka refuses these settings: ", "set both in log.properties");
	bad("security.protocol=sasl_plaintext\nsasl.mechanisms=SCRAM-SHA-256\nsasl.username=a",
	    "log.properties: ", "set both in log.properties");
	bad("security.protocol=sasl_plaintext", "log.properties: ", "sasl.mechanisms: SCRAM-SHA-512");
	bad("security.protocol=sasl_plaintext\nsasl.mechanisms=MAGIC",
	    "log.properties: ", "set sasl.mechanisms to ");
	bad("security.protocol=sasl_ssl\nsasl.mechanisms=OAUTHBEARER",
	    "log.properties: ", "sasl.oauthbearer.method: oidc");
}

static void
a_setting_without_effect_is_refused(void **state)
{
	bad("sasl.username=a\nsasl.password=b", "log.properties: sasl.username has no effect",
	    "security.protocol: sasl_ssl");
	bad("ssl.ca.location=/etc/hostname", "log.properties: ssl.ca.location has no effect",
	    "set security.protocol: ssl,");
	bad("security.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=a\nsasl.password=b\n"
	    "ssl.ca.location=/etc/hostname",
	    "log.properties: ssl.ca.location has no effect", "set security.protocol: sasl_ssl,");
}

static void
a_file_of_a_certificate_is_looked_at(void **state)
{
	bad("security.protocol=ssl\nssl.ca.location=/nonexistent/ca.pem",
	    "log.properties: ssl.ca.location: cannot read /nonexistent/ca.pem: No such file", "can read");
	bad("security.protocol=ssl\nssl.certificate.location=/nonexistent/c.pem",
	    "log.properties: ssl.certificate.location: cannot read /nonexistent/c.pem: No such file",
	    "can read");
	bad("security.protocol=ssl\nssl.ca.location=/etc/hostname",
	    "log.properties: librdkafka refuses these settings: ssl.ca.location", "holds PEM");
	bad("security.protocol=ssl\nssl.key.location=/etc/hostname",
	    "log.properties: librdkafka refuses these settings: ssl.key.location", "ssl.key.password");
}

static void
settings_that_contradict_each_other_are_refused_for_every_role(void **state)
{
	bad("reconnect.backoff.ms=5000",
	    "log.properties: librdkafka refuses these settings: ", "change one of the two");
	bad("message.max.bytes=100000000\nfetch.max.bytes=1000",
	    "log.properties: librdkafka refuses these settings: `fetch.max.bytes` must be",
	    "change one of the two");
	bad("receive.message.max.bytes=1000",
	    "log.properties: librdkafka refuses these settings: ", "change one of the two");
	bad("session.timeout.ms=20000\nmax.poll.interval.ms=1000",
	    "log.properties: librdkafka refuses these settings: ", "change one of the two");
}

static void
nothing_of_kerberos_is_run(void **state)
{
	struct fixture *f = *state;
	char properties[600];

	snprintf(properties, sizeof(properties),
		 "security.protocol=sasl_plaintext\nsasl.mechanisms=GSSAPI\nsasl.kerberos.kinit.cmd=touch %s",
		 f->path);
	good(properties);
	assert_int_not_equal(access(f->path, F_OK), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(settings_that_work_together_pass),
	    cmocka_unit_test(an_unknown_setting_gets_the_nearest_name),
	    cmocka_unit_test(a_value_that_cannot_be_is_refused_with_its_range),
	    cmocka_unit_test(what_a_promise_stands_on_cannot_be_changed),
	    cmocka_unit_test(a_mechanism_needs_its_credentials),
	    cmocka_unit_test(a_setting_without_effect_is_refused),
	    cmocka_unit_test(a_file_of_a_certificate_is_looked_at),
	    cmocka_unit_test(settings_that_contradict_each_other_are_refused_for_every_role),
	    fixture_test(nothing_of_kerberos_is_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
