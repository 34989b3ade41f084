"""Replay keys per second: squeal-replay from a log and from a binlog file into one memcached, against the bare loop
that pushes the same keys (push_loop.c).

A million different keys, and once more in a binlog of transactions of one key; the rate is not limited.  The time of
the execution is its own (the report's), without the plan's scan; CPU is of the whole program, scan included, and, for
the log, of the loop times two: the program reads everything twice.
"""

import json
import os
import shutil
import statistics

from harness import Memcached, Pipeline, run_dir
from harness.pipeline import program, write_config

KEYS = 1000000
TXNS = 200000
RUNS = 3


def _replay(report_timed, config, state, source):
    """(seconds of the execution, CPU seconds, deletes)"""
    shutil.rmtree(state, ignore_errors=True)
    wall, cpu, output = report_timed(
        [program("squeal-replay"), "-c", config, "--state", state, "--execute", "--rate", "0", "--max-ack", "0ms",
         "--max-keys", "100000000", "--json"] + source)
    report = json.loads([line for line in output.splitlines() if '"event":"report"' in line][-1])
    return report["ms"] / 1000, cpu, report["acked"]


def _compare(report, timed, name, config, state, source, port, deletes, prefix):
    loops, ours = [], []
    for _ in range(RUNS):
        _, _, output = timed([program("push-loop"), str(port), str(deletes), prefix])
        loops.append([float(x) for x in output.split()[1:3]])
        ours.append(_replay(timed, config, state, source))
        if ours[-1][2] != deletes:
            raise RuntimeError("%d deletes instead of %d" % (ours[-1][2], deletes))
    wall = statistics.median(o[0] for o in ours)
    cpu = statistics.median(o[1] for o in ours)
    loop_wall = statistics.median(x[0] for x in loops)
    loop_cpu = statistics.median(x[1] for x in loops)
    detail = dict(deletes=deletes, wall_s=wall, cpu_s=cpu, loop_wall_s=loop_wall, loop_cpu_s=loop_cpu)
    report.add("replay, %s: deletes per second" % name, deletes / wall, "1/s", None, better="more", **detail)
    report.add("  / bare loop, deletes per second", loop_wall / wall, "x", None, better="more", **detail)
    report.add("  CPU, plan included / bare loop", cpu / loop_cpu, "x", None, **detail)


def bench_replay(report, timed, quiet):
    print("bench: replay against a bare loop of deletes", flush=True)
    dir = run_dir("bench-replay")
    state = os.path.join(dir, "jobs")
    config = os.path.join(dir, "squeal.yaml")
    memcached = Memcached(dir).start()
    try:
        base = {"log": {"path": os.path.join(dir, "bench.log")},
                "clusters": [{"name": "a", "servers": [{"host": "127.0.0.1", "port": memcached.port}]}]}
        write_config(config, base)
        quiet([program("fill_log"), os.path.join(dir, "bench.log"), str(KEYS // 500), "100", "5"])
        _compare(report, timed, "from a log", config, state, ["--from", "log"], memcached.port, KEYS, "bench:")
        with Pipeline(os.path.join(dir, "db"), clusters=["a"], db_options={"binlog_format": "STATEMENT"}) as p:
            p.start_servers()
            p.db.sql("CREATE TABLE demo.n (id INT)")
            p.db.sql("".join("INSERT INTO demo.n VALUES (1) /*inv='bench:%d'*/;" % i for i in range(TXNS)),
                     timeout=300)
            files = os.path.join(p.db.data, "binlog.index")
            _compare(report, timed, "from a binlog, a key a transaction", config, state,
                     ["--from", "binlog", files], memcached.port, TXNS, "bench:")
    finally:
        memcached.stop()
        shutil.rmtree(dir, ignore_errors=True)
