"""A server that was away comes back while the others are fed live: what `BENCH=catchup make bench` measures.

    live       latency of the others, from before the append to the acknowledgement, while everything is well, while
               one server stands still, and while one catches up
    catch-up   how long the server needs for what it missed, and the most memory of the router meanwhile

    BENCH_CATCHUP_KEYS=1000000   deletes that the server missed; 10000000 for a soak
    BENCH_CATCHUP_RECORD=1000    keys in each record of what it missed
    BENCH_CATCHUP_SECONDS=4      of each load of live records

There is no database: fill_log writes the log.
"""

import contextlib
import os
import sqlite3
import subprocess
import threading
import time

from harness import Failure, Memcached, free_port, resident_bytes, run_dir, wait_until
from harness.pipeline import Router, program, read_trace, write_config
from harness.process import Process

KEYS = int(os.environ.get("BENCH_CATCHUP_KEYS") or 1000000)
RECORD = int(os.environ.get("BENCH_CATCHUP_RECORD") or 1000)
SECONDS = float(os.environ.get("BENCH_CATCHUP_SECONDS") or 4)
RATE = 500  # live records per second
PER_RECORD = 3
SERVERS = 3
LOOK_S = 0.25
LONGEST_S = 300
MIB = 1 << 20


class Scene:
    """A log, three servers and their router."""

    def __init__(self, dir, **settings):
        self.dir = dir
        self.log = os.path.join(dir, "log.db")
        self.trace_path = os.path.join(dir, "trace")
        self.config = os.path.join(dir, "squeal.yaml")
        self.caches = [Memcached(dir, "cache-%d" % i) for i in range(SERVERS)]
        port = free_port()
        write_config(self.config, {
            "log": {"path": self.log, "sync": "normal"},
            "router": dict({"trace_prefix": "live:", "trace_file": self.trace_path, "backoff_max": "50ms"}, **settings),
            "clusters": [{"name": "a", "admin": "127.0.0.1:%d" % port,
                          "servers": [{"host": "127.0.0.1", "port": c.port} for c in self.caches]}]})
        self.router = Router(dir, self.config, "a", port)

    def __enter__(self):
        for cache in self.caches:
            cache.process.start()
        for cache in self.caches:
            cache.wait_ready()
        self.fill(1, 1, "first:")
        self.router.start()
        return self

    def __exit__(self, *_):
        self.router.stop()
        for cache in self.caches:
            cache.process.kill()

    def fill(self, records, keys, prefix):
        subprocess.run([program("fill_log"), self.log, str(records), "1", str(keys), prefix], check=True,
                       stdin=subprocess.DEVNULL)

    def settle(self):
        """Moves what was filled in out of SQLite's write-ahead log, as nobody fills a log while it is measured."""
        with contextlib.closing(sqlite3.connect(self.log, timeout=60)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def live(self, seconds, name):
        """A process that appends live records for so long."""
        return Process("live-" + name, [program("fill_log"), self.log, str(int(seconds * RATE)), "1", str(PER_RECORD),
                                        "live:%s:" % name, str(RATE)], self.dir).start()

    def metric(self, name, i):
        return self.router.metrics().total(name, server=self.caches[i].address)

    def level(self, servers, timeout=120):
        # The router itself may not know yet how far the log goes.
        with contextlib.closing(sqlite3.connect(self.log, timeout=60)) as db:
            end = db.execute("SELECT max(offset) + 1 FROM records").fetchone()[0]
        wait_until(lambda: all(self.metric("squeal_router_acked_offset", i) >= end for i in servers), timeout,
                   "servers %s to be level" % servers)

    def latencies(self, name, servers, since=0, until=1 << 62):
        """Milliseconds of the live keys of these servers whose append began in a time, sorted."""
        addresses = {self.caches[i].address for i in servers}
        out = []
        for at, server, _, key in read_trace(self.trace_path):
            _, which, _, appended = key.split(":")
            if which == name and server in addresses and since <= int(appended) <= until:
                out.append((at - int(appended)) / 1000)
        if len(out) < 100:
            raise Failure("only %d live deletes were traced" % len(out))
        return sorted(out)


class Peak(threading.Thread):
    """The most resident memory of a process, sampled every 5 ms."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.samples, self.over = pid, [], threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.005):
            self.samples.append(resident_bytes(self.pid))

    def stop(self):
        self.over.set()
        self.join()
        return max(self.samples)


def look(cond, timeout=LONGEST_S):
    """Waits for a condition without being felt: each look at the metrics holds a core for as long as hundreds of live deletes."""
    deadline = time.time() + timeout
    while not cond():
        if time.time() > deadline:
            raise Failure("waited %g s for the server to catch up" % timeout)
        time.sleep(LOOK_S)


def percentile(sorted_values, p):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * p / 100))]


def report_live(report, what, values, base=None, of="all well"):
    for p in (50, 99):
        value = percentile(values, p)
        report.add("live, %s, p%d" % (what, p), value, "ms", None, n=len(values))
        if base is not None:
            report.add("  the same / %s" % of, value / percentile(base, p), "x", 2)


def bench_catchup(report):
    print("bench: a server away, %d deletes missed" % KEYS, flush=True)
    others = list(range(1, SERVERS))
    with Scene(run_dir("bench")) as s:
        s.live(SECONDS, "well").wait(SECONDS * 5 + 10)
        s.level(range(SERVERS))
        well = s.latencies("well", others)
        report_live(report, "all well", well)

        s.caches[0].pause()
        s.live(SECONDS, "still").wait(SECONDS * 5 + 10)
        s.level(others)
        s.caches[0].resume()
        report_live(report, "one stands still", s.latencies("still", others), well)
        s.level(range(SERVERS))

        s.caches[0].kill()
        s.fill(KEYS * SERVERS // RECORD, RECORD, "missed:")
        s.level(others, 300)
        s.settle()
        before = s.metric("squeal_router_deletes_acked_total", 0)
        base = resident_bytes(s.router.process.pid)
        peak = Peak(s.router.process.pid)
        feeder = s.live(LONGEST_S, "back")
        started = time.time()
        look(lambda: s.metric("squeal_router_behind", 0) < 100 or time.time() - started > SECONDS)
        begin = time.time()
        s.caches[0].start()
        look(lambda: s.metric("squeal_router_behind", 0) < 100)
        end = time.time()
        caught = s.metric("squeal_router_deletes_acked_total", 0) - before
        feeder.kill()
        s.level(range(SERVERS))
        most = peak.stop()
        report.add("catching up with %d deletes" % caught, end - begin, "s", None, deletes=caught)
        report.add("  deletes per second", caught / (end - begin), "1/s")
        report.add("router, resident before", base / MIB, "MiB")
        report.add("router, most resident while it catches up", most / MIB, "MiB", base / MIB + 8)
        near = s.latencies("back", others, (begin - SECONDS / 2) * 1e6, (begin - 0.05) * 1e6)
        report_live(report, "just before", near)
        report_live(report, "one catches up", s.latencies("back", others, begin * 1e6, end * 1e6), near, "just before")
