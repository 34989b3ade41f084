"""squeal doctor and squeal grant beside MySQL; what does not depend on the server is in test_doctor.py."""

import json
import os
import subprocess

import pytest

from harness import wait_until
from harness.pipeline import program
from test_doctor import FAST, Patient, register, run


@pytest.fixture
def patient(rundir):
    made = []

    def make(*args, **kwargs):
        made.append(Patient(rundir, *args, mysql=True, **kwargs))
        return made[-1].start()
    yield make
    for p in made:
        p.cache.stop()
        p.db.discard()


def not_ok(found):
    return {check: f["what"] for check, f in found.items() if f["level"] != "ok"}


def restart_without_arguments(p, argv):
    """Arguments are stronger than what is persisted, and --no-defaults keeps the server from reading that."""
    names = {arg.split("=")[0] for arg in argv} | {"--no-defaults"}
    empty = os.path.join(p.dir, "empty.cnf")
    open(empty, "w").close()
    at = p.db.process.argv.index("--no-defaults")
    p.db.process.argv[at:] = ["--defaults-file=" + empty] + [
        arg for arg in p.db.process.argv[at:] if arg.split("=")[0] not in names]
    p.db.restart()


def test_a_healthy_system_has_no_danger(patient):
    p = patient()
    found = p.findings(code=0)
    assert len(found) > 35
    # An account that may see no table, and a log that is not there yet.
    assert set(not_ok(found)) == {"engines", "log"}
    assert found["version"]["what"].startswith("MySQL ")
    p.db.sql("CREATE TABLE app.t (id INT); GRANT SELECT ON app.* TO squeal@'%'")
    assert set(not_ok(p.findings(code=0))) == {"log"}


@pytest.mark.parametrize("format", ["ROW", "STATEMENT"])
def test_executing_the_statement_of_a_finding_makes_it_go_away_for_good(patient, format):
    bad_argv = ["--binlog-order-commits=OFF", "--binlog-error-action=IGNORE_ERROR", "--binlog-expire-logs-seconds=0",
                "--net-write-timeout=5", "--rpl-semi-sync-source-timeout=60000"]
    p = patient(bad_argv + ["--plugin-load-add=semisync_source.so", "--rpl-semi-sync-source-enabled=ON",
                            "--rpl-semi-sync-source-wait-no-replica=OFF"], good=False,
                binlog_format=format, rows_query=False, checksum="NONE", row_image="MINIMAL",
                row_metadata="MINIMAL", gtid=False)
    p.db.sql("CREATE TABLE app.m (id INT) ENGINE=MyISAM; GRANT SELECT ON app.* TO squeal@'%'")
    bad_argv += ["--sync-binlog", "--innodb-flush-log-at-trx-commit", "--binlog-format", "--binlog-checksum",
                 "--binlog-row-image", "--binlog-row-metadata", "--gtid-mode", "--enforce-gtid-consistency",
                 "--binlog-rows-query-log-events"]
    before = p.findings(code=1)
    bad = {check: f for check, f in before.items() if f.get("mend_in") == "sql"}
    assert {"sync_binlog", "flush_log", "rows_query", "checksum", "row_image", "row_metadata", "expiry", "semi_sync",
            "net_write_timeout", "gtid_mode", "order_commits", "error_action", "engines"} <= set(bad)
    assert ("binlog_format" in bad) == (format == "STATEMENT")
    assert before["rows_query"]["level"] == ("broken" if format == "ROW" else "danger")
    assert before["gtid_mode"]["level"] == "danger" and before["gtid_mode"]["mend"].count("SET PERSIST") == 5
    for finding in bad.values():
        p.db.sql(finding["mend"])
        assert "keep" not in finding and "GLOBAL" not in finding["mend"]
    after = p.findings()
    assert {check: after[check]["what"] for check in bad if after[check]["level"] != "ok"} == {}
    restart_without_arguments(p, bad_argv)
    after = p.findings(code=0)
    assert {check: after[check]["what"] for check in bad if after[check]["level"] != "ok"} == {}


def test_commits_that_readers_see_before_a_replica_has_them(patient):
    p = patient(["--plugin-load-add=semisync_source.so", "--rpl-semi-sync-source-enabled=ON",
                 "--rpl-semi-sync-source-wait-no-replica=OFF", "--rpl-semi-sync-source-wait-point=AFTER_COMMIT"])
    finding = p.findings(code=1)["semi_sync"]
    assert finding["level"] == "danger" and "failover" in finding["danger"]
    assert finding["mend"] == "SET PERSIST rpl_semi_sync_source_wait_point=AFTER_SYNC"
    p.db.sql(finding["mend"])
    assert p.findings(code=0)["semi_sync"]["level"] == "ok"


@pytest.mark.parametrize("mode, steps", [("OFF", 5), ("OFF_PERMISSIVE", 3), ("ON_PERMISSIVE", 1)])
def test_gtids_are_switched_on_from_wherever_the_server_is(patient, mode, steps):
    p = patient(gtid=mode)
    finding = p.findings(code=1)["gtid_mode"]
    assert (finding["level"], finding["what"]) == ("danger", "gtid_mode is " + mode)
    assert finding["mend"].count("SET PERSIST") == steps
    if steps == 1:  # the one that starts at ON_PERMISSIVE has come there with consistency already
        p.db.sql("SET PERSIST enforce_gtid_consistency=ON")
    p.db.sql(finding["mend"])
    assert p.db.sql("SELECT @@gtid_mode, @@enforce_gtid_consistency") == "ON\tON"
    assert p.findings(code=0)["gtid_mode"]["level"] == "ok"


def test_what_rules_need_of_rows(patient):
    p = patient(["--binlog-row-metadata=MINIMAL"], binlog_format="MIXED", row_image="MINIMAL", json_partial=True)
    found = p.findings(code=0)
    assert {found[c]["level"] for c in ("binlog_format", "row_values")} == {"ok"}
    assert {found[c]["level"] for c in ("row_image", "row_metadata")} == {"note"}
    rules = os.path.join(p.dir, "rules.yaml")
    with open(rules, "w") as f:
        f.write("rules:\n  - table: app.t\n    keys: ['t:{id}']\n")
    p.write(markers={"rules": rules})
    found = p.findings(code=1)
    levels = {"binlog_format": "broken", "row_metadata": "broken", "row_image": "danger", "row_values": "danger"}
    assert {check: found[check]["level"] for check in levels} == levels
    for check in levels:
        p.db.sql(found[check]["mend"])
    after = p.findings(code=0)
    assert {check: after[check]["level"] for check in levels} == dict.fromkeys(levels, "ok")


def test_what_was_set_and_will_not_last_is_named(patient):
    p = patient(["--sync-binlog=0"])
    p.db.sql("SET GLOBAL sync_binlog=1; SET GLOBAL max_allowed_packet=33554432")
    finding = p.findings(code=0)["lasting"]
    assert finding["level"] == "note" and "max_allowed_packet, sync_binlog" in finding["what"]
    p.db.sql(finding["mend"])
    assert p.findings(code=0)["lasting"]["level"] == "ok"
    restart_without_arguments(p, ["--sync-binlog=0", "--sync-binlog=1"])
    assert p.findings(code=0)["sync_binlog"]["level"] == "ok"
    assert p.db.sql("SELECT @@max_allowed_packet") == "33554432"


@pytest.mark.parametrize("check, level, bad", [
    ("log_bin", "broken", ["--skip-log-bin"]),
    ("filters", "danger", ["--binlog-ignore-db=elsewhere"]),
    ("filters", "danger", ["--binlog-do-db=app"]),
])
def test_what_needs_a_restart_is_named_with_its_line(patient, check, level, bad):
    p = patient(bad)
    finding = p.findings(code=1)[check]
    assert (finding["level"], finding["mend_in"]) == (level, "server configuration, then restart")
    p.db.stop()
    line = finding["mend"]
    argv = p.db.process.argv
    argv[:] = [a for a in argv if a not in bad] + ([] if line.startswith("#") else ["--" + line])
    p.db.start()
    assert p.findings()[check]["level"] == "ok"


def test_compressed_transactions_are_fine(patient):
    found = patient(compression=True).findings(code=0)
    assert found["compression"]["level"] == "ok" and "squeal reads" in found["compression"]["what"]


# --- the account and the connection ---------------------------------------------------------------------------


def test_the_exact_grant_that_is_missing(patient):
    p = patient()
    p.db.sql("CREATE USER bare@localhost IDENTIFIED BY 'secret'")
    p.write(user="bare")
    found = p.findings(code=1)
    assert found["privileges"]["mend"] == "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'bare'@'localhost'"
    assert found["replicas"]["mend"] == "GRANT REPLICATION SLAVE ON *.* TO 'bare'@'localhost'"
    assert found["resume"]["level"] == "broken"
    p.db.sql("GRANT REPLICATION SLAVE ON *.* TO bare@localhost")
    finding = p.findings(code=1)["privileges"]
    assert (finding["level"], finding["mend"]) == ("danger", "GRANT REPLICATION CLIENT ON *.* TO 'bare'@'localhost'")
    p.db.sql(finding["mend"])
    found = p.findings(code=0)
    assert found["privileges"]["level"] == found["resume"]["level"] == "ok"
    p.db.sql("GRANT ALL PRIVILEGES ON *.* TO bare@localhost WITH GRANT OPTION")
    finding = p.findings(code=0)["privileges"]
    assert finding["level"] == "note"
    p.db.sql(finding["mend"])
    assert p.findings(code=0)["privileges"]["level"] == "ok"


def test_privileges_may_come_by_a_role(patient):
    p = patient()
    p.db.sql("CREATE USER member@localhost IDENTIFIED BY 'secret'; CREATE ROLE tailer;"
             "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO tailer; GRANT tailer TO member@localhost;"
             "SET DEFAULT ROLE tailer TO member@localhost")
    p.write(user="member")
    found = p.findings(code=0)
    assert found["privileges"]["level"] == found["resume"]["level"] == "ok"


def test_a_password_that_will_expire(patient):
    p = patient(["--default-password-lifetime=90"])
    finding = p.findings(code=1)["account"]
    assert (finding["level"], finding["mend"]) == ("danger", "ALTER USER 'squeal'@'%' PASSWORD EXPIRE NEVER")
    p.db.sql(finding["mend"])
    assert p.findings(code=0)["account"]["level"] == "ok"


def test_a_server_that_wants_tls_and_one_that_does_without(patient):
    p = patient(["--require-secure-transport=ON"])
    p.write(**dict(p.db.tcp(), tls="off"))
    finding = p.findings(code=1)["connect"]
    assert (finding["level"], finding["mend"]) == ("broken", "source.tls: required")
    p.write(tls="required")
    assert p.findings(code=0)["connect"]["level"] == "ok"
    # An address that is not known to be loopback, and leads there all the same.
    p.write(host="0.0.0.0")
    found = p.findings(code=0)
    assert found["tls"]["level"] == "note" and "not verified" in found["tls"]["what"]
    assert (found["account"]["level"], found["account"]["mend"]) == ("note", "ALTER USER 'squeal'@'%' REQUIRE SSL")
    p.db.sql("SET GLOBAL require_secure_transport=OFF")
    p.write(tls="off")
    finding = p.findings(code=1)["tls"]
    assert finding["level"] == "danger" and "caching_sha2_password" in finding["what"]
    p.db.sql(found["account"]["mend"])
    p.write(tls="required")
    assert p.findings(code=0)["account"]["level"] == "ok"


# --- replicas and positions -----------------------------------------------------------------------------------


def test_a_replica_that_keeps_its_primarys_writes_to_itself(patient):
    p = patient()
    replica = p.db.add_replica(options=p.db.settings["options"] + ["--log-replica-updates=OFF"])
    p.write(socket=replica.socket)
    finding = p.findings(code=1)["log_slave_updates"]
    assert (finding["level"], finding["mend"]) == ("broken", "log_replica_updates=ON")
    replica.process.argv = [a for a in replica.process.argv if a != "--log-replica-updates=OFF"]
    replica.restart(["--" + finding["mend"]])
    assert p.findings(code=0)["log_slave_updates"]["level"] == "ok"


def test_a_replica_that_takes_writes_or_takes_them_over_out_of_order(patient):
    p = patient()
    replica = p.db.add_replica(options=p.db.settings["options"] + ["--replica-preserve-commit-order=OFF"])
    replica.sql("SET GLOBAL super_read_only=OFF")
    p.write(socket=replica.socket)
    found = p.findings(code=0)
    assert found["read_only"]["level"] == found["parallel"]["level"] == "note"
    for check in ("parallel", "read_only"):
        replica.sql(found[check]["mend"])
    found = p.findings(code=0)
    assert found["read_only"]["level"] == found["parallel"]["level"] == "ok"


def test_our_server_id_is_the_databases_own_or_another_replicas(patient):
    p = patient()
    p.write(server_id=1)
    finding = p.findings(code=1)["server_id"]
    assert (finding["level"], finding["mend"]) == ("broken", "source.server_id: 2")
    p.write(server_id=2)
    assert p.findings(code=0)["server_id"]["level"] == "ok"
    other = p.db.connect()
    register(other, 2, b"db2")
    finding = p.findings(code=1)["replicas"]
    assert (finding["level"], finding["mend"]) == ("danger", "source.server_id: 3")
    assert "db2" in finding["what"]
    other.close()


def test_a_replica_that_was_copied_with_its_uuid(patient):
    p = patient()
    assert p.findings(code=0)["server_uuid"]["level"] == "ok"
    copy = p.db.connect()
    with copy.cursor() as cursor:
        cursor.execute("SET @replica_uuid=@@server_uuid, @slave_uuid=@@server_uuid")
    register(copy, 7, b"db7")
    finding = p.findings(code=1)["server_uuid"]
    assert finding["level"] == "danger" and "auto.cnf" in finding["mend"]
    copy.close()


def test_endpoints_are_each_looked_at_and_compared(patient):
    p = patient()
    replica = p.db.add_replica()
    p.write(socket=None, endpoints="%s, 127.0.0.1:%d" % (replica.socket, p.db.port))

    def by_subject():
        found = [json.loads(line) for line in p.run().stdout.splitlines()]
        return {(f.get("subject"), f["check"]): f for f in found}
    found = by_subject()
    for at in (replica.socket, "127.0.0.1:%d" % p.db.port):
        assert found[at, "endpoints"]["level"] == found[at, "server_uuid"]["level"] == "ok"
        assert found[at, "resume"]["level"] == "ok"
    assert "a replica" in found[replica.socket, "log_slave_updates"]["what"]
    p.write(endpoints="%s, 127.0.0.1:%d" % (p.db.socket, p.db.port))
    found = by_subject()
    assert found[p.db.socket, "endpoints"]["level"] == "note"
    assert str(p.db.port) in found[p.db.socket, "endpoints"]["what"]
    # A server that was copied with its auto.cnf, and has the same number too.
    replica.stop()
    with open(os.path.join(p.db.data, "auto.cnf")) as source, open(os.path.join(replica.data, "auto.cnf"), "w") as to:
        to.write(source.read())
    replica.restart(["--server-id=1"])
    p.write(endpoints="%s, 127.0.0.1:%d" % (replica.socket, p.db.port))
    finding = by_subject()[replica.socket, "server_uuid"]
    assert finding["level"] == "danger" and str(p.db.port) in finding["what"]
    replica.stop()
    os.unlink(os.path.join(replica.data, "auto.cnf"))
    replica.start()
    found = by_subject()
    assert found[replica.socket, "server_uuid"]["level"] == "ok"
    assert found[replica.socket, "server_id"]["level"] == "danger"


def test_what_was_purged_or_lost_is_named_by_its_gtids(patient):
    p = patient()
    uuid = p.db.sql("SELECT @@server_uuid")
    p.db.sql("CREATE TABLE app.t (id INT); INSERT INTO app.t VALUES (1)")
    last = int(p.db.gtid().rsplit("-", 1)[1])
    p.write(start="gtid:%s:1-%d" % (uuid, last - 1))
    assert p.findings(code=0)["resume"]["level"] == "ok"
    p.db.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")

    def purged():
        p.db.sql("PURGE BINARY LOGS TO '%s'" % p.db.binlog_position()[0])
        return len(p.db.sql("SHOW BINARY LOGS").splitlines()) == 1
    wait_until(purged, 10, "the purge")
    finding = p.findings(code=1)["resume"]
    assert finding["level"] == "broken" and "%s:%d," % (uuid, last) in finding["what"]
    assert "--start now" in finding["mend"]
    p.write(start="gtid:%s:1-%d" % (uuid, last + 5))
    finding = p.findings(code=1)["resume"]
    assert finding["level"] == "broken" and "%s:%d-%d," % (uuid, last + 1, last + 5) in finding["what"]
    p.write(start="gtid:%s:1-%d" % (uuid, last))
    assert p.findings()["resume"]["level"] == "ok"
    # What was purged by hand is not what the expiry promises.
    p.db.sql("INSERT INTO app.t VALUES (2)")
    finding = p.findings(code=1)["expiry"]
    assert finding["level"] == "danger" and "purged" in finding["what"]


# --- end to end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["ROW", "STATEMENT", "MIXED"])
def test_a_client_that_strips_comments_is_named_and_one_that_keeps_them_is_fine(patient, format):
    p = patient(binlog_format=format)
    # MySQL 9's client keeps them unless told otherwise, before that it was the other way round.
    finding = p.canary(*p.client("--skip-comments"), code=1)
    assert finding["level"] == "broken"
    assert finding["mend"].endswith("mysql --comments")
    finding = p.canary(*p.client("--comments"), code=0)
    assert finding["level"] == "ok" and "arrived" in finding["what"]
    assert p.tables() == ""


def test_a_proxy_that_strips_comments_is_not_mistaken_for_the_client(patient):
    p = patient()
    command = "sed 's:/[*][^*]*[*]/::' | %s" % " ".join(p.client("--comments"))
    finding = p.canary("sh", "-c", command, code=1)
    assert finding["level"] == "broken" and "before the statement reaches the server" in finding["what"]
    assert "own connection keeps comments" in finding["what"]


def test_nothing_arrives_and_why(patient):
    p = patient()
    client = " ".join(p.client("--comments"))
    off = "(echo 'SET sql_log_bin=0;'; cat) | " + client
    assert "sql_log_bin=0" in p.canary("sh", "-c", off, options=FAST, code=1)["what"]
    quiet = "(echo 'SET binlog_rows_query_log_events=0, binlog_format=ROW;'; cat) | " + client
    finding = p.canary("sh", "-c", quiet, options=FAST, code=1)
    assert "without the text" in finding["what"]
    assert finding["mend"] == "SET PERSIST binlog_rows_query_log_events=ON"
    assert p.tables() == ""


def test_a_driver_in_between(patient):
    p = patient(compression=True)
    code = ("import sys, pymysql; c = pymysql.connect(unix_socket=sys.argv[1], user='root', database='app', autocommit=True).cursor()\n"
            "for s in filter(str.strip, sys.stdin.read().split(';')): c.execute(s.strip())\n")
    assert p.canary("/usr/bin/python3", "-c", code, p.db.socket, code=0)["level"] == "ok"


# --- grant ----------------------------------------------------------------------------------------------------


def test_grant_prints_the_account_for_the_server_that_answers(patient):
    p = patient()
    p.db.sql("DROP USER squeal@'%'")
    text = run("grant", "-c", p.config)
    assert "-- For MySQL %s." % p.db.sql("SELECT VERSION()") in text
    assert "CREATE USER 'squeal'@'localhost' IDENTIFIED WITH caching_sha2_password BY 'PASSWORD' PASSWORD EXPIRE NEVER;" in text
    assert "BINLOG MONITOR" not in text
    p.db.sql(text.replace("'PASSWORD'", "'secret'"))
    found = p.findings(code=0)
    assert found["privileges"]["level"] == found["account"]["level"] == "ok"
    p.db.sql("DROP USER squeal@localhost")
    p.write(**p.db.tcp())
    text = run("grant", "-c", p.config, "--host", "%")
    assert "REQUIRE SSL" in text
    p.db.sql(text.replace("'PASSWORD'", "'secret'"))
    found = p.findings(code=0)
    assert found["privileges"]["level"] == found["account"]["level"] == "ok"
    assert "REQUIRE SSL" in found["account"]["what"]


def test_doctor_leaves_no_trace_of_the_password(patient):
    p = patient()
    for json_lines in (True, False):
        done = p.run(json_lines=json_lines)
        assert "$A$" not in done.stdout and "secret" not in done.stdout
    assert subprocess.run([program("squeal"), "doctor", "-c", p.config], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL).returncode == 0
