"""What strangers and broken clients do to a cache server: others are served all the while, and memory stays bounded."""

import glob
import hashlib
import os
import re
import resource
import socket
import struct
import threading
import time

import pytest
from harness import Cache, Process, cache_argv, cache_is_ours, free_port, wait_until

MIB = 1 << 20
ours_only = pytest.mark.skipif(not cache_is_ours(), reason="memcached does not refuse that")


@pytest.fixture
def make(rundir):
    made = []

    def start(**kwargs):
        made.append(Cache(rundir, "cache-%d" % len(made), **kwargs).start())
        return made[-1]
    yield start
    for c in made:
        c.process.check_running()
        c.stop()


def connect(cache, timeout=10):
    return socket.create_connection(("127.0.0.1", cache.port), timeout)


def reset(s):
    """Closes with RST instead of FIN."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Bystander:
    """A client that goes on setting and getting while the block runs; its slowest round trip counts."""

    def __init__(self, cache):
        self.cache = cache
        self.rounds, self.slowest, self.error = 0, 0.0, None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            with self.cache.client(timeout=30) as c:
                while not self.ending.is_set():
                    begin = time.monotonic()
                    c.set("bystander", b"%d" % self.rounds)
                    assert c.get("bystander") == b"%d" % self.rounds
                    self.slowest = max(self.slowest, time.monotonic() - begin)
                    self.rounds += 1
                    time.sleep(0.001)
        except Exception as e:  # said by the test's own thread
            self.error = e

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.rounds or self.error, 10, "the bystander's first round")
        return self

    def __exit__(self, kind, *_):
        self.ending.set()
        self.thread.join()
        if kind is None:
            assert self.error is None, self.error
            assert self.slowest < 2, "somebody else waited %.2f s" % self.slowest


def connections(cache):
    return int(cache.stats()["curr_connections"])


def test_connections_past_the_limit_are_told_and_counted(make):
    cache = make(conns=64, threads=2)
    inside = cache.client()
    inside.set("k", b"v")
    held, told, waiting = [], 0, 0
    for _ in range(300):
        s = connect(cache)
        held.append(s)
    wait_until(lambda: int(inside.stats()["rejected_connections"]) >= 300 - 64, 20, "those that are too many to be refused")
    for s in held:
        s.settimeout(0.2)
        try:
            s.sendall(b"mn\r\n")
            said = s.recv(100)
        except TimeoutError:
            waiting += 1
            continue
        except ConnectionError:
            told += 1
            continue
        told += said == b"" or said.startswith(b"ERROR Too many open connections")
        waiting += said.startswith(b"MN")
    assert told >= 300 - 64 and waiting <= 64
    assert inside.get("k") == b"v"
    stats = inside.stats()
    assert int(stats["curr_connections"]) <= 64 + 8 and int(stats["rejected_connections"]) >= 300 - 64
    for s in held:
        s.close()
    wait_until(lambda: int(inside.stats()["curr_connections"]) < 10, 10, "the connections to end")
    with cache.client() as c:
        assert c.get("k") == b"v"


def test_a_storm_of_short_connections_leaves_nothing(make):
    cache = make()
    fds = len(os.listdir("/proc/%d/fd" % cache.pid))
    before = connections(cache)
    with Bystander(cache):
        for i in range(4000):
            s = connect(cache)
            if i % 3 == 1:
                s.sendall(b"get a b c\r\nset half 0 0 10\r\n12")
            (reset if i % 2 else socket.socket.close)(s)
    wait_until(lambda: connections(cache) <= before, 10, "the connections to end")
    assert len(os.listdir("/proc/%d/fd" % cache.pid)) <= fds + 2
    assert cache.client().get("half") is None


def test_readers_that_never_read_cost_nobody_else(make):
    """Forty of them ask for 10,000 values of 4 KB again and again: 40 x 20 x 40 MB."""
    cache = make(memory=128, threads=2)
    keys = [b"slow:%d" % i for i in range(10000)]
    with cache.client() as c:
        for key in keys:
            c.send(b"set %s 0 0 4000 noreply\r\n%s\r\n" % (key, b"v" * 4000))
        assert len(c.get_many(keys)) == 10000
        before = cache.resident_bytes()
        slow = []
        with Bystander(cache) as b:
            request = b"get " + b" ".join(keys) + b"\r\n"
            for _ in range(40):
                s = connect(cache)
                s.setblocking(False)
                for _ in range(20):
                    try:
                        s.send(request)
                    except BlockingIOError:
                        break
                slow.append(s)
            seen = b.rounds
            wait_until(lambda: b.rounds > seen + 500 or b.error, 60, "the bystander")
        grown = cache.resident_bytes() - before
        assert grown < 256 * MIB, "%d MiB more" % (grown // MIB)
        # One of them reads on at last and gets what it asked for, from the first byte on.
        s = slow[0]
        s.settimeout(30)
        f = s.makefile("rb")
        assert f.readline() == b"VALUE slow:0 0 4000\r\n" and f.read(4002) == b"v" * 4000 + b"\r\n"
        for s in slow[1:]:
            reset(s)
        f.close()
        slow[0].close()
        assert c.get("slow:1") == b"v" * 4000
    wait_until(lambda: connections(cache) < 10, 20, "the connections to end")


def test_a_client_that_reads_slowly_gets_all_of_it(make):
    cache = make(memory=128)
    keys = [b"k:%d" % i for i in range(10000)]
    with cache.client(timeout=30) as c:
        for i, key in enumerate(keys):
            c.send(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, i % 2000, b"v" * (i % 2000)))
        expected = b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (k, i % 2000, b"v" * (i % 2000)) for i, k in enumerate(keys))
        expected += b"END\r\n"
        c.send((b"get " + b" ".join(keys) + b"\r\n") * 3 + b"mn\r\n")
        got = hashlib.sha256()
        left = 3 * len(expected) + 4
        while left:
            data = c.socket.recv(min(left, 7777))
            assert data
            got.update(data)
            left -= len(data)
            if left % 97 == 0:
                time.sleep(0.001)
        assert got.digest() == hashlib.sha256(3 * expected + b"MN\r\n").digest()


HALVES = [b"g", b"get", b"get ke", b"get key", b"set key 0 0 1000", b"set key 0 0 1000\r\n", b"set key 0 0 1000\r\n" + b"v" * 999,
          b"set key 0 0 1000\r\n" + b"v" * 1000, b"set key 0 0 1000\r\n" + b"v" * 1000 + b"\r", b"ms key 1000 T0\r\n" + b"v" * 500,
          b"mg key v", b"delete ke", b"incr key", b"\x80\x01\x00\x03", b"\x80\x01\x00\x03\x08\x00\x00\x00" + struct.pack(">I", 111)
          + bytes(12) + bytes(8) + b"ke", b"set big 0 0 900000\r\n" + b"v" * 400000]


def test_half_requests_change_nothing_and_hold_nobody(make):
    cache = make(options=["-B", "auto"])
    with cache.client() as c:
        c.set("key", b"old")
        open_ones = []
        with Bystander(cache) as b:
            for _ in range(20):
                for half in HALVES:
                    s = connect(cache)
                    s.sendall(half)
                    open_ones.append(s)
            seen = b.rounds
            wait_until(lambda: b.rounds > seen + 100 or b.error, 30, "the bystander")
            assert c.get("key") == b"old"
            for i, s in enumerate(open_ones):
                (reset if i % 2 else socket.socket.close)(s)
        wait_until(lambda: int(c.stats()["curr_connections"]) < 10, 10, "the connections to end")
        # A set that was never whole has stored nothing.
        assert c.get("key") in (b"old", None) and c.get("big") is None
        c.set("key", b"new")
        assert c.get("key") == b"new"


def test_requests_in_any_pieces_mean_the_same(make):
    cache = make()
    talk = (b"set a 0 0 5\r\nab\r\nc\r\nget a\r\nms b 3 T0 c\r\nxyz\r\nmg b v s k\r\nincr a 1\r\nget a b nokey\r\ndelete a\r\n"
            b"set c 0 0 0\r\n\r\ngets\r\nnonsense\r\nget c\r\nmn\r\n")

    def say(sizes):
        with connect(cache, 30) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(b"flush_all\r\n")
            assert s.recv(4) == b"OK\r\n"
            at, i = 0, 0
            while at < len(talk):
                n = sizes[i % len(sizes)]
                s.sendall(talk[at:at + n])
                at, i = at + n, i + 1
                if n < 3:
                    time.sleep(0.0005)
            said = b""
            while not said.endswith(b"MN\r\n"):
                more = s.recv(4096)
                assert more
                said += more
            return re.sub(rb" c\d+", b" c", said)
    whole = say([len(talk)])
    assert whole.count(b"\r\n") > 12 and b"VALUE a 0 5\r\nab\r\nc\r\n" in whole
    for sizes in ([1], [2], [3, 1], [7], [1, 40], [13, 1, 1]):
        assert say(sizes) == whole


@pytest.mark.parametrize("what", [b"a" * (4 * MIB), b"get " + b"k" * (4 * MIB), b"set " + b"k" * (4 * MIB),
                                  b"mg " + b"k" * (4 * MIB), b" " * (4 * MIB), b"\0" * (4 * MIB)],
                         ids=["letters", "get", "set", "mg", "spaces", "zeros"])
def test_a_line_without_an_end_is_not_gathered(make, what):
    cache = make()
    before = cache.resident_bytes()
    socks = []
    with Bystander(cache):
        for _ in range(20):
            s = connect(cache)
            socks.append(s)
            s.settimeout(0.5)
            try:
                s.sendall(what)
            except (ConnectionError, TimeoutError):
                pass
        grown = cache.resident_bytes() - before
        # A get may be long, and is then held; nothing else is.
        assert grown < (120 if what.startswith(b"get") else 40) * MIB, "%d MiB for 80 MiB" % (grown // MIB)
        for s in socks:
            s.close()


@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "TRACE", "DELETE", "PATCH"])
def test_http_is_closed_and_nothing_that_follows_runs(make, verb):
    cache = make()
    with cache.client() as c:
        c.send(b"%s / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30\r\n\r\nset evil 0 0 1\r\nx\r\nset more 0 0 1\r\nx\r\n"
               % verb.encode())
        try:
            said = c.rest()
        except ConnectionError:
            said = b""
        assert b"STORED" not in said
    with cache.client() as c:
        assert c.get("evil") is None and c.get("more") is None


def listening(pid):
    """{(protocol, address)} of a process's sockets."""
    inodes = set()
    for fd in glob.glob("/proc/%d/fd/*" % pid):
        try:
            m = re.match(r"socket:\[(\d+)\]", os.readlink(fd))
        except FileNotFoundError:
            continue
        if m:
            inodes.add(m[1])
    found = set()
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        with open("/proc/net/" + protocol) as f:
            for line in list(f)[1:]:
                words = line.split()
                if words[9] in inodes and (protocol.startswith("udp") or words[3] == "0A"):
                    found.add((protocol, words[1].split(":")[0]))
    return found


def bare(rundir, *options):
    argv = cache_argv() + ["-p", str(free_port()), "-m", "64"] + list(options)
    if os.geteuid() == 0:
        argv += ["-u", "root"]
    return Process("bare", argv, rundir)


LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


@ours_only
def test_without_an_address_only_loopback_is_bound_and_no_udp(rundir):
    p = bare(rundir).start()
    bound = wait_until(lambda: p.check_running() or listening(p.pid), 10, "it to listen")
    assert {address for _, address in bound} <= LOOPBACK and not [x for x in bound if x[0].startswith("udp")]
    p.stop()


@ours_only
@pytest.mark.parametrize("options", [["-l", "0.0.0.0"], ["-l", "::"], ["-l", "127.0.0.1,0.0.0.0"], ["-l", "INADDR_ANY"]],
                         ids=lambda o: o[1])
def test_a_wildcard_address_is_refused_without_tls_or_auth(rundir, options):
    p = bare(rundir, *options).start()
    assert p.wait(10) != 0
    assert options[1].split(",")[-1] in p.log_text() and re.search(r"-Y|-Z", p.log_text()), p.log_text()


@pytest.mark.soak
def test_a_value_of_a_gigabyte(make):
    cache = make(memory=2048, options=["-I", "1024m"])
    size = (1 << 30) - 64 * 1024
    block = os.urandom(MIB)
    sent, got = hashlib.sha256(), hashlib.sha256()
    with Bystander(cache), cache.client(timeout=120) as c:
        c.send(b"set huge 7 0 %d\r\n" % size)
        left = size
        while left:
            part = block[:min(left, MIB)]
            c.send(part)
            sent.update(part)
            left -= len(part)
        c.send(b"\r\n")
        assert c.line() == b"STORED"
        c.send(b"get huge\r\n")
        assert c.line() == b"VALUE huge 7 %d" % size
        left = size
        while left:
            part = c.read(min(left, MIB))
            got.update(part)
            left -= len(part)
        assert c.line() == b"" and c.line() == b"END"
        assert got.digest() == sent.digest()
        # Half of another one: what it took is free again.
        with connect(cache, 60) as s:
            s.sendall(b"set half 0 0 %d\r\n" % size)
            for _ in range(300):
                s.sendall(block)
        assert c.get("half") is None
        assert c.command(b"delete huge") in (b"DELETED", b"NOT_FOUND")
        assert c.command(b"set huge 0 0 2147483648").startswith((b"CLIENT_ERROR ", b"SERVER_ERROR "))


@pytest.mark.soak
def test_a_hundred_thousand_idle_connections(make):
    n = 100000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n + 1000, max(hard, n + 1000)))
    except ValueError:
        n = hard - 1000
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socks = []
    try:
        cache = make(conns=n + 100, threads=2)
        before = cache.resident_bytes()
        with Bystander(cache):
            for i in range(n):
                s = socket.socket()
                s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect
                s.bind(("127.0.%d.%d" % (1 + i // 20000 // 250, 2 + i // 20000 % 250), 0))
                s.connect(("127.0.0.1", cache.port))
                socks.append(s)
            wait_until(lambda: connections(cache) >= n, 60, "all connections")
            per = (cache.resident_bytes() - before) / n
            print("%d idle connections: %.0f bytes of resident memory each" % (n, per))
            assert per < 8192
            for s in socks[::1000]:
                s.settimeout(10)
                s.sendall(b"get bystander\r\n")
                assert s.recv(100).startswith(b"VALUE bystander")
        for s in socks:
            s.close()
        wait_until(lambda: connections(cache) < 10, 60, "the connections to end")
    finally:
        for s in socks:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if n < 100000:
        pytest.skip("%d connections were held, all that RLIMIT_NOFILE allows; for more: ulimit -Hn 101000" % n)
