"""Every place between two steps, from event to checkpoint and from log to cursor: the program dies there under
load, is started again, and nothing is lost, invented or stale."""

import os
import subprocess

import pytest

from conftest import need
from harness import BUILD, Failure, Load, Pipeline, run_dir, show_logs, wait_until

PROGRAMS = {"squeal": "squeal", "router": "squeal-router"}


def points(program):
    path = os.path.join(BUILD, "crash-bin", program)
    if not os.path.exists(path):
        return []
    done = subprocess.run([path, "--list-crash-points"], stdout=subprocess.PIPE, text=True, timeout=20)
    return sorted(set(done.stdout.split()))


# Each is visited the first time that the program comes by, right after its start, and in the middle of the load.
# The log is trimmed about once a second at most: its points are visited once.
# squeal.rewound takes a failover: integration/test_failover.py.  A router has the points of writing the log in it, and
# never writes one.
CASES = [(which, point, visit) for which, program in PROGRAMS.items() for point in points(program) for visit in (1, 15)
         if (visit == 1 or ".trim." not in point) and point != "squeal.rewound" and
         not (which == "router" and point.startswith(("broker.append.", "broker.trim.", "broker.kafka.")))]


class Bench:
    """One pipeline for all points; the database's and caches' start is not what is tested."""

    def __init__(self, kafka):
        config = {"squeal": {"txn_memory": "64KiB"}, "router": {"cursor_interval": "20ms"}}
        if not kafka:
            config["log"] = {"max_size": "4MiB"}
        self.p = Pipeline(run_dir("test_crash_points" + ("-kafka" if kafka else "")), trace_prefix="demo:", crash=True,
                          config=config, **({"kafka": 1} if kafka else {}))
        self.first = 1
        self.rounds = 0

    def big_transaction(self, name):
        """Spills, fills several records, and makes the log trim."""
        rows = ["INSERT INTO demo.big VALUES (%d) /*inv='%s'*/"
                % (i, ",".join("x:%s:%d:%s" % (name, i * 250 + j, "y" * 150) for j in range(250))) for i in range(60)]
        self.p.db.sql("CREATE TABLE IF NOT EXISTS demo.big (id INT); BEGIN;" + ";".join(rows) + "; COMMIT")


@pytest.fixture(scope="module")
def benches():
    """Made when they are needed: one with a log in a file, one with Kafka."""
    made = {}

    def get(kafka):
        need("mariadb", kafka or None)
        if kafka not in made:
            made[kafka] = Bench(kafka)
            made[kafka].p.start()
        return made[kafka]
    try:
        yield get
    except BaseException:
        for b in made.values():
            show_logs(b.p.dir)
        raise
    finally:
        for b in made.values():
            b.p.stop()


def test_the_crash_builds_list_their_points():
    for program in PROGRAMS.values():
        assert len(points(program)) >= 3, "build/crash-bin/%s has no crash points; run make crash-programs" % program


@pytest.mark.parametrize("which,point,visit", CASES, ids=["%s-%s-%d" % c for c in CASES])
def test_dies_and_comes_back(benches, which, point, visit):
    bench = benches(point.startswith("broker.kafka."))
    p = bench.p
    victim = p.squeal if which == "squeal" else p.routers[p.cluster_names[0]]
    for daemon in p.daemons():
        if not daemon.process.running:
            daemon.start()
    bench.rounds += 1
    load = Load(p, rate=400, seconds=60, after=0.3, writers=4, readers=2, reads=2000, items=200,
                first=bench.first, seed=bench.rounds, name="demo-app-%d" % bench.rounds).start()
    try:
        wait_until(lambda: load.progress().get("commits", 0) > 20, 20, "the load")
        victim.stop()
        victim.start(wait=False, env={"SQUEAL_CRASH_AT": "%s#%d" % (point, visit)})

        def died():
            return not victim.process.running
        try:
            wait_until(died, 3, "")
        except Failure:
            for i in range(3):
                bench.big_transaction("%d:%d" % (bench.rounds, i))
            wait_until(died, 30, "%s to come by %s" % (victim.name, point))
        assert victim.process.popen.returncode == -9, victim.process.log_text()[-2000:]
        victim.start()
        victim.wait_ready()
    finally:
        load.finish()
        bench.first = int(load.progress()["next"]) + 1000
    verdict = load.check()
    assert verdict.clean, str(verdict) + "\n" + verdict.log
