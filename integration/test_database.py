"""The servers that the other tests stand on do what those tests believe they do."""

import subprocess

import pytest

from harness import Failure, wait_until

ROWS = "CREATE DATABASE demo; CREATE TABLE demo.t (a INT PRIMARY KEY, b VARCHAR(20));"


def count(db):
    return int(db.sql("SELECT COUNT(*) FROM demo.t"))


def test_a_replica_applies_is_read_only_and_is_promoted(database, flavour):
    primary = database(flavour, binlog_format="ROW")
    primary.sql(ROWS + "INSERT INTO demo.t VALUES (1, 'before')")
    replica = primary.add_replica()
    second = primary.add_replica()
    assert count(replica) == 1
    primary.sql("INSERT INTO demo.t VALUES (2, 'after')")
    replica.wait_caught_up()
    second.wait_caught_up()
    assert count(replica) == count(second) == 2
    assert {s.sql("SELECT @@server_id") for s in (primary, replica, second)} == {"1", "2", "3"}
    assert replica.sql("SELECT @@GLOBAL.read_only") == "1"
    replica.restart()
    assert replica.sql("SELECT @@GLOBAL.read_only") == "1"

    primary.kill()
    replica.promote()
    replica.restart()
    assert replica.sql("SELECT @@GLOBAL.read_only") == "0"
    replica.sql("INSERT INTO demo.t VALUES (3, 'promoted')")
    second.follow(replica)
    primary.start()
    primary.follow(replica)
    for server in (primary, second):
        server.wait_caught_up()
        assert count(server) == 3
        assert server.gtid() == replica.gtid()
    assert primary.sql("SELECT @@GLOBAL.read_only") == "1"


def test_replication_that_breaks_says_why(database, flavour):
    primary = database(flavour, binlog_format="ROW")
    primary.sql(ROWS)
    replica = primary.add_replica()
    replica.promote()
    replica.sql("INSERT INTO demo.t VALUES (1, 'errant')")
    replica.follow(primary)
    primary.sql("INSERT INTO demo.t VALUES (1, 'clash')")
    # MariaDB's primary refuses a replica that is ahead of it; MySQL's does not, and the rows clash.
    reason = {"mariadb": "not in the master's binlog", "mysql": "failed executing transaction"}[flavour]
    with pytest.raises(Failure, match="does not replicate: .*" + reason):
        replica.wait_caught_up()


def test_mysql_replicates_by_file_and_position_without_gtids(database):
    primary = database("mysql", gtid=False)
    primary.sql(ROWS + "INSERT INTO demo.t VALUES (1, 'x')")
    assert primary.sql("SELECT @@gtid_mode, @@gtid_executed") == "OFF\t"
    replica = primary.add_replica()
    assert count(replica) == 1
    primary.sql("FLUSH BINARY LOGS; INSERT INTO demo.t VALUES (2, 'y')")
    replica.wait_caught_up()
    assert count(replica) == 2


def test_mysql_switches_gtids_on_in_steps(database):
    db = database("mysql", gtid="OFF_PERMISSIVE")
    db.sql(ROWS + "SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = ON_PERMISSIVE;"
           "INSERT INTO demo.t VALUES (1, 'x'); SET GLOBAL gtid_mode = ON; INSERT INTO demo.t VALUES (2, 'x')")
    assert db.gtid().endswith(":1-2")
    text = db.binlog_text()
    assert text.count("ANONYMOUS") > 0 and text.count("GTID_NEXT= '%s" % db.gtid().split(":")[0]) == 2


# What each flavour calls an option, and its value with the options that follow and without any.
ODD = {"binlog_format": "STATEMENT", "rows_query": False, "compression": True, "checksum": "NONE", "row_image": "MINIMAL",
       "row_metadata": "FULL", "max_binlog_size": 4096, "server_id": 77, "durable": True, "semi_sync": True,
       "options": ["--max-allowed-packet=2M"]}
VARIABLES = [
    # mariadb, mysql, odd, usual
    ("binlog_format", "binlog_format", "STATEMENT", "MIXED"),
    ("binlog_annotate_row_events", "binlog_rows_query_log_events", "0", "1"),
    ("log_bin_compress", "binlog_transaction_compression", "1", "0"),
    ("binlog_checksum", "binlog_checksum", "NONE", "CRC32"),
    ("binlog_row_image", "binlog_row_image", "MINIMAL", "FULL"),
    ("binlog_row_metadata", "binlog_row_metadata", "FULL", None),
    ("max_binlog_size", "max_binlog_size", "4096", "1073741824"),
    ("server_id", "server_id", "77", "1"),
    ("sync_binlog", "sync_binlog", "1", "0"),
    ("rpl_semi_sync_master_enabled", "rpl_semi_sync_source_enabled", "1", None),
    ("max_allowed_packet", "max_allowed_packet", "2097152", None),
    ("log_bin", "log_bin", "1", "1"),
]


def test_options_are_what_the_server_says_they_are(database, flavour):
    odd, usual = database(flavour, name="odd", **ODD), database(flavour, name="usual")
    for mariadb, mysql, value, default in VARIABLES:
        name = {"mariadb": mariadb, "mysql": mysql}[flavour]
        assert (name, odd.sql("SELECT @@GLOBAL.%s" % name)) == (name, value)
        if default is not None:
            assert (name, usual.sql("SELECT @@GLOBAL.%s" % name)) == (name, default)
    assert database(flavour, name="none", binlog=False).sql("SELECT @@GLOBAL.log_bin") == "0"


def test_partial_json_is_only_mysqls(database):
    db = database("mysql", json_partial=True, binlog_format="ROW", row_image="MINIMAL")
    assert db.sql("SELECT @@GLOBAL.binlog_row_value_options") == "PARTIAL_JSON"


def test_the_command_line_client_sends_comments_and_the_tool_shows_them(database, flavour):
    db = database(flavour, binlog_format="ROW")
    db.sql(ROWS + "INSERT INTO demo.t VALUES (1, 'x') /*inv='k:1'*/; FLUSH BINARY LOGS;"
           "INSERT INTO demo.t VALUES (2, 'x') /*inv='k:2'*/")
    assert len(db.binlog_files()) == 2
    first, second = (db.binlog_text("-vv", files=[path]) for path in db.binlog_files())
    assert "k:1" in first and "k:2" not in first
    assert "k:2" in second and "k:1" not in second


def test_a_compressed_transaction_is_compressed(database, flavour):
    db = database(flavour, binlog_format="ROW", compression=True)
    db.sql(ROWS + "INSERT INTO demo.t SELECT seq, REPEAT('x', 20) FROM (WITH RECURSIVE s (seq) AS "
           "(SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < 500) SELECT * FROM s) AS n")
    word = {"mariadb": "Write_compressed_rows", "mysql": "Transaction_Payload"}[flavour]
    assert word.lower() in db.binlog_text().lower()


def by_tcp(db, tls, ca=None):
    """(worked, output) of the flavour's own client as the user "safe"."""
    argv = [arg for arg in db.client_argv("safe") if arg not in ("-S", db.socket)]
    argv += ["-h", db.host, "-P", str(db.port), "-psecret", "-N", "-e", "SHOW STATUS LIKE 'Ssl_cipher'"]
    if db.flavour == "mysql":
        argv += ["--ssl-mode=VERIFY_IDENTITY", "--ssl-ca=" + ca] if tls else ["--ssl-mode=DISABLED"]
    else:
        argv += ["--ssl-verify-server-cert", "--ssl-ca=" + ca] if tls else ["--skip-ssl"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    return done.returncode == 0, done.stdout


def test_tls_and_the_account_that_needs_it(database, certificates, flavour):
    db = database(flavour, tls=certificates)
    db.create_user("safe", "secret", auth={"mariadb": "ed25519", "mysql": "caching_sha2_password"}[flavour],
                   require_ssl=True)
    worked, output = by_tcp(db, True, certificates.ca)
    assert worked and "Ssl_cipher\tTLS_" in output, output
    worked, output = by_tcp(db, False)
    assert not worked and "denied" in output, output
    worked, output = by_tcp(db, True, certificates.other_ca)
    assert not worked and "certificate" in output, output


def test_a_semi_synchronous_commit_is_received_before_it_returns(database, flavour):
    primary = database(flavour, semi_sync=True)
    primary.sql(ROWS)
    replica = primary.add_replica()
    name = {"mariadb": "Rpl_semi_sync_master_clients", "mysql": "Rpl_semi_sync_source_clients"}[flavour]
    wait_until(lambda: primary.sql("SHOW STATUS LIKE '%s'" % name).endswith("\t1"), 10, "the replica to count")
    primary.sql("INSERT INTO demo.t VALUES (1, 'x')")
    primary.kill()
    replica.promote()
    assert count(replica) == 1


def test_a_killed_server_comes_back_with_what_was_committed(database, flavour):
    db = database(flavour)
    db.sql(ROWS + "INSERT INTO demo.t VALUES (1, 'x')")
    db.kill()
    assert db.sql("SELECT 1", check=False) is None
    db.start()
    assert count(db) == 1
