"""A private cache server that speaks memcached's protocols: squeal-cache, memcached 1.6.45, or any other program.

CACHE_SERVER chooses what the tests of test_cache_*.py judge:

    squeal-cache          build/bin/squeal-cache (the default)
    memcached             the one of integration/server-root memcached
    '/path/to/program'    anything else; options may follow
"""

import os
import shlex
import signal
import socket
import time

from .memcached import Memcached, MemcachedClient
from .pipeline import program
from .process import Failure, Process, free_port, wait_until
from .root import root_argv


def cache_argv(server=None):
    """The start of the command line of a server; of the one that CACHE_SERVER names when `server` is None."""
    server = server or os.environ.get("CACHE_SERVER") or "squeal-cache"
    if server == "squeal-cache":
        return [program("squeal-cache")]
    if server == "memcached":
        return root_argv("memcached", "memcached")
    return shlex.split(server)


def cache_is_ours():
    """True when the tests judge squeal-cache and not a peer."""
    server = os.environ.get("CACHE_SERVER") or "squeal-cache"
    return any(os.path.basename(word) == "squeal-cache" for word in shlex.split(server))


def cpu_seconds(pid):
    """What all threads of a process have spent, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise Failure("process %d has no VmRSS" % pid)


class Cache(Memcached):
    """The server that is judged, whichever it is.  memory in MiB.  `options` come last, so they win."""

    def __init__(self, dir, name="cache", server=None, port=None, threads=2, memory=64, conns=1024, options=()):
        self.name = name
        self.port = port or free_port()
        argv = cache_argv(server) + ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", str(memory),
                                     "-t", str(threads), "-c", str(conns)]
        if os.geteuid() == 0:
            argv += ["-u", "root"]
        self.process = Process(name, argv + list(options), dir)

    @property
    def pid(self):
        return self.process.pid

    def stop(self, timeout=30):
        return self.process.stop(timeout)

    def stop_gracefully(self, timeout=60):
        """SIGUSR1: memcached's way to ask that the memory file is left in order."""
        self.process.signal(signal.SIGUSR1)
        return self.process.wait(timeout)

    def client(self, timeout=10, source=None):
        return CacheClient(self.port, timeout, source)

    def stats(self, *words):
        with self.client() as c:
            return c.stats(*words)

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def resident_bytes(self):
        return resident_bytes(self.pid)


class CacheClient(MemcachedClient):
    """One connection.  Keys and values are bytes or str."""

    def __init__(self, port, timeout=10, source=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, source and (source, 0))
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def read(self, n):
        data = self.file.read(n)
        if len(data) != n:
            raise ConnectionError("the server closed the connection after %d of %d bytes" % (len(data), n))
        return data

    def rest(self):
        """What the server says until it closes the connection; TimeoutError when it does not."""
        return self.file.read()

    def data(self, size):
        data = self.read(size + 2)
        if data[-2:] != b"\r\n":
            raise Failure("a value of %d bytes does not end with a line end" % size)
        return data[:-2]

    def get_many(self, keys, verb=b"get"):
        """{key: value} of what was found; keys are bytes."""
        self.send(verb + b" " + b" ".join(keys) + b"\r\n")
        found = {}
        while True:
            line = self.line()
            if line == b"END":
                return found
            word, key, _, size = line.split(b" ")[:4]
            if word != b"VALUE" or key in found:
                raise Failure("the server said %r to a get" % line)
            found[key] = self.data(int(size))

    def meta(self, line, value=None):
        """(first word, flags, data or None) of the reply to a meta command."""
        self.send(line + b"\r\n" + (value + b"\r\n" if value is not None else b""))
        words = self.line().split(b" ")
        if words[0] != b"VA":
            return words[0], words[1:], None
        return words[0], words[2:], self.data(int(words[1]))

    def lease_get(self, key):
        """(token, value): token 0 is a hit, 1 a hot miss; the value of a miss is stale, or b"" when there is none."""
        self.send(b"lease-get %s\r\n" % self._bytes(key))
        words = self.line().split(b" ")
        if words[0] == b"VALUE":
            token, size = 0, int(words[3])
        elif words[0] == b"LVALUE":
            token, size = int(words[2]), int(words[4])
        else:
            raise Failure("the server said %r to a lease-get" % b" ".join(words))
        value = self.data(size)
        if self.line() != b"END":
            raise Failure("a lease-get did not end with END")
        return token, value

    def lease_set(self, key, token, value, exptime=0, flags=0):
        return self.command(b"lease-set %s %d %d %d %d\r\n%s"
                            % (self._bytes(key), token, flags, exptime, len(value), value))

    def stats(self, *words):
        self.send(b" ".join([b"stats"] + [w.encode() for w in words]) + b"\r\n")
        out = {}
        while True:
            line = self.line()
            if line == b"END":
                return out
            if not line.startswith(b"STAT "):
                raise Failure("the server said %r to stats" % line)
            _, name, value = line.split(b" ", 2)
            out[name.decode()] = value.decode()
