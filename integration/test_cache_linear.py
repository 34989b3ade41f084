"""Leases, hold-offs, stale values, epochs and markers of one server under concurrent clients and kill -9 with restart from its file:
every reply is recorded with the interval in which it happened, and the history is checked (harness/cache_history.py).

A seed is printed; LINEAR_SEED=<seed> takes the same decisions again (the moments differ).
"""

import itertools
import math
import os
import random
import threading
import time

import pytest
from harness import Cache, CacheClient, cache_is_ours, free_port
from harness.cache_history import (History, Op, PulsedDatabase, check_bounds, check_fresh, check_holdoff, check_leases,
                                   check_markers, check_stale)

ours = pytest.mark.skipif(not cache_is_ours(), reason="memcached has no such promises")
LEASE, STALE = 2, 2


class Connections:
    """One thread's, by port; after close() they are made anew."""

    def __init__(self, cache):
        self.cache = cache
        self.open = {}

    def __call__(self, port=None):
        port = port or self.cache.port
        if port not in self.open:
            self.open[port] = CacheClient(port, timeout=10)
        return self.open[port]

    def close(self):
        for c in self.open.values():
            c.close()
        self.open.clear()


class Run:
    """Threads that work on one server until the time is over, and one that kills it meanwhile."""

    def __init__(self, cache, seconds, kills, seed, after_restart=None):
        self.cache, self.seconds, self.kills = cache, seconds, kills
        self.history = History()
        self.random = random.Random(seed)
        self.after_restart = after_restart
        self.ending = threading.Event()
        self.errors = []
        self.workers = []

    def add(self, work, n=1):
        """work(client, rnd) is called again and again; client() gives the thread's connection."""
        for _ in range(n):
            self.workers.append(threading.Thread(target=self._loop, args=(work, random.Random(self.random.random()))))

    def _loop(self, work, rnd):
        client = Connections(self.cache)
        try:
            while not self.ending.is_set():
                try:
                    work(client, rnd)
                except OSError:
                    client.close()
                    time.sleep(0.01)
        except BaseException as e:  # raised again by go()
            self.errors.append(e)
        finally:
            client.close()

    def restart(self):
        begin = time.monotonic()
        self.cache.kill()
        self.history.kills.append((begin, time.monotonic()))
        self.cache.start()
        if self.after_restart:
            self.after_restart()

    def go(self, enough=lambda: True):
        """Longer than the time, on a machine that is busy, until enough() has happened to show anything."""
        for w in self.workers:
            w.start()
        began = time.monotonic()
        until = began + self.seconds
        try:
            for _ in range(self.kills):
                time.sleep(self.seconds / (self.kills + 1) * self.random.uniform(0.7, 1.0))
                self.restart()
            while time.monotonic() < until and not self.errors:
                time.sleep(0.05)
            while time.monotonic() < until + 20 and not self.errors and not enough():
                time.sleep(0.2)
        finally:
            self.ending.set()
            for w in self.workers:
                w.join()
        self.seconds = time.monotonic() - began
        if self.errors:
            raise self.errors[0]
        self.cache.process.check_running()
        return self.history


@pytest.fixture
def seed():
    value = int(os.environ.get("LINEAR_SEED") or random.SystemRandom().randrange(1 << 30))
    print("LINEAR_SEED=%d" % value)
    return value


@pytest.fixture
def start(rundir):
    """start(memory=..., options=[...]): a server with a memory file."""
    made = []

    def make(memory=64, options=(), threads=2):
        path = os.path.join(rundir, "memory")
        made.append(Cache(rundir, memory=memory, threads=threads, options=["-v", "-e", path] + list(options)).start())
        return made[-1]
    yield make
    for c in made:
        c.stop()
        path = os.path.join(rundir, "memory")
        if os.path.exists(path):
            os.unlink(path)


def long_and_short(test):
    """With kills and without; for seconds, and with -m soak for minutes."""
    return pytest.mark.parametrize("seconds,kills", [
        (4, 0), (6, 3), pytest.param(120, 0, marks=pytest.mark.soak), pytest.param(180, 60, marks=pytest.mark.soak)])(ours(test))


def caught_up(cache):
    with cache.client() as c:
        assert c.command(b"caughtup") == b"OK"


def value_of(key, version):
    """Longer for some, so that values move through several segments."""
    return b"%s=%d;" % (key.encode(), version) + b"." * (version * 37 % 3000)


def version_of(key, value):
    head, rest = value.split(b";", 1)
    name, version = head.rsplit(b"=", 1)
    assert name == key.encode() and value == value_of(key, int(version)), "another key's value, or a damaged one: %r" % value[:80]
    return int(version)


@long_and_short
def test_leases_and_stale_values(start, seconds, kills, seed):
    """I4 and the rules for stale values: writers commit and delete, readers fill by leases; late and repeated fills."""
    cache = start(options=["--lease-seconds", str(LEASE), "--stale-ttl", str(STALE)])
    keys = ["l:%d" % i for i in range(6)]
    quiet = ["q:%d" % i for i in range(4)]
    database = dict.fromkeys(keys, 0)
    lock = threading.Lock()
    pending = set()
    versions = itertools.count(1)
    run = Run(cache, seconds, kills, seed)
    h = run.history

    def router_is_back():
        # As a router: what was committed before is delivered first.
        with lock:
            waiting = set(pending)
        end = time.monotonic() + 20
        while waiting & pending and time.monotonic() < end:
            time.sleep(0.005)
        caught_up(cache)
    run.after_restart = router_is_back

    def write(client, rnd):
        key = rnd.choice(keys)
        with lock:
            version = database[key] = next(versions)
            pending.add(version)
        while True:
            try:
                h.record("delete", key, version, lambda: client().command(b"delete " + key.encode()))
                break
            except OSError:
                client.close()
                time.sleep(0.01)
                if run.ending.is_set():
                    return
        pending.discard(version)
        time.sleep(rnd.choice([0, 0, 0.001, 0.01, 0.05]))

    def read(client, rnd):
        key = rnd.choice(keys)
        if rnd.random() < 0.2:
            begin = time.monotonic()
            value = client().get_many([key.encode()]).get(key.encode())
            if value is not None:
                h.ops.append(Op("hit", key, begin, time.monotonic(), None, version_of(key, value)))
            return
        begin = time.monotonic()
        token, value = client().lease_get(key)
        end = time.monotonic()
        h.ops.append(Op("lease_get", key, begin, end, None, token))
        if token == 0:
            h.ops.append(Op("hit", key, begin, end, None, version_of(key, value)))
            return
        if value:
            h.ops.append(Op("stale", key, begin, end, None, version_of(key, value)))
        if token == 1:
            time.sleep(0.001)
            return
        if rnd.random() < 0.05:
            return  # a client that dies
        with lock:
            version = database[key]
        time.sleep(rnd.choice([0, 0, 0, 0.002, 0.02, 0.1]))
        for _ in range(1 if rnd.random() < 0.8 else 2):
            h.record("lease_set", key, token, lambda: client().lease_set(key, token, value_of(key, version)))

    def forge(client, rnd):
        """Guesses tokens.  The value may become a stale one, never a hit: version 0 is older than every delete."""
        key = rnd.choice(keys)
        token = rnd.choice([0, 1, 2, rnd.randrange(2, 1 << 63), (1 << 63) - 1])
        h.record("lease_set", key, token, lambda: client().lease_set(key, token, value_of(key, 0)))
        time.sleep(0.01)

    def poll(client, rnd):
        key = rnd.choice(quiet)
        h.record("lease_get", key, None, lambda: client().lease_get(key)[0])
        time.sleep(0.01)
    run.add(write, 2)
    run.add(read, 5)
    run.add(forge)
    run.add(poll, 2)

    def enough():
        return (h.count("lease_set", b"STORED") > 20 and h.count("hit") > 100 and h.count("delete") > 50 and h.count("stale") > 5
                and any(op.kind == "lease_set" and op.result in (b"NOT_STORED", b"STALE_STORED") for op in list(h.ops)))
    run.go(enough)
    assert check_fresh(h) == []
    assert check_leases(h, LEASE) == []
    assert check_stale(h, STALE) == []
    # Something has happened at all.
    assert enough()
    tokens = [op for op in h.ops if op.kind == "lease_get" and op.key in quiet and (op.result or 0) > 1]
    assert len(quiet) <= len(tokens) <= len(quiet) * (run.seconds / LEASE + 2 + 2 * kills)


@long_and_short
def test_holdoffs(start, seconds, kills, seed):
    """I5: nothing fills in the window, on absent keys too; a plain set does and ends it."""
    cache = start()
    keys = ["h:%d" % i for i in range(8)]
    run = Run(cache, seconds, kills, seed, lambda: caught_up(cache))
    h = run.history

    def hold(client, rnd):
        key = rnd.choice(keys)
        if rnd.random() < 0.5:
            h.record("holdoff", key, 1.0, lambda: client().command(b"delete %s 1" % key.encode()))
        else:
            ms = rnd.choice([150, 400, 700])
            h.record("holdoff", key, ms / 1e3, lambda: client().command(b"md %s H%d" % (key.encode(), ms)))
        time.sleep(rnd.uniform(0, 0.2))

    def fill(client, rnd):
        key = rnd.choice(keys)
        name = key.encode()
        what = rnd.random()
        if what < 0.4:
            h.record("add", key, None, lambda: client().command(b"add %s 0 0 1\r\nv" % name))
        elif what < 0.6:
            h.record("add", key, None, lambda: {b"HD": b"STORED", b"NS": b"NOT_STORED"}[
                client().meta(b"ms %s 1 ME" % name, b"v")[0]])
        elif what < 0.9:
            token, _ = client().lease_get(key)
            if token > 1:
                h.record("lease_set", key, token, lambda: client().lease_set(key, token, b"v"))
        else:
            word, flags, _ = client().meta(b"mg %s c" % name)
            if word == b"HD":
                time.sleep(0.001)
                h.record("cas", key, None, lambda: client().command(b"cas %s 0 0 1 %s\r\nw" % (name, flags[0][1:])))
        if rnd.random() < 0.1:
            client().command(b"delete " + name)

    def put(client, rnd):
        key = rnd.choice(keys[:2])
        assert h.record("set", key, None, lambda: client().command(b"set %s 0 0 1\r\nv" % key.encode())) == b"STORED"
        time.sleep(rnd.uniform(0, 0.5))
    run.add(hold, 2)
    run.add(fill, 4)
    run.add(put)

    def enough():
        stored = [op for op in list(h.ops) if op.kind in ("add", "lease_set", "cas") and op.result == b"STORED"]
        refused = [op for op in list(h.ops) if op.kind in ("add", "lease_set") and op.result == b"NOT_STORED"]
        return len(stored) > 5 and len(refused) > 100 and h.count("holdoff") > 10
    run.go(enough)
    assert check_holdoff(h) == []
    assert enough()


def text_of(epoch):
    return b"main:%d:%d" % epoch


def epoch_of(text):
    source, term, count = text.split(b":")
    assert source == b"main"
    return int(term), int(count)


@long_and_short
@pytest.mark.parametrize("failover", [False, True], ids=["", "failover"])
def test_epochs(start, seconds, kills, seed, failover):
    """The pulse (design section 6): lagging replicas, a delayed and repeated stream, a guard that is too small, kills, and a
    failover that loses transactions.  No value is older than its bound, nor than an acknowledged invalidation."""
    cache = start(options=["--guard-memory", "1m"])
    keys = ["e:%d" % i for i in range(5)]
    database = PulsedDatabase()
    run = Run(cache, seconds, kills, seed)
    h = run.history
    cursor = [0]
    failed = []       # (survived, term): told to the server before anything of the new term
    told = []         # when the server had acknowledged it
    stream = threading.Lock()

    def say(client, line):
        client().send(line + b"\r\n")
        return client().line()

    def deliver_next(client, rnd):
        """One entry of the log to the server; under the lock of the stream."""
        entry = database.entry(cursor[0])
        if entry is None:
            return False
        if entry[0] == "p":
            assert say(client, b"watermark " + text_of(entry[1])) == b"OK"
        else:
            _, key, version, before = entry
            reply = h.record("delete", key, version, lambda: say(client, b"md %s A%s" % (key.encode(), text_of(before))))
            assert reply in (b"HD", b"NF"), reply
        cursor[0] += 1
        return True

    def route(client, rnd):
        with stream:
            if failed and len(told) < len(failed):
                survived, term = failed[-1]
                assert say(client, b"newterm %s %d" % (text_of(survived), term)) == b"OK"
                told.append(time.monotonic())
            if rnd.random() < 0.002 and cursor[0] and not failed:
                cursor[0] = rnd.randrange(cursor[0])  # a lost cursor: repeats
            more = deliver_next(client, rnd)
        if not more or rnd.random() < 0.02:
            time.sleep(rnd.uniform(0, 0.03))

    def router_is_back():
        with stream:
            with cache.client() as c:
                end = database.entry(0) and len(database.log)
                if failed:
                    survived, term = failed[-1]
                    assert c.command(b"newterm %s %d" % (text_of(survived), term)) == b"OK"
                    if len(told) < len(failed):
                        told.append(time.monotonic())
                while cursor[0] < (end or 0) and deliver_next(lambda: c, None):
                    pass
                assert c.command(b"caughtup") == b"OK"
    run.after_restart = router_is_back

    def write(client, rnd):
        key = rnd.choice(keys)
        database.write(key)
        if rnd.random() < 0.3:
            client().command(b"delete " + key.encode())  # the writer's own
        time.sleep(rnd.uniform(0, 0.02))

    def pulse(client, rnd):
        database.pulse()
        time.sleep(0.01)
        if failover and not failed and len(database.log) > 200 and rnd.random() < 0.02:
            with stream:
                got = database.fail_over(rnd.randrange(1, 40))
                if got:
                    survived, term, length = got
                    failed.append((survived, term))
                    cursor[0] = min(cursor[0], length)

    def replicate(client, rnd):
        database.replicate(rnd.randrange(2), rnd.randrange(1, 6))
        time.sleep(rnd.uniform(0, 0.02))

    def fill(client, rnd):
        key = rnd.choice(keys)
        where = rnd.randrange(-1, 2)
        epoch = database.read_epoch(where)
        if epoch is None:
            return
        if rnd.random() < 0.2:
            time.sleep(rnd.uniform(0, 0.02))
        version = database.read_value(where, key)
        if rnd.random() < 0.2:
            time.sleep(rnd.uniform(0, 0.02))
        value = value_of(key, version)
        if rnd.random() < 0.3:
            token, _ = client().lease_get(key)
            if token > 1:
                h.record("fill", key, epoch, lambda: client().command(
                    b"lease-set %s %d 0 0 %d %s\r\n%s" % (key.encode(), token, len(value), text_of(epoch), value)))
            return
        h.record("fill", key, epoch, lambda: client().meta(b"ms %s %d A%s" % (key.encode(), len(value), text_of(epoch)), value)[0])

    def read(client, rnd):
        key = rnd.choice(keys)
        asked = None
        line = b"mg %s v a" % key.encode()
        if rnd.random() < 0.3:
            asked = database.read_epoch(-1)
            if asked is None:
                return
            line += b" A" + text_of(asked)
        begin = time.monotonic()
        word, flags, value = client().meta(line)
        end = time.monotonic()
        if word != b"VA":
            return
        version = version_of(key, value)
        h.ops.append(Op("hit", key, begin, end, None, version))
        bound, = [f[1:] for f in flags if f.startswith(b"a")]
        if bound != b"-":
            h.ops.append(Op("bounded", key, begin, end, epoch_of(bound), version))
        if asked:
            h.ops.append(Op("bounded", key, begin, end, asked, version))

    def crowd(client, rnd):
        """Invalidations of other keys, so that the guard's table overflows and floors rise."""
        epoch = database.read_epoch(-1)
        if epoch is None or failover:
            time.sleep(0.05)
            return
        client().send(b"".join(b"md x:%d A%s q\r\n" % (rnd.randrange(1 << 40), text_of(epoch)) for _ in range(200)) + b"mn\r\n")
        while client().line() != b"MN":
            pass
        time.sleep(0.01)
    for work, n in ((write, 1), (pulse, 1), (replicate, 1), (route, 1), (fill, 3), (read, 3), (crowd, 1)):
        run.add(work, n)

    def enough():
        fills = [op.result for op in list(h.ops) if op.kind == "fill"]
        accepted, refused = (sum(r in answers for r in fills) for answers in ((b"HD", b"STORED"), (b"NS", b"NOT_STORED")))
        return (accepted > 50 and refused > 50 and h.count("hit") > 100 and h.count("bounded") > 100
                and (not failover or bool(failed and told)))
    run.go(enough)
    assert check_bounds(h, database) == []
    assert check_fresh(h, database.lost) == []
    for op in h.ops:
        if op.kind == "hit" and op.result in database.lost and told and op.invoked > told[0]:
            pytest.fail("%s: version %d of a lost transaction was served after newterm" % (op.key, op.result))
    # All delivered: whatever is still there is what the database has.
    database.pulse()
    with cache.client() as c:
        run.ending.clear()
        if failed and len(told) < len(failed):
            assert c.command(b"newterm %s %d" % (text_of(failed[-1][0]), failed[-1][1])) == b"OK"
        while deliver_next(lambda: c, None):
            pass
        left = 0
        for key in keys:
            word, _, value = c.meta(b"mg %s v" % key.encode())
            if word == b"VA":
                assert version_of(key, value) == database.read_value(-1, key)
                left += 1
        # And a fresh pulse is above every floor.
        database.pulse()
        while deliver_next(lambda: c, None):
            pass
        for key in keys:
            value = value_of(key, database.read_value(-1, key))
            assert c.meta(b"ms %s %d A%s" % (key.encode(), len(value), text_of(database.read_epoch(-1))), value)[0] == b"HD"
    assert enough()


@long_and_short
def test_markers(start, rundir, seconds, kills, seed):
    """I6: a token goes only by its own removal or by its TTL, whatever the other container has to evict."""
    port = free_port()
    file = os.path.join(rundir, "markers")
    cache = start(options=["--container", "name=markers,port=%d,memory=8MiB,policy=marker,persist=%s" % (port, file)])
    keys = ["r:%d" % i for i in range(5)]
    run = Run(cache, seconds, kills, seed, lambda: caught_up(cache))
    h = run.history
    serial = itertools.count(1)

    def mark(client, rnd):
        key, token = rnd.choice(keys), "w-%d" % next(serial)
        name = key.encode()
        ttl = rnd.choice([None, 60, 3])
        try:
            done = h.record("marker_set", key, (token, ttl), lambda: client(port).meta(
                b"ms %s %d T%d" % (name, len(token), ttl or 0), token.encode())[0])
        except OSError:
            done = None
        if done == b"HD" and ttl != 3 and rnd.random() < 0.9:
            time.sleep(rnd.choice([0, 0.001, 0.02, 0.1]))
            line = b"delete %s|#|%s" if rnd.random() < 0.5 else b"md %s K%s"
            gone = h.record("marker_clear", key, token, lambda: client(port).command(line % (name, token.encode())))
            assert gone in (b"HD", b"DELETED"), gone
        if rnd.random() < 0.1:
            # Nobody removes what he has no token of.
            assert client(port).command(b"delete " + name) == b"NOT_FOUND"
            assert client(port).command(b"md %s Knobody" % name) == b"NF"

    def look(client, rnd):
        key = rnd.choice(keys)
        h.record("marker_read", key, None, lambda: {
            t.decode() for t in client(port).get_many([key.encode()]).get(key.encode(), b"").split(b",") if t})
        time.sleep(0.002)

    def crowd(client, rnd):
        c = client()
        for _ in range(50):
            c.send(b"set c:%d 0 0 4000 noreply\r\n%s\r\n" % (rnd.randrange(1 << 40), b"v" * 4000))
        assert c.command(b"mn") == b"MN"
        time.sleep(0.005)
    run.add(mark, 3)
    run.add(look, 2)
    run.add(crowd)

    def enough():
        return (h.count("marker_set", b"HD") > 50 and h.count("marker_clear") > 30 and h.count("marker_read") > 100
                and any(op.result for op in list(h.ops) if op.kind == "marker_read"))
    try:
        run.go(enough)
    finally:
        if os.path.exists(file):
            os.unlink(file)
    assert check_markers(h) == []
    assert enough()


@ours
def test_a_full_marker_container_refuses_and_drops_nothing(start):
    port = free_port()
    cache = start(options=["--container", "name=markers,port=%d,memory=1MiB,policy=marker,guard_memory=1MiB" % port])
    with CacheClient(port) as c:
        added = 0
        while True:
            c.send(b"".join(b"ms r:%d 8 T600\r\nt%07d\r\n" % (i, i) for i in range(added, added + 1000)))
            words = [c.line().split(b" ")[0] for _ in range(1000)]
            taken = words.index(b"SERVER_ERROR") if b"SERVER_ERROR" in words else 1000
            assert words == [b"HD"] * taken + [b"SERVER_ERROR"] * (1000 - taken)
            added += taken
            if taken < 1000:
                break
            assert added < 200000, "1 MiB holds more than 200,000 markers"
        assert added > 1000
        for i in range(0, added, 100):
            keys = [b"r:%d" % n for n in range(i, min(added, i + 100))]
            assert c.get_many(keys) == {k: b"t%07d" % n for n, k in enumerate(keys, i)}
        # Room that was made is room.
        assert c.command(b"md r:0 Kt0000000") == b"HD"
        assert c.meta(b"ms r:again 5 T600", b"again")[0] == b"HD"
    cache.process.check_running()


# --- the checks themselves: each finds what it is for --------------------------------------------------------------

def history(*ops, kills=()):
    h = History()
    h.ops = [Op(*op) for op in ops]
    h.kills = list(kills)
    return h


def test_the_checks_accept_what_is_right():
    h = history(("delete", "k", 1, 2, 5, b"DELETED"), ("lease_get", "k", 3, 4, None, 77),
                ("lease_set", "k", 5, 6, 77, b"STORED"), ("hit", "k", 7, 8, None, 5),
                ("delete", "k", 9, 12, 6, b"DELETED"), ("hit", "k", 10, 13, None, 5),
                ("delete", "k", 14, math.inf, 7, None), ("hit", "k", 15, 16, None, 6))
    assert check_fresh(h) == check_leases(h, 2) == check_holdoff(h) == check_stale(h, 2) == []


@pytest.mark.parametrize("bad", [
    # filled after a delete; twice; by a token that nobody gave; after a restart
    history(("lease_get", "k", 1, 2, None, 7), ("delete", "k", 3, 4, 1, b"NOT_FOUND"), ("lease_set", "k", 5, 6, 7, b"STORED")),
    history(("lease_get", "k", 1, 2, None, 7), ("lease_set", "k", 3, 4, 7, b"STORED"), ("lease_set", "k", 5, 6, 7, b"STORED")),
    history(("lease_set", "k", 5, 6, 7, b"STORED")),
    history(("lease_get", "k", 1, 2, None, 7), ("lease_set", "k", 5, 6, 7, b"STORED"), kills=[(3, 4)]),
    # given twice; too often
    history(("lease_get", "k", 1, 2, None, 7), ("lease_get", "k", 30, 31, None, 7)),
    history(("lease_get", "k", 1, 1.1, None, 7), ("lease_get", "k", 2, 2.1, None, 8)),
])
def test_the_check_of_leases_finds(bad):
    assert len(check_leases(bad, 2)) == 1


def test_the_check_of_freshness_finds_an_old_version():
    h = history(("delete", "k", 1, 2, 5, b"DELETED"), ("hit", "k", 3, 4, None, 4))
    assert len(check_fresh(h)) == 1 and check_fresh(h, lost={5}) == []


def test_the_check_of_hold_offs_finds_a_fill_in_the_window():
    hold = ("holdoff", "k", 1, 1.1, 1.0, b"NOT_FOUND")
    for kind in ("add", "lease_set", "cas"):
        assert len(check_holdoff(history(hold, (kind, "k", 1.5, 1.6, 7, b"STORED")))) == 1
    assert check_holdoff(history(hold, ("add", "k", 1.5, 2.6, None, b"STORED"))) == []
    assert check_holdoff(history(hold, ("set", "k", 1.2, 1.3, None, b"STORED"), ("add", "k", 1.5, 1.6, None, b"STORED"))) == []


def test_the_check_of_stale_values_finds_one_that_is_too_old():
    h = history(("delete", "k", 1, 2, 5, b"DELETED"), ("stale", "k", 9, 9.1, None, 5))
    assert len(check_stale(h, 2)) == 1 and check_stale(h, 10) == []
    assert len(check_stale(history(("delete", "k", 1, 2, 5, b"DELETED"), ("stale", "k", 3, 4, None, 9)), 2)) == 1


def test_the_check_of_markers_finds_what_went_and_what_stayed():
    put = ("marker_set", "k", 1, 2, ("t", None), b"HD")
    assert check_markers(history(put, ("marker_read", "k", 3, 4, None, {"t"}))) == []
    assert len(check_markers(history(put, ("marker_read", "k", 3, 4, None, set())))) == 1
    short = ("marker_set", "k", 1, 2, ("t", 3), b"HD")
    assert len(check_markers(history(short, ("marker_read", "k", 2.1, 2.2, None, set())))) == 1
    assert len(check_markers(history(short, ("marker_read", "k", 2.1, 3.9, None, set()), kills=[(2, 2.05)]))) == 1
    assert check_markers(history(short, ("marker_read", "k", 2.1, 4.1, None, set()))) == []
    assert len(check_markers(history(put, ("marker_clear", "k", 3, 4, "t", b"HD"), ("marker_read", "k", 5, 6, None, {"t"})))) == 1
    assert len(check_markers(history(("marker_set", "k", 1, 2, ("t", 2), b"HD"), ("marker_read", "k", 9, 9.5, None, {"t"})))) == 1
    assert len(check_markers(history(put, ("marker_read", "k", 3, 4, None, {"t", "other"})))) == 1


def test_the_check_of_bounds_finds_a_value_that_is_not_as_current_as_it_says():
    database = PulsedDatabase()
    database.pulse()
    one = database.write("k")
    database.pulse()
    two = database.write("k")
    assert (database.as_of((1, 1), "k"), database.as_of((1, 2), "k")) == (0, one)
    assert check_bounds(history(("bounded", "k", 1, 2, (1, 2), one)), database) == []
    assert len(check_bounds(history(("bounded", "k", 1, 2, (1, 2), 0)), database)) == 1
    database.replicate(0, 2)
    assert database.read_value(0, "k") == one and database.read_value(-1, "k") == two
    survived, term, length = database.fail_over(1)
    assert (survived, term, length) == ((1, 2), 2, 3) and database.lost == {two} and database.read_value(-1, "k") == one
