#include "lib/broker/kafka_topic.h"

#include "lib/broker/test/fixture.h"

static const struct log_options opt = {.brokers = (char *)"k1:9092", .topic = (char *)"squeal"};

static const struct kafka_topic topic = {.npartitions = 1, .nreplicas = 3};
static const struct kafka_settings good = {.known = true,
					   .cleanup_policy = "delete",
					   .retention_ms = 86400000,
					   .retention_bytes = -1,
					   .min_insync = 2,
					   .max_message_bytes = 1048588};

static void
keep(void *arg, enum log_level level, const char *sentence)
{
	buf_printf(arg, "%s\n", sentence);
}

static void
judge(const struct kafka_topic *t, const struct kafka_settings *s, const char *says)
{
	struct err_detail why = {0};
	struct buf text = BUF_INIT;

	assert_int_equal(kafka_topic_judge(&opt, t, s, 65536, keep, &text, &why), ERR_OK);
	if (says[0] == '\0')
		assert_string_equal(buf_str(&text), "");
	else if (strstr(buf_str(&text), says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", buf_str(&text), says);
	buf_fini(&text);
}

static void
a_good_topic_has_no_findings(void **state)
{
	judge(&topic, &good, "");
}

static void
what_makes_records_less_safe_is_said_with_the_command(void **state)
{
	struct kafka_topic alone = topic;
	struct kafka_settings s = good;

	alone.nreplicas = 1;
	judge(&alone, &good, "one replica");
	s.min_insync = 1;
	judge(&topic, &s, "--add-config min.insync.replicas=2");
	s.min_insync = 3;
	judge(&topic, &s, "min.insync.replicas is 3 of 3");
	s = good;
	s.unclean_election = true;
	judge(&topic, &s, "unclean.leader.election.enable=false");
	s = good;
	s.retention_ms = 1000;
	judge(&topic, &s, "retention.ms is 1000");
	s = good;
	s.retention_bytes = 1000;
	judge(&topic, &s, "retention.bytes is 1000");
	s = good;
	s.max_message_bytes = 10000;
	judge(&topic, &s, "squeal.batch_bytes is 65536");
}

static void
a_compacted_topic_is_refused(void **state)
{
	struct err_detail why = {0};
	struct buf text = BUF_INIT;
	struct kafka_settings s = good;

	snprintf(s.cleanup_policy, sizeof(s.cleanup_policy), "compact,delete");
	assert_int_equal(kafka_topic_judge(&opt, &topic, &s, 0, keep, &text, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "cleanup.policy=delete"));
	buf_fini(&text);
}

static void
settings_that_are_not_known_are_not_judged(void **state)
{
	const struct kafka_settings unknown = {.known = false};

	judge(&topic, &unknown, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_good_topic_has_no_findings),
	    cmocka_unit_test(what_makes_records_less_safe_is_said_with_the_command),
	    cmocka_unit_test(a_compacted_topic_is_refused),
	    cmocka_unit_test(settings_that_are_not_known_are_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
