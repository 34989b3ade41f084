"""Backups, restores and clones of squeal-cache while it serves: whole or refused, and nothing of them served before the
deletes since have been delivered again."""

import os
import socket
import threading
import time

import pytest
from harness import Cache, cache_is_ours, free_port, wait_until

pytestmark = pytest.mark.skipif(not cache_is_ours(), reason="commands of squeal-cache alone")

ITEMS = 20000


@pytest.fixture
def make(rundir):
    made = []

    def start(*options, dir="jobs", wait=True, **kwargs):
        path = os.path.join(str(rundir), dir)
        os.makedirs(path, exist_ok=True)
        cache = Cache(rundir, "cache-%d" % len(made), options=["--job-dir", path] + list(options), **kwargs)
        made.append(cache)
        cache.jobs = path
        return cache.start(wait)
    yield start
    for c in made:
        if c.process.running:
            c.stop()


def value(i, size=500):
    return (b"%d:" % i) * (size // 8)


def fill(cache, first, last, size=500):
    with cache.client() as c:
        for at in range(first, last, 500):
            n = min(at + 500, last)
            c.send(b"".join(b"set k%d 7 0 %d\r\n%s\r\n" % (i, len(value(i, size)), value(i, size)) for i in range(at, n)))
            for _ in range(at, n):
                assert c.line() == b"STORED"


def found(cache, first, last, size=500):
    """How many of the keys are served; each with its own value."""
    n = 0
    with cache.client() as c:
        for at in range(first, last, 100):
            keys = [b"k%d" % i for i in range(at, min(at + 100, last))]
            for key, data in c.get_many(keys).items():
                assert data == value(int(key[1:]), size)
                n += 1
    return n


def ask(cache, command):
    with cache.client() as c:
        return c.command(command)


def jobs(cache):
    """The lines of `jobs`: {first word: the rest}."""
    with cache.client() as c:
        c.send(b"jobs\r\n")
        out = {}
        while True:
            line = c.line().decode()
            if line == "END":
                return out
            word, rest = line.split(" ", 1)
            out[word] = rest


def wait_job(cache, timeout=60):
    wait_until(lambda: "JOB" not in jobs(cache), timeout, "the job to end")
    return jobs(cache)["LAST"]


def run(cache, command):
    assert ask(cache, command.encode()) == b"OK started"
    return wait_job(cache)


def prove(cache):
    assert ask(cache, b"caughtup %s" % jobs(cache)["OWED"].encode()) == b"OK"


class Load:
    """Sets, gets and deletes of keys of its own, and gets of the others."""

    def __init__(self, cache, lasting):
        self.cache, self.lasting, self.rounds, self.wrong, self.over = cache, lasting, 0, None, False
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        try:
            with self.cache.client(timeout=20) as c:
                while not self.over:
                    i = self.rounds % 200
                    c.set("mine%d" % i, b"v%d" % self.rounds)
                    if c.get("mine%d" % i) != b"v%d" % self.rounds:
                        raise AssertionError("mine%d is not what was stored" % i)
                    if i % 2:
                        c.command(b"delete mine%d" % i)
                    got = c.get("k%d" % (self.rounds % ITEMS))
                    if self.lasting and got != value(self.rounds % ITEMS):
                        raise AssertionError("k%d is %r" % (self.rounds % ITEMS, got))
                    self.rounds += 1
        except Exception as e:  # noqa: BLE001 - told by __exit__
            self.wrong = e

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.rounds > 20 or self.wrong, 20, "the load to run")
        return self

    def __exit__(self, kind, *_):
        self.over = True
        self.thread.join()
        if kind is None and self.wrong:
            raise self.wrong


# --- who may ----------------------------------------------------------------------------------------------------


def test_without_a_folder_there_are_no_jobs(rundir):
    cache = Cache(rundir).start()
    try:
        for command in (b"backup x", b"backup -", b"restore x", b"clone 127.0.0.1:1", b"jobs", b"job stop", b"stats jobs"):
            assert ask(cache, command) == b"ERROR", command
    finally:
        cache.stop()


def test_a_folder_that_is_none_is_said_at_the_start(rundir):
    cache = Cache(rundir, options=["--job-dir", str(rundir) + "/nowhere"])
    cache.start(wait=False)
    assert cache.process.wait(20) != 0
    assert "nowhere" in cache.process.log_text() and "folder" in cache.process.log_text()


def test_files_are_in_the_folder_and_nowhere_else(make):
    cache = make()
    for name in ("../x", "/tmp/x", ".x", "a/b", "x.part", "-x"):
        assert ask(cache, b"backup " + name.encode()).startswith(b"CLIENT_ERROR "), name
        assert ask(cache, b"restore " + name.encode()).startswith(b"CLIENT_ERROR "), name
    assert os.listdir(cache.jobs) == []


def test_a_container_of_markers_refuses(make):
    port = free_port()
    cache = make("--container", "name=m,port=%d,memory=16MiB,policy=marker" % port)
    for command in (b"backup x", b"restore x", b"clone 127.0.0.1:1", b"backup -"):
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(command + b"\r\n")
            assert s.recv(4096).startswith(b"SERVER_ERROR a container of markers")
    assert os.listdir(cache.jobs) == []


# --- backup and restore -------------------------------------------------------------------------------------------


def test_a_backup_under_load_comes_back_in_another_server_and_is_proven_first(make):
    a, b = make(), make()
    fill(a, 0, ITEMS)
    with Load(a, lasting=True):
        assert run(a, "backup full").startswith("backup ok: full: ")
    a.stop()
    with Load(b, lasting=False) as load:
        # A router that says it again and again while it goes on, and afterwards.
        assert ask(b, b"restore full") == b"OK started"
        while "JOB" in jobs(b):
            assert ask(b, b"caughtup") == b"OK"
        assert jobs(b)["LAST"].startswith("restore ok: ")
        assert ask(b, b"caughtup") == b"OK"
        assert found(b, 0, ITEMS) == 0 and load.rounds > 0
    owed = int(jobs(b)["OWED"])
    assert b.stats("jobs")["owed"] == str(owed) and b.stats("restart")["caught_up"] == "no"
    assert ask(b, b"caughtup %d" % (owed + 1)).startswith(b"SERVER_ERROR what was restored lacks the deletes since")
    assert found(b, 0, ITEMS) == 0
    # What was deleted since is delivered again.
    assert ask(b, b"delete k5") == b"DELETED"
    assert ask(b, b"caughtup %d" % owed) == b"OK"
    assert found(b, 0, ITEMS) == ITEMS - 1
    assert "OWED" not in jobs(b)


def test_an_incremental_backup_brings_back_what_changed_and_not_what_was_deleted(make):
    a, b = make(), make()
    fill(a, 0, 2000)
    assert run(a, "backup one").startswith("backup ok")
    with a.client() as c:
        for i in range(0, 2000, 10):
            c.command(b"delete k%d" % i)
        c.set("k1", value(1) + b"new")
    fill(a, 2000, 2500)
    assert run(a, "backup two since one").startswith("backup ok: two: 501 items, 1799 unchanged")
    assert "already" in run(a, "backup two")
    assert "give that one, too" in run(b, "restore two") and found(b, 0, 2500) == 0
    assert "newest backup first" in run(b, "restore one two")
    assert "OWED" not in jobs(b), "nothing came in"
    assert run(b, "restore two one").startswith("restore ok: 2300 items")
    prove(b)
    with b.client() as c:
        assert c.get("k1") == value(1) + b"new" and c.get("k10") is None
        c.command(b"delete k1")
    assert found(b, 0, 2500) == 2299


def test_a_damaged_truncated_or_foreign_file_changes_nothing(make):
    a = make()
    fill(a, 0, 3000)
    assert run(a, "backup full").startswith("backup ok")
    whole = open(os.path.join(a.jobs, "full"), "rb").read()
    bad = {"cut": whole[:-1], "half": whole[:len(whole) // 2], "head": whole[:40], "empty": b"", "foreign": b"#!/bin/sh\n" * 1000,
           "flipped": whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:],
           "longer": whole + b"x"}
    b = make()
    with b.client() as c:
        c.set("here", b"v")
    for name, data in bad.items():
        with open(os.path.join(a.jobs, name), "wb") as f:
            f.write(data)
        assert run(b, "restore " + name).startswith("restore failed: "), name
        assert run(a, "backup x since " + name).startswith("backup failed: "), name
    assert "No such file" in run(b, "restore nothing-there")
    assert "OWED" not in jobs(b) and b.stats("restart")["caught_up"] == "yes"
    with b.client() as c:
        assert c.get("here") == b"v"
    assert b.stats()["curr_items"] == "1"
    assert not os.path.exists(os.path.join(a.jobs, "x")) and not os.path.exists(os.path.join(a.jobs, "x.part"))


def test_what_is_owed_outlives_the_process(make, rundir):
    a = make()
    fill(a, 0, 1000)
    assert run(a, "backup full").startswith("backup ok")
    memory = os.path.join(str(rundir), "memory")
    b = make("-e", memory)
    assert run(b, "restore full").startswith("restore ok: 1000 items")
    b.kill()
    b = make("-e", memory)
    assert b.stats("restart")["warm_items"] == "1000"
    assert ask(b, b"caughtup") == b"OK"
    assert found(b, 0, 1000) == 0
    assert ask(b, b"backup x").startswith(b"SERVER_ERROR this server has items that may have been deleted")
    prove(b)
    assert found(b, 0, 1000) == 1000
    assert run(b, "backup x").startswith("backup ok: x: 1000 items")


def test_who_serves_immediately_serves_what_was_restored(make):
    a, b = make(), make("--serve-immediately")
    fill(a, 0, 1000)
    assert run(a, "backup full").startswith("backup ok")
    assert run(b, "restore full").startswith("restore ok")
    assert found(b, 0, 1000) == 1000 and "OWED" not in jobs(b)


# --- clone --------------------------------------------------------------------------------------------------------


def test_a_running_server_is_cloned_under_load(make):
    a, b = make(), make()
    fill(a, 0, ITEMS)
    with Load(a, lasting=True):
        assert run(b, "clone 127.0.0.1:%d" % a.port).startswith("clone ok: ")
    assert ask(b, b"caughtup") == b"OK" and found(b, 0, ITEMS) == 0
    prove(b)
    assert found(b, 0, ITEMS) == ITEMS
    assert jobs(a)["LAST"].startswith("stream ok: ")


def test_a_clone_holds_large_values_and_says_what_is_wrong_with_a_source(make, rundir):
    a, b = make("-I", "8m"), make("-I", "8m")
    big = os.urandom(5 << 20)
    with a.client() as c:
        c.set("big", big)
    for _ in range(10):  # the socket is full now and then, at another byte each time
        assert ask(b, b"flush_all") == b"OK"
        assert run(b, "clone 127.0.0.1:%d" % a.port).startswith("clone ok: 1 items")
        prove(b)
        with b.client() as c:
            assert c.get("big") == big
    plain = Cache(rundir, "plain").start()
    try:
        assert "--job-dir" in run(b, "clone 127.0.0.1:%d" % plain.port)
    finally:
        plain.stop()
    assert "Connection refused" in run(b, "clone 127.0.0.1:%d" % free_port())
    assert "running" in run(b, "clone 127.0.0.1:%d" % b.port), "itself"
    assert "OWED" not in jobs(b)


def test_a_reader_of_a_clone_that_does_not_read_costs_little_and_can_be_stopped(make):
    a = make(memory=512)
    fill(a, 0, 100000, size=1000)
    before = a.resident_bytes()
    with socket.create_connection(("127.0.0.1", a.port)) as slow:
        slow.sendall(b"backup -\r\n")
        wait_until(lambda: "JOB" in jobs(a), 10, "the stream to begin")
        assert ask(a, b"backup x") == b'SERVER_ERROR a stream is running; wait for its end, or say "job stop"'
        assert found(a, 0, 1000, size=1000) == 1000
        assert a.resident_bytes() - before < 16 << 20
        assert ask(a, b"job stop") == b"OK stopping"
        slow.settimeout(20)
        while slow.recv(1 << 20):
            pass
    assert wait_job(a).startswith("stream failed: stopped before the end")


# --- interruptions --------------------------------------------------------------------------------------------------


def test_a_backup_that_is_killed_is_not_there(make):
    for attempt in range(5):
        a = make(memory=512, dir="killed-%d" % attempt)
        fill(a, 0, 100000, size=1000)
        assert ask(a, b"backup full") == b"OK started"
        part, full = os.path.join(a.jobs, "full.part"), os.path.join(a.jobs, "full")
        wait_until(lambda: os.path.exists(part) or os.path.exists(full), 10, "the file")
        a.kill()
        b = make(memory=512, dir="killed-%d" % attempt)
        if os.path.exists(part):
            assert not os.path.exists(full)
            assert "No such file" in run(b, "restore full")
            os.rename(part, full)
            assert run(b, "restore full").startswith("restore failed: ")
            assert b.stats()["curr_items"] == "0"
            return
        b.stop()
    pytest.fail("no backup was killed in its middle")


def test_a_restore_that_is_killed_leaves_only_what_is_owed(make, rundir):
    a = make(memory=512)
    fill(a, 0, 100000, size=1000)
    assert run(a, "backup full").startswith("backup ok")
    memory = os.path.join(str(rundir), "memory")
    for attempt in range(5):
        b = make("-e", memory, memory=512)
        assert ask(b, b"restore full") == b"OK started"
        wait_until(lambda: "restoring" in jobs(b).get("JOB", "") or "LAST" in jobs(b), 20, "items")
        middle = "LAST" not in jobs(b)
        b.kill()
        b = make("-e", memory, memory=512)
        if middle and b.stats("restart")["warm_items"] != "0":
            assert ask(b, b"caughtup") == b"OK" and found(b, 0, 100000, size=1000) == 0
            assert run(b, "restore full").startswith("restore ok")
            prove(b)
            assert found(b, 0, 100000, size=1000) == 100000
            return
        b.kill()
        os.unlink(memory)
    pytest.fail("no restore was killed in its middle")


def test_a_clone_whose_source_is_killed_says_so_and_is_unproven(make):
    a = make(memory=512)
    fill(a, 0, 100000, size=1000)
    b = make(memory=512)
    assert ask(b, b"clone 127.0.0.1:%d" % a.port) == b"OK started"
    wait_until(lambda: "restoring" in jobs(b).get("JOB", "") or "LAST" in jobs(b), 20, "items")
    a.kill()
    last = wait_job(b)
    assert last.startswith("clone failed: ") or last.startswith("clone ok: 100000 items"), last
    assert ask(b, b"caughtup") == b"OK" and found(b, 0, 100000, size=1000) == 0
    b.stop()


def test_a_server_that_ends_stops_its_job(make):
    a = make(memory=512)
    fill(a, 0, 100000, size=1000)
    assert ask(a, b"backup full") == b"OK started"
    began = time.monotonic()
    assert a.stop() == 0
    assert time.monotonic() - began < 20
    names = os.listdir(a.jobs)
    assert names in ([], ["full"]), names
