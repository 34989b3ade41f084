#include "squeal/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/core/test/test.h"

/* For each row that is not fine: facts that make it the check's finding, and facts that do not. */
struct row_case {
	const char *check;
	unsigned row;		   /* in the check */
	const char *fires, *rests; /* "name=value|name=value" */
};

#define MARIA "server.version=10.11.6-MariaDB-log|account='s'@'%'|"
#define MY    "server.version=8.4.3|account='s'@'%'|"
#define OLDMY "server.version=5.7.44-log|account='s'@'%'|"
#define SLOW                                                                                                 \
	"rpl_semi_sync_master_enabled=ON|rpl_semi_sync_master_wait_point=AFTER_SYNC|our.patience_ms=30000|"
#define GONE   "canary.result=stripped|path.comment=0|"
#define SILENT "canary.result=nothing|"

static const struct row_case cases[] = {
    {"password_file", 0, "our.password_mode=640", "our.password_mode=600"},
    {"password_file", 1, "our.password_file=|our.network=1", "our.password_file=|our.network=0"},
    {"visibility", 0, "our.visibility=off", "our.visibility=gate"},
    {"log", 0, "log.error=none there|log.code=ERR_NOT_FOUND", "log.error=|log.code=ERR_OK"},
    {"log", 1, "log.error=damaged|log.code=ERR_CORRUPT", "log.error=|log.code=ERR_OK"},
    {"log", 2, "log.findings=one replica|log.error=|log.code=ERR_OK",
     "log.findings=|log.error=|log.code=ERR_OK"},
    {"connect", 0, "connect.error=readable|connect.code=ERR_CONFIG", "connect.error=|connect.code=ERR_OK"},
    {"connect", 1, "connect.error=insecure while --require_secure_transport=ON.|connect.code=ERR_CONN",
     "connect.error=|connect.code=ERR_OK"},
    {"connect", 2, "connect.error=denied|connect.code=ERR_AUTH", "connect.error=|connect.code=ERR_OK"},
    {"connect", 3, "connect.error=refused|connect.code=ERR_CONN", "connect.error=|connect.code=ERR_OK"},
    {"version", 0, "server.version=5.5.5-10.2.44-MariaDB", "server.version=5.5.5-10.3.1-MariaDB"},
    {"version", 1, "server.version=5.6.51", "server.version=5.7.8-rc"},
    {"privileges", 0, MARIA "grants=GRANT BINLOG MONITOR ON *.* TO `s`@`%`\n",
     MARIA "grants=GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `s`@`%`\n"},
    {"privileges", 1,
     MARIA "grants=GRANT REPLICATION SLAVE ON *.* TO `s`@`%`\nGRANT BINLOG MONITOR ON `a`.* TO `s`@`%`\n",
     "server.version=10.4.1-MariaDB|grants=GRANT REPLICATION SLAVE, SUPER ON *.* TO `s`@`%`\n"},
    {"privileges", 2, MARIA "grants=GRANT ALL PRIVILEGES ON *.* TO `s`@`%` WITH GRANT OPTION\n",
     MARIA
     "grants=GRANT USAGE ON *.* TO `s`@`%`\nGRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `s`@`%`\n"},
    {"account", 0, "account.plugin=x|account.expires=1", "account.plugin=x|account.expires=0"},
    {"account", 1, MY "account.plugin=mysql_native_password", OLDMY "account.plugin=mysql_native_password"},
    {"account", 2, "account.plugin=x|account.require=NONE|our.network=1|cipher=AES",
     "account.plugin=x|account.require=NONE|our.network=1|cipher="},
    {"tls", 0, "cipher=|our.network=1|account.plugin=caching_sha2_password",
     "cipher=AES|our.network=1|account.plugin=caching_sha2_password"},
    {"tls", 1, "cipher=|our.network=1", "cipher=|our.network=0"},
    {"tls", 2, "cipher=AES|our.network=1|our.tls=required", "cipher=AES|our.network=1|our.tls=verify"},
    {"clock", 0, "clock.skew_ms=-900|clock.rtt_ms=1", "clock.skew_ms=-900|clock.rtt_ms=800"},
    {"log_bin", 0, "log_bin=OFF", "log_bin=ON"},
    {"binlog_format", 0, "binlog_format=MIXED|our.rules=r.yaml", "binlog_format=ROW|our.rules=r.yaml"},
    {"binlog_format", 1, "binlog_format=STATEMENT", "binlog_format=MIXED"},
    {"annotate", 0, MARIA "binlog_annotate_row_events=OFF|binlog_format=ROW",
     MARIA "binlog_annotate_row_events=ON"},
    {"annotate", 0, MARIA "binlog_annotate_row_events=OFF|binlog_format=ROW|our.rules_only=OFF",
     MARIA "binlog_annotate_row_events=OFF|binlog_format=ROW|our.rules_only=ON"},
    {"rows_query", 0, MY "binlog_rows_query_log_events=OFF|binlog_format=ROW|our.rules_only=OFF",
     MY "binlog_rows_query_log_events=OFF|binlog_format=ROW|our.rules_only=ON"},
    {"annotate", 1, MARIA "binlog_annotate_row_events=OFF|binlog_format=STATEMENT",
     MARIA "binlog_annotate_row_events=ON|binlog_format=STATEMENT"},
    {"annotate", 2, "server.version=10.4.1-MariaDB|binlog_annotate_row_events=ON",
     MARIA "binlog_annotate_row_events=ON"},
    {"rows_query", 0, MY "binlog_rows_query_log_events=OFF|binlog_format=ROW",
     MY "binlog_rows_query_log_events=ON|binlog_format=ROW"},
    {"rows_query", 1, MY "binlog_rows_query_log_events=OFF|binlog_format=STATEMENT",
     MY "binlog_rows_query_log_events=ON|binlog_format=STATEMENT"},
    {"rows_query", 2, OLDMY "binlog_rows_query_log_events=ON", MY "binlog_rows_query_log_events=ON"},
    {"row_image", 0, "binlog_row_image=NOBLOB|our.rules=r.yaml", "binlog_row_image=FULL|our.rules=r.yaml"},
    {"row_image", 1, "binlog_row_image=MINIMAL", "binlog_row_image=FULL"},
    {"row_metadata", 0, "binlog_row_metadata=MINIMAL|our.rules=r.yaml",
     "binlog_row_metadata=FULL|our.rules=r.yaml"},
    {"row_metadata", 1, "binlog_row_metadata=NO_LOG", "binlog_row_metadata=FULL"},
    {"row_values", 0, "binlog_row_value_options=PARTIAL_JSON|our.rules=r.yaml",
     "binlog_row_value_options=PARTIAL_JSON|our.rules="},
    {"error_action", 0, "binlog_error_action=IGNORE_ERROR", "binlog_error_action=ABORT_SERVER"},
    {"order_commits", 0, "binlog_order_commits=OFF|gtid_mode=OFF",
     "binlog_order_commits=OFF|gtid_mode=ON|our.visibility=gate"},
    {"order_commits", 0, "binlog_order_commits=OFF|gtid_mode=ON|our.visibility=off",
     "binlog_order_commits=ON|gtid_mode=ON|our.visibility=off"},
    {"order_commits", 1, "binlog_order_commits=OFF|gtid_mode=ON|our.visibility=gate",
     "binlog_order_commits=ON|gtid_mode=ON|our.visibility=gate"},
    {"lasting", 0, "lost.names=sync_binlog", "lost.names="},
    {"gtid_mode", 0, "gtid_mode=OFF", "gtid_mode=ON"},
    {"gtid_mode", 1, "gtid_mode=OFF_PERMISSIVE", "gtid_mode=ON"},
    {"gtid_mode", 2, "gtid_mode=ON_PERMISSIVE", "gtid_mode=ON"},
    {"sync_binlog", 0, "sync_binlog=100", "sync_binlog=1"},
    {"flush_log", 0, "innodb_flush_log_at_trx_commit=2", "innodb_flush_log_at_trx_commit=3"},
    {"checksum", 0, "binlog_checksum=NONE", "binlog_checksum=CRC32"},
    {"filters", 0, "binlog.do_db=a|binlog.ignore_db=", "binlog.do_db=|binlog.ignore_db="},
    {"filters", 1, "binlog.do_db=|binlog.ignore_db=b", "binlog.do_db=|binlog.ignore_db="},
    {"expiry", 0, "binlog_expire_logs_seconds=604800|resume.age_s=400000",
     "binlog_expire_logs_seconds=604800|resume.age_s=200000"},
    {"expiry", 1, "binlog_expire_logs_seconds=604800|reach.s=3600|reach.whole=0",
     "binlog_expire_logs_seconds=604800|reach.s=3600|reach.whole=1"},
    {"expiry", 2, "expire_logs_days=0.5", "expire_logs_days=1"},
    {"expiry", 3, "expire_logs_days=0|binlog_expire_logs_seconds=0",
     "expire_logs_days=0|binlog_expire_logs_seconds=90000"},
    {"total_size", 0, "max_binlog_total_size=1000000", "max_binlog_total_size=0"},
    {"resume", 0, "resume.missing=u:1-5|resume.unknown=|resume.code=ERR_GAP",
     "resume.missing=|resume.unknown=|resume.code=ERR_OK"},
    {"resume", 1, "resume.missing=|resume.unknown=u:9|resume.code=ERR_OK",
     "resume.missing=|resume.unknown=|resume.code=ERR_OK"},
    {"resume", 2, "resume.code=ERR_GAP", "resume.code=ERR_OK"},
    {"resume", 3, "resume.code=ERR_PRIVILEGE", "resume.code=ERR_OK"},
    {"resume", 4, "resume.code=ERR_TIMEOUT", "resume.code=ERR_OK"},
    {"resume", 5, "resume.code=ERR_SOURCE_SETUP", "resume.code=ERR_OK"},
    {"log_slave_updates", 0, "replica=1|log_slave_updates=OFF", "replica=0|log_slave_updates=OFF"},
    {"log_slave_updates", 0, "replica=1|log_replica_updates=OFF", "replica=1|log_replica_updates=ON"},
    {"read_only", 0, "replica=1|super_read_only=OFF", "replica=0|super_read_only=OFF"},
    {"parallel", 0, MY "replica=1|replica_parallel_workers=4|replica_preserve_commit_order=OFF",
     MY "replica=1|replica_parallel_workers=1|replica_preserve_commit_order=OFF"},
    {"parallel", 1,
     "replica=1|slave_parallel_threads=4|slave_parallel_mode=optimistic|gtid_binlog_pos=0-1-1,1-1-1",
     "replica=1|slave_parallel_threads=4|slave_parallel_mode=optimistic|gtid_binlog_pos=0-1-1"},
    {"domains", 0, "gtid_binlog_pos=0-1-1,7-1-1", "gtid_binlog_pos=0-1-1"},
    {"gtid_strict_mode", 0, "gtid_strict_mode=OFF", "gtid_strict_mode=ON"},
    {"server_id", 0, "server_id=0|our.server_id=9", "server_id=1|our.server_id=9"},
    {"server_id", 1, "server_id=9|our.server_id=9", "server_id=1|our.server_id=9"},
    {"server_id", 2, "server_id=1|our.server_id=9|twin.id=db2", "server_id=1|our.server_id=9|twin.id="},
    {"endpoints", 0, "twin.server=db2", "twin.server="},
    {"server_uuid", 0, "twin.uuid=db2|uuid.clash=", "twin.uuid=|uuid.clash="},
    {"server_uuid", 1, "uuid.clash=u", "uuid.clash="},
    {"replicas", 0, "replicas.clash=db2", "replicas.clash="},
    {"semi_sync", 0, SLOW "our.visibility=off|rpl_semi_sync_master_timeout=10000",
     SLOW "our.visibility=gate|rpl_semi_sync_master_timeout=10000"},
    {"semi_sync", 1, SLOW "our.visibility=gate|rpl_semi_sync_master_timeout=30000",
     "rpl_semi_sync_master_enabled=OFF|rpl_semi_sync_master_timeout=30000"},
    {"semi_sync", 2,
     "rpl_semi_sync_source_enabled=ON|rpl_semi_sync_source_wait_point=AFTER_COMMIT|our.patience_ms=30000",
     "rpl_semi_sync_source_enabled=ON|rpl_semi_sync_source_wait_point=AFTER_SYNC|our.patience_ms=30000|"
     "rpl_semi_sync_source_timeout=10000"},
    {"scheduling", 0, "binlog_optimize_thread_scheduling=OFF|our.visibility=gate",
     "binlog_optimize_thread_scheduling=OFF|our.visibility=off"},
    {"max_allowed_packet", 0, "max_allowed_packet=16777216|our.max_event=1048576",
     "max_allowed_packet=16777216|our.max_event=16777216"},
    {"max_allowed_packet", 1,
     "max_allowed_packet=1|replica=1|slave_max_allowed_packet=1073741824|our.max_event=1048576",
     "max_allowed_packet=1|replica=0|slave_max_allowed_packet=1073741824|our.max_event=1048576"},
    {"net_write_timeout", 0, "net_write_timeout=5", "net_write_timeout=60"},
    {"encrypt_binlog", 0, "encrypt_binlog=ON", "encrypt_binlog=OFF"},
    {"encrypt_binlog", 1, "binlog_encryption=ON", "binlog_encryption=OFF"},
    {"engines", 0, "tables.other=2|tables.seen=9", "tables.other=0|tables.seen=9"},
    {"engines", 1, "tables.other=0|tables.seen=0", "tables.other=0|tables.seen=9"},
    {"cache", 0, "cache.error=no memcached|cache.code=ERR_PROTOCOL",
     "cache.error=|cache.code=ERR_OK|cache.meta=1"},
    {"cache", 1, "cache.error=refused|cache.code=ERR_CONN", "cache.error=|cache.code=ERR_OK|cache.meta=1"},
    {"cache", 2, "cache.error=|cache.code=ERR_OK|cache.meta=0",
     "cache.error=|cache.code=ERR_OK|cache.meta=1"},
    {"end_to_end", 0, "canary.command_error=status 1|canary.result=nothing", "canary.result=nothing"},
    {"end_to_end", 1, "canary.stream_error=lost", "canary.result=arrived"},
    {"end_to_end", 3, "canary.result=rolled_back", "canary.result=arrived"},
    {"end_to_end", 4, "canary.result=in_the_middle", "canary.result=stripped"},
    {"end_to_end", 5, GONE "command.cli=1|command.comments=0", GONE "command.cli=1|command.comments=1"},
    {"end_to_end", 6, GONE "command.cli=0|command.comments=0", "canary.result=stripped|path.comment=1"},
    {"end_to_end", 7, "canary.result=stripped|path.comment=1", GONE},
    {"end_to_end", 8, "canary.result=stripped", "canary.result=arrived"},
    {"end_to_end", 9, SILENT "path.same_server=0|path.sql_log_bin=0", SILENT "path.same_server=1"},
    {"end_to_end", 10, SILENT "path.same_server=1|path.sql_log_bin=0",
     SILENT "path.same_server=1|path.sql_log_bin=1"},
    {"end_to_end", 11, SILENT "canary.rows_without_text=1", SILENT "canary.rows_without_text=0"},
    {"end_to_end", 12, SILENT "binlog.do_db=a", SILENT "binlog.do_db="},
    {"end_to_end", 13, SILENT, "canary.result=arrived"},
    {"cleanup", 0, "canary.left=denied", "canary.left="},
};

static struct doctor_facts *
facts_of(const char *text)
{
	struct doctor_facts *f = doctor_facts_create();
	struct span rest = span_of(text);

	while (rest.len > 0) {
		ptrdiff_t bar = span_find(rest, SPAN_LIT("|"));
		struct span one = span_first(rest, bar >= 0 ? (size_t)bar : rest.len);
		ptrdiff_t equals = span_find(one, SPAN_LIT("="));
		char *name;

		assert_true(equals > 0);
		name = span_dup(span_first(one, (size_t)equals));
		doctor_fact_put(f, name, span_from(one, (size_t)equals + 1));
		free(name);
		rest = span_from(rest, one.len + 1);
	}
	doctor_derive(f);
	return f;
}

/* Row number `n` of the check. */
static const struct doctor_row *
row_of(const char *check, unsigned n)
{
	for (size_t i = 0; doctor_row(i) != NULL; i++) {
		if (strcmp(doctor_row(i)->check, check) == 0) {
			assert_non_null(doctor_row(i + n));
			assert_string_equal(doctor_row(i + n)->check, check);
			return doctor_row(i + n);
		}
	}
	fail_msg("there is no check %s", check);
	return NULL;
}

/* The finding of one check, copied. */
struct one {
	const char *check;
	unsigned n;
	enum doctor_level level;
	const struct doctor_row *row;
	char what[600], mend[600], keep[600];
};

static void
keep_one(void *arg, const struct doctor_finding *finding)
{
	struct one *one = arg;

	if (strcmp(finding->check, one->check) != 0)
		return;
	one->n++;
	one->level = finding->level;
	one->row = finding->row;
	snprintf(one->what, sizeof(one->what), "%s", finding->what);
	snprintf(one->mend, sizeof(one->mend), "%s", finding->mend);
	snprintf(one->keep, sizeof(one->keep), "%s", finding->keep);
}

static struct one
judge(const struct doctor_facts *f, const char *check)
{
	struct one one = {.check = check};

	doctor_judge(f, row_of(check, 0)->scope, "", keep_one, &one);
	return one;
}

static struct one
judge_text(const char *facts, const char *check)
{
	struct doctor_facts *f = facts_of(facts);
	struct one one = judge(f, check);

	doctor_facts_destroy(&f);
	return one;
}

static void
every_row_fires_when_it_should_and_rests_when_not(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct row_case *c = &cases[i];
		const struct doctor_row *row = row_of(c->check, c->row);
		struct one fired = judge_text(c->fires, c->check), rested = judge_text(c->rests, c->check);

		if (fired.n != 1 || fired.row != row)
			fail_msg("%s %u does not fire: \"%s\"", c->check, c->row, fired.what);
		if (rested.n != 1 || rested.row == row)
			fail_msg("%s %u does not rest: \"%s\"", c->check, c->row, rested.what);
	}
}

static void
no_row_is_without_a_case(void **state)
{
	unsigned n = 0;

	for (size_t i = 0; doctor_row(i) != NULL; i++) {
		unsigned found = 0;

		n = i > 0 && strcmp(doctor_row(i)->check, doctor_row(i - 1)->check) == 0 ? n + 1 : 0;
		for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
			found += strcmp(cases[k].check, doctor_row(i)->check) == 0 && cases[k].row == n;
		if (doctor_row(i)->level != DOCTOR_OK ? found == 0 : found > 0)
			fail_msg("%s %u has %u cases", doctor_row(i)->check, n, found);
	}
}

static void
the_rows_of_a_check_stand_together_and_are_of_one_scope(void **state)
{
	for (size_t i = 0; doctor_row(i) != NULL; i++) {
		bool left = false;

		for (size_t k = i + 1; doctor_row(k) != NULL; k++) {
			bool same = strcmp(doctor_row(i)->check, doctor_row(k)->check) == 0;

			if (same && (left || doctor_row(i)->scope != doctor_row(k)->scope))
				fail_msg("%s is torn", doctor_row(i)->check);
			left |= !same;
		}
	}
}

static void
every_danger_is_one_sentence_and_has_what_mends_it(void **state)
{
	for (size_t i = 0; doctor_row(i) != NULL; i++) {
		const struct doctor_row *row = doctor_row(i);
		size_t len = strlen(row->danger);

		assert_true(row->what[0] != '\0');
		if (row->level == DOCTOR_OK) {
			assert_int_equal(len, 0);
			assert_string_equal(row->mend, "");
			assert_int_equal(row->place, DOCTOR_NOWHERE);
			continue;
		}
		assert_true(len > 10 && row->danger[len - 1] == '.');
		if (strstr(row->danger, ". ") != NULL)
			fail_msg("\"%s\" is more than one sentence", row->danger);
		assert_true(row->mend[0] != '\0');
		assert_int_not_equal(row->place, DOCTOR_NOWHERE);
	}
}

static void
a_statement_that_sets_a_variable_names_the_line_that_keeps_it(void **state)
{
	struct one one = judge_text("sync_binlog=0", "sync_binlog");

	assert_string_equal(one.what, "sync_binlog is 0");
	assert_string_equal(one.mend, "SET GLOBAL sync_binlog=1");
	assert_string_equal(one.keep, "sync_binlog=1");
	one = judge_text(MARIA "grants=GRANT USAGE ON *.* TO `s`@`%`\n", "privileges");
	assert_string_equal(one.mend, "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 's'@'%'");
	assert_string_equal(one.keep, "");
	one = judge_text("server.version=10.3.9-MariaDB|account=a|grants=", "privileges");
	assert_string_equal(one.mend, "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO a");
}

static void
where_the_server_can_keep_a_setting_the_statement_does_so(void **state)
{
	struct one one = judge_text(MY "sync_binlog=0", "sync_binlog");

	assert_string_equal(one.mend, "SET PERSIST sync_binlog=1");
	assert_string_equal(one.keep, "");
	one = judge_text(OLDMY "sync_binlog=0", "sync_binlog");
	assert_string_equal(one.mend, "SET GLOBAL sync_binlog=1");
	assert_string_equal(one.keep, "sync_binlog=1");
	/* It keeps them, and does not read them when it starts. */
	one = judge_text(MY "sync_binlog=0|persisted_globals_load=OFF", "sync_binlog");
	assert_string_equal(one.keep, "sync_binlog=1");
}

static void
gtids_are_switched_on_step_by_step_from_where_the_server_is(void **state)
{
	static const char *const modes[] = {"OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE"};
	static const char *const steps[] = {"=WARN", "consistency=ON", "=OFF_PERMISSIVE", "=ON_PERMISSIVE",
					    "gtid_mode=ON"};
	static const unsigned first[] = {0, 1, 4};

	for (unsigned i = 0; i < 3; i++) {
		char facts[200];
		struct one one;
		const char *at;

		snprintf(facts, sizeof(facts), "%sgtid_mode=%s", OLDMY, modes[i]);
		one = judge_text(facts, "gtid_mode");
		at = one.mend;
		for (unsigned k = first[i]; k < 5; k++) {
			/* OFF_PERMISSIVE is there already */
			if (i == 1 && k == 2)
				continue;
			at = strstr(at, steps[k]);
			if (at == NULL)
				fail_msg("%s: no %s in \"%s\"", modes[i], steps[k], one.mend);
		}
		/* Steps on the way do not belong into the configuration. */
		assert_string_equal(one.keep,
				    i < 2 ? "enforce_gtid_consistency=ON, gtid_mode=ON" : "gtid_mode=ON");
	}
}

static void
a_variable_is_called_what_this_server_calls_it(void **state)
{
#define LATE(word) "rpl_semi_sync_" word "_enabled=1|rpl_semi_sync_" word "_wait_point=AFTER_COMMIT"
	assert_string_equal(judge_text(MARIA LATE("master"), "semi_sync").mend,
			    "SET GLOBAL rpl_semi_sync_master_wait_point=AFTER_SYNC");
	assert_string_equal(judge_text(MY LATE("source"), "semi_sync").mend,
			    "SET PERSIST rpl_semi_sync_source_wait_point=AFTER_SYNC");
	assert_string_equal(judge_text(OLDMY "replica=1|log_slave_updates=OFF", "log_slave_updates").mend,
			    "log_slave_updates=ON");
	assert_string_equal(
	    judge_text(MY "replica=1|log_replica_updates=OFF|log_slave_updates=OFF", "log_slave_updates")
		.mend,
	    "log_replica_updates=ON");
	assert_string_equal(judge_text(MY "binlog_format=STATEMENT", "binlog_format").mend,
			    "SET PERSIST binlog_format=ROW");
	assert_string_equal(judge_text(MARIA "binlog_format=STATEMENT", "binlog_format").mend,
			    "SET GLOBAL binlog_format=MIXED");
	assert_string_equal(judge_text(MY SILENT "canary.rows_without_text=1", "end_to_end").mend,
			    "SET PERSIST binlog_rows_query_log_events=ON");
}

static void
the_expiry_is_mended_in_the_servers_own_words(void **state)
{
	assert_string_equal(judge_text(MY "expire_logs_days=0|binlog_expire_logs_seconds=0", "expiry").mend,
			    "SET PERSIST binlog_expire_logs_seconds=604800");
	/* MySQL 8.0 refuses the one while the other is set. */
	assert_string_equal(
	    judge_text("server.version=8.0.36|expire_logs_days=0.1|binlog_expire_logs_seconds=0", "expiry")
		.mend,
	    "SET PERSIST expire_logs_days=0; SET PERSIST binlog_expire_logs_seconds=604800");
	assert_string_equal(
	    judge_text(MY "binlog_expire_logs_seconds=604800|binlog_expire_logs_auto_purge=OFF", "expiry")
		.mend,
	    "SET PERSIST binlog_expire_logs_auto_purge=ON");
	assert_string_equal(judge_text("expire_logs_days=0", "expiry").mend, "SET GLOBAL expire_logs_days=7");
	assert_string_equal(judge_text("expire_logs_days=0|binlog_expire_logs_seconds=0", "expiry").mend,
			    "SET GLOBAL binlog_expire_logs_seconds=604800");
}

static void
another_server_id_is_one_that_there_can_be(void **state)
{
	assert_string_equal(judge_text("server_id=9|our.server_id=9", "server_id").mend,
			    "source.server_id: 10");
	assert_string_equal(judge_text("server_id=4294967295|our.server_id=4294967295", "server_id").mend,
			    "source.server_id: 4294967294");
}

static void
what_the_server_does_not_have_gives_no_finding(void **state)
{
	assert_int_equal(judge_text("x=y", "rows_query").n, 0);
	assert_int_equal(judge_text("x=y", "sync_binlog").n, 0);
}

static void
what_could_not_be_looked_at_is_a_note_and_never_fine(void **state)
{
	struct doctor_facts *f = facts_of("our.password_file=/p|our.network=0");
	struct one one;

	doctor_fact_failed(f, "replicas.clash", "a privilege lacks", "GRANT X ON *.* TO y");
	doctor_fact_failed(f, "our.password_mode", "no such file", NULL);
	assert_null(doctor_fact(f, "replicas.clash"));
	one = judge(f, "replicas");
	assert_int_equal(one.n, 1);
	assert_int_equal(one.level, DOCTOR_NOTE);
	assert_null(one.row);
	assert_string_equal(one.what, "not checked: a privilege lacks");
	assert_string_equal(one.mend, "GRANT X ON *.* TO y");
	one = judge(f, "password_file");
	assert_int_equal(one.level, DOCTOR_NOTE);
	assert_string_equal(one.what, "not checked: no such file");
	doctor_fact_put(f, "replicas.clash", SPAN_LIT(""));
	assert_int_equal(judge(f, "replicas").level, DOCTOR_OK);
	doctor_facts_destroy(&f);
}

static void
what_to_do_is_taken_from_the_sentence_that_says_it(void **state)
{
	static const char trouble[] =
	    "topic t: refused (a:1; b:2) while asking; look at log.brokers; it is tried again";
	struct doctor_facts *f = facts_of("log.code=ERR_CONN|log.path=t");
	struct one one;

	doctor_fact_sentence(f, "log.error", trouble);
	one = judge(f, "log");
	assert_int_equal(one.level, DOCTOR_BROKEN);
	assert_string_equal(one.what, "topic t: refused (a:1; b:2) while asking");
	assert_string_equal(one.mend, "look at log.brokers");
	doctor_fact_sentence(f, "log.error", "it is gone (error 1236): start elsewhere");
	one = judge(f, "log");
	assert_string_equal(one.what, "it is gone (error 1236)");
	assert_string_equal(one.mend, "start elsewhere");
	doctor_fact_sentence(f, "log.error", "it is broken");
	one = judge(f, "log");
	assert_string_equal(one.what, "it is broken");
	assert_string_equal(one.mend, "mend what it names, and run squeal doctor again");
	doctor_fact_sentence(f, "log.error", "");
	assert_int_equal(judge(f, "log").level, DOCTOR_OK);
	doctor_fact_failed(f, "our.password_mode", "/p: no such file; make it", NULL);
	one = judge(f, "password_file");
	assert_string_equal(one.what, "not checked: /p: no such file");
	assert_string_equal(one.mend, "make it");
	doctor_facts_destroy(&f);
}

static void
texts_of_the_server_cannot_start_a_line(void **state)
{
	struct one one = judge_text("connect.error=bad\n\033[31mok|connect.code=ERR_CONN", "connect");

	assert_string_equal(one.what, "bad  [31mok");
}

static void
a_check_gives_one_finding_in_the_scope_that_was_asked_for(void **state)
{
	struct doctor_facts *f = facts_of("cache.error=|cache.meta=1|sync_binlog=0");
	struct one one = {.check = "sync_binlog"};

	doctor_judge(f, DOCTOR_CACHE, "", keep_one, &one);
	assert_int_equal(one.n, 0);
	doctor_judge(f, DOCTOR_SERVER, "", keep_one, &one);
	assert_int_equal(one.n, 1);
	doctor_facts_destroy(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_row_fires_when_it_should_and_rests_when_not),
	    cmocka_unit_test(no_row_is_without_a_case),
	    cmocka_unit_test(the_rows_of_a_check_stand_together_and_are_of_one_scope),
	    cmocka_unit_test(every_danger_is_one_sentence_and_has_what_mends_it),
	    cmocka_unit_test(a_statement_that_sets_a_variable_names_the_line_that_keeps_it),
	    cmocka_unit_test(where_the_server_can_keep_a_setting_the_statement_does_so),
	    cmocka_unit_test(gtids_are_switched_on_step_by_step_from_where_the_server_is),
	    cmocka_unit_test(a_variable_is_called_what_this_server_calls_it),
	    cmocka_unit_test(the_expiry_is_mended_in_the_servers_own_words),
	    cmocka_unit_test(another_server_id_is_one_that_there_can_be),
	    cmocka_unit_test(what_the_server_does_not_have_gives_no_finding),
	    cmocka_unit_test(what_could_not_be_looked_at_is_a_note_and_never_fine),
	    cmocka_unit_test(what_to_do_is_taken_from_the_sentence_that_says_it),
	    cmocka_unit_test(texts_of_the_server_cannot_start_a_line),
	    cmocka_unit_test(a_check_gives_one_finding_in_the_scope_that_was_asked_for),
	};

	return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
