"""squeal-replay: plans and executions from real binlogs, logs, lists and spools, into real caches."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import Failure, Process, kafka_dist, wait_until
from harness.root import NoServer
from harness.pipeline import explained_owners, program, run_program, write_config

GOOD, LEFT_OUT, USAGE, CAP, FAILED, STOPPED, CONFIG, HURRIED = 0, 1, 2, 3, 69, 75, 78, 130


class SlowProxy:
    """Between a client and a server: every answer comes `delay` seconds late.  One thread per direction."""

    def __init__(self, port, delay=0.0):
        self.to = port
        self.delay = delay
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source, target, late):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if late and self.delay:
                    time.sleep(self.delay)
                target.sendall(data)
        except OSError:
            pass
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class Result:
    def __init__(self, done):
        self.code = done.returncode
        self.err = done.stderr
        self.events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def last(self, event):
        found = [e for e in self.events if e["event"] == event]
        if not found:
            raise Failure("no %s in %r, and the errors were %s" % (event, self.events, self.err))
        return found[-1]

    @property
    def plan(self):
        return self.last("plan")

    @property
    def report(self):
        return self.last("report")


class Replay:
    """squeal-replay with one configuration."""

    def __init__(self, dir, config):
        self.dir = dir
        self.config = config
        self.state = os.path.join(dir, "jobs")
        self.n = 0

    def run(self, *args, stdin=None):
        full = ["-c", self.config, "--state", self.state, "--json"] + list(args)
        if stdin is None:
            return Result(run_program("squeal-replay", *full, timeout=60))
        return Result(subprocess.run([program("squeal-replay")] + full, input=stdin, text=True, timeout=60,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE))

    def resume(self, job, *args):
        return Result(run_program("squeal-replay", "--resume", job, "--state", self.state, "--json", *args,
                                  timeout=60))

    def start(self, *args):
        """In the background, with progress every 100 ms."""
        self.n += 1
        return Process("replay-%d" % self.n, [program("squeal-replay"), "-c", self.config, "--state", self.state,
                                              "--json", "--progress", "100ms"] + list(args), self.dir).start()

    def job(self):
        names = [f[:-4] for f in os.listdir(self.state) if f.endswith(".job")]
        assert len(names) == 1, names
        return names[0]

    def number(self, name):
        """A number in the job's file; 0 before there is one."""
        for file in os.listdir(self.state):
            if file.endswith(".job"):
                with open(os.path.join(self.state, file)) as f:
                    return int([line for line in f if line.startswith(name + " ")][0].split()[1])
        return 0


def events(process):
    return [json.loads(line) for line in process.log_text().splitlines()
            if line.startswith("{") and line.endswith("}")]


class World:
    """A database, squeal and the caches of clusters, without routers: every hour is lost here."""

    def __init__(self, p):
        self.p = p
        self.replay = Replay(p.dir, p.config_path)

    def commit(self, keys, table="t"):
        self.p.db.sql("CREATE TABLE IF NOT EXISTS demo.%s (id INT);" % table +
                      "".join("INSERT INTO demo.%s VALUES (%d) /*inv='%s'*/;" % (table, i, k)
                              for i, k in enumerate(keys)))

    def logged(self, n):
        """Returns when squeal has n keys in its log."""
        wait_until(lambda: self.p.squeal.status()["log"]["keys"] >= n, 15, "%d keys in the log" % n)

    def binlogs(self):
        names = [row.split("\t")[0] for row in self.p.db.sql("SHOW BINARY LOGS").splitlines()]
        return [os.path.join(self.p.db.data, n) for n in names]

    def source(self, kind):
        return {"binlog": lambda: ["--from", "binlog"] + self.binlogs(), "server": lambda: ["--from", "server"],
                "log": lambda: ["--from", "log"], "spool": lambda: ["--from", "spool", self.spool]}[kind]()

    def write_spool(self, keys, per_file=700):
        """As mcrouter would have, had it not reached its servers."""
        self.spool = os.path.join(self.p.dir, "spool")
        for i in range(0, len(keys), per_file):
            at = 1795248000 + i
            folder = os.path.join(self.spool, "20261121T08-%d" % (at // 3600 * 3600))
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, "20261121T081500-%d-svc-router-t1-0x%d" % (at, i)), "w") as f:
                for key in keys[i:i + per_file]:
                    f.write(json.dumps(["AS1.0", at + 0.5, "C", ["10.0.0.1", 11302, "delete %s\r\n" % key]]) + "\n")

    def left(self, keys, cluster="a"):
        return {k for k in keys if self.p.held(cluster, k)}


@pytest.fixture
def world(pipeline):
    def make(squeal=True, **kwargs):
        kwargs.setdefault("clusters", ["a"])
        p = pipeline(start=False, **kwargs)
        if squeal:
            p.squeal.start()
        return World(p)
    return make


def keys_of(n, prefix="k:"):
    return ["%s%d" % (prefix, i) for i in range(n)]


# --- sources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binlog", "server", "log"])
def test_a_plan_touches_nothing_and_its_execution_deletes_exactly_its_keys(world, kind):
    w = world()
    keys, others = keys_of(60), keys_of(20, "other:")
    w.commit(keys)
    w.logged(60)
    w.p.fill(keys + others)
    before = [c.stats()["cmd_delete"] if "cmd_delete" in c.stats() else c.stats()["delete_misses"]
              for c in w.p.caches["a"]]
    done = w.replay.run(*w.source(kind))
    assert done.code == GOOD, done.err
    plan = done.plan
    assert (plan["keys"], plan["distinct"], plan["distinct_is_exact"], plan["deletes"]) == (60, 60, True, 60)
    assert sum(s["deletes"] for s in plan["servers"]) == 60 and len(plan["servers"]) == 2
    assert plan["database_reads"] == 60 and plan["seconds"] == 1
    assert w.left(keys + others) == set(keys + others)
    assert before == [c.stats().get("cmd_delete", c.stats()["delete_misses"]) for c in w.p.caches["a"]]
    assert not os.path.exists(w.replay.state)
    done = w.replay.run(*w.source(kind), "--execute")
    assert done.code == GOOD, done.err
    assert w.left(keys + others) == set(others) | w.left(keys)
    # A key is deleted where it belongs; on the other server it stays.
    assert all(w.p.held("a", k) == 1 for k in keys)
    assert (done.report["acked"], done.report["hits"], done.report["misses"]) == (60, 60, 0)
    assert done.report["done_keys"] == 60 and done.report["left_out"] == 0
    # Again: nothing is there any more.
    done = w.replay.run(*w.source(kind), "--execute")
    assert (done.report["hits"], done.report["misses"]) == (0, 60)


def test_mysql_is_a_source_as_well(world):
    w = world(squeal=False, db="mysql")
    keys = keys_of(20)
    w.commit(keys)
    w.p.fill(keys)
    for kind in ("binlog", "server"):
        assert w.replay.run(*w.source(kind)).plan["keys"] == 20
    middle = w.p.db.gtid()
    w.commit(["late:1", "late:2"])
    done = w.replay.run(*w.source("server"), "--start-gtid", middle)
    assert done.plan["keys"] == 2, done.err
    assert w.replay.run(*w.source("server"), "--stop-gtid", middle, "--execute").report["hits"] == 20


def test_a_topic_of_kafka_is_a_log_as_well(world):
    try:
        kafka_dist()
    except NoServer as e:
        pytest.skip(str(e))
    w = world(kafka=True)
    keys = keys_of(2000)
    w.p.db.sql("CREATE TABLE demo.t (id INT);" + "".join(
        "INSERT INTO demo.t VALUES (%d) /*inv='%s'*/;" % (i, ",".join(keys[i:i + 10])) for i in range(0, 2000, 10)))
    w.logged(2000)
    w.p.fill(keys)
    p = w.replay.start("--from", "log", "--execute", "--rate", "1000")
    wait_until(lambda: any(e["event"] == "progress" and e["done"] > 100 for e in events(p)), 15, "progress")
    p.signal(signal.SIGTERM)
    assert p.wait(10) == STOPPED, p.log_text()
    done = w.replay.resume(w.replay.job(), "--rate", "0")
    assert done.code == GOOD and done.report["done_keys"] == 2000, done.err
    assert all(w.p.held("a", k) == 1 for k in keys)
    done = w.replay.run("--from", "log", "--partition", "77")
    assert done.code == FAILED and "partition" in done.err


def test_lists_of_keys_and_of_what_squeal_keys_prints(world, rundir):
    w = world(squeal=False)
    keys = keys_of(10)
    w.commit(keys)
    w.p.fill(keys)
    plain = os.path.join(rundir, "plain")
    with open(plain, "w") as f:
        f.write("# keys of a test\n\n" + "\n".join(keys[:4]) + "\n{\"no\":\"keys\"}\n" + "x" * 251 + "\n")
    done = w.replay.run("--from", "list", plain, "--execute")
    assert done.code == LEFT_OUT
    assert (done.plan["keys"], done.plan["bad"], done.plan["bad_keys"], done.report["hits"]) == (4, 1, 1, 4)
    assert "no member" in done.err
    lines = run_program("squeal", "keys", *w.binlogs()).stdout
    done = w.replay.run("--from", "list", "-", "--execute", stdin=lines)
    assert (done.plan["keys"], done.report["hits"], done.report["misses"]) == (10, 6, 4)
    assert done.plan["first_us"] > 0
    # Standard input was kept for a resume, and is gone with the end.
    assert not [f for f in os.listdir(w.replay.state) if f.endswith(".keys")]
    done = w.replay.run("--from", "list", plain, "--start-datetime", "2026-01-01")
    assert done.code == USAGE and "has no time" in done.err


def test_the_spool_of_mcrouter_in_both_versions(world, rundir):
    w = world(squeal=False)
    w.p.fill(keys_of(6))
    spool = os.path.join(rundir, "spool")
    first = os.path.join(spool, "20261121T08-1795248000")
    second = os.path.join(spool, "20261121T09-1795251600")
    os.makedirs(first)
    os.makedirs(second)
    one = json.dumps
    with open(os.path.join(second, "20261121T090000-1795251600-svc-router-t1-0x1"), "w") as f:
        f.write(one(["AS2.0", 1795251700.5, "C", {"f": "x", "r": "east", "h": "[10.0.0.1]:11302", "p": "p",
                                                  "k": "/east/a/k:2", "a": {"source": 1}}]) + "\n")
        f.write(one(["AS2.0", 1795251701, "C", {"h": "[10.0.0.2]:11302", "k": "k:3"}]) + "\n")
        f.write('["AS2.0", 1795251702, "C", {"k":"k:4"')
    with open(os.path.join(first, "20261121T081500-1795248900-svc-router-t1-0x1"), "w") as f:
        f.write(one(["AS1.0", 1795248900.836, "C", ["10.0.0.1", 11302, "delete /east/a/k:0\r\n"]]) + "\n")
        f.write(one(["AS1.0", 1795248901.0, "C", ["10.0.0.2", 11302, "delete k:1 0 noreply\r\n"]]) + "\n")
        f.write(one(["AS1.0", 1795248901.0, "C", ["10.0.0.2", 11302, "incr k:1 2\r\n"]]) + "\n")
    done = w.replay.run("--from", "spool", spool)
    assert (done.plan["keys"], done.plan["bad"]) == (4, 2), done.err
    assert "cut short" in done.err and "no delete" in done.err
    assert done.plan["first_us"] == 1795248900836000 and done.plan["last_us"] == 1795251701000000
    assert w.replay.run("--from", "spool", spool, "--host", "10.0.0.1:11302").plan["keys"] == 2
    assert w.replay.run("--from", "spool", spool, "--start-datetime", "1795251000000000").plan["keys"] == 2
    done = w.replay.run("--from", "spool", spool, "--execute")
    assert done.code == LEFT_OUT and done.report["hits"] == 4
    assert [k for k in keys_of(6) if w.p.held("a", k) == 2] == ["k:4", "k:5"]


# --- ranges and filters -------------------------------------------------------------------------------------


def test_ranges_by_gtid_time_place_and_offset(world):
    w = world()
    w.commit(keys_of(5, "a:"))
    gtid = w.p.db.gtid()
    name, pos = w.p.db.binlog_position()
    w.logged(5)
    time.sleep(1.1)  # times of MariaDB are whole seconds
    at = int(time.time() * 1000000)
    w.commit(keys_of(7, "b:"))
    w.logged(12)
    for kind in ("binlog", "server", "log"):
        src = w.source(kind)
        assert w.replay.run(*src, "--start-gtid", gtid).plan["keys"] == 7, kind
        done = w.replay.run(*src, "--stop-gtid", gtid)
        assert done.plan["keys"] == 5, (kind, done.err)
        assert w.replay.run(*src, "--start-datetime", str(at // 1000000 * 1000000)).plan["keys"] == 7
        assert w.replay.run(*src, "--stop-datetime", str(at // 1000000 * 1000000)).plan["keys"] == 5
    for kind in ("binlog", "server"):
        done = w.replay.run(*w.source(kind), "--start", "%s:%s" % (name, pos))
        assert done.plan["keys"] == 7, done.err
        assert w.replay.run(*w.source(kind), "--stop", "%s:%s" % (name, pos)).plan["keys"] == 5
        done = w.replay.run(*w.source(kind), "--start", "nosuch.000009:4")
        assert done.code == FAILED, done.err
    ends = [r for r in range(1, 13) if w.replay.run("--from", "log", "--stop-offset", str(r)).code == GOOD]
    assert ends
    counts = [w.replay.run("--from", "log", "--stop-offset", str(r)).plan["keys"] for r in ends]
    rest = [w.replay.run("--from", "log", "--start-offset", str(r)).plan["keys"] for r in ends]
    assert counts == sorted(counts)
    assert all(a + b == 12 for a, b in zip(counts, rest))
    assert w.replay.run("--from", "log", "--start-offset", "4000000").code == FAILED


def test_a_range_without_anything_says_what_is_there(world):
    w = world()
    began = int(time.time()) * 1000000
    w.commit(keys_of(20))
    w.logged(20)
    for kind in ("log", "server", "binlog"):
        plan = w.replay.run(*w.source(kind), "--start-datetime", "2001-01-01 00:00:00", "--stop-datetime",
                            "2001-01-01 01:00:00").plan
        assert plan["keys"] == 0 and plan["outside"] >= 20
        assert began <= plan["seen_first_us"] <= plan["seen_last_us"] <= (time.time() + 1) * 1000000
    said = run_program("squeal-replay", "-c", w.p.config_path, "--from", "log", "--start-offset", "1", "--stop-datetime",
                       "2001-01-01 00:00:00").stdout
    assert "there is in the range; they were committed 20" in said
    done = w.replay.run("--from", "server", "--start", "none.000009:4")
    assert done.code == FAILED and "none.000009" in done.err and "the last one is " in done.err


def test_filters_by_key_table_and_source(world):
    w = world(db_options={"binlog_format": "ROW"})
    w.commit(["user:1", "user:2", "feed:1"], table="users")
    w.commit(["word:1"], table="words")
    w.p.db.sql("SET SESSION binlog_format=STATEMENT; INSERT INTO demo.words VALUES (9) /*inv='blind:1'*/")
    w.logged(5)
    for kind in ("binlog", "server"):
        src = w.source(kind)
        assert w.replay.run(*src, "--key", "user:*").plan["keys"] == 2
        assert w.replay.run(*src, "--key", "user:*", "--key-regex", "^feed:[0-9]+$").plan["keys"] == 3
        assert w.replay.run(*src, "--not-key", "*:1").plan["keys"] == 1
        plan = w.replay.run(*src, "--table", "demo.users").plan
        # What a statement changed is not known from its event, so it is taken.
        assert (plan["keys"], plan["tables_unknown"]) == (4, 1), kind
    assert w.replay.run("--from", "log", "--source", "main").plan["keys"] == 5
    plan = w.replay.run("--from", "log", "--source", "other*").plan
    assert (plan["keys"], plan["filtered_transactions"]) == (0, 5)
    done = w.replay.run("--from", "log", "--table", "demo.users")
    assert done.code == USAGE and "binlog and server" in done.err


def test_rules_give_the_keys_that_squeal_gives(world, rundir):
    rules = os.path.join(rundir, "rules.yaml")
    with open(rules, "w") as f:
        f.write("rules:\n  - name: people\n    table: demo.people\n    keys: [\"person:{id}\"]\n")
    # Without names in the binlog: files cannot tell them, a server can be asked.
    w = world(config={"markers": {"rules": rules}},
              db_options={"binlog_format": "ROW", "row_metadata": "NO_LOG"})
    w.p.db.sql("GRANT REFERENCES ON *.* TO 'squeal'@'%'")
    w.p.db.sql("CREATE TABLE demo.people (id INT PRIMARY KEY, n INT)")
    w.p.db.sql("INSERT INTO demo.people VALUES (1, 1), (2, 2)")
    w.logged(2)
    w.p.fill(["person:1", "person:2"])
    done = w.replay.run(*w.source("binlog"))
    assert done.code == FAILED and "column" in done.err
    done = w.replay.run(*w.source("server"), "--execute")
    assert done.code == GOOD, done.err
    assert (done.plan["keys"], done.report["hits"]) == (2, 2)


def test_a_key_that_comes_again_is_deleted_once_unless_repeats_are_asked_for(world):
    w = world()
    w.commit(["hot"] * 9 + ["cold"])
    w.logged(10)
    plan = w.replay.run("--from", "log").plan
    assert (plan["keys"], plan["distinct"], plan["repeats"], plan["deletes"]) == (10, 2, 8, 2)
    w.p.fill(["hot", "cold"])
    report = w.replay.run("--from", "log", "--execute").report
    assert (report["done_keys"], report["acked"], report["hits"]) == (10, 2, 2)
    plan = w.replay.run("--from", "log", "--repeats", "--hit-share", "50").plan
    assert (plan["deletes"], plan["database_reads"]) == (10, 1)


# --- targets ------------------------------------------------------------------------------------------------


def test_only_the_chosen_cluster_and_server_are_touched(world):
    w = world(clusters=["a", "b"])
    keys = keys_of(40)
    w.commit(keys)
    w.logged(40)
    w.p.fill(keys)
    assert w.replay.run("--from", "log").plan["deletes"] == 80
    done = w.replay.run("--from", "log", "--cluster", "b", "--server", w.p.caches["b"][1].address, "--execute")
    n = done.plan["deletes"]
    assert 0 < n < 40 and done.plan["elsewhere"] == 40 - n
    assert done.report["hits"] == n
    assert sum(w.p.caches["b"][1].get(k) is None for k in keys) == n
    assert all(w.p.held("a", k) == 2 for k in keys)
    assert all(w.p.caches["b"][0].get(k) is not None for k in keys)
    for args, words in ((["--cluster", "c"], ["no cluster", " a b"]), (["--server", "10.9.9.9:1"], ["no server"]),
                        (["--pool", "nope"], ["no pool", "default"])):
        done = w.replay.run("--from", "log", *args)
        assert done.code == USAGE and all(word in done.err for word in words), done.err


def test_values_can_be_marked_as_stale(world):
    w = world()
    w.commit(["k:1"])
    w.logged(1)
    w.p.fill(["k:1"])
    done = w.replay.run("--from", "log", "--stale", "30s", "--execute")
    assert done.code == GOOD and done.report["hits"] == 1, done.err
    flags = []
    for cache in w.p.caches["a"]:
        with cache.client() as c:
            flags.append(c.command(b"mg k:1 t").split()[1:])
    # W: the first who asks may fill it again; X: it is stale.
    assert sorted(b"X" in f for f in flags) == [False, True]


# --- the cap, mistakes --------------------------------------------------------------------------------------


def test_more_deletes_than_the_cap_are_refused_with_the_exact_number(world):
    w = world()
    keys = keys_of(30)
    w.commit(keys)
    w.logged(30)
    w.p.fill(keys)
    done = w.replay.run("--from", "log", "--max-keys", "29", "--execute")
    assert done.code == CAP and "--max-keys 30" in done.err
    assert all(w.p.held("a", k) == 2 for k in keys)
    assert [f for f in os.listdir(w.replay.state)] == []
    assert w.replay.run("--from", "log", "--max-keys", "29").code == GOOD
    assert w.replay.run("--from", "log", "--max-keys", "30", "--execute").code == GOOD


def test_mistakes_are_named_with_what_to_do(world, rundir):
    w = world(squeal=False)
    run = w.replay.run
    for args, code, words in (
            ([], USAGE, "--from"),
            (["--frum", "log"], USAGE, "did you mean --from"),
            (["--from", "lgo"], USAGE, "one of binlog"),
            (["--from", "binlog"], USAGE, "needs binlog files"),
            (["--from", "binlog", "/nope/bin.000001"], FAILED, "/nope/bin.000001"),
            (["--from", "log"], FAILED, "log.db"),
            (["--from", "list", "/nope"], FAILED, "/nope"),
            (["--from", "spool", "/nope"], FAILED, "/nope"),
            (["--from", "log", "--key-regex", "("], USAGE, "regular expression"),
            (["--from", "server", "--start-gtid", "what"], USAGE, "what"),
            (["--from", "log", "--rate", "fast"], CONFIG, "--rate"),
            (["--from", "list", "x", "--host", "a:1"], USAGE, "spool"),
            (["--resume", "nope"], USAGE, "no job nope")):
        done = run(*args)
        assert done.code == code and words in done.err, (args, done.code, done.err)
    # The account's password is wrong.
    secret = os.path.join(rundir, "wrong")
    with open(secret, "w") as f:
        f.write("not this\n")
    os.chmod(secret, 0o600)
    config = w.p.config()
    config["source"]["password_file"] = secret
    path = os.path.join(rundir, "wrong.yaml")
    write_config(path, config)
    done = Replay(w.p.dir, path).run("--from", "server")
    assert done.code == FAILED and "denied" in done.err.lower(), done.err


# --- execution ----------------------------------------------------------------------------------------------


def many(world, n, **kwargs):
    """n keys in a list, and in the caches."""
    w = world(squeal=False, **kwargs)
    keys = keys_of(n)
    path = os.path.join(w.p.dir, "keys")
    with open(path, "w") as f:
        f.write("\n".join(keys) + "\n")
    w.p.fill(keys)
    return w, keys, path


def test_kill_9_in_the_middle_and_resume_leaves_no_key_out(world):
    w, keys, path = many(world, 4000)
    p = w.replay.start("--from", "list", path, "--execute", "--rate", "800")
    done = 0
    for again in range(3):
        wait_until(lambda: os.path.isdir(w.replay.state) and w.replay.number("done_keys") > done, 10, "a checkpoint")
        p.kill()
        done = w.replay.number("done_keys")
        assert done < 4000
        p = Process("replay-again-%d" % again, [program("squeal-replay"), "--resume", w.replay.job(), "--state",
                                                w.replay.state, "--json", "--progress", "100ms"], w.p.dir).start()
    assert p.wait(30) == GOOD, p.log_text()
    report = [e for e in events(p) if e["event"] == "report"][-1]
    assert report["done_keys"] == 4000 and report["plan_keys"] == 4000 and report["runs"] == 4
    assert all(w.p.held("a", k) == 1 for k in keys)
    again = w.replay.resume(w.replay.job())
    assert again.code == GOOD


@pytest.mark.parametrize("kind", ["binlog", "server", "log", "spool"])
def test_a_job_from_every_source_goes_on_where_it_was_stopped(world, kind):
    w = world()
    keys = keys_of(3000)
    w.p.db.sql("CREATE TABLE demo.t (id INT);" + "".join(
        "INSERT INTO demo.t VALUES (%d) /*inv='%s'*/;" % (i, ",".join(keys[i:i + 10]))
        for i in range(0, 3000, 10)))
    w.logged(3000)
    w.write_spool(keys)
    w.p.fill(keys)
    p = w.replay.start(*w.source(kind), "--execute", "--rate", "1500")
    wait_until(lambda: any(e["event"] == "progress" and e["done"] > 300 for e in events(p)), 10, "progress")
    p.signal(signal.SIGTERM)
    assert p.wait(10) == STOPPED, p.log_text()
    stopped = [e for e in events(p) if e["event"] == "report"][-1]
    assert stopped["end"] == "stopped" and "--resume" in stopped["resume"]
    assert 0 < stopped["done_keys"] < 3000
    # What came after the plan is not in it.
    w.commit(["late:1"], table="late")
    w.logged(3001)
    done = w.replay.resume(w.replay.job(), "--rate", "0")
    assert done.code == GOOD, done.err
    assert done.report["done_keys"] == 3000
    assert done.report["acked"] < 3000 + 1000, "almost everything was sent again"
    assert all(w.p.held("a", k) == 1 for k in keys)


def test_a_job_refuses_a_changed_plan(world):
    w, keys, path = many(world, 2000)
    p = w.replay.start("--from", "list", path, "--execute", "--rate", "1000")
    wait_until(lambda: any(e["event"] == "progress" and e["done"] > 100 for e in events(p)), 10, "progress")
    job = w.replay.job()
    busy = w.replay.resume(job)
    assert busy.code == FAILED and "in use" in busy.err
    p.signal(signal.SIGINT)
    assert p.wait(10) == STOPPED
    done = w.replay.resume(job, "--key", "k:1*")
    assert done.code == USAGE and "--key belongs to the plan" in done.err
    config = w.p.config()
    config["clusters"][0]["servers"] = config["clusters"][0]["servers"][:1]
    write_config(w.p.config_path, config)
    done = w.replay.resume(job)
    assert done.code == USAGE and "not those of the plan" in done.err
    w.p.write_configs()
    with open(path, "w") as f:
        f.write("\n".join(keys[:10]) + "\n")
    done = w.replay.resume(job)
    assert done.code == FAILED and "changed" in done.err
    with open(path, "w") as f:
        f.write("\n".join(keys) + "\n")
    assert w.replay.resume(job, "--rate", "0").code == GOOD


def test_a_slow_server_slows_the_replay_and_is_named(world):
    w, keys, path = many(world, 6000)
    slow = SlowProxy(w.p.caches["a"][0].port, delay=0.12)
    config = w.p.config()
    config["clusters"][0]["servers"][0]["connect"] = "127.0.0.1:%d" % slow.port
    config["router"]["ack_timeout"] = "5s"
    write_config(w.p.config_path, config)
    p = w.replay.start("--from", "list", path, "--execute", "--rate", "3000", "--max-ack", "20ms")
    name = w.p.caches["a"][0].address
    wait_until(lambda: any(e["event"] == "progress" and e["throttled"].startswith("%s acks 1" % name)
                           for e in events(p)), 15, "a throttle")
    # It is taken down, and comes up again when the server is well.
    wait_until(lambda: events(p)[-1].get("deletes_per_second", 9999) < 500, 15, "a lower rate")
    slow.delay = 0
    assert p.wait(40) == GOOD, p.log_text()
    assert max(e["deletes_per_second"] for e in events(p) if e["event"] == "progress") > 1000
    report = [e for e in events(p) if e["event"] == "report"][-1]
    assert report["throttled"] > 0.1
    assert all(w.p.held("a", k) == 1 for k in keys)
    slow.close()


def test_a_server_that_stands_still_is_waited_for_and_named(world):
    w, keys, path = many(world, 3000)
    w.p.caches["a"][1].pause()
    p = w.replay.start("--from", "list", path, "--execute", "--rate", "0")
    try:
        wait_until(lambda: any(e["event"] == "progress" and w.p.caches["a"][1].address in e["waiting"]
                               for e in events(p)), 15, "the server to be named")
        # What the other one has is done meanwhile.
        wait_until(lambda: events(p)[-1].get("acked", 0) > 1000, 15, "deletes on the other server")
    finally:
        w.p.caches["a"][1].resume()
    assert p.wait(20) == GOOD, p.log_text()
    assert all(w.p.held("a", k) == 1 for k in keys)


def test_a_server_that_stays_away_stops_the_job_to_be_resumed(world):
    w, keys, path = many(world, 500)
    port = w.p.caches["a"][1].port
    w.p.caches["a"][1].kill()
    done = w.replay.run("--from", "list", path, "--execute", "--patience", "1s")
    assert done.code == STOPPED and done.report["end"] == "impatient"
    assert ":%d" % port in done.report["away"]
    w.p.caches["a"][1].start()
    done = w.replay.resume(w.replay.job())
    assert done.code == GOOD and done.report["done_keys"] == 500, done.err


def test_readers_that_miss_slow_the_replay(world):
    w, keys, path = many(world, 6000)
    stop = threading.Event()

    def read():
        with w.p.caches["a"][0].client() as c:
            while not stop.wait(0.002):
                c.get("nobody")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        p = w.replay.start("--from", "list", path, "--execute", "--rate", "1500", "--max-misses", "50")
        wait_until(lambda: any(e["event"] == "progress" and e["throttled"].startswith("readers of a miss")
                               for e in events(p)), 15, "a throttle")
    finally:
        stop.set()
        reader.join()
    assert p.wait(40) == GOOD, p.log_text()


def test_a_busy_database_slows_the_replay(world):
    w, keys, path = many(world, 4000)
    p = w.replay.start("--from", "list", path, "--execute", "--rate", "2000", "--max-threads-running", "1")
    sleepers = [threading.Thread(target=w.p.db.sql, args=("SELECT SLEEP(2)",)) for _ in range(3)]
    for s in sleepers:
        s.start()
    wait_until(lambda: any(e["event"] == "progress" and "threads run in the database" in e["throttled"]
                           for e in events(p)), 15, "a throttle")
    for s in sleepers:
        s.join()
    p.signal(signal.SIGTERM)
    assert p.wait(10) == STOPPED


def test_the_second_signal_quits_at_once_and_nothing_is_lost(world):
    w, keys, path = many(world, 2000)
    p = w.replay.start("--from", "list", path, "--execute", "--rate", "0")
    # In flight for as long as the server stands still.
    w.p.caches["a"][0].pause()
    try:
        q = w.replay.start("--from", "list", path, "--execute", "--rate", "500")
        wait_until(lambda: any(e["event"] == "progress" for e in events(q)), 10, "progress")
        q.signal(signal.SIGTERM)
        wait_until(lambda: any(e.get("phase") == "stopping" for e in events(q)) or not q.running, 5, "a stop")
        q.signal(signal.SIGTERM)
        assert q.wait(5) in (HURRIED, STOPPED)
    finally:
        w.p.caches["a"][0].resume()
    assert p.wait(20) == GOOD, p.log_text()
    jobs = [f[:-4] for f in os.listdir(w.replay.state) if f.endswith(".job")]
    for job in jobs:
        assert w.replay.resume(job, "--rate", "0").code == GOOD
    assert all(w.p.held("a", k) == 1 for k in keys)


def test_squeal_cache_takes_the_same_and_hold_offs_too(world):
    from harness.memcached import SquealCache
    w = world(squeal=False, cache=SquealCache)
    w.p.fill(["k:1", "k:2"])
    done = w.replay.run("--from", "list", "-", "--holdoff", "20s", "--execute", stdin="k:1\nk:2\n")
    assert done.code == GOOD and done.report["hits"] == 2, done.err
    assert sum(s["unsupported"] for s in done.report["servers"]) == 0
    held_off = 0
    for cache in w.p.caches["a"]:
        with cache.client() as c:
            for key in ("k:1", "k:2"):
                if c.get(key) is None:
                    held_off += c.command(b"ms " + key.encode() + b" 1 ME\r\nx").startswith(b"NS")
    assert held_off == 2


# --- what routers know beyond squeal.yaml -------------------------------------------------------------------


def ctl(config, *args):
    done = run_program("squealctl", "-c", config, *args)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def holders(p, keys):
    """{key: addresses} of the servers that hold it."""
    out = {key: set() for key in keys}
    for cache in p.caches["a"]:
        with cache.client() as c:
            for key in keys:
                if c.get(key) is not None:
                    out[key].add(cache.address)
    return out


@pytest.fixture
def changed(pipeline):
    """A router whose ring of two servers became one of three, and is not sealed: (pipeline, config, former config)."""
    p = pipeline(start=False, clusters=["a"], servers=3)
    config, former = p.cluster_config_path("a"), os.path.join(p.dir, "former.yaml")
    all_of_it = p.config("a")
    small = dict(all_of_it, clusters=[dict(all_of_it["clusters"][0], servers=all_of_it["clusters"][0]["servers"][:2])])
    for path in (config, former):
        write_config(path, small)
    p.squeal.start()
    router = p.routers["a"].start()
    write_config(config, all_of_it)
    router.reload()
    wait_until(lambda: len(router.status()["rings"]["unsealed"]) == 1, 10, "the ring to change")
    return p, config, former


def test_owners_by_rings_that_are_not_sealed_get_the_deletes_as_the_routers_do(changed):
    p, config, former = changed
    keys = keys_of(200)
    lines = "\n".join(keys) + "\n"
    replay = Replay(p.dir, config)
    wanted = explained_owners(config, keys)
    moved = [k for k in keys if len(wanted[k]) == 2]
    assert moved, "no key changed its owner"
    everybody = {c.address for c in p.caches["a"]}

    def run_all(*args):
        """The plan, of which exactly the deletes are done."""
        p.fill(keys)
        done = replay.run("--from", "list", "-", "--execute", "--rate", "0", *args, stdin=lines)
        assert done.code == GOOD, done.err
        held = holders(p, keys)
        return done.plan, {k: everybody - held[k] for k in keys}

    # The router is asked.
    plan, deleted = run_all()
    assert deleted == wanted
    assert plan["deletes"] == len(keys) + len(moved) and plan["former_deletes"] == len(moved)
    assert plan["clusters"] == [{"cluster": "a", "known_from": "router", "unsealed_rings": 1, "mode": "warm",
                                 "note": ""}]
    plan, deleted = run_all("--no-former")
    assert plan["former_deletes"] == 0 and all(len(d) == 1 for d in deleted.values())
    # It is away: its file knows the rings.
    p.routers["a"].kill()
    plan, deleted = run_all()
    assert deleted == wanted and plan["clusters"][0]["known_from"] == "file"
    assert "could not be asked" in plan["clusters"][0]["note"]
    # There is no file: it is said, and can be said by hand.
    os.unlink(p.log_path + ".a.cursors.rings")
    plan, deleted = run_all()
    assert plan["clusters"][0]["known_from"] == "nothing" and "--ring-of" in plan["clusters"][0]["note"]
    assert plan["former_deletes"] == 0
    plan, deleted = run_all("--ring-of", former)
    assert deleted == wanted and plan["clusters"][0]["known_from"] == "hand"


def test_a_ring_that_the_router_has_not_taken_yet_makes_the_routers_one_of_before(changed):
    p, config, former = changed
    ctl(config, "seal")
    keys = keys_of(200)
    replay = Replay(p.dir, config)
    plan = replay.run("--from", "list", "-", stdin="\n".join(keys) + "\n").plan
    assert plan["clusters"][0]["unsealed_rings"] == 0 and plan["former_deletes"] == 0
    write_config(config, dict(p.config("a"), clusters=[dict(p.config("a")["clusters"][0], distribution="modula")]))
    plan = replay.run("--from", "list", "-", stdin="\n".join(keys) + "\n").plan
    assert plan["clusters"][0]["unsealed_rings"] == 1 and plan["former_deletes"] > 0


def test_a_job_does_not_go_on_when_a_ring_was_sealed_or_changed_meanwhile(changed):
    p, config, former = changed
    replay = Replay(p.dir, config)
    path = os.path.join(p.dir, "keys")
    with open(path, "w") as f:
        f.write("\n".join(keys_of(2000)) + "\n")
    running = replay.start("--from", "list", path, "--execute", "--rate", "1000")
    wait_until(lambda: any(e["event"] == "progress" and e["done"] > 100 for e in events(running)), 10, "progress")
    running.signal(signal.SIGTERM)
    assert running.wait(10) == STOPPED
    ctl(config, "seal")
    done = replay.resume(replay.job())
    assert done.code == USAGE and "make a new plan" in done.err


def test_a_former_owner_that_is_gone_is_named_with_what_to_do(changed):
    p, config, former = changed
    # The first server leaves the ring and this world.
    write_config(config, dict(p.config("a"), clusters=[dict(p.config("a")["clusters"][0],
                                                            servers=p.config("a")["clusters"][0]["servers"][1:])]))
    p.routers["a"].reload()
    wait_until(lambda: len(p.routers["a"].status()["rings"]["unsealed"]) == 2, 10, "the ring to change")
    p.caches["a"][0].process.kill()
    replay = Replay(p.dir, config)
    lines = "\n".join(keys_of(100)) + "\n"
    done = replay.run("--from", "list", "-", "--execute", "--patience", "1s", stdin=lines)
    assert done.code == STOPPED and "--no-former" in done.report["away"], done.err
    done = replay.run("--from", "list", "-", "--execute", "--no-former", stdin=lines)
    assert done.code == GOOD, done.err


def test_the_mode_that_squealctl_switched_is_the_replays(pipeline):
    from harness.memcached import SquealCache
    p = pipeline(start=False, clusters=["a"], servers=1, cache=SquealCache)
    config = p.cluster_config_path("a")
    p.squeal.start()
    p.routers["a"].start()
    replay = Replay(p.dir, config)

    def may_be_filled(key, *args):
        done = replay.run("--from", "list", "-", "--execute", *args, stdin=key + "\n")
        assert done.code == GOOD, done.err
        with p.caches["a"][0].client() as c:
            return done.plan["clusters"][0]["mode"], c.command(b"add %s 0 0 1\r\nx" % key.encode()) == b"STORED"

    assert may_be_filled("k:1") == ("warm", True)
    ctl(config, "mode", "cold")
    assert may_be_filled("k:2") == ("cold", False)
    assert may_be_filled("k:3", "--mode", "warm") == ("warm", True)
    p.routers["a"].kill()
    # Nobody knows: what squeal.yaml says, and a sentence.
    assert may_be_filled("k:4", "--mode", "cold") == ("cold", False)
    plan = replay.run("--from", "list", "-", stdin="k:5\n").plan
    assert plan["clusters"][0]["mode"] == "warm" and "could not be asked" in plan["clusters"][0]["note"]


def test_another_router_can_be_asked_by_its_address(changed):
    p, config, former = changed
    port = p.routers["a"].admin_port
    elsewhere = p.config("a")
    elsewhere["clusters"][0]["admin"] = "127.0.0.1:1"
    elsewhere["log"] = {"path": os.path.join(p.dir, "other.db")}
    write_config(former, elsewhere)
    replay = Replay(p.dir, former)
    plan = replay.run("--from", "list", "-", stdin="k:1\n").plan
    assert plan["clusters"][0]["known_from"] == "nothing"
    plan = replay.run("--from", "list", "-", "--admin", "127.0.0.1:%d" % port, stdin="k:1\n").plan
    assert plan["clusters"][0]["known_from"] == "router" and plan["clusters"][0]["unsealed_rings"] == 1
    done = replay.run("--from", "list", "-", "--admin", "127.0.0.1:1", stdin="k:1\n")
    assert done.code != GOOD and "--admin" in done.err
