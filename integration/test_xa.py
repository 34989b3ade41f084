"""XA transactions: their keys outlive squeal and the database between XA PREPARE and the other end, are delivered
after XA COMMIT and never before, and are forgotten at XA ROLLBACK."""

import itertools
import os
import sqlite3
import subprocess
import time

import pytest

from conftest import need
from harness import BUILD, Pipeline, run_dir, show_logs, wait_until
from harness.pipeline import run_program

FLAVOURS = ["mariadb", "mysql"]
_numbers = itertools.count(1)


class Xa:
    """One transaction; each step may come from another connection."""

    def __init__(self, p, nkeys=3, name=None, key_bytes=0):
        self.n = next(_numbers)
        self.p = p
        self.xid = name or "'x%d','b%d',7" % (self.n, self.n)
        self.keys = ["kxa:%d:%d" % (self.n, i) + key_bytes * "y" for i in range(nkeys)]

    def statements(self, per_statement=200):
        for i in range(0, len(self.keys), per_statement):
            yield "INSERT INTO demo.xa (v) VALUES (%d) /*inv='%s'*/" % (
                self.n, ",".join(self.keys[i:i + per_statement]))

    def run(self, *statements):
        """Each call is a connection of its own."""
        connection = self.p.db.connect(autocommit=True)
        try:
            with connection.cursor() as cursor:
                for sql in statements:
                    cursor.execute(sql)
        finally:
            connection.close()

    def work(self):
        return ["XA START " + self.xid] + list(self.statements()) + ["XA END " + self.xid]

    def prepare(self):
        self.run(*self.work(), "XA PREPARE " + self.xid)
        return self

    def commit(self):
        # A connection that has just been closed may still hold the transaction.
        self.end("XA COMMIT ")
        return self

    def rollback(self):
        self.end("XA ROLLBACK ")
        return self

    def end(self, verb):
        import pymysql

        def done():
            try:
                self.run(verb + self.xid)
                return True
            except pymysql.err.Error as e:
                if e.args[0] != 1397:  # XAER_NOTA
                    raise
                return False
        wait_until(done, 10, verb + self.xid)


def make(flavour, **kwargs):
    need(flavour)
    return Pipeline(run_dir("test_xa_%s_%s" % (kwargs.pop("name"), flavour)), db=flavour, **kwargs)


def create_table(p):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.xa (id INT PRIMARY KEY AUTO_INCREMENT, v INT) ENGINE=InnoDB")


@pytest.fixture(scope="module", params=FLAVOURS)
def bench(request):
    p = make(request.param, name="bench", config={"squeal": {"txn_memory": "64KiB"}})
    try:
        p.start()
        create_table(p)
        yield p
    except BaseException:
        show_logs(p.dir)
        raise
    finally:
        p.stop()


def notes(p):
    """Names of the notes of XA transactions in the log."""
    with sqlite3.connect("file:%s?mode=ro" % p.log_path, uri=True) as db:
        names = [bytes(name).decode() for name, in db.execute("SELECT DISTINCT name FROM notes ORDER BY name")]
    return [name for name in names if name.startswith("xa:")]


def metric(p, name):
    return p.squeal.metrics().total("squeal_" + name + ("" if name == "xa_kept" else "_total"))


def none_deleted(p, *xas):
    p.barrier()
    keys = {key for xa in xas for key in xa.keys}
    for cluster in p.cluster_names:
        assert not p.deleted(cluster) & keys


def restart_database(p):
    p.db.stop()
    p.db.start()


def test_keys_come_after_xa_commit_and_not_before(bench):
    xa = Xa(bench).prepare()
    none_deleted(bench, xa)
    assert metric(bench, "xa_kept") == 1
    before_us = time.time_ns() // 1000
    xa.commit()
    bench.wait_deleted(xa.keys)
    for cluster in bench.cluster_names:
        assert all(at >= before_us for at, _, _, key in bench.trace(cluster) if key in xa.keys)
    bench.barrier()
    assert metric(bench, "xa_kept") == 0 and notes(bench) == []


def test_xa_rollback_delivers_nothing(bench):
    xa = Xa(bench).prepare()
    bench.barrier()
    xa.rollback()
    none_deleted(bench, xa)
    assert notes(bench) == []


def test_one_phase_commits_at_once(bench):
    xa = Xa(bench)
    xa.run(*xa.work(), "XA COMMIT %s ONE PHASE" % xa.xid)
    bench.wait_deleted(xa.keys)
    assert notes(bench) == []


def test_rolled_back_before_it_was_prepared(bench):
    xa = Xa(bench)
    xa.run(*xa.work(), "XA ROLLBACK " + xa.xid)
    none_deleted(bench, xa)


def test_transactions_that_interleave_are_told_apart(bench):
    # MariaDB does not let ids differ in the place of the cut or in the format id alone.
    first, second, third = (Xa(bench, name=x) for x in ("'ab','c',1", "'a','bd',1", "X'ff00',0x27,3"))
    for xa in (first, second, third):
        xa.prepare()
    bench.barrier()
    assert len(notes(bench)) == 3
    second.commit()
    bench.wait_deleted(second.keys)
    first.rollback()
    none_deleted(bench, first, third)
    third.commit()
    bench.wait_deleted(third.keys)


def test_an_id_may_be_used_again_at_once(bench):
    """Prepared and ended many times under one id, faster than the log is written."""
    kept, dropped = [], []
    for i in range(20):
        xa = Xa(bench, name="'again'")
        xa.run(*xa.work(), "XA PREPARE " + xa.xid, ("XA COMMIT " if i % 2 else "XA ROLLBACK ") + xa.xid)
        (kept if i % 2 else dropped).append(xa)
    bench.wait_deleted([key for xa in kept for key in xa.keys])
    none_deleted(bench, *dropped)
    assert metric(bench, "xa_unknown") == 0 and notes(bench) == []


def test_a_transaction_without_keys_is_known_all_the_same(bench):
    before = metric(bench, "xa_delivered")
    xa = Xa(bench)
    xa.run("XA START " + xa.xid, "INSERT INTO demo.xa (v) VALUES (0)", "XA END " + xa.xid, "XA PREPARE " + xa.xid)
    bench.barrier()
    xa.commit()
    bench.barrier()
    assert metric(bench, "xa_delivered") == before + 1 and metric(bench, "xa_unknown") == 0


def test_keys_outlive_squeal_and_the_database(bench):
    kept, dropped = Xa(bench).prepare(), Xa(bench).prepare()
    bench.barrier()
    bench.squeal.kill()
    restart_database(bench)
    bench.squeal.start()
    none_deleted(bench, kept)
    assert metric(bench, "xa_kept") == 2
    bench.squeal.kill()
    kept.commit()
    dropped.rollback()
    bench.squeal.start()
    bench.wait_deleted(kept.keys)
    none_deleted(bench, dropped)
    assert notes(bench) == []


def test_a_database_that_is_killed_keeps_them_too(bench):
    xa = Xa(bench).prepare()
    bench.barrier()
    bench.db.kill()
    bench.db.start()
    none_deleted(bench, xa)
    xa.commit()
    bench.wait_deleted(xa.keys)


def test_a_large_transaction_is_kept_in_parts(bench):
    xa = Xa(bench, nkeys=200000)
    xa.prepare()
    bench.barrier(timeout=60)
    bench.squeal.kill()
    bench.squeal.start()
    none_deleted(bench, xa)
    xa.commit()
    bench.wait_deleted(xa.keys, timeout=120)
    bench.barrier(timeout=60)
    assert notes(bench) == []
    with open("/proc/%d/status" % bench.squeal.process.pid) as f:
        peak_kb = int(next(line for line in f if line.startswith("VmHWM")).split()[1])
    assert peak_kb < 64 * 1024


def test_offline_the_keys_stand_in_the_line_of_xa_commit(bench):
    file, _ = bench.db.binlog_position()
    bench.db.sql("FLUSH BINARY LOGS")
    kept, dropped = Xa(bench).prepare(), Xa(bench).prepare()
    kept.commit()
    dropped.rollback()
    file, _ = bench.db.binlog_position()
    done = run_program("squeal", "keys", os.path.join(bench.db.data, file))
    assert done.returncode == 0, done.stderr
    import json
    lines = [line for line in map(json.loads, done.stdout.splitlines()) if "xa" in line]
    assert [(x["xa"], x["keys"]) for x in lines] == [
        ("prepare", []), ("prepare", []), ("commit", kept.keys), ("rollback", [])]
    assert not any("xa_unknown" in x for x in lines)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_was_prepared_before_squeal_came_is_said_to_be_unknown(flavour):
    with make(flavour, name="unknown", clusters=("east",), servers=1) as p:
        p.start_servers()
        create_table(p)
        xa = Xa(p).prepare()
        p.squeal.start()
        for router in p.routers.values():
            router.start()
        p.barrier()
        xa.commit()
        none_deleted(p, xa)
        assert metric(p, "xa_unknown") == 1
        assert "X'%s'" % xa.xid.split("'")[1].encode().hex() in p.squeal.process.log_text()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_is_kept_from_before_a_gap_is_delivered_and_said_to_be_unsure(flavour):
    with make(flavour, name="gap", clusters=("east",), servers=1) as p:
        p.start()
        create_table(p)
        xa, sure = Xa(p).prepare(), Xa(p)
        p.barrier()
        p.squeal.stop()
        p.db.sql("INSERT INTO demo.xa (v) VALUES (0)")
        p.extra = {"source": {"start": "now"}}
        p.write_configs()
        p.squeal.start()
        p.barrier()
        p.squeal.stop()
        p.extra = {}
        p.write_configs()
        p.squeal.start()
        p.squeal.kill()
        p.squeal.start()
        sure.prepare()
        p.barrier()
        sure.commit()
        p.wait_deleted(sure.keys)
        assert metric(p, "xa_unsure") == 0
        xa.commit()
        p.wait_deleted(xa.keys)
        assert metric(p, "xa_unsure") == 1 and metric(p, "xa_unknown") == 0


# --- killed between any two steps -----------------------------------------------------------------------------

def points():
    path = os.path.join(BUILD, "crash-bin", "squeal")
    if not os.path.exists(path):
        return []
    done = subprocess.run([path, "--list-crash-points"], stdout=subprocess.PIPE, text=True, timeout=20)
    # squeal.rewound takes a failover: test_failover.py.
    return [x for x in sorted(set(done.stdout.split()))
            if x.startswith(("squeal.", "broker.append.")) and x != "squeal.rewound"]


@pytest.fixture(scope="module", params=FLAVOURS)
def crashing(request):
    p = make(request.param, name="crash", crash=True, clusters=("east",), servers=1,
             config={"squeal": {"txn_memory": "64KiB"}})
    try:
        p.start()
        create_table(p)
        yield p
    except BaseException:
        show_logs(p.dir)
        raise
    finally:
        p.stop()


def test_there_are_points_to_die_at():
    assert len(points()) >= 8, "build/crash-bin/squeal has no crash points; run make crash-programs"


@pytest.mark.parametrize("visit", [1, 3, 8])
@pytest.mark.parametrize("point", points())
def test_dies_between_prepare_and_the_other_end(crashing, point, visit):
    p = crashing
    if p.squeal.process.running:
        p.squeal.stop()
    p.squeal.start(wait=False, env={"SQUEAL_CRASH_AT": "%s#%d" % (point, visit)})
    kept, dropped, open_ = [], [], []

    def died():
        return not p.squeal.process.running
    for i in range(30):
        # The large one is kept in several parts.
        one, two, three = Xa(p), Xa(p, nkeys=600 if i == 0 else 2, key_bytes=200), Xa(p)
        for xa in (one, two, three):
            xa.prepare()
        time.sleep(0.01)
        kept += [one.commit(), two.commit()]
        dropped.append(three.rollback())
        if i >= 3 and died():
            break
    open_.append(Xa(p).prepare())
    wait_until(died, 20, "squeal to come by %s for the %dth time" % (point, visit))
    assert p.squeal.process.popen.returncode == -9
    p.squeal.start()
    p.wait_deleted([key for xa in kept for key in xa.keys], timeout=30)
    none_deleted(p, *dropped, *open_)
    assert metric(p, "xa_unknown") == 0
    assert len(notes(p)) == 1
    open_[0].commit()
    p.wait_deleted(open_[0].keys)
    p.barrier()
    assert notes(p) == []
