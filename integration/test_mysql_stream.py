"""squeal beside a real MySQL: by GTID, by file and position, and what it says when it cannot go on."""

import glob
import os
import re
import signal

import pytest

from harness import wait_until
from harness.pipeline import Squeal, free_port, write_config
from harness.process import ROOT


def mysql(pipeline, start=True, source=None, **db_options):
    return pipeline(start=start, clusters=["a"], servers=1, db="mysql", db_options=db_options,
                    config={"source": dict({"gap_patience": "1s"}, **(source or {}))})


def insert(p, *keys, db=None):
    (db or p.db).sql("CREATE TABLE IF NOT EXISTS demo.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT);"
                     "INSERT INTO demo.t (v) VALUES (1) /*inv='%s'*/" % ",".join(keys))


def source(p):
    return p.squeal.status()["source"]


def wait_source(p, cond, what):
    def told():
        try:
            return cond(source(p))
        except OSError:  # not up yet
            return False
    wait_until(told, 20, what)


def wait_gap(p, name, *words):
    wait_source(p, lambda s: s["gap"] == name, "state GAP %s" % name)
    for word in words:
        assert word in source(p)["reason"]


def wait_reason(p, *words):
    wait_source(p, lambda s: all(word in (s["reason"] or "") for word in words), "a reason with %s" % (words,))


@pytest.mark.parametrize("options", [
    {"gtid": True, "binlog_format": "ROW"},
    {"gtid": True, "binlog_format": "ROW", "compression": True, "checksum": "NONE"},
    {"gtid": True, "binlog_format": "STATEMENT"},
    {"gtid": False, "binlog_format": "ROW"},
    {"gtid": False, "binlog_format": "MIXED", "checksum": "NONE"},
], ids=lambda o: "-".join("%s_%s" % (k, v) for k, v in o.items()))
def test_nothing_is_lost_over_restarts_of_both_and_over_rotations(pipeline, options):
    p = mysql(pipeline, **options)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    insert(p, "k:2")
    p.db.sql("FLUSH BINARY LOGS")
    insert(p, "k:3")
    p.squeal.start()
    p.wait_deleted(["k:2", "k:3"])
    p.squeal.kill()
    insert(p, "k:4")
    p.db.kill()
    p.db.start()
    insert(p, "k:5")
    p.squeal.start()
    p.wait_deleted(["k:4", "k:5"])
    # And while it runs.
    p.db.kill()
    p.db.start()
    insert(p, "k:6")
    p.wait_deleted(["k:6"])
    assert source(p)["started_at"].startswith("gtid:" if options["gtid"] else "file:")


@pytest.mark.parametrize("gtid", [True, False])
def test_each_start_begins_where_it_says(pipeline, gtid):
    p = mysql(pipeline, start=False, gtid=gtid)
    insert(p, "k:1")
    place = p.db.binlog_position()
    executed = p.db.gtid() if gtid else None
    insert(p, "k:2")
    for router in p.routers.values():
        router.start(wait=False)
    starts = [("earliest", {"k:1", "k:2"}), ("file:%s:%d" % place, {"k:2"}), ("now", set())]
    if gtid:
        starts.append(("gtid:" + executed, {"k:2"}))
    for n, (start, expected) in enumerate(starts):
        p.extra["source"].update(start=start, name="s%d" % n)
        p.write_configs()
        before = len(p.trace("a"))
        p.squeal.start()
        p.barrier()
        keys = {key for _, _, _, key in p.trace("a")[before:]}
        assert keys & {"k:1", "k:2"} == expected, start
        p.squeal.stop()


def test_switching_gtids_on_goes_on_by_the_file_and_then_by_gtid(pipeline):
    p = mysql(pipeline, gtid=False)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    insert(p, "k:2")
    p.db.sql("SET GLOBAL enforce_gtid_consistency=ON; SET GLOBAL gtid_mode=OFF_PERMISSIVE;"
             "SET GLOBAL gtid_mode=ON_PERMISSIVE; SET GLOBAL gtid_mode=ON")
    insert(p, "k:3")
    p.squeal.start(wait=False)
    # What was committed before the switch is sent by a server only that still lets it be.
    wait_reason(p, "SET GLOBAL gtid_mode=ON_PERMISSIVE")
    p.db.sql("SET GLOBAL gtid_mode=ON_PERMISSIVE")
    p.squeal.wait_ready()
    p.wait_deleted(["k:2", "k:3"])
    p.db.sql("SET GLOBAL gtid_mode=ON")
    p.squeal.stop()
    p.squeal.start()
    p.db.sql("FLUSH BINARY LOGS")
    insert(p, "k:4")
    p.wait_deleted(["k:4"])
    p.squeal.stop()
    insert(p, "k:5")
    p.squeal.start()
    assert source(p)["started_at"].startswith("gtid:")
    p.wait_deleted(["k:5"])


@pytest.mark.parametrize("gtid", [True, False])
def test_a_purged_binlog_is_a_gap_that_says_so(pipeline, gtid):
    p = mysql(pipeline, gtid=gtid)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    insert(p, "k:2")
    p.db.sql("FLUSH BINARY LOGS")
    insert(p, "k:3")
    p.db.sql("PURGE BINARY LOGS TO '%s'" % p.db.binlog_position()[0])
    p.squeal.start(wait=False)
    wait_gap(p, "purged", "binlog_expire_logs_seconds", "flush the caches")
    assert "k:3" not in p.deleted("a")


@pytest.mark.parametrize("gtid", [True, False])
def test_a_server_that_lost_what_was_read_is_a_gap_that_says_so(pipeline, gtid):
    p = mysql(pipeline, gtid=gtid)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    p.db.sql("RESET BINARY LOGS AND GTIDS")
    p.squeal.start(wait=False)
    wait_gap(p, "behind", "sync_binlog")


def test_another_server_is_a_gap_where_files_are_followed(pipeline):
    p = mysql(pipeline, gtid=False)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    p.db.stop()
    os.unlink(os.path.join(p.db.data, "auto.cnf"))
    p.db.start()
    p.squeal.start(wait=False)
    wait_gap(p, "other_server", "gtid_mode")


def test_gtids_switched_off_are_asked_for_again(pipeline):
    p = mysql(pipeline)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    p.db.sql("SET GLOBAL gtid_mode=ON_PERMISSIVE")
    p.squeal.start(wait=False)
    wait_reason(p, "gtid_mode=ON_PERMISSIVE")
    p.db.sql("SET GLOBAL gtid_mode=ON")
    insert(p, "k:2")
    p.wait_deleted(["k:2"])


def test_statement_texts_that_are_left_out_are_asked_for(pipeline):
    p = mysql(pipeline, start=False, rows_query=False, binlog_format="ROW")
    p.squeal.start(wait=False)
    wait_reason(p, "SET GLOBAL binlog_rows_query_log_events=ON")
    p.db.sql("SET GLOBAL binlog_rows_query_log_events=ON")
    p.squeal.wait_ready()


def test_a_missing_privilege_comes_with_its_grant(pipeline):
    p = mysql(pipeline, start=False)
    p.db.sql("REVOKE REPLICATION SLAVE, REPLICATION CLIENT ON *.* FROM 'squeal'@'%'")
    p.squeal.start(wait=False)
    grant = "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'squeal'@'%'"
    wait_reason(p, grant)
    p.db.sql(grant)
    p.squeal.wait_ready()


def test_caching_sha2_password_works_by_tcp_with_and_without_tls(pipeline):
    p = mysql(pipeline, start=False)
    for router in p.routers.values():
        router.start(wait=False)
    for n, tls in enumerate(("required", "off")):
        p.extra["source"].update(p.db.tcp(), tls=tls)
        p.write_configs()
        # The server forgets whom it has let in, so the whole password has to be sent.
        p.db.sql("FLUSH PRIVILEGES")
        p.squeal.start()
        insert(p, "k:%d" % n)
        p.wait_deleted(["k:%d" % n])
        p.squeal.stop()


def test_a_server_that_stands_still_is_taken_for_dead_and_found_again(pipeline):
    p = mysql(pipeline)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.db.process.popen.send_signal(signal.SIGSTOP)
    try:
        wait_reason(p, "in time")
    finally:
        p.db.process.popen.send_signal(signal.SIGCONT)
    insert(p, "k:2")
    p.wait_deleted(["k:2"])


def test_two_of_one_id_say_so_and_do_not_storm(pipeline):
    p = mysql(pipeline)
    config = p.config()
    config["log"] = {"path": os.path.join(p.dir, "second.db")}
    port = free_port()
    config["squeal"] = dict(config["squeal"], admin="127.0.0.1:%d" % port)
    path = os.path.join(p.dir, "second.yaml")
    write_config(path, config)
    folder = os.path.join(p.dir, "second")
    os.makedirs(folder)
    second = Squeal(folder, path, port)
    second.start()
    try:
        wait_reason(p, "same server_uuid", "source.server_id")
        # Each waits longer than the time before; both still read.
        for n in range(3):
            insert(p, "k:%d" % n)
            p.wait_deleted(["k:%d" % n], timeout=60)
        clashes = p.squeal.process.log_text().count("ERR_IN_USE")
        assert 1 <= clashes <= 8
    finally:
        second.process.terminate()
        second.stop()


def test_the_runbook_quotes_what_squeal_says():
    said = ""
    for path in sorted(glob.glob(os.path.join(ROOT, "squeal", "*.c")) + glob.glob(os.path.join(ROOT, "squeal", "binlog", "*.c"))):
        with open(path) as f:
            text = f.read()
        for macro, value in re.findall(r'#define (\w+)\s+\\?\s*((?:"[^"]*"\s*\\?\s*)+)', text):
            text = re.sub(r'(?<!define )\b%s\b' % macro, lambda m, v=value: v, text)
        said += re.sub(r'"\s*\\?\s*"', "", text)
    with open(os.path.join(ROOT, "docs", "operations.md")) as f:
        table = f.read().split("### What the source says")[1].split("\n## ")[0]
    quotes = [q for row in re.findall(r"^\| (`.*?) \|", table, re.M) for q in re.findall(r"`([^`]+)`", row)]
    assert len(quotes) > 20
    for quote in quotes:
        assert quote in said, quote
