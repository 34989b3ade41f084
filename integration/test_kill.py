"""kill -9 at random moments, of squeal, routers, memcached and MariaDB, under load; then the checker."""

import os
import random
import signal
import time

import pytest

from harness import Load, Pipeline, run_dir, show_logs

KILLS = int(os.environ.get("KILLS", "110"))
SOAK_KILLS = int(os.environ.get("SOAK_KILLS", "1000"))
ROUND = 110


class Killer:
    def __init__(self, pipeline, rng):
        self.p = pipeline
        self.rng = rng
        self.counts = {}

    def victims(self):
        """(name, kill, start, ready) with the daemons that we wrote first in line."""
        p, rng = self.p, self.rng
        kind = rng.choices(["squeal", "router", "memcached", "mariadb"], [35, 35, 17, 13])[0]
        if kind == "squeal":
            return [(kind, p.squeal.process)]
        if kind == "router":
            return [(kind, rng.choice(list(p.routers.values())).process)]
        if kind == "memcached":
            return [(kind, rng.choice(p.all_caches()).process)]
        return [(kind, p.db.process)]

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
            still = rng.choice(self.p.all_caches() + list(self.p.routers.values()) + [self.p.squeal])
            if still.process not in [v for _, v in victims]:
                still.process.pause()
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
        for daemon in self.p.all_caches() + self.p.daemons():
            daemon.process.signal(signal.SIGCONT)
        time.sleep(rng.random() ** 2 * 2.5)
        return len(victims)


def kill_round(name, seed, kills, killer=Killer, **options):
    """`options` are the pipeline's."""
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
        p.db.wait_ready()
        for daemon in p.daemons():
            daemon.wait_ready()
        time.sleep(1)
        load.finish()
        verdict = load.check(wait=60)
        print("kill test: %s; %s" % (", ".join("%d %s" % (n, k) for k, n in sorted(killer.counts.items())), verdict),
              flush=True)
        assert verdict.clean, "seed %d: %s\n%s" % (seed, verdict, verdict.log)
        assert verdict["commits"] > kills
    except BaseException:
        show_logs(p.dir)
        raise
    finally:
        p.stop()


def seeds():
    seed = os.environ.get("KILL_SEED")
    return int(seed) if seed else random.SystemRandom().randrange(1 << 30)


def test_random_kills():
    kill_round("test_random_kills", seeds(), KILLS)


@pytest.mark.soak
def test_random_kills_for_hours():
    first = seeds()
    for i in range((SOAK_KILLS + ROUND - 1) // ROUND):
        kill_round("test_random_kills_for_hours", first + i, min(ROUND, SOAK_KILLS - i * ROUND))
