#!/usr/bin/env python3
"""What the pipeline costs and how fast it is, against peers and bounds, in one run.

    keys       `squeal keys` on a file of a GiB against mariadb-binlog, in statement and row format, and rows with a
               rule of two keys
    tail       reading + extraction + batching to a null log, against the bare packet-reading loop, same binlog
    latency    from a commit's return to the router's holding the acknowledgement, idle and under load
    kafka      the same through one Apache Kafka broker on this machine (integration/kafka-dist); only when named
    packing    deletes per packet to a server, against one at a time
    push       the router's catching up with a log of deletes against a bare loop that pushes them, same memcached: CPU
               time for a delete, and rate
    memory     the most resident memory of squeal (a 1 GB transaction) and of a router (a server down for a minute)
    catchup    a server that was away: time to catch up, latency of the others meanwhile: catchup_bench.py
    replay     squeal-replay from a log and from a binlog file, against a bare loop that pushes the same deletes
    cache      squeal-cache against memcached 1.6.45 and pogocache: cache_bench.py says what and with which variables

Prints a table and writes build/bench.json.  A bound that is missed is said to be; the exit code is 0 unless
something could not be measured.

    BENCH="tail latency"       only these
    BENCH_SECONDS=10           of each load
    BENCH_DOWN_SECONDS=60      how long the server is down
    BENCH_KEYS=2000000         deletes to push
    BENCH_GIB=1.0              size of the large transaction, and of the binlog files
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import binlogs  # noqa: E402
from cache_bench import bench_cache  # noqa: E402
from catchup_bench import bench_catchup  # noqa: E402
from replay_bench import bench_replay  # noqa: E402
from harness import (Failure, Load, Memcached, Pipeline, Router, cpu_seconds, free_port, run_dir,  # noqa: E402
                     show_logs, wait_until)
from harness.pipeline import program  # noqa: E402
from harness.process import BUILD  # noqa: E402

SECONDS = float(os.environ.get("BENCH_SECONDS") or 10)
DOWN_SECONDS = float(os.environ.get("BENCH_DOWN_SECONDS") or 60)
GIB = float(os.environ.get("BENCH_GIB") or 1.0)
KEYS = int(os.environ.get("BENCH_KEYS") or 2000000)
RUNS = int(os.environ.get("BENCH_RUNS") or 5)
MIB = 1 << 20


class Report:
    def __init__(self, name="bench.json"):
        self.name = name
        self.rows = []

    def add(self, name, value, unit, bound=None, better="less", **detail):
        """`bound`: the goal; None where there is none."""
        met = None if bound is None else (value <= bound if better == "less" else value >= bound)
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "met": met,
                          "detail": detail})
        mark = "" if met is None else "%s %g: %s" % ("<=" if better == "less" else ">=", bound, "met" if met else "MISSED")
        print("  %-52s %10.2f %-8s %s" % (name, value, unit, mark), flush=True)

    def write(self):
        path = os.path.join(BUILD, self.name)
        with open(path, "w") as f:
            json.dump({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpus": os.cpu_count(),
                       "machine": platform.machine(), "kernel": platform.release(), "results": self.rows}, f, indent=1)
            f.write("\n")
        print("bench: written to %s" % os.path.relpath(path))


def timed(argv):
    """(wall seconds, CPU seconds, output) of a program."""
    begin = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begin
    if child.returncode != 0:
        raise Failure("%s ended with %d: %s" % (argv[0], child.returncode, output[-1500:]))
    return wall, usage.ru_utime + usage.ru_stime, output


def peak_rss(process):
    with open("/proc/%d/status" % process.pid) as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise Failure("no VmHWM of %s" % process.name)


def bench_tail(report):
    print("bench: tail + extract + batch against the bare loop", flush=True)
    for format in ("STATEMENT", "ROW"):
        with Pipeline(run_dir("bench"), trace_prefix="demo:", db_options={"binlog_format": format}) as p:
            p.start_servers()
            load = Load(p, rate=200000, seconds=2.5 * SECONDS, after=0, writers=16, readers=1, reads=1, items=20000).start()
            load.wait(SECONDS + 60)
            if load.progress()["commits"] < 1000:
                raise Failure("the load wrote next to nothing")
            with open(p.password_file) as f:
                password = f.read().strip()
            first = p.db.sql("SHOW BINARY LOGS").split("\t")[0]
            bare = [program("bare-loop"), p.db.socket, "squeal", password, first, "4"]
            ours = [program("squeal"), "run", "--null-log", "--until-end", "--start", "earliest", "-c", p.config_path]
            timed(bare), timed(ours)  # warm the page cache
            walls, cpus, base = [], [], []
            for _ in range(RUNS):
                bare_wall, bare_cpu, output = timed(bare)
                our_wall, our_cpu, _ = timed(ours)
                walls.append(our_wall / bare_wall)
                cpus.append(our_cpu / bare_cpu)
                base.append((bare_wall, bare_cpu, our_wall, our_cpu))
            b = [statistics.median(x) for x in zip(*base)]
            detail = dict(commits=int(load.progress()["commits"]), bare_output=output.strip(), bare_wall_s=b[0],
                          bare_cpu_s=b[1], our_wall_s=b[2], our_cpu_s=b[3])
            report.add("tail / bare loop, wall, %s" % format, statistics.median(walls), "x", 1.5, **detail)
            report.add("tail / bare loop, CPU, %s" % format, statistics.median(cpus), "x", None, **detail)
            print("      %s; ours %.3f s wall, %.3f s CPU" % (output.strip(), b[2], b[3]), flush=True)


def quiet(argv):
    """(wall seconds, CPU seconds) of a program whose output nobody keeps."""
    begin = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begin
    if child.returncode != 0:
        raise Failure("%s ended with %d: %s" % (argv[0], child.returncode, errors[-1500:]))
    return wall, usage.ru_utime + usage.ru_stime


def median_of(argv, runs):
    return [statistics.median(x) for x in zip(*[quiet(argv) for _ in range(runs)])]


def count_rows(path):
    """Row changes in the file."""
    child = subprocess.Popen([program("squeal"), "keys", "--rows", path], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    rows = sum(json.loads(line)["rows"] for line in child.stdout)
    if child.wait() != 0:
        raise Failure("squeal keys --rows failed")
    return rows


def bench_keys(report):
    print("bench: squeal keys against mariadb-binlog; output to /dev/null", flush=True)
    rules = binlogs.rules_file()
    for kind in ("statement", "row", "rows"):
        path = binlogs.binlog(kind, int(GIB * (1 << 30)))
        ours = [program("squeal"), "keys", path]
        theirs = ["mariadb-binlog", "--no-defaults", path]
        quiet(ours)  # the file into memory
        wall, cpu = median_of(ours, RUNS)
        size = os.path.getsize(path)
        report.add("squeal keys, %s, GiB per CPU second" % kind, size / (1 << 30) / cpu, "GiB/s", None, wall_s=wall, cpu_s=cpu,
                   bytes=size)
        # It does not verify checksums unless it is told to; squeal always does.
        for name, argv in (("mariadb-binlog", theirs),
                           ("the same, verifying checksums", theirs + ["--verify-binlog-checksum"])):
            their_wall, their_cpu = median_of(argv, 1)
            detail = dict(our_wall_s=wall, our_cpu_s=cpu, their_wall_s=their_wall, their_cpu_s=their_cpu)
            report.add("%s / squeal keys, %s, wall" % (name, kind), their_wall / wall, "x", 10, better="more", **detail)
            report.add("%s / squeal keys, %s, CPU" % (name, kind), their_cpu / cpu, "x", 10, better="more", **detail)
        if kind == "statement":
            continue
        rows = count_rows(path)
        wall, cpu = median_of(ours + ["--rules", rules], RUNS)
        report.add("squeal keys --rules, %s, rows per CPU second" % kind, rows / cpu, "1/s", None, rows=rows, wall_s=wall,
                   cpu_s=cpu)


def sent(p):
    """Deletes and packets sent so far, all routers."""
    deletes = packets = 0
    for router in p.routers.values():
        m = router.metrics()
        deletes += m.total("squeal_router_deletes_sent_total")
        packets += m.total("squeal_router_packets_total")
    return deletes, packets


def latency_case(report, name, rate, writers, linger, p50, p99, warm_up=(20, 1), **pipeline):
    """One load over one pipeline.  `warm_up`: transactions per second and seconds before it."""
    settings = dict(config={"squeal": {"linger": "%dms" % linger}}, trace_prefix="demo:", **pipeline)
    with Pipeline(run_dir("bench"), **settings) as p:
        p.start()
        # The very first commits wait until the gate knows the server's count; that is not the steady state.
        Load(p, rate=warm_up[0], seconds=warm_up[1], after=0, writers=writers if warm_up[0] > 100 else 1, readers=1,
             reads=10, first=1 << 20, name="warm-up").start().wait()
        before = sent(p)
        load = Load(p, rate=rate, seconds=SECONDS * (2 if rate < 100 else 1), writers=writers, readers=2,
                    reads=1000).start()
        load.wait(2 * SECONDS + 60)
        after = sent(p)
        v = load.check()
        if not v.clean:
            raise Failure("the check failed: %s" % v)
        detail = {k: v[k] for k in ("commits", "keys", "pairs", "lost", "stale")}
        report.add("commit to ack, %s, p50" % name, v["p50_ms"], "ms", p50, **detail)
        report.add("commit to ack, %s, p99" % name, v["p99_ms"], "ms", p99, **detail)
        if rate > 100:
            report.add("  transactions per second reached", v["commits"] / SECONDS, "1/s")
            return (after[0] - before[0]) / max(1, after[1] - before[1])
    return None


def bench_latency(report):
    print("bench: commit to acknowledged delete", flush=True)
    # With a linger the batches grow and the latency with them: the price of packing, shown beside it.
    for name, rate, writers, linger in (("idle (10/s)", 10, 1, 0), ("2,000 txn/s", 2000, 8, 0),
                                        ("2,000 txn/s, linger 10 ms", 2000, 8, 10)):
        packing = latency_case(report, name, rate, writers, linger, None if linger else 3, None if linger else 15)
        if packing is not None:
            report.add("deletes per packet at that rate / one at a time", packing, "x", 18, better="more")


def bench_kafka(report):
    print("bench: commit to acknowledged delete, through Kafka", flush=True)
    for name, rate, writers, linger in (("Kafka, idle (10/s)", 10, 1, 0), ("Kafka, 2,000 txn/s", 2000, 8, 0),
                                        ("Kafka, 2,000 txn/s, linger 5 ms", 2000, 8, 5)):
        # A broker is a JVM: it is slow until it has compiled itself.
        latency_case(report, name, rate, writers, linger, None if linger else 10, None if linger else 50,
                     warm_up=(1000, max(3, SECONDS / 2)), kafka={"options": []})


def catch_up(window_keys, windows, keys):
    """(deletes, packets, seconds) of a router that finds `keys` keys in the log."""
    with Pipeline(run_dir("bench"), clusters=["a"], trace_prefix="done:",
                  config={"router": {"window_keys": window_keys, "windows": windows}}) as p:
        p.start_servers()
        p.squeal.start()
        per = 1000
        p.db.sql("CREATE TABLE demo.n (id INT); " + "".join(
            "INSERT INTO demo.n VALUES (%d) /*inv='%s'*/;" % (i, ",".join("user:%d:%d" % (i, j) for j in range(per)))
            for i in range(keys // per)))
        p.db.sql("INSERT INTO demo.n VALUES (-1) /*inv='%s'*/" % ",".join("done:%d" % i for i in range(64)))
        wait_until(lambda: p.squeal.metrics().total("squeal_batch_key_total") >= keys + 64, 60, "the log")
        begin = time.monotonic()
        p.routers["a"].start()
        p.wait_deleted(["done:%d" % i for i in range(64)], timeout=300)
        seconds = time.monotonic() - begin
        return sent(p) + (seconds,)


def bench_packing(report):
    print("bench: deletes per packet", flush=True)
    deletes, packets, seconds = catch_up(500, 4, 200000)
    one_deletes, one_packets, one_seconds = catch_up(1, 1, 20000)
    ratio = (deletes / packets) / (one_deletes / one_packets)
    report.add("deletes per packet, catching up / one at a time", ratio, "x", 18, better="more",
               batched=deletes / packets, single=one_deletes / one_packets)
    report.add("  deletes per second, catching up", deletes / seconds, "1/s", None, single=one_deletes / one_seconds)


ROUTER_YAML = """
region: bench
log: {type: sqlite, path: %(dir)s/bench.log, sync: normal}
source: {name: bench}
clusters:
  - name: a
    admin: 127.0.0.1:%(admin)d
    servers: ["127.0.0.1:%(port)d"]
"""


def router_pushes(dir, config, admin, keys):
    """(wall seconds, CPU seconds) from a router's start to the acknowledgement of the last key of the log."""
    for name in os.listdir(dir):
        if name.endswith(".cursors"):
            os.unlink(os.path.join(dir, name))
    begin = time.monotonic()
    router = Router(dir, config, "a", admin).start()
    try:
        wait_until(lambda: router.metrics().total("squeal_router_deletes_acked_total") >= keys, 300,
                   "the router to push %d deletes" % keys)
        return time.monotonic() - begin, cpu_seconds(router.process.pid)
    finally:
        router.kill()


def bench_push(report):
    print("bench: pushing deletes against the bare loop", flush=True)
    dir = run_dir("bench-push")
    memcached = Memcached(dir, options=["-t", "1"]).start()
    try:
        admin = free_port()
        config = os.path.join(dir, "squeal.yaml")
        with open(config, "w") as f:
            f.write(ROUTER_YAML % {"dir": dir, "admin": admin, "port": memcached.port})
        per_record, per_txn = 500, 5
        quiet([program("fill_log"), os.path.join(dir, "bench.log"), str(KEYS // per_record), str(per_record // per_txn),
               str(per_txn)])
        loops, routers = [], []
        for _ in range(RUNS):
            _, _, output = timed([program("push-loop"), str(memcached.port), str(KEYS), "bench:"])
            loops.append([float(x) for x in output.split()[1:]])
            routers.append(router_pushes(dir, config, admin, KEYS))
        ratio = [(l[0] / r[0], l[1] / r[1], KEYS / r[1] / (KEYS / l[0])) for l, r in zip(loops, routers)]
        loop, router = ([statistics.median(x) for x in zip(*rows)] for rows in (loops, routers))
        detail = dict(keys=KEYS, loop_wall_s=loop[0], loop_cpu_s=loop[1], router_wall_s=router[0], router_cpu_s=router[1])
        wall, cpu, core = (statistics.median(x) for x in zip(*ratio))
        report.add("router / bare loop, deletes per second", wall, "x", 0.8, better="more", **detail)
        report.add("router's deletes per CPU second / loop's rate", core, "x", 0.8, better="more", **detail)
        report.add("router / bare loop, deletes per CPU second", cpu, "x", None, better="more", **detail)
        print("      loop %.0f ns and %.0f ns of CPU for a delete, router %.0f ns and %.0f ns" % tuple(
            1e9 * x / KEYS for x in loop + router), flush=True)
    finally:
        memcached.stop()
        shutil.rmtree(dir, ignore_errors=True)


def binlog_bytes(p):
    return sum(int(row.split("\t")[1]) for row in p.db.sql("SHOW BINARY LOGS").splitlines())


def bench_memory(report):
    print("bench: resident memory", flush=True)
    buffers = 8 * MIB + 8 * MIB + 1 * MIB  # queue_bytes, txn_memory, a record and its copy
    options = {"binlog_format": "ROW", "options": ["--innodb-log-file-size=512M", "--max-binlog-size=2G"]}
    with Pipeline(run_dir("bench"), trace_prefix="k", db_options=options) as p:
        p.start()
        statements = max(1, int(GIB * 16))
        sql = ["CREATE TABLE demo.big (id INT, v MEDIUMTEXT); BEGIN"]
        for i in range(statements):
            keys = ",".join("k:%d:%d" % (i, j) for j in range(1000))
            sql.append("INSERT INTO demo.big SELECT seq, REPEAT('x', 65000) FROM seq_1_to_1032 /*inv='%s'*/" % keys)
        before = binlog_bytes(p)
        p.db.sql(";\n".join(sql + ["COMMIT"]), database="demo", timeout=600)
        size = binlog_bytes(p) - before
        p.wait_deleted(["k:%d:%d" % (i, j) for i in range(statements) for j in range(1000)], timeout=120)
        report.add("squeal, a transaction of %.2f GiB" % (size / (1 << 30)), peak_rss(p.squeal.process) / MIB, "MiB",
                   (64 * MIB + buffers) / MIB, transaction_bytes=size)
    with Pipeline(run_dir("bench"), trace_prefix="demo:") as p:
        p.start()
        p.all_caches()[0].kill()
        load = Load(p, rate=2000, seconds=DOWN_SECONDS, writers=8, readers=2, reads=1000).start()
        load.wait(DOWN_SECONDS + 60)
        router = p.routers[p.cluster_names[0]]
        behind = router.metrics().total("squeal_router_behind")
        servers = len(p.caches[router.cluster])
        report.add("router, a server down for %g s" % DOWN_SECONDS, peak_rss(router.process) / MIB, "MiB",
                   64 + servers, records_behind=behind)
        p.all_caches()[0].start()
        begin = time.monotonic()
        v = load.check(wait=120)
        if not v.clean:
            raise Failure("the check failed: %s" % v)
        report.add("  back and level again after", time.monotonic() - begin, "s", None, lost=v["lost"], stale=v["stale"])
        report.add("router, after it caught up", peak_rss(router.process) / MIB, "MiB", 64 + servers)


def main():
    report = Report()
    parts = {"keys": bench_keys, "tail": bench_tail, "latency": bench_latency, "kafka": bench_kafka, "packing": bench_packing,
             "push": bench_push, "memory": bench_memory, "catchup": bench_catchup,
             "replay": lambda r: bench_replay(r, timed, quiet), "cache": bench_cache}
    failed = []
    for name in (os.environ.get("BENCH") or "keys tail latency packing push memory catchup replay cache").split():
        try:
            parts[name](report)
        except Failure as e:
            show_logs(os.path.join(BUILD, "run", "bench"), 5)
            print("bench: %s could not be measured: %s" % (name, e), file=sys.stderr)
            failed.append(name)
    shutil.rmtree(os.path.join(BUILD, "run", "bench", "mariadb"), ignore_errors=True)
    report.write()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
