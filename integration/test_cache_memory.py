"""squeal-cache without memory: it refuses, or closes the connection that needed some; it does not end, and never answers with a wrong value."""

import mmap
import os
import random
import resource
import struct
import subprocess

import pytest
from harness import Cache, CacheClient, cache_argv, cache_is_ours, free_port
from harness.process import ROOT, Failure

pytestmark = pytest.mark.skipif(not cache_is_ours(), reason="memcached answers in its own way")

MIB = 1 << 20


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """integration/tools/no_memory.c as a library to be loaded first."""
    symbols = subprocess.run(["ldd", cache_argv()[0]], stdout=subprocess.PIPE, text=True).stdout
    if "asan" in symbols or "tsan" in symbols:
        pytest.skip("a sanitizer has an allocator of its own")
    out = str(tmp_path_factory.mktemp("tools") / "no_memory.so")
    subprocess.run(["cc", "-std=gnu11", "-Wall", "-Wextra", "-O1", "-shared", "-fPIC", "-o", out,
                    os.path.join(ROOT, "integration", "tools", "no_memory.c")], check=True)
    return out


class Shortage:
    """A server whose allocations fail on demand."""

    def __init__(self, library, dir, *options, **kwargs):
        path = os.path.join(str(dir), "control")
        with open(path, "wb") as f:
            f.write(bytes(4096))
        with open(path, "r+b") as f:
            self.control = mmap.mmap(f.fileno(), 4096)
        self.cache = Cache(dir, options=list(options), **kwargs)
        self.cache.process.env = {"LD_PRELOAD": library, "NO_MEMORY": path}
        self.cache.start()

    def set(self, every, least=0):
        self.control[:16] = struct.pack("=QQ", every, least)

    @property
    def failed(self):
        return struct.unpack("=Q", self.control[16:24])[0]


@pytest.fixture
def short(library, rundir):
    made = []

    def make(*options, **kwargs):
        made.append(Shortage(library, rundir, *options, **kwargs))
        return made[-1]
    yield make
    for s in made:
        s.set(0)
        running = s.cache.process.running
        status = s.cache.stop()
        assert running and status == 0, "the server had ended, or does not end well: %r" % status


def versions(i):
    """Values that say whose they are; some in pieces, some that no buffer holds."""
    size = (10, 3000, 40000, 900000)[i % 4]
    return lambda v: (b"%d.%d;" % (i, v)) * (size // 8 + 1)


def check_all(cache, stored):
    """Nothing that is served was never stored, and nothing is older than what was acknowledged last."""
    with cache.client() as c:
        for i, (acknowledged, tried) in stored.items():
            got = c.get("k%d" % i)
            if got is not None:
                assert got in [versions(i)(v) for v in range(acknowledged, tried + 1)], "k%d" % i


@pytest.mark.parametrize("every,least", [(1, 0), (2, 0), (3, 0), (7, 0), (2, 1000)])
def test_requests_without_memory_are_refused_or_their_connection_is_closed(short, every, least):
    s = short(memory=128)
    random.seed(every * 100000 + least)
    stored = {i: (0, 0) for i in range(40)}
    refused = closed = 0
    with s.cache.client() as c:
        for i in stored:
            c.set("k%d" % i, versions(i)(0))
    s.set(every, least)
    client = None
    for n in range(1500):
        i = random.randrange(len(stored))
        key = b"k%d" % i
        acknowledged, tried = stored[i]
        try:
            client = client or s.cache.client(timeout=5)
            what = random.randrange(6)
            if what < 2:
                data = versions(i)(tried + 1)
                stored[i] = (acknowledged, tried + 1)
                answer = client.command(b"set %s 0 0 %d\r\n%s" % (key, len(data), data))
                if answer == b"STORED":
                    stored[i] = (tried + 1, tried + 1)
                else:
                    assert answer.startswith(b"SERVER_ERROR"), answer
                    refused += 1
            elif what == 2:
                found = client.get_many([b"k%d" % j for j in stored])
                for k, data in found.items():
                    j = int(k[1:])
                    assert data in [versions(j)(v) for v in range(stored[j][0], stored[j][1] + 1)], k
            elif what == 3:
                got = client.get(key)
                assert got is None or got in [versions(i)(v) for v in range(acknowledged, tried + 1)]
            elif what == 4:
                token, _ = client.lease_get(b"lease%d" % n)
                assert token > 1
                answer = client.lease_set(b"lease%d" % n, token, b"x")
                assert answer == b"STORED" or answer.startswith(b"SERVER_ERROR"), answer
            else:
                answer = client.command(b"append log%d 0 0 30000\r\n%s" % (n % 3, b"y" * 30000))
                assert answer in (b"STORED", b"NOT_STORED") or answer.startswith(b"SERVER_ERROR"), answer
        except (OSError, Failure) as e:
            assert not isinstance(e, TimeoutError), "neither an answer nor an end"
            closed += 1
            if client:
                client.close()
            client = None
        s.cache.process.check_running()
    assert s.failed > 0 and refused + closed > 0, (s.failed, refused, closed)
    s.set(0)
    check_all(s.cache, stored)
    with s.cache.client() as c:
        c.set("after", b"v")
        assert c.get("after") == b"v"


def test_reports_watchers_and_jobs_without_memory_are_errors(short, rundir):
    os.makedirs(str(rundir) + "/jobs", exist_ok=True)
    s = short("--job-dir", str(rundir) + "/jobs")
    with s.cache.client() as c:
        c.set("k", b"v")
        for command in (b"stats", b"stats items", b"stats slabs", b"stats conns", b"stats latency", b"stats hotkeys", b"stats containers",
                        b"stats segments", b"stats restart", b"stats jobs", b"stats prefixes", b"stats settings", b"lru_crawler metadump all",
                        b"watch fetchers", b"jobs", b"backup x", b"backup -"):
            s.set(1)
            try:
                answer = c.command(command)
                s.set(0)
                assert answer.split(b" ")[0] in (b"ERROR", b"SERVER_ERROR", b"WATCHER_TOO_MANY"), (command, answer)
            except OSError:
                s.set(0)
                c = s.cache.client()
            assert c.get("k") == b"v"
    assert os.listdir(str(rundir) + "/jobs") == []


def test_a_watcher_is_told_or_its_connection_ends(short):
    s = short()
    with s.cache.client() as w, s.cache.client() as c:
        assert w.command(b"watch fetchers mutations") == b"OK"
        assert c.command(b"mn") == b"MN"
        s.set(1)
        for i in range(200):
            assert c.command(b"mg key%d" % i) == b"EN"
        line = w.file.readline()
        assert line == b"" or b"type=item_get key=key" in line
        s.set(0)


def test_tokens_of_markers_are_listed_or_the_connection_ends(short):
    port = free_port()
    s = short("--container", "name=m,port=%d,memory=16MiB,policy=marker" % port)
    with CacheClient(port) as c:
        assert c.command(b"ms key 3 T60\r\nabc") == b"HD"
    s.set(1)
    for command in (b"mg key v", b"get key", b"gets key"):
        with pytest.raises((OSError, Failure)):
            with CacheClient(port) as c:
                c.command(command)
    s.set(0)
    with CacheClient(port) as c:
        assert c.get("key") == b"abc"


def test_new_connections_without_memory_are_closed_and_later_ones_are_served(short):
    s = short()
    old = s.cache.client()
    assert old.command(b"mn") == b"MN"
    s.set(1)
    for _ in range(50):
        with s.cache.client(timeout=5) as c, pytest.raises(OSError):
            c.command(b"mn")
    assert old.command(b"mn") == b"MN"
    s.set(0)
    with s.cache.client() as c:
        assert c.command(b"mn") == b"MN"


def test_a_limit_of_address_space_is_met_by_refusals(rundir):
    """The hash table cannot double and replies cannot grow for ever: what is stored is right all the same."""
    cache = Cache(rundir, memory=64)
    cache.start()
    used = next(int(line.split()[1]) for line in open("/proc/%d/status" % cache.pid) if line.startswith("VmSize:")) * 1024
    resource.prlimit(cache.pid, resource.RLIMIT_AS, (used + 2 * MIB, used + 2 * MIB))
    try:
        c, stored, refused, closed = cache.client(), 0, 0, 0
        for first in range(0, 300000, 100):
            try:
                c.send(b"".join(b"set n%d 0 0 5\r\n%05d\r\n" % (i, i % 100000) for i in range(first, first + 100)))
                for _ in range(100):
                    answer = c.line()
                    assert answer == b"STORED" or answer.startswith(b"SERVER_ERROR out of memory"), answer
                    stored += answer == b"STORED"
                    refused += answer != b"STORED"
            except OSError:
                closed += 1
                cache.process.check_running()
                c.close()
                c = cache.client()
        c.close()
        found = 0
        with cache.client() as c:
            for first in range(0, 300000, 1000):
                for key, data in c.get_many([b"n%d" % i for i in range(first, first + 1000)]).items():
                    assert data == b"%05d" % (int(key[1:]) % 100000)
                    found += 1
        assert found >= min(stored, 100000) > 10000, (found, stored, refused, closed)
        big = [b"get " + b" ".join([b"n1"] * 1000) + b"\r\n"] * 2000
        for _ in range(3):
            with cache.client() as c:
                try:
                    for line in big:
                        c.socket.settimeout(0.2)
                        c.send(line)
                except OSError:
                    pass
            cache.process.check_running()
            with cache.client() as c:
                assert c.command(b"mn") == b"MN"
    finally:
        assert cache.stop() == 0


def run(*args):
    return subprocess.run(cache_argv() + (["-u", "root"] if os.geteuid() == 0 else []) + ["-l", "127.0.0.1", "-p", str(free_port())] + list(args),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)


def test_more_memory_than_the_machine_has_is_an_error_that_says_so():
    done = run("-m", "60000000")
    assert done.returncode != 0 and "-m" in done.stderr and "this machine has" in done.stderr, done
    done = run("-m", "64", "--container", "name=b,port=%d,memory=50000GiB" % free_port())
    assert done.returncode != 0 and "this machine has" in done.stderr, done


def test_an_address_space_that_is_too_small_is_an_error_and_no_crash():
    done = subprocess.run(["prlimit", "--as=%d" % (200 * MIB)] + cache_argv() + (["-u", "root"] if os.geteuid() == 0 else []) +
                          ["-l", "127.0.0.1", "-p", str(free_port()), "-m", "1024", "-t", "1"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode > 0 and "memory" in done.stderr, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small file system")
def test_a_file_system_without_room_for_the_memory_file_is_an_error_that_says_so(rundir):
    where = os.path.join(str(rundir), "small")
    os.makedirs(where, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", where]).returncode != 0:
        pytest.skip("no right to mount here")
    try:
        done = run("-m", "64", "-e", os.path.join(where, "memory"))
        assert done.returncode != 0 and where in done.stderr, done
        assert "room" in done.stderr or "space" in done.stderr, done
    finally:
        subprocess.run(["umount", where], check=True)
