"""squeal doctor names what is wrong with the statement that mends it, and squeal grant makes the account."""

import json
import os
import socket
import struct
import subprocess

import pytest

from harness import Mariadb, Memcached, Mysql, free_port, mysql_argv, wait_until, write_config
from harness.pipeline import program

# What a careful operator sets; every finding is then fine.
GOOD_MYSQL = ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--binlog-row-metadata=FULL",
              "--performance-schema=ON"]
GOOD = ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--gtid-strict-mode=ON",
        "--binlog-row-metadata=FULL", "--binlog-expire-logs-seconds=604800", "--log-slave-updates=ON"]


class Patient:
    """A database, a memcached, and a squeal.yaml about them."""

    def __init__(self, dir, options=(), good=True, mysql=False, **kwargs):
        self.dir = dir
        options = ((GOOD_MYSQL if mysql else GOOD) if good else []) + list(options)
        self.db = (Mysql if mysql else Mariadb)(dir, options=options, **kwargs)
        self.cache = Memcached(dir)
        self.servers = [{"host": "127.0.0.1", "port": self.cache.port}]
        self.source = {}
        self.config = os.path.join(dir, "squeal.yaml")

    def start(self):
        self.db.start()
        self.cache.start()
        self.source = {"socket": self.db.socket, "user": "squeal", "password_file": self.db.create_replication_user()}
        self.db.sql("CREATE DATABASE app")
        self.write()
        return self

    def write(self, markers=None, **source):
        self.source = {k: v for k, v in dict(self.source, **source).items() if v is not None}
        config = {"log": {"path": "log.db"}, "source": self.source,
                  "clusters": [{"name": "a", "servers": self.servers}]}
        if markers:
            config["markers"] = markers
        write_config(self.config, config)

    def run(self, *args, code=None, json_lines=True):
        argv = [program("squeal"), "doctor", "-c", self.config] + (["--json"] if json_lines else []) + list(args)
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=120)
        if code is not None:
            assert done.returncode == code, done.stdout + done.stderr
        return done

    def findings(self, *args, code=None):
        """{check: finding}; one memcached only, so checks do not repeat."""
        return {f["check"]: f for f in map(json.loads, self.run(*args, code=code).stdout.splitlines())}

    def canary(self, *command, options=(), code=None):
        return self.findings("--end-to-end", "--timeout", "5s", *options, "--", *command, code=code)["end_to_end"]

    def client(self, *options):
        if self.db.flavour == "mysql":
            # By its own name, which its loader would hide.
            path = os.path.join(self.dir, "mysql-client", "mysql")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write('#!/bin/sh\nexec %s "$@"\n' % " ".join(mysql_argv("mysql")))
            os.chmod(path, 0o755)
            return [path, "--no-defaults", "-S", self.db.socket, "-u", "root", *options, "app"]
        return ["mariadb", "--no-defaults", "-S", self.db.socket, "-u", "root", *options, "app"]

    def tables(self):
        return self.db.sql("SHOW TABLES", "app")

    def stop(self):
        self.cache.stop()
        self.db.stop()


@pytest.fixture
def patient(rundir):
    made = []

    def make(*args, **kwargs):
        made.append(Patient(rundir, *args, **kwargs))
        return made[-1].start()
    yield make
    for p in made:
        p.stop()


def test_a_healthy_system_has_no_danger(patient):
    p = patient()
    found = p.findings(code=0)
    assert len(found) > 30
    # Not looked at for lack of privileges that squeal does not need, and a log that is not there yet.
    assert {check for check, f in found.items() if f["level"] != "ok"} == {"replicas", "engines", "log"}
    p.db.sql(found["replicas"]["mend"] + "; CREATE TABLE app.t (id INT); GRANT SELECT ON app.* TO squeal@'%'")
    found = p.findings(code=0)
    assert {check for check, f in found.items() if f["level"] != "ok"} == {"log"}
    text = p.run(code=0, json_lines=False).stdout
    assert "sync_binlog" in text and text.splitlines()[-1].startswith("ok ")


@pytest.mark.parametrize("format", ["ROW", "STATEMENT"])
def test_executing_the_statement_of_a_finding_makes_it_go_away(patient, format):
    p = patient(["--binlog-format=" + format, "--binlog-annotate-row-events=OFF", "--binlog-checksum=NONE",
                 "--binlog-row-image=MINIMAL", "--expire-logs-days=0", "--rpl-semi-sync-master-enabled=ON",
                 "--rpl-semi-sync-master-timeout=60000", "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
                 "--rpl-semi-sync-master-wait-no-slave=OFF", "--net-write-timeout=5", "--slave-parallel-threads=2"],
                good=False)
    p.db.sql("CREATE TABLE app.m (id INT) ENGINE=MyISAM; CREATE TABLE app.`odd``name` (id INT) ENGINE=Aria;"
             "GRANT SELECT ON app.* TO squeal@'%'")
    before = p.findings(code=1)
    bad = {check: f for check, f in before.items() if f.get("mend_in") == "sql"}
    assert {"sync_binlog", "flush_log", "annotate", "checksum", "row_image", "row_metadata", "expiry", "semi_sync",
            "net_write_timeout", "gtid_strict_mode", "engines", "replicas"} <= set(bad)
    assert ("binlog_format" in bad) == (format == "STATEMENT")
    assert before["sync_binlog"]["level"] == before["flush_log"]["level"] == "danger"
    assert before["annotate"]["level"] == ("broken" if format == "ROW" else "danger")
    assert "app.m (MyISAM)" in before["engines"]["what"] and "2 tables" in before["engines"]["what"]
    for finding in bad.values():
        p.db.sql(finding["mend"])
        if finding["mend"].startswith("SET GLOBAL"):
            assert finding["keep"] == finding["mend"][len("SET GLOBAL "):]
    p.db.sql(p.findings()["engines"]["mend"])  # it names one table at a time
    after = p.findings()
    assert {check: after[check]["what"] for check in bad if after[check]["level"] != "ok"} == {}


@pytest.mark.parametrize("check, level, bad", [
    ("log_bin", "broken", ["--skip-log-bin"]),
    ("scheduling", "danger", ["--binlog-optimize-thread-scheduling=OFF"]),
    ("filters", "danger", ["--binlog-ignore-db=elsewhere"]),
    ("filters", "danger", ["--binlog-do-db=app"]),
    ("encrypt_binlog", "note", None),
])
def test_what_needs_a_restart_is_named_with_its_line(patient, check, level, bad):
    if bad is None:
        # Encryption needs a key, so it is the other way round: a server that can, and cannot be mended by a line.
        key = os.path.join(os.environ.get("TMPDIR", "/tmp"), "squeal-key-%d" % os.getpid())
        with open(key, "w") as f:
            f.write("1;" + "ab" * 16 + "\n")
        bad = ["--plugin-load-add=file_key_management", "--file-key-management-filename=" + key, "--encrypt-binlog=ON"]
    p = patient(bad)
    finding = p.findings()[check]
    assert finding["level"] == level, finding
    if check == "encrypt_binlog":
        os.unlink(key)
        assert "squeal keys" in finding["danger"]
        return
    assert finding["mend_in"] == "server configuration, then restart"
    p.db.stop()
    line = finding["mend"]
    argv = p.db.process.argv
    argv[:] = [a for a in argv if a not in bad] + ([] if line.startswith("#") else ["--" + line])
    p.db.start()
    assert p.findings()[check]["level"] == "ok"


def test_a_replica_that_keeps_its_primarys_writes_to_itself(patient):
    p = patient(["--log-slave-updates=OFF"])
    p.db.sql("GRANT SLAVE MONITOR ON *.* TO squeal@'%'")
    assert p.findings()["log_slave_updates"]["level"] == "ok"
    p.db.sql("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='x'")
    finding = p.findings(code=1)["log_slave_updates"]
    assert (finding["level"], finding["mend"]) == ("broken", "log_slave_updates=ON")


def test_a_replica_without_the_privilege_to_say_so_is_known_by_its_position(patient):
    p = patient(["--log-slave-updates=OFF"])
    p.db.sql("SET GLOBAL gtid_strict_mode=OFF; SET GLOBAL gtid_slave_pos='5-9-1'")
    assert p.findings(code=1)["log_slave_updates"]["level"] == "broken"


def test_the_exact_grant_that_is_missing(patient):
    p = patient()
    p.db.sql("CREATE USER bare@localhost IDENTIFIED BY 'secret'")
    p.write(user="bare")
    found = p.findings(code=1)
    assert found["privileges"]["mend"] == "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 'bare'@'localhost'"
    assert found["resume"]["level"] == "broken"
    p.db.sql("GRANT REPLICATION SLAVE ON *.* TO bare@localhost")
    finding = p.findings(code=1)["privileges"]
    assert (finding["level"], finding["mend"]) == ("danger", "GRANT BINLOG MONITOR ON *.* TO 'bare'@'localhost'")
    p.db.sql(finding["mend"])
    assert p.findings(code=0)["privileges"]["level"] == "ok"
    p.db.sql("GRANT ALL PRIVILEGES ON *.* TO bare@localhost WITH GRANT OPTION")
    finding = p.findings(code=0)["privileges"]
    assert finding["level"] == "note"
    p.db.sql(finding["mend"])
    found = p.findings(code=0)
    assert found["privileges"]["level"] == found["resume"]["level"] == "ok"


def test_a_database_that_does_not_let_us_in_or_is_not_there(patient):
    p = patient()
    with open(p.source["password_file"], "w") as f:
        f.write("wrong\n")
    finding = p.findings(code=1)["connect"]
    assert finding["level"] == "broken" and finding["mend"].startswith("ALTER USER 'squeal'@")
    os.chmod(p.source["password_file"], 0o644)
    found = p.findings(code=1)
    assert found["password_file"]["level"] == found["connect"]["level"] == "broken"
    subprocess.run(found["password_file"]["mend"], shell=True, check=True)
    assert p.findings(code=1)["password_file"]["level"] == "ok"
    del p.source["socket"]
    port = free_port()
    p.write(host="127.0.0.1", port=port)
    found = p.findings(code=1)
    assert found["connect"]["level"] == "broken" and "127.0.0.1:%d" % port in found["connect"]["mend"]
    assert "sync_binlog" not in found and found["cache"]["level"] == "ok"


def register(connection, server_id, host):
    """What a replica says first: COM_REGISTER_SLAVE."""
    connection._execute_command(0x15, struct.pack("<IB", server_id, len(host)) + host + b"\0\0" + struct.pack("<HII", 0, 0, 0))
    assert connection._read_packet().is_ok_packet()


def test_our_server_id_is_the_databases_own_or_another_replicas(patient):
    p = patient()
    p.db.sql("GRANT REPLICATION MASTER ADMIN ON *.* TO squeal@'%'")
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


def test_a_server_that_knows_only_the_old_statements_is_asked_with_those(patient):
    p = patient(["--version=5.6.51", "--sync-binlog=0", "--binlog-ignore-db=elsewhere"])
    found = p.findings(code=1)
    assert found["version"]["level"] == "danger" and "older than 5.7" in found["version"]["what"]
    assert found["sync_binlog"]["mend"] == "SET GLOBAL sync_binlog=1"
    assert found["sync_binlog"]["keep"] == "sync_binlog=1"
    assert "elsewhere" in found["filters"]["what"]
    assert "lacks the privilege" in found["replicas"]["what"]
    p.db.sql("GRANT REPLICATION MASTER ADMIN ON *.* TO squeal@'%'")
    assert p.findings(code=1)["replicas"]["level"] == "ok"


def test_several_domains_are_named(patient):
    p = patient()
    p.db.sql("SET SESSION gtid_domain_id=7; CREATE TABLE app.t (id INT)")
    finding = p.findings(code=0)["domains"]
    assert finding["level"] == "note" and "2 GTID domains" in finding["what"]


def test_each_memcached_is_asked(patient):
    p = patient()
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(1)
    away = free_port()
    p.servers += [{"host": "127.0.0.1", "port": port} for port in (away, p.db.port, silent.getsockname()[1])]
    p.write()
    found = [json.loads(line) for line in p.run(code=1).stdout.splitlines()]
    level = {f["subject"]: f["level"] for f in found if f["check"] == "cache"}
    silent.close()
    assert level == {p.cache.address: "ok", "127.0.0.1:%d" % away: "danger",
                     "127.0.0.1:%d" % p.db.port: "broken", "127.0.0.1:%d" % p.servers[3]["port"]: "danger"}


def test_beside_a_running_squeal_it_is_in_nobodys_way(pipeline):
    p = pipeline(clusters=["a"])
    p.db.sql("GRANT REPLICATION MASTER ADMIN ON *.* TO squeal@'%'; CREATE TABLE demo.t (id INT)")
    p.db.sql("INSERT INTO demo.t VALUES (1) /*inv='k:1'*/")
    p.wait_deleted(["k:1"])
    done = subprocess.run([program("squeal"), "doctor", "-c", p.config_path, "--json"], stdout=subprocess.PIPE, text=True)
    found = {f["check"]: f for f in map(json.loads, done.stdout.splitlines())}
    assert found["replicas"]["level"] == found["resume"]["level"] == found["log"]["level"] == "ok"
    assert "checkpoint gtid:" in found["log"]["what"]
    p.db.sql("INSERT INTO demo.t VALUES (2) /*inv='k:2'*/")
    p.wait_deleted(["k:2"])
    assert p.squeal.process.log_text().count('"streaming"') <= 1
    assert "trying again" not in p.squeal.process.log_text()


def test_a_checkpoint_that_was_purged_is_named_before_squeal_starts(pipeline):
    p = pipeline(clusters=["a"])
    p.db.sql("CREATE TABLE demo.t (id INT); INSERT INTO demo.t VALUES (1) /*inv='k:1'*/")
    p.wait_deleted(["k:1"])
    p.squeal.stop()

    def resume():
        done = subprocess.run([program("squeal"), "doctor", "-c", p.config_path, "--json"], stdout=subprocess.PIPE, text=True)
        return {f["check"]: f for f in map(json.loads, done.stdout.splitlines())}["resume"]
    assert resume()["level"] == "ok"
    p.db.sql("INSERT INTO demo.t VALUES (2); FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    assert "s ago" in resume()["what"]

    def purged():  # a file that somebody's connection has not closed yet is kept
        p.db.sql("PURGE BINARY LOGS TO '%s'" % p.db.binlog_position()[0])
        return len(p.db.sql("SHOW BINARY LOGS").splitlines()) == 1
    wait_until(purged, 10, "the purge")
    finding = resume()
    assert finding["level"] == "broken" and "--start now" in finding["mend"]


# --- end to end ---------------------------------------------------------------------------------------------

# Where nothing is going to arrive.
FAST = ["--timeout", "2s"]


@pytest.mark.parametrize("format", ["ROW", "STATEMENT", "MIXED"])
def test_a_client_that_strips_comments_is_named_and_one_that_keeps_them_is_fine(patient, format):
    p = patient(binlog_format=format)
    finding = p.canary(*p.client(), code=1)
    assert finding["level"] == "broken"
    assert finding["mend"] == "mariadb --comments"
    finding = p.canary(*p.client("--comments"), code=0)
    assert finding["level"] == "ok" and "arrived" in finding["what"]
    assert p.tables() == ""


def test_a_proxy_that_strips_comments_is_not_mistaken_for_the_client(patient):
    p = patient()
    # What a rewriting proxy does: the client keeps comments, and the server does not get them.
    command = "sed 's:/[*][^*]*[*]/::' | mariadb --no-defaults --comments -S %s -u root app" % p.db.socket
    finding = p.canary("sh", "-c", command, code=1)
    assert finding["level"] == "broken" and "before the statement reaches the server" in finding["what"]
    assert "own connection keeps comments" in finding["what"]


def test_nothing_arrives_and_why(patient, rundir):
    p = patient()
    off = "(echo 'SET sql_log_bin=0;'; cat) | mariadb --no-defaults --comments -S %s -u root app" % p.db.socket
    finding = p.canary("sh", "-c", off, options=FAST, code=1)
    assert "sql_log_bin=0" in finding["what"]
    other = Mariadb(rundir, name="other").start()
    other.sql("CREATE DATABASE app")
    finding = p.canary("mariadb", "--no-defaults", "--comments", "-S", other.socket, "-u", "root", "app", options=FAST, code=1)
    other.stop()
    assert "another server" in finding["what"] and str(other.port) in finding["what"]
    quiet = "(echo 'SET binlog_annotate_row_events=0, binlog_format=ROW;'; cat) | mariadb --no-defaults --comments -S %s -u root app" % p.db.socket
    finding = p.canary("sh", "-c", quiet, options=FAST, code=1)
    assert "without the text" in finding["what"]
    assert p.tables() == ""


def test_a_filter_is_the_reason(patient):
    p = patient(["--binlog-ignore-db=app"])
    finding = p.canary(*p.client("--comments"), options=FAST, code=1)
    assert "filters" in finding["what"]


def test_a_command_that_fails_or_hangs_is_quoted(patient):
    p = patient()
    assert "status 1" in p.canary("mariadb", "--no-defaults", "-S", p.db.socket, "-u", "nobody", code=1)["what"]
    assert "No such file" in p.canary("/nowhere/client", code=1)["what"]
    finding = p.canary("sleep", "600", options=["--timeout", "300ms"], code=1)
    assert "signal 9" in finding["what"]


def test_a_statement_of_the_users_own(patient):
    p = patient()
    p.db.sql("CREATE TABLE app.t (id INT PRIMARY KEY, n INT); INSERT INTO app.t VALUES (1, 0)")
    own = ["--canary-sql", "UPDATE t SET n = n + 1 WHERE id = 1 {comment}"]
    assert p.canary(*p.client("--comments"), options=own, code=0)["level"] == "ok"
    assert p.canary(*p.client(), options=own, code=1)["mend"] == "mariadb --comments"
    assert p.db.sql("SELECT n FROM app.t") == "2"
    middle = ["--canary-sql", "UPDATE t SET n = n + 1 {comment} WHERE id = 1"]
    finding = p.canary(*p.client("--comments"), options=middle, code=1)
    assert finding["mend"] == "markers.anywhere: true"
    p.write(markers={"anywhere": True})
    assert p.canary(*p.client("--comments"), options=middle, code=0)["level"] == "ok"
    assert p.tables() == "t"


def test_a_driver_in_between(patient):
    p = patient()
    code = ("import sys, pymysql; c = pymysql.connect(unix_socket=sys.argv[1], user='root', database='app', autocommit=True).cursor()\n"
            "for s in filter(str.strip, sys.stdin.read().split(';')): c.execute(s.strip())\n")
    assert p.canary("/usr/bin/python3", "-c", code, p.db.socket, code=0)["level"] == "ok"


# --- grant and the command line -------------------------------------------------------------------------------


def run(*args, code=0):
    done = subprocess.run([program("squeal"), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_grant_prints_the_account_that_doctor_finds_right(patient):
    p = patient()
    p.db.sql("DROP USER squeal@'%'")
    text = run("grant", "-c", p.config)
    assert "'squeal'@'localhost'" in text and "secret" not in text and "REQUIRE" not in text
    p.db.sql(text.replace("'PASSWORD'", "'secret'"))
    assert p.findings(code=0)["privileges"]["level"] == "ok"


def test_grant_asks_for_tls_where_the_configuration_does_and_needs_no_server(rundir):
    path = os.path.join(rundir, "squeal.yaml")
    write_config(path, {"log": {"path": "log.db"},
                        "source": {"host": "db1.example", "user": "o'neil", "tls": "required"},
                        "clusters": [{"name": "a", "servers": [{"host": "c1", "port": 11211}]}]})
    text = run("grant", "-c", path, "--host", "10.0.%")
    assert "CREATE USER 'o''neil'@'10.0.%' IDENTIFIED BY 'PASSWORD' REQUIRE SSL;" in text
    assert "'squeal'@'%'" in run("grant")


def test_grant_is_for_the_server_that_answers_or_is_named(patient):
    p = patient()
    version = p.db.sql("SELECT VERSION()").split("-")[0]
    text = run("grant", "-c", p.config)
    assert "-- For MariaDB %s" % version in text and "BINLOG MONITOR ON" in text
    p.db.stop()
    text = run("grant", "-c", p.config)
    # What every server takes; and nothing of an error starts a line.
    assert "could not be asked" in text and "REPLICATION CLIENT ON" in text
    assert all(line.startswith(("--", "CREATE USER ", "GRANT ")) for line in text.splitlines())
    p.db.start()
    p.db.sql("DROP USER squeal@'%';" + text.replace("'PASSWORD'", "'secret'"))
    assert p.findings(code=0)["privileges"]["level"] == "ok"
    mysql = run("grant", "-c", p.config, "--flavor", "mysql", "--version", "8.4", "--host", "10.%")
    assert "IDENTIFIED WITH caching_sha2_password BY 'PASSWORD' REQUIRE SSL PASSWORD EXPIRE NEVER" in mysql
    assert "caching_sha2" not in run("grant", "--flavor", "mysql", "--version", "5.7")
    assert "BINLOG MONITOR" not in run("grant", "--flavor", "mariadb", "--version", "10.4")
    assert "BINLOG MONITOR" in run("grant", "--flavor", "mariadb", "--version", "10.5.2")
    assert "--flavor" in run("grant", "--version", "8.4", code=2)
    assert "oracle" in run("grant", "--flavor", "oracle", code=2)
    assert "eight" in run("grant", "--flavor", "mysql", "--version", "eight", code=2)


def test_semi_sync_that_waits_after_the_commit(patient):
    p = patient(["--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-master-wait-no-slave=OFF",
                 "--rpl-semi-sync-master-wait-point=AFTER_COMMIT"])
    finding = p.findings(code=1)["semi_sync"]
    assert finding["level"] == "danger" and "failover" in finding["danger"]
    p.db.sql(finding["mend"])
    assert p.findings(code=0)["semi_sync"]["level"] == "ok"


def test_wrong_usage_and_wrong_configuration_have_their_codes(rundir):
    path = os.path.join(rundir, "squeal.yaml")
    with open(path, "w") as f:
        f.write("sauce: x\n")
    assert "sauce" in run("doctor", "-c", path, code=78)
    assert "sauce" in run("grant", "-c", path, code=78)
    assert "-c squeal.yaml" in run("doctor", code=2)
    assert "--end-to-end" in run("doctor", "-c", path, "mariadb", code=2)
    assert "command" in run("doctor", "-c", path, "--end-to-end", code=2)
    assert "{comment}" in run("doctor", "-c", path, "--canary-sql", "SELECT 1", "--end-to-end", "--", "cat", code=2)
    assert "10s" in run("doctor", "-c", path, "--timeout", "10", code=2)
    assert "doctor" in run("docter", code=2)
