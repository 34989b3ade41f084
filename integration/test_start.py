"""Where squeal begins to read: checkpoint, now, earliest, a GTID; and what it does when that is gone."""

import os
import re

import pytest

from harness import Failure, wait_until
from harness.pipeline import http_get
from harness.process import ROOT


def insert(p, *keys):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT);"
             "INSERT INTO demo.t VALUES (1) /*inv='%s'*/" % ",".join(keys))


def start_rest(p):
    p.squeal.start()
    for router in p.routers.values():
        router.start()


def test_checkpoint_means_now_the_very_first_time_and_goes_on_from_there_later(pipeline):
    p = pipeline(start=False, clusters=["a"])
    insert(p, "k:before")
    start_rest(p)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    insert(p, "k:away")
    p.squeal.start()
    p.wait_deleted(["k:away"])
    p.barrier()
    assert "k:before" not in p.deleted("a")


def test_a_first_start_without_a_commit_leaves_a_checkpoint(pipeline):
    p = pipeline(start=False, clusters=["a"])
    insert(p, "k:before")
    start_rest(p)
    p.squeal.kill()
    insert(p, "k:away")
    p.squeal.start()
    p.wait_deleted(["k:away"])
    p.barrier()
    assert "k:before" not in p.deleted("a")


def test_earliest_takes_all_that_the_binlog_has(pipeline):
    p = pipeline(start=False, clusters=["a"], config={"source": {"start": "earliest"}})
    insert(p, "k:first")
    p.db.sql("FLUSH BINARY LOGS")
    insert(p, "k:second")
    start_rest(p)
    p.wait_deleted(["k:first", "k:second"])


def test_now_leaves_out_what_was_committed_before_every_start(pipeline):
    p = pipeline(start=False, clusters=["a"], config={"source": {"start": "now"}})
    start_rest(p)
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    insert(p, "k:away")
    p.squeal.start()
    insert(p, "k:2")
    p.wait_deleted(["k:2"])
    p.barrier()
    assert "k:away" not in p.deleted("a")


def test_a_gtid_starts_behind_it(pipeline):
    p = pipeline(start=False, clusters=["a"])
    insert(p, "k:before")
    p.extra = {"source": {"start": "gtid:" + p.db.gtid()}}
    p.write_configs()
    insert(p, "k:after")
    p.db.sql("FLUSH BINARY LOGS")
    insert(p, "k:later")
    start_rest(p)
    p.wait_deleted(["k:after", "k:later"])
    p.barrier()
    assert "k:before" not in p.deleted("a")


def wait_for_gap(p):
    def gap():
        p.squeal.process.check_running()
        try:
            return p.squeal.metrics().total("squeal_source_gap") == 1
        except (OSError, Failure):
            return False
    wait_until(gap, 10, "state GAP")
    status, text = http_get(p.squeal_port, "/readyz")
    assert status == 503
    return text


def test_a_purged_binlog_is_a_gap_and_never_silent(pipeline):
    p = pipeline(start=False, clusters=["a"])
    insert(p, "k:1")
    gtid = p.db.gtid()
    insert(p, "k:2")
    p.db.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    last = p.db.binlog_position()[0]
    # A file goes only when the engine no longer needs it for its recovery.
    wait_until(lambda: p.db.sql("PURGE BINARY LOGS TO '%s'; SHOW BINARY LOGS" % last).count("\n") == 0, 20, "the purge")
    p.extra = {"source": {"start": "gtid:" + gtid}}
    p.write_configs()
    p.squeal.start(wait=False)
    wait_for_gap(p)
    wait_until(lambda: any(word in p.squeal.process.log_text() for word in ("purged", "no longer")), 10, "the line that says so")


def test_a_gtid_that_never_was_is_a_gap(pipeline):
    p = pipeline(start=False, clusters=["a"], config={"source": {"start": "gtid:0-1-999999"}})
    insert(p, "k:1")
    p.squeal.start(wait=False)
    wait_for_gap(p)


@pytest.mark.parametrize("format", ["STATEMENT", "ROW"])
def test_reading_follows_the_binlog_from_file_to_file_and_over_restarts_of_the_database(pipeline, format):
    p = pipeline(clusters=["a"], db_options={"binlog_format": format})
    keys = []
    for i in range(4):
        keys.append("k:%d" % i)
        insert(p, keys[-1])
        if i == 1:
            p.db.sql("FLUSH BINARY LOGS")
        if i == 2:
            p.db.kill()
            p.db.start()
    p.wait_deleted(keys)


def test_every_reason_of_a_gap_has_its_line_in_the_runbook():
    with open(os.path.join(ROOT, "squeal", "gap.h")) as f:
        rows = re.findall(r'G\(ERR_\w+, +(\d+), +"(\w+)"', f.read())
    assert len(rows) > 5
    with open(os.path.join(ROOT, "docs", "operations.md")) as f:
        runbook = f.read()
    for code, name in rows:
        assert "| %s | `%s` |" % (code, name) in runbook


def test_in_a_gap_squeal_leaves_with_the_code_of_the_reason_when_told_to(pipeline):
    p = pipeline(start=False, clusters=["a"], config={"source": {"start": "gtid:0-1-999999"},
                                                      "squeal": {"on_gap": "exit"}})
    insert(p, "k:1")
    p.squeal.start(wait=False)
    assert 20 <= p.squeal.process.wait(20) <= 28
    assert "GAP" in p.squeal.process.log_text()


def test_reset_master_is_a_gap(pipeline):
    p = pipeline(clusters=["a"])
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    p.db.sql("RESET MASTER")
    p.squeal.start(wait=False)
    wait_for_gap(p)
    # Stopped by hand it says so once more, to whoever looks at exit codes only.
    assert 20 <= p.squeal.process.stop() <= 28
