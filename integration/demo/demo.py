#!/usr/bin/env python3
"""The whole system on this machine, under load, with things dying in the middle.

A private MariaDB, two clusters of two memcached, squeal, a router per cluster, and an application.  While it
writes and reads, squeal and one router are killed with -9 and started again, and one memcached stands still for
a second.  At the end every cached value is compared with the database.

    DEMO_SECONDS=12   how long the application writes
    DEMO_RATE=3000    transactions per second that it aims at
    DEMO_KEEP=1       leave everything running, and say how to talk to it
"""

import fcntl
import os
import shlex
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import ROOT, Failure, Load, Pipeline, run_dir, show_logs  # noqa: E402
from harness.process import BUILD  # noqa: E402

SECONDS = float(os.environ.get("DEMO_SECONDS") or 12)
RATE = float(os.environ.get("DEMO_RATE") or 3000)
KEEP = os.environ.get("DEMO_KEEP", "") not in ("", "0")


class Screen:
    """One line that is rewritten on a terminal; a line per second in a pipe."""

    def __init__(self):
        self.tty = sys.stdout.isatty()
        self.width = 0
        self.last = 0.0

    def progress(self, text):
        if self.tty:
            columns = os.get_terminal_size().columns
            text = text[:columns - 1]
            print("\r" + text.ljust(self.width), end="", flush=True)
            self.width = len(text)
        elif time.monotonic() - self.last >= 1:
            self.last = time.monotonic()
            print(text, flush=True)

    def say(self, text):
        if self.tty and self.width:
            print("\r" + " " * self.width + "\r", end="")
            self.width = 0
        print(text, flush=True)


class AckCounter:
    """Lines of the routers' traces so far: acknowledged deletes."""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.read = {c: 0 for c in pipeline.cluster_names}
        self.acks = {c: 0 for c in pipeline.cluster_names}

    def update(self):
        for cluster in self.read:
            try:
                with open(self.pipeline.trace_path(cluster), "rb") as f:
                    f.seek(self.read[cluster])
                    text = f.read()
            except FileNotFoundError:
                continue
            self.read[cluster] += len(text)
            self.acks[cluster] += text.count(b"\n")
        return self.acks


class Faults:
    """What dies, when.  Each step is (at which share of the time, text, function)."""

    def __init__(self, pipeline):
        router = pipeline.routers[pipeline.cluster_names[-1]]
        cache = pipeline.all_caches()[0]
        self.steps = [
            (0.30, "kill -9 squeal", pipeline.squeal.kill),
            (0.33, "squeal started again", lambda: pipeline.squeal.start(wait=False)),
            (0.50, "kill -9 " + router.name, router.kill),
            (0.53, router.name + " started again", lambda: router.start(wait=False)),
            (0.70, cache.name + " stands still", cache.pause),
            (None, cache.name + " goes on", cache.resume),
        ]
        self.now = ""
        self.windows = []
        self.began = None

    def tick(self, elapsed):
        if not self.steps:
            return None
        share, text, act = self.steps[0]
        due = self.began + 1.0 if share is None else share * SECONDS
        if elapsed < due:
            return None
        if len(self.steps) % 2 == 0:
            self.began = elapsed
        act()
        if len(self.steps) % 2 == 1:
            # What was committed since waits for the restart and the way back: a second is plenty for that.
            self.windows.append((time.time() - (elapsed - self.began) - 0.1, time.time() + 1.0))
        self.steps.pop(0)
        self.now = text
        return text


def stop_script(dir):
    return os.path.join(dir, "stop")


def stop_kept(dir):
    """Stops what an earlier DEMO_KEEP left running here."""
    if os.path.exists(stop_script(dir)):
        subprocess.run([stop_script(dir)], check=False)


def write_stop_script(p):
    pids = [x.process for x in p.daemons() + p.all_caches() + [p.db]]
    path = stop_script(p.dir)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n# Stops the kept demo; each process is checked to be the one that was started.\n")
        for process in pids:
            exe = os.path.basename(process.argv[0])
            f.write("[ \"$(cat /proc/%d/comm 2>/dev/null)\" = %s ] && kill %d\n"
                    % (process.pid, shlex.quote(exe[:15]), process.pid))
        # Wait for them: the folder may be emptied next.
        f.write("for pid in %s; do\n\ti=0\n\twhile kill -0 $pid 2>/dev/null && [ $i -lt 100 ]; do\n"
                "\t\tsleep 0.1; i=$((i + 1))\n\tdone\ndone\nrm -f %s\n"
                % (" ".join(str(x.pid) for x in pids), shlex.quote(path)))
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def say_how_to_talk(p):
    where = os.path.relpath(p.dir, ROOT)
    print("The system stays up:")
    print("  database    %s demo" % " ".join(shlex.quote(a) for a in p.db.client_argv()))
    print("              for example: UPDATE items SET v = 1 WHERE id = 7 /*inv='demo:item:7'*/;")
    for cluster in p.cluster_names:
        print("  %-11s memcached on %s" % (cluster, ", ".join(c.address for c in p.caches[cluster])))
        print("              router on http://127.0.0.1:%d/status and /metrics" % p.admin_ports[cluster])
        print("              %s -c %s --cluster %s --explain demo:item:7"
              % (os.path.relpath(os.path.join(BUILD, "bin", "squeal-router"), ROOT),
                 os.path.relpath(p.cluster_config_path(cluster), ROOT), cluster))
        print("              its acknowledged deletes: tail -f %s" % os.path.relpath(p.trace_path(cluster), ROOT))
    print("  squeal      http://127.0.0.1:%d/status and /metrics" % p.squeal_port)
    print("  files       %s: squeal.yaml, log.db, *.log" % where)
    print("  stop        %s" % os.path.relpath(stop_script(p.dir), ROOT))


def run_load(p, screen):
    """Load with faults; returns what the check found."""
    load = Load(p, rate=RATE, seconds=SECONDS, after=1.0).start()
    faults = Faults(p)
    acks = AckCounter(p)
    begin = time.monotonic()
    while load.running:
        elapsed = time.monotonic() - begin
        happened = faults.tick(elapsed)
        if happened:
            screen.say("demo: %4.1f s  -- %s" % (elapsed, happened))
        now = load.progress()
        counts = acks.update()
        if now:
            screen.progress("demo: %4.1f s  commits %d  keys %d  acked %s  reads %d (%d%% from cache)  fills refused %d"
                            % (elapsed, now["commits"], now["keys"],
                               " ".join("%s %d" % item for item in counts.items()), now["reads"],
                               100 * now["hits"] / max(1, now["reads"]), now["refused"]))
        time.sleep(0.05)
    load.wait()
    if faults.steps:
        raise Failure("DEMO_SECONDS=%g is too short for every fault to happen" % SECONDS)
    screen.say("demo: writing is over; waiting for the last deletes, then comparing every cached value")
    return load.check(faults=faults.windows)


def only_one(dir):
    """Two would take each other's folder away.  The lock is held as long as what is returned is open."""
    os.makedirs(os.path.dirname(dir), exist_ok=True)
    lock = open(dir + ".lock", "a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        raise Failure("another demo runs in %s (process %s); wait until it has ended, or stop it"
                      % (os.path.relpath(dir, ROOT), lock.read().strip() or "unknown")) from None
    lock.truncate(0)
    lock.write("%d\n" % os.getpid())
    lock.flush()
    return lock


def main():
    screen = Screen()
    dir = os.path.join(BUILD, "run", "demo")
    try:
        lock = only_one(dir)  # noqa: F841 - held until the end
    except Failure as e:
        print("demo: %s" % e, file=sys.stderr)
        return 1
    stop_kept(dir)
    run_dir("demo")
    begin = time.monotonic()
    p = Pipeline(dir, trace_prefix="demo:", keep=KEEP)
    ok = False
    try:
        screen.say("demo: starting MariaDB, %d memcached, squeal and %d routers in %s"
                   % (len(p.all_caches()), len(p.routers), os.path.relpath(dir, ROOT)))
        p.start()
        screen.say("demo: up after %.1f s; the application starts" % (time.monotonic() - begin))
        v = run_load(p, screen)
        ok = v.clean
        screen.say("demo: compared %d cached values in %d clusters with the database; %d transactions rolled back, "
                   "%d of their keys deleted" % (v["compared"], len(p.routers), v["rolled_back"], v["invented"]))
        screen.say("demo: away from the three faults: p50 %.2f ms, p99 %.2f ms" % (v["calm_p50_ms"], v["calm_p99_ms"]))
        if KEEP:
            write_stop_script(p)
            say_how_to_talk(p)
        if not ok:
            show_logs(dir)
        sys.stderr.flush()
        print("demo: commits=%d keys=%d deletes_acked=%d lost=%d stale=%d p50_ms=%.2f p99_ms=%.2f"
              % (v["commits"], v["keys"], v["deletes_acked"], v["lost"], v["stale"], v["p50_ms"], v["p99_ms"]),
              flush=True)
    except Failure as e:
        screen.say("")
        show_logs(dir)
        print("demo: %s" % e, file=sys.stderr)
        p.keep = False
    except KeyboardInterrupt:
        screen.say("")
        p.keep = False
        return 130
    except BaseException:
        p.keep = False
        raise
    finally:
        p.stop()
    return 0 if ok else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
