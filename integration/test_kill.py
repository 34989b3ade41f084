"""kill -9 at random moments, of squeal, routers, caches and the database, under load; then the checker.

With memcached the caches come back empty; with squeal-cache they come back warm, with what they should have deleted
meanwhile.  Whoever has more to kill (brokers) makes a Killer with more `kinds`, and kill_round() takes the pipeline's options.
"""

import os
import random
import signal
import time

import pytest

from harness import Load, Pipeline, run_dir, show_logs
from harness.cache import CacheClient
from harness.memcached import Memcached, SquealCache

KILLS = int(os.environ.get("KILLS", "60"))
SOAK_KILLS = int(os.environ.get("SOAK_KILLS", "1000"))
ROUND = 110


class Victim:
    """What may be killed: a name, how often in comparison with the others, and processes(pipeline).

    `still`: it may also stand still (SIGSTOP) while something else is killed.  A process is started again by its
    Process.start(); whatever has to be waited for before the verdict is waited for by ready(pipeline).
    """

    def __init__(self, kind, weight, processes, still=True, ready=None):
        self.kind = kind
        self.weight = weight
        self.processes = processes
        self.still = still
        self.ready = ready


# The daemons that we wrote first in line.
KINDS = (
    Victim("squeal", 35, lambda p: [p.squeal.process], ready=lambda p: p.squeal.wait_ready(60)),
    Victim("router", 35, lambda p: [r.process for r in p.routers.values()],
           ready=lambda p: [r.wait_ready(60) for r in p.routers.values()]),
    Victim("cache", 17, lambda p: [c.process for c in p.all_caches()], ready=lambda p: [c.wait_ready() for c in p.all_caches()]),
    Victim("database", 13, lambda p: [p.db.process], still=False, ready=lambda p: p.db.wait_ready()),
)


def warm_cache(dir, name, keep=False):
    """A squeal-cache whose memory outlives it."""
    return SquealCache(dir, name, options=["-e", os.path.join(dir, name + ".memory")], keep=keep)


class Killer:
    kinds = KINDS

    def __init__(self, pipeline, rng):
        self.p = pipeline
        self.rng = rng
        self.counts = {}
        self.stills = 0

    def victims(self):
        """[(kind, process)] of what is killed together."""
        victim = self.rng.choices(self.kinds, [v.weight for v in self.kinds])[0]
        return [(victim.kind, self.rng.choice(victim.processes(self.p)))]

    def everything(self, still=False):
        return [process for v in self.kinds if v.still or not still for process in v.processes(self.p)]

    def step(self):
        """Kills one or two, waits a little or not at all, starts them again.  Returns how many were killed."""
        rng = self.rng
        victims = self.victims()
        if rng.random() < 0.25:
            other = self.victims()
            if other[0][1] is not victims[0][1]:
                victims += other
        if rng.random() < 0.1:
            # Something else stands still meanwhile.
            still = rng.choice(self.everything(still=True))
            if still not in [process for _, process in victims]:
                still.pause()
                self.stills += 1
        for kind, process in victims:
            if not process.running:
                raise AssertionError("%s ended by itself: status %s\n%s" % (
                    process.name, process.popen.returncode, process.log_text()[-2000:]))
            process.kill()
            self.counts[kind] = self.counts.get(kind, 0) + 1
        if rng.random() < 0.7:
            time.sleep(rng.random() ** 2 * 0.8)
        for _, process in victims:
            process.start()
        for process in self.everything():
            process.signal(signal.SIGCONT)
        time.sleep(rng.random() ** 2 * 2.5)
        return len(victims)


def came_back_warm(p, killer):
    """Or the round was one with a cold cache, and shows less than it says."""
    warm = 0
    for cache in p.all_caches():
        with CacheClient(cache.port) as client:
            restart = client.stats("restart")
        warm += int(restart["warm_items"])
        assert restart["caught_up"] == "yes", "%s was not told that it has caught up" % cache.name
    assert warm > 0 or "cache" not in killer.counts, "no cache came back warm"


def kill_round(name, seed, kills, killer=Killer, then=None, **options):
    """One system under load, `kills` kills, and the verdict, which must be clean.  `options` are the pipeline's; then(p, killer)
    is asked before the system goes."""
    rng = random.Random(seed)
    format = rng.choice(["STATEMENT", "MIXED", "ROW"])
    print("\nkill test: seed %d, %s binlog, %d kills; KILL_SEED=%d repeats it" % (seed, format, kills, seed), flush=True)
    p = Pipeline(run_dir(name), trace_prefix="demo:", db_options={"binlog_format": format}, **options)
    try:
        p.start()
        load = Load(p, rate=800, seconds=100000, after=1, writers=6, readers=3, reads=3000, items=1000, seed=seed).start()
        killer = killer(p, rng)
        done = 0
        while done < kills:
            done += killer.step()
            load.process.check_running()
        # The database before those who wait for it.
        for victim in reversed(killer.kinds):
            if victim.ready:
                victim.ready(p)
        time.sleep(1)
        load.finish()
        verdict = load.check(wait=60)
        print("kill test: %s, %d stood still; %s" % (", ".join("%d %s" % (n, k) for k, n in sorted(killer.counts.items())),
                                                     killer.stills, verdict), flush=True)
        assert verdict.clean, "seed %d: %s\n%s" % (seed, verdict, verdict.log)
        assert verdict["commits"] > kills
        if then:
            then(p, killer)
        return verdict
    except BaseException:
        show_logs(p.dir)
        raise
    finally:
        p.stop()


CACHES = {"memcached": {"cache": Memcached}, "squeal-cache": {"cache": warm_cache, "then": came_back_warm}}


def seeds():
    seed = os.environ.get("KILL_SEED")
    return int(seed) if seed else random.SystemRandom().randrange(1 << 30)


@pytest.mark.parametrize("cache", CACHES)
def test_random_kills(cache):
    kill_round("test_random_kills-" + cache, seeds(), KILLS, **CACHES[cache])


@pytest.mark.soak
@pytest.mark.parametrize("cache", CACHES)
def test_random_kills_for_hours(cache):
    first = seeds()
    kills = SOAK_KILLS // len(CACHES)
    for i in range((kills + ROUND - 1) // ROUND):
        kill_round("test_random_kills_for_hours-" + cache, first + i, min(ROUND, kills - i * ROUND), **CACHES[cache])
