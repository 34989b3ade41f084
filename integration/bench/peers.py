#!/usr/bin/env python3
"""Row changes to cache keys against Debezium, on the same server's binlog: `make bench-peers`.

Needs Java 17 and Maven (Debian: openjdk-17-jdk-headless, maven), which fetches io.debezium:debezium-embedded and
io.debezium:debezium-connector-mariadb from Maven Central; not part of any check.

    engine   Debezium's embedded engine, records as Connect structs, two keys of each in its consumer
    reader   only the binlog reader inside of it, two keys of each row in its listener
    squeal   `squeal run --null-log` with a rule of two keys: reading, rows, rules, batches

Prints row changes per second, and per second of the process's CPU time, and the ratios.  Java's times begin with the
first row change, so neither its start nor its first connection counts; squeal's are those of the whole process.

    BENCH_PEER_MB=600    size of the binlog
    BENCH_PEER_RUNS=3    the median counts
"""

import json
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import binlogs  # noqa: E402
from bench import Report, timed  # noqa: E402
from harness import Failure, Pipeline, run_dir, show_logs  # noqa: E402
from harness.pipeline import program  # noqa: E402
from harness.process import BUILD  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
JAVA_BUILD = os.path.join(BUILD, "bench-debezium")
MB = int(os.environ.get("BENCH_PEER_MB") or 600)
RUNS = int(os.environ.get("BENCH_PEER_RUNS") or 3)


def build_peer():
    if not shutil.which("mvn") or not shutil.which("java"):
        raise Failure("mvn and java are needed: apt-get install openjdk-17-jdk-headless maven")
    done = subprocess.run(["mvn", "-q", "-B", "-f", os.path.join(HERE, "debezium", "pom.xml"), "-Dbench.build=" + JAVA_BUILD,
                           "compile", "dependency:copy-dependencies", "-DoutputDirectory=" + os.path.join(JAVA_BUILD, "lib")],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure("Maven failed: " + done.stdout[-1500:])


def run_peer(mode, db, rows, dir):
    folder = run_dir(os.path.join("bench-peers", mode))
    argv = ["java", "-Xms1g", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
            "%s/classes:%s/lib/*" % (JAVA_BUILD, JAVA_BUILD), "Peer", mode, "127.0.0.1", str(db.port), "peer", "secret",
            "770", str(rows), folder]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=1800)
    except subprocess.TimeoutExpired as e:
        raise Failure("%s did not end: %s" % (mode, (e.stderr or b"")[-1500:]))
    if done.returncode != 0:
        raise Failure("%s failed: %s" % (mode, done.stderr[-1500:]))
    got = json.loads(done.stdout.splitlines()[-1])
    if got["rows"] != rows:
        raise Failure("%s saw %d rows of %d" % (mode, got["rows"], rows))
    return got


def count_updates(db, rules):
    """Row changes of the load, and the keys that the rule makes of them, by `squeal keys`."""
    rows = keys = 0
    files = [os.path.join(db.data, line.split("\t")[0]) for line in db.sql("SHOW BINARY LOGS").splitlines()]
    child = subprocess.Popen([program("squeal"), "keys", "--rows", "--rules", rules] + files, stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL)
    for line in child.stdout:
        line = json.loads(line)
        if any(k.startswith("range:") for k in line["keys"]):
            rows += line["rows"]
            keys += len(line["keys"])
    if child.wait() != 0:
        raise Failure("squeal keys failed")
    return rows, keys


def main():
    report = Report("bench-peers.json")
    build_peer()
    rules = binlogs.rules_file()
    with Pipeline(run_dir("bench-peers"), config={"markers": {"rules": rules}},
                  db_options={"binlog_format": "ROW", "row_metadata": "FULL", "max_binlog_size": 1 << 30}) as p:
        p.start_servers()
        p.db.sql("CREATE USER peer@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO peer@'%'")
        p.db.sql(binlogs.TABLE)
        binlogs.fill(p.db, "rows", MB << 20)
        rows, keys = count_updates(p.db, rules)
        print("bench-peers: %d row changes, %d keys" % (rows, keys), flush=True)
        ours = [program("squeal"), "run", "--null-log", "--until-end", "--start", "earliest", "-c", p.config_path]
        timed(ours)  # warm the page cache
        speed = {}
        for name in ("squeal", "reader", "engine"):
            walls, cpus = [], []
            for _ in range(RUNS):
                if name == "squeal":
                    wall, cpu, output = timed(ours)
                else:
                    got = run_peer(name, p.db, rows, p.dir)
                    wall, cpu = got["wall_s"], got["cpu_s"]
                walls.append(wall)
                cpus.append(cpu)
            speed[name] = rows / statistics.median(walls), rows / statistics.median(cpus)
            report.add("%s, row changes per second" % name, speed[name][0], "1/s", None)
            report.add("%s, row changes per CPU second" % name, speed[name][1], "1/s", None)
        for peer in ("engine", "reader"):
            goal = 10 if peer == "engine" else None
            report.add("squeal / %s, wall" % peer, speed["squeal"][0] / speed[peer][0], "x", goal, better="more")
            report.add("squeal / %s, CPU" % peer, speed["squeal"][1] / speed[peer][1], "x", goal, better="more")
    shutil.rmtree(os.path.join(BUILD, "run", "bench-peers", "mariadb"), ignore_errors=True)
    report.write()


if __name__ == "__main__":
    try:
        main()
    except Failure as e:
        show_logs(os.path.join(BUILD, "run", "bench-peers"), 5)
        print("bench-peers: could not be measured: %s" % e, file=sys.stderr)
        sys.exit(1)
