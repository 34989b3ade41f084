"""squeal-cache against memcached 1.6.45 and pogocache, in one run: what `BENCH=cache make bench` measures.

    cpu        CPU time of the server per operation, with one and with two threads
    capacity   how many items of 16 + 64 bytes survive in 256 MiB, and the resident memory
    scale      sets, and half sets half gets, with one thread and with two
    miss       misses of a look-aside application at equal memory: Zipf, mixed TTLs and sizes
    latency    p99.9 while the server evicts, and while its hash table grows
    restart    a memory file of 5 GB: graceful and after kill -9

    BENCH_CACHE="cpu miss"     only these
    BENCH_CACHE_RUNS=5         of each case of cpu and scale; the medians count
    POGOCACHE=/path            a built pogocache; without it, it is not compared
    BENCH_RESTART_GB=5         size of the memory file
    CACHE_SERVER=...           another program in the place of squeal-cache (harness/cache.py)

memcached is the one of `integration/server-root memcached`.  All servers of a comparison run at the same time, and the
load goes to one after the other in turn, so that what disturbs one disturbs all.
"""

import contextlib
import json
import os
import statistics
import subprocess
import time

from harness import Cache, Failure, Process, cache_is_ours, cpu_seconds, free_port, resident_bytes, run_dir, wait_until
from harness.pipeline import program

RUNS = int(os.environ.get("BENCH_CACHE_RUNS") or 5)
RESTART_GB = float(os.environ.get("BENCH_RESTART_GB") or 5)
KEYS = 100000
MIB = 1 << 20

# name, what the load does, operations, goals against memcached and against pogocache
CASES = [
    ("get", ["--must-hit"], 60000, 0.95, 1.0),
    ("get, 8 pipelined", ["--must-hit", "--pipe", "8"], 200000, 0.6, 1.0),
    ("get of 10 keys", ["--must-hit", "--batch", "10"], 300000, 0.6, 1.0),
    ("get of 50 keys", ["--must-hit", "--batch", "50"], 600000, 0.6, 1.0),
    ("set", ["--gets", "0"], 60000, None, 1.0),
    ("90 % get, 10 % set", ["--gets", "90"], 60000, None, None),
    ("50 % get, 50 % set", ["--gets", "50"], 60000, None, None),
]


class Pogocache:
    """The peer, as far as the benchmarks use it."""

    def __init__(self, dir, threads, memory):
        self.name = "pogocache"
        self.port = free_port()
        self.process = Process(self.name, [os.environ["POGOCACHE"], "-p", str(self.port), "--threads", str(threads),
                                           "--maxmemory", "%dmb" % memory], dir)

    pid = property(lambda self: self.process.pid)

    def start(self):
        self.process.start()

        def ready():
            self.process.check_running()
            return load(self, "--ops", "1", check=False) is not None
        wait_until(ready, 20, "pogocache to answer")
        return self

    def stop(self):
        return self.process.stop()

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def resident_bytes(self):
        return resident_bytes(self.pid)


def load(server, *args, check=True):
    """Runs cache-load against the server; what it counted."""
    done = subprocess.run([program("cache-load"), "--at", "tcp:%d" % server.port] + [str(a) for a in args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        if not check:
            return None
        raise Failure("the load on %s failed: %s" % (server.name, done.stderr.strip()))
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def servers(threads=1, memory=1024, pogocache=True, options=()):
    """ours, memcached, and pogocache where there is one: all started."""
    dir = run_dir("bench-cache")
    started = []
    try:
        for name, server in (("ours", None), ("memcached", "memcached")):
            started.append(Cache(dir, name, server, threads=threads, memory=memory, options=options).start())
        if pogocache and os.environ.get("POGOCACHE"):
            started.append(Pogocache(dir, threads, memory).start())
        yield started
    finally:
        for s in started:
            s.stop()


def fill(server, keys, *args):
    return load(server, "--gets", 0, "--sequential", "--pipe", 20, "--keys", keys, "--ops", keys, *args)


def cpu_per_op(server, args, ops):
    before = server.cpu_seconds()
    load(server, *args, "--ops", ops)
    return (server.cpu_seconds() - before) / ops * 1e6


def bench_cpu(report):
    print("bench: CPU time of the server per operation", flush=True)
    for threads in (1, 2):
        for size in (64, 1024):
            with servers(threads) as peers:
                for s in peers:
                    fill(s, KEYS, "--size", size)
                for case, args, ops, goal, pogo_goal in CASES:
                    args = args + ["--keys", KEYS, "--size", size, "--threads", threads]
                    seen = {s.name: [] for s in peers}
                    for run in range(RUNS):
                        # Whoever comes first finds other caches of the processor than who comes last.
                        for s in peers[run % len(peers):] + peers[:run % len(peers)]:
                            seen[s.name].append(cpu_per_op(s, args, ops))
                    us = {name: statistics.median(v) for name, v in seen.items()}
                    title = "%s, %d B, %d thread%s" % (case, size, threads, "s" if threads > 1 else "")
                    for name in us:
                        if name != "ours":
                            report.add("%s: ours / %s" % (title, name), us["ours"] / us[name], "x",
                                       goal if name == "memcached" else pogo_goal, us=us)
                    print("      us: %s" % "  ".join("%s %.2f" % x for x in us.items()), flush=True)


def bench_capacity(report):
    print("bench: items of 16 + 64 bytes in 256 MiB", flush=True)
    n = 5000000
    kept, resident = {}, {}
    with servers(2, memory=256) as peers:
        for s in peers:
            fill(s, n, "--threads", 2)
            kept[s.name] = load(s, "--sequential", "--batch", 50, "--keys", n, "--ops", n)["hits"]
            resident[s.name] = s.resident_bytes() / MIB
            report.add("items in 256 MiB, %s" % s.name, kept[s.name], "items", None, resident_mib=resident[s.name])
            report.add("  resident memory, %s" % s.name, resident[s.name], "MiB", None)
    report.add("items in 256 MiB: ours / memcached", kept["ours"] / kept["memcached"], "x", 1.5, better="more")


def bench_scale(report):
    """The load needs a core too: on two cores the second thread of the server cannot double what is served, but what
    an operation costs must not grow."""
    print("bench: from one thread to two", flush=True)
    seen = {}
    for threads in (1, 2):
        with servers(threads) as peers:
            for s in peers:
                fill(s, KEYS)
            for name, gets in (("set", 0), ("50/50", 50)):
                for run in range(RUNS):
                    for s in peers:
                        before = s.cpu_seconds()
                        ops = 400000
                        wall = load(s, "--gets", gets, "--pipe", 16, "--keys", KEYS, "--ops", ops, "--threads", 2,
                                    "--conns", 64)["wall_s"]
                        seen.setdefault((name, s.name, threads), []).append(
                            (ops / wall, (s.cpu_seconds() - before) / ops * 1e6))
    for name, server, threads in list(seen):
        if threads == 1:
            one, two = ([statistics.median(x) for x in zip(*seen[name, server, t])] for t in (1, 2))
            detail = dict(one=dict(zip(("per_second", "cpu_us"), one)), two=dict(zip(("per_second", "cpu_us"), two)))
            report.add("%s, %s: operations per second, two threads / one" % (name, server), two[0] / one[0], "x", None,
                       better="more", **detail)
            report.add("%s, %s: CPU per operation, two threads / one" % (name, server), two[1] / one[1], "x", None,
                       **detail)


def bench_miss(report):
    print("bench: misses of a look-aside application, 64 MiB", flush=True)
    ratio = {}
    with servers(2, memory=64, pogocache=False) as peers:
        for s in peers:
            trace = ["--aside", "--zipf", 0.9, "--keys", 2000000, "--size", "10:200", "--ttls", "4,15,0,0", "--pipe", 25,
                     "--conns", 16, "--rate", 6000, "--ops", 1 << 40]
            # Until both have evicted for several times their memory, so that it is the policy that is measured.
            load(s, *trace, "--seconds", 45, "--seed", 7)
            got = load(s, *trace, "--seconds", 15, "--seed", 8)
            ratio[s.name] = got["misses"] / got["gets"]
            report.add("miss ratio, %s" % s.name, ratio[s.name], "", None, **got)
    report.add("miss ratio: ours / memcached", ratio["ours"] / ratio["memcached"], "x", 0.85)


def bench_latency(report):
    print("bench: p99.9 of a round of 4 requests, 5,000 rounds per second", flush=True)
    for what, memory, args in (
            ("evicting", 64, ["--gets", 50, "--keys", 20000000, "--size", 256]),
            ("the hash table grows", 1024, ["--gets", 10, "--sequential", "--keys", 20000000, "--pipe", 16])):
        with servers(2, memory=memory, pogocache=False) as peers:
            for s in peers:
                if memory == 64:
                    fill(s, 400000, "--size", 256, "--first", 50000000)
                got = load(s, "--pipe", 4, *args, "--rate", 5000, "--seconds", 8, "--ops", 1 << 40)
                for p in ("p99", "p999"):
                    report.add("%s, %s, %s" % (what, p.replace("p999", "p99.9"), s.name), got[p + "_us"] / 1e3, "ms", None,
                               max_ms=got["max_us"] / 1e3)


def bench_restart(report):
    size = int(RESTART_GB * 1e9)
    print("bench: restart with a memory file of %g GB" % RESTART_GB, flush=True)
    dir = run_dir("bench-cache")
    room = os.statvfs("/dev/shm")
    where = "/dev/shm" if room.f_bavail * room.f_frsize > 1.3 * size else dir
    keys = int(size * 0.8 / 1150)
    for name, server in (("ours", None), ("memcached", "memcached")):
        path = os.path.join(where, "squeal-bench-%d.%s" % (os.getpid(), name))
        ours = not server and cache_is_ours()
        options = ["-e", path] + (["--serve-immediately"] if ours else [])
        cache = Cache(dir, name + "-restart", server, threads=2, memory=size // MIB, options=options)

        def came_back(what):
            begin = time.monotonic()
            cache.start(wait=False)
            cache.wait_ready(300)
            took = time.monotonic() - begin
            got = load(cache, "--batch", 50, "--keys", keys, "--size", 1024, "--ops", 500000)
            report.add("%s, %s: until it answers" % (name, what), took, "s", None, on=where)
            report.add("%s, %s: of its items are back" % (name, what), 100 * got["hits"] / got["gets"], "%", None)
        try:
            cache.start()
            fill(cache, keys, "--size", 1024)
            cache.stop_gracefully(300)
            if server:
                time.sleep(2)  # memcached does not believe a file that was closed in the second in which it starts
            came_back("graceful restart")
            cache.kill()
            if ours:
                came_back("restart after kill -9")
        finally:
            cache.stop()
            for p in (path, path + ".meta"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(p)


PARTS = {"cpu": bench_cpu, "capacity": bench_capacity, "scale": bench_scale, "miss": bench_miss, "latency": bench_latency,
         "restart": bench_restart}


def bench_cache(report):
    if not os.environ.get("POGOCACHE"):
        print("bench: pogocache is not compared: POGOCACHE=/path/to/pogocache names none")
    for part in (os.environ.get("BENCH_CACHE") or " ".join(PARTS)).split():
        PARTS[part](report)
