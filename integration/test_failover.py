"""Several endpoints: switchover under load, a dead primary, replicas that lag or lack what was read."""

import threading

import pytest

from harness import wait_until

FLAVOURS = ["mariadb", "mysql"]


class Writer:
    """Commits one marked key after the other on `db`, which may change; what was acknowledged is in `keys`."""

    def __init__(self, db):
        # root may write to a server that is read-only.
        db.create_user("app", "secret", ["ALL ON demo.*"])
        self.db = db
        self.keys = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        db.sql("CREATE TABLE demo.t (id INT AUTO_INCREMENT PRIMARY KEY, k VARCHAR(40))")
        self.thread.start()

    def run(self):
        n, conn, at = 0, None, None
        while not self.stopped.is_set():
            db, key = self.db, "k:%d" % n
            try:
                if conn is None or at is not db:
                    conn, at = db.connect(user="app", password="secret", autocommit=True), db
                with conn.cursor() as c:
                    c.execute("INSERT INTO demo.t (k) VALUES ('%s') /*inv='%s'*/" % (key, key))
            except Exception:  # read only, gone, or on its way: the same key again
                conn = None
                self.stopped.wait(0.02)
                continue
            self.keys.append(key)
            n += 1

    def wait_more(self, n=100):
        goal = len(self.keys) + n
        wait_until(lambda: len(self.keys) >= goal, 30, "%d more commits" % n)

    def stop(self):
        self.stopped.set()
        self.thread.join()
        return list(self.keys)


def pair(pipeline, flavour, crash=False, **source):
    """A primary with a replica, both endpoints, the primary first."""
    p = pipeline(start=False, clusters=["a"], servers=1, db=flavour, crash=crash)
    replica = p.db.add_replica()
    settings = {"socket": "", "gap_patience": "2s", "endpoint_check": "400ms",
                "connect_timeout": "1s", "endpoints": "%s:%d, %s" % (p.db.host, p.db.port, replica.socket)}
    settings.update(source)
    p.extra["source"] = settings
    p.write_configs()
    p.squeal.start()
    for router in p.routers.values():
        router.start()
    return p, replica


def insert(db, key):
    db.sql("CREATE TABLE IF NOT EXISTS demo.u (id INT AUTO_INCREMENT PRIMARY KEY, v INT);"
           "INSERT INTO demo.u (v) VALUES (1) /*inv='%s'*/" % key)


def source(p):
    return p.squeal.status()["source"]


def wait_source(p, cond, what):
    wait_until(lambda: cond(source(p)), 30, what)


def fence(db):
    db.sql("SET GLOBAL read_only=ON" + ("; SET GLOBAL super_read_only=ON" if db.flavour == "mysql" else ""))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_switchover_under_load_loses_nothing_though_the_old_primary_stays_up(pipeline, flavour):
    p, replica = pair(pipeline, flavour)
    writer = Writer(p.db)
    writer.wait_more()
    fence(p.db)
    replica.wait_caught_up()
    replica.promote()
    writer.db = replica
    writer.wait_more()
    wait_until(lambda: "which takes writes" in p.squeal.process.log_text(), 20, "the old primary to be left")
    writer.wait_more()
    keys = writer.stop()
    p.wait_deleted(keys)
    wait_source(p, lambda s: s["state"] == "streaming", "the stream")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_old_primary_that_was_written_to_after_the_switchover_is_a_gap(pipeline, flavour):
    p, replica = pair(pipeline, flavour)
    insert(p.db, "k:1")
    p.wait_deleted(["k:1"])
    replica.wait_caught_up()
    replica.promote()
    insert(p.db, "k:lost")
    p.wait_deleted(["k:lost"])
    for n in range(5):
        insert(replica, "k:new:%d" % n)
    wait_source(p, lambda s: s["gap"] is not None, "state GAP")
    assert source(p)["gap"] in ("gap", "behind")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_dead_primary_is_followed_by_its_promoted_replica(pipeline, flavour):
    p, replica = pair(pipeline, flavour)
    writer = Writer(p.db)
    writer.wait_more()
    keys = writer.stop()
    replica.wait_caught_up()
    p.db.kill()
    replica.promote()
    insert(replica, "k:after")
    p.wait_deleted(keys + ["k:after"])
    # And over a restart of squeal, with the first endpoint still dead.
    p.squeal.stop()
    insert(replica, "k:later")
    p.squeal.start()
    p.wait_deleted(["k:later"])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_read_only_replica_is_a_source_until_the_primary_is_back(pipeline, flavour):
    p, replica = pair(pipeline, flavour)
    insert(p.db, "k:1")
    p.wait_deleted(["k:1"])
    replica.wait_caught_up()
    p.db.kill()
    wait_source(p, lambda s: s["state"] == "streaming", "the stream from the replica")
    p.db.start()
    insert(p.db, "k:2")
    p.wait_deleted(["k:2"])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_replica_that_lags_is_waited_for(pipeline, flavour):
    p, replica = pair(pipeline, flavour, gap_patience="60s")
    insert(p.db, "k:1")
    p.wait_deleted(["k:1"])
    replica.wait_caught_up()
    replica.sql("STOP REPLICA SQL_THREAD" if flavour == "mysql" else "STOP SLAVE SQL_THREAD")
    received = "Retrieved_Gtid_Set" if flavour == "mysql" else "Gtid_IO_Pos"
    before = replica.replica_status()[received]
    insert(p.db, "k:2")
    p.wait_deleted(["k:2"])
    wait_until(lambda: replica.replica_status()[received] != before, 20, "the replica to receive it")
    p.db.kill()
    wait_source(p, lambda s: "replica that lags" in (s["reason"] or ""), "the reason")
    replica.sql("START REPLICA SQL_THREAD" if flavour == "mysql" else "START SLAVE SQL_THREAD")
    replica.promote()
    insert(replica, "k:3")
    p.wait_deleted(["k:3"])


def lose(p, replica, key):
    """The primary dies with a transaction that we have read and the replica does not get."""
    insert(p.db, "k:1")
    p.wait_deleted(["k:1"])
    replica.wait_caught_up()
    replica.sql("STOP REPLICA IO_THREAD" if replica.flavour == "mysql" else "STOP SLAVE IO_THREAD")
    insert(p.db, key)
    p.wait_deleted([key])
    p.db.kill()


def gone(p, key):
    return sum(p.held(cluster, key) for cluster in p.cluster_names) == 0


def test_keys_of_lost_transactions_are_deleted_again_after_a_crash_under_load(pipeline):
    p, replica = pair(pipeline, "mysql", gap_patience="60s")
    writer = Writer(p.db)
    writer.wait_more()
    replica.wait_caught_up()
    replica.sql("STOP REPLICA IO_THREAD")
    # One committed from here on is lost; those just before may be.
    first = len(writer.keys) + 1
    writer.wait_more()
    p.wait_deleted(writer.keys[:first + 50])
    p.db.kill()
    lost = writer.keys[first:first + 50]
    wait_source(p, lambda s: "promoted without" in (s["reason"] or ""), "the reason")
    p.fill(lost)  # as readers of the old primary did just before it died
    replica.promote()
    writer.db = replica
    wait_until(lambda: all(gone(p, key) for key in lost), 10, "the keys to be deleted again")
    writer.wait_more()
    # What the primary committed last and squeal had not read yet died with it: nobody knows of it any more.
    keys = writer.stop()
    known = set(replica.sql("SELECT k FROM demo.t").split()) | set(lost)
    p.wait_deleted([key for key in keys if key in known])
    wait_source(p, lambda s: s["state"] == "streaming", "the stream")
    metrics = p.squeal.metrics()
    assert metrics.total("squeal_source_rewound_total") == 1
    assert metrics.total("squeal_rewound_keys_total") >= len(lost)
    assert "their keys are deleted once more" in p.squeal.process.log_text()
    # And over a restart.
    p.squeal.stop()
    insert(replica, "k:later")
    p.squeal.start()
    p.wait_deleted(["k:later"])


@pytest.mark.parametrize("at", ["rewound#1", "taken#1", "batched#1", "visible#1", "acknowledged#1", "acknowledged#2"])
def test_squeal_may_die_while_it_deletes_the_keys_of_lost_transactions_again(pipeline, at):
    p, replica = pair(pipeline, "mysql", crash=True, gap_patience="60s")
    lose(p, replica, "k:lost")
    p.squeal.kill()
    replica.promote()
    insert(replica, "k:new")
    p.fill(["k:lost"])
    p.squeal.start(wait=False, env={"SQUEAL_CRASH_AT": "squeal." + at})
    wait_until(lambda: not p.squeal.process.running, 20, "squeal to die at " + at)
    before_the_position = at == "rewound#1"
    if before_the_position:
        p.fill(["k:lost"])
    p.squeal.start()
    wait_until(lambda: gone(p, "k:lost"), 10, "the key to be deleted again")
    p.wait_deleted(["k:new"])
    wait_source(p, lambda s: s["state"] == "streaming", "the stream")
    if before_the_position:
        assert p.squeal.metrics().total("squeal_source_rewound_total") == 1


def test_a_read_only_replica_without_what_was_read_is_followed_after_the_patience(pipeline):
    p, replica = pair(pipeline, "mysql")
    lose(p, replica, "k:lost")
    p.fill(["k:lost"])
    wait_source(p, lambda s: s["state"] == "streaming", "the stream from the replica")
    wait_until(lambda: gone(p, "k:lost"), 10, "the key to be deleted again")


def test_lost_transactions_that_were_not_read_since_the_start_are_a_gap(pipeline):
    p, replica = pair(pipeline, "mysql")
    insert(p.db, "k:1")
    p.wait_deleted(["k:1"])
    replica.wait_caught_up()
    replica.sql("STOP REPLICA IO_THREAD")
    p.squeal.stop()
    insert(p.db, "k:skipped")
    p.extra["source"]["start"] = "now"
    p.write_configs()
    p.squeal.start()
    wait_source(p, lambda s: s["state"] == "streaming", "the stream")
    p.db.kill()
    replica.promote()
    wait_source(p, lambda s: s["gap"] == "behind", "state GAP")
    assert "cannot be deleted once more" in source(p)["reason"]


def test_a_lost_end_of_an_xa_transaction_is_a_gap(pipeline):
    p, replica = pair(pipeline, "mysql")
    insert(p.db, "k:1")
    p.db.sql("XA START 'x'; INSERT INTO demo.u (v) VALUES (2) /*inv='k:xa'*/; XA END 'x'; XA PREPARE 'x'")
    replica.wait_caught_up()
    replica.sql("STOP REPLICA IO_THREAD")
    p.db.sql("XA COMMIT 'x'")
    p.wait_deleted(["k:1", "k:xa"])
    p.db.kill()
    # Its keys are not kept any more, and XA COMMIT may come again.
    replica.promote()
    wait_source(p, lambda s: s["gap"] == "behind", "state GAP")
    assert "ends of XA transactions" in source(p)["reason"]


def test_a_mariadb_replica_that_was_promoted_without_what_was_read_is_a_gap(pipeline):
    p, replica = pair(pipeline, "mariadb")
    lose(p, replica, "k:lost")
    wait_source(p, lambda s: s["gap"] == "behind", "state GAP")
    assert "promoted without" in source(p)["reason"]


def test_a_fenced_primary_alone_is_no_reason_to_leave_it(pipeline):
    p, replica = pair(pipeline, "mysql")
    # Written to the replica by mistake: the primary never gets it, and is the primary all the same.
    replica.sql("SET GLOBAL super_read_only=OFF; CREATE DATABASE mistake; SET GLOBAL super_read_only=ON")
    fence(p.db)
    insert_at = len(p.squeal.process.log_text())
    threading.Event().wait(2)
    assert "no stream" not in p.squeal.process.log_text()[insert_at:]
    p.db.sql("SET GLOBAL super_read_only=OFF; SET GLOBAL read_only=OFF")
    insert(p.db, "k:1")
    p.wait_deleted(["k:1"])
