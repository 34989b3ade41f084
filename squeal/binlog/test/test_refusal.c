#include <string.h>

#include "lib/core/test/test.h"
#include "squeal/binlog/refusal.h"

/* What servers and client libraries say, in their words. */
static const struct {
	unsigned code;
	const char *text;
	bool connecting;
	err_t err;
	const char *advice;
} cases[] = {
    /* MySQL 9.7 */
    {1236,
     "Cannot replicate because the source purged required binary logs. Replicate the missing transactions "
     "from "
     "elsewhere, or provision a new replica from backup. Consider increasing the source's binary log "
     "expiration "
     "period. The GTID set sent by the replica is '', and the missing transactions are 'x:1'",
     false, ERR_PURGED, "binlog_expire_logs_seconds"},
    {1236, "Could not find first log file name in binary log index file", false, ERR_PURGED, "not there"},
    {1236, "Client requested source to start replication from position > file size", false, ERR_BEHIND,
     "sync_binlog"},
    {1236,
     "Replica has more GTIDs than the source has, using the source's SERVER_UUID. This may indicate that the "
     "the "
     "last binary log file was truncated or lost, e.g., after a power failure when sync_binlog != 1.",
     false, ERR_BEHIND, "lacks transactions of its own"},
    {1236, "A replica with the same server_uuid/server_id as this replica has connected to the source", false,
     ERR_IN_USE, "source.server_id"},
    {1236, "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source", false,
     ERR_TOO_LONG, "source.max_event"},
    {1236, "binlog truncated in the middle of event; consider out of disk space on source", false,
     ERR_BAD_EVENT, "damaged"},
    {1236, "Binary log is not open", false, ERR_SOURCE_SETUP, "log_bin"},
    {1236, "Misconfigured source - source server_id is 0", false, ERR_SOURCE_SETUP, "server_id"},
    {1236,
     "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF "
     "instead of "
     "ON.",
     false, ERR_SOURCE_SETUP, "gtid_mode"},
    {1236,
     "Cannot replicate anonymous transaction when @@GLOBAL.GTID_MODE = ON, at file ./binlog.000001, position "
     "7.",
     false, ERR_SOURCE_SETUP, "ON_PERMISSIVE"},
    {1227, "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s) for this operation",
     false, ERR_PRIVILEGE, "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'squeal'@'%'"},
    {2061,
     "Authentication plugin 'caching_sha2_password' reported error: Authentication requires secure "
     "connection.",
     true, ERR_AUTH, "source.tls: required"},
    {2061, "Couldn't read RSA public key from server", true, ERR_AUTH, "source.tls: required"},
    {3159, "Connections using insecure transport are prohibited while --require_secure_transport=ON.", true,
     ERR_AUTH, "source.tls: required"},
    {3118, "Access denied for user 'squeal'@'%'. Account is locked.", true, ERR_AUTH,
     "ALTER USER 'squeal'@'%' ACCOUNT UNLOCK"},
    {3169, "Session was killed", false, ERR_CONN, ""},
    /* MySQL 5.7 */
    {1236,
     "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master has purged "
     "binary logs "
     "containing GTIDs that the slave requires.",
     false, ERR_PURGED, "binlog_expire_logs_seconds"},
    {1236, "Client requested master to start replication from position > file size", false, ERR_BEHIND, ""},
    {1236, "A slave with the same server_uuid/server_id as this slave has connected to the master", false,
     ERR_IN_USE, ""},
    /* MariaDB */
    {1236,
     "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old "
     "and "
     "required binlog files have been purged.",
     false, ERR_PURGED, ""},
    {1236, "Error: connecting slave requested to start from GTID 0-1-5, which is not in the master's binlog",
     false, ERR_BEHIND, "log_slave_updates"},
    {1236,
     "Error: connecting slave requested to start from GTID 0-1-5, which is not in the master's binlog. Since "
     "the "
     "master's binlog contains GTIDs with higher sequence numbers, it probably means that the slave has "
     "diverged due "
     "to executing extra erroneous transactions",
     false, ERR_GAP, "promoted"},
    {1236,
     "The binlog on the master is missing the GTID 0-1-5 requested by the slave (even though both a prior "
     "and a "
     "subsequent sequence number does exist), and GTID strict mode is enabled",
     false, ERR_GAP, "hole"},
    {1951, "", false, ERR_GAP, "hole"},
    {1236, "Client requested master to start replication from impossible position", false, ERR_BEHIND, ""},
    {4052, "Slave has the same id", false, ERR_IN_USE, ""},
    /* Anything else that ends a stream for good is a gap, whatever the words. */
    {1236, "words of a server to come", false, ERR_GAP, "flush the caches"},
    /* The same number before and after the door. */
    {1045, "Access denied for user 'squeal'@'h' (using password: YES)", true, ERR_AUTH,
     "source.password_file"},
    {1045, "Access denied", false, ERR_PRIVILEGE, "GRANT"},
    {2026, "SSL connection error", true, ERR_AUTH, "source.tls_ca"},
    {2026, "SSL connection error", false, ERR_CONN, ""},
    {2013, "Lost connection", false, ERR_CONN, ""},
    {1040, "Too many connections", true, ERR_CONN, "max_connections"},
    /* Unknown ones: while connecting, the link; later, the protocol. */
    {9999, "?", true, ERR_CONN, ""},
    {1064, "You have an error in your SQL syntax", false, ERR_PROTOCOL, ""},
};

static void
each_error_has_its_code_and_its_advice(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal r = {.code = cases[i].code,
				    .text = cases[i].text,
				    .at = "db1:3306",
				    .account = "'squeal'@'%'",
				    .connecting = cases[i].connecting};
		struct err_detail why = {0};

		assert_string_equal(err_name(refusal_class(&r)), err_name(cases[i].err));
		assert_int_equal(refusal_explain(&r, &why), cases[i].err);
		assert_int_equal(why.code, cases[i].err);
		assert_non_null(strstr(why.text, "db1:3306"));
		if (strstr(why.text, cases[i].advice) == NULL)
			fail_msg("%u: \"%s\" is not in: %s", cases[i].code, cases[i].advice, why.text);
	}
}

static void
a_long_text_leaves_room_for_the_advice(void **state)
{
	char text[2000];
	struct refusal r = {.code = 1236, .text = text, .at = "db1:3306", .account = ""};
	struct err_detail why = {0};

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "purged required", 15);
	assert_int_equal(refusal_explain(&r, &why), ERR_PURGED);
	assert_non_null(strstr(why.text, "source.start: now"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_error_has_its_code_and_its_advice),
	    cmocka_unit_test(a_long_text_leaves_room_for_the_advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
