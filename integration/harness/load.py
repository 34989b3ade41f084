"""The demo application: load on a pipeline, and the verdict afterwards."""

import os
import subprocess
import sys

from .pipeline import program
from .process import Failure, Process


def _pairs(line):
    return {name: float(value) for name, value in (word.split("=", 1) for word in line.split())}


class Verdict(dict):
    """What demo-app check found: commits, keys, deletes_acked, lost, stale, invented, compared, p50_ms ..."""

    def __init__(self, line, log):
        super().__init__(_pairs(line))
        self.log = log

    @property
    def clean(self):
        return (self["measured"] == 1 and self["lost"] == 0 and self["stale"] == 0 and self["invented"] == 0
                and self["commits"] > 0 and self["compared"] > 0)

    def __str__(self):
        return ("commits=%(commits)d keys=%(keys)d deletes_acked=%(deletes_acked)d compared=%(compared)d "
                "rolled_back=%(rolled_back)d indeterminate=%(indeterminate)d invented=%(invented)d lost=%(lost)d "
                "stale=%(stale)d p50_ms=%(p50_ms).2f p99_ms=%(p99_ms).2f" % self)


class Load:
    """demo-app load on a Pipeline whose trace_prefix is "demo:".

        load = Load(p, rate=2000, seconds=10)
        load.start() ... load.progress() ... load.finish()
        verdict = load.check()
    """

    def __init__(self, pipeline, rate=2000, seconds=10, after=1.0, writers=8, readers=4, reads=4000, items=2000,
                 seed=1, first=1, name="demo-app"):
        self.pipeline = pipeline
        self.items = items
        self.journal = os.path.join(pipeline.dir, name + ".journal")
        self.common = ["--socket", pipeline.db.socket, "--journal", self.journal, "--items", str(items)]
        for cluster in pipeline.cluster_names:
            servers = ",".join(cache.address for cache in pipeline.caches[cluster])
            self.common += ["--cluster", "%s=%s" % (cluster, servers)]
        argv = [program("demo-app"), "load"] + self.common + [
            "--rate", str(rate), "--reads", str(reads), "--seconds", str(seconds), "--after", str(after), "--writers", str(writers),
            "--readers", str(readers), "--seed", str(seed), "--first", str(first)]
        self.process = Process(name, argv, pipeline.dir)

    def start(self):
        self.process.start(stdin=subprocess.PIPE)
        return self

    @property
    def running(self):
        return self.process.running

    def progress(self):
        """The newest progress line as numbers; {} before the first."""
        try:
            with open(self.process.log, "rb") as f:
                f.seek(0, os.SEEK_END)
                f.seek(max(0, f.tell() - 2000))
                lines = [li for li in f.read().decode().split("\n")[:-1] if li.startswith("commits=")]
        except FileNotFoundError:
            return {}
        return _pairs(lines[-1]) if lines else {}

    def finish(self, timeout=60):
        """Ends the writing early when it still runs, lets the readers fill the caches, and waits."""
        if self.process.popen and self.process.popen.stdin:
            self.process.popen.stdin.close()
            self.process.popen.stdin = None
        self.wait(timeout)

    def wait(self, timeout=60):
        status = self.process.wait(timeout, "to finish")
        if status != 0:
            raise Failure("demo-app load ended with status %d: %s" % (status, self.process.log_text()[-1000:]))

    def check(self, wait=30, faults=(), timeout=None):
        """Waits for quiet and compares.  `faults` are (from, to) seconds since 1970 left out of calm_*."""
        argv = [program("demo-app"), "check"] + self.common + ["--wait", str(wait)]
        for cluster in self.pipeline.cluster_names:
            argv += ["--trace", ",".join(self.pipeline.trace_paths(cluster))]
        for begin, end in faults:
            argv += ["--fault", "%d-%d" % (begin * 1e6, end * 1e6)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout or wait + 120)
        if done.stderr:
            print(done.stderr, end="", file=sys.stderr)
        lines = [li for li in done.stdout.splitlines() if li.startswith("commits=")]
        if not lines:
            raise Failure("demo-app check said nothing; status %d" % done.returncode)
        return Verdict(lines[-1], done.stderr)
