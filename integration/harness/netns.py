"""Network namespaces of our own: a far side that can be silenced or unplugged without a word to either end.

    with Network(dir) as net:                          # NotPermitted: what is missing, for a skip
        cache = FarMemcached(net, dir)                 # runs on the far side, at net.far
        net.silence()                                  # packets vanish, both ways; no end is told
        net.unplug()                                   # our end of the cable: the link is down
        net.heal()

          near 10.77.0.1 ──── 10.77.0.2 middle 10.78.0.1 ──── 10.78.0.2 far

The calling thread, and what it starts, is on the near side until the end; the machine's own interfaces are not to be
seen from there and are not touched.  What vanishes, vanishes in the middle, which stops to forward: that needs no module
of the kernel.  Needs root.
"""

import ctypes
import os
import shutil
import socket
import subprocess

from .memcached import Memcached, MemcachedClient
from .process import Failure, Process, wait_until

_CLONE_NEWNET = 0x40000000
_OURS = "/proc/thread-self/ns/net"


class NotPermitted(Exception):
    """No namespaces here; the text says what would change that."""


def _libc_call(name, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _run(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise NotPermitted("%s: %s" % (" ".join(argv), done.stdout.strip()))


class Network:
    near, far = "10.77.0.1", "10.78.0.2"

    def __init__(self, dir):
        self.dir = dir
        self._home = None
        self._sides = {}

    def __enter__(self):
        for tool in ("ip", "nsenter", "unshare"):
            if not shutil.which(tool):
                raise NotPermitted("%s is not installed; run integration/packages" % tool)
        self._home = os.open(_OURS, os.O_RDONLY)
        try:
            try:
                _libc_call("unshare", _CLONE_NEWNET)
            except OSError as e:
                raise NotPermitted("network namespaces need root: %s" % e.strerror)
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for side in self._sides.values():
            side.kill()
        if self._home is not None:
            # Whatever was made goes with the last process that is in it.
            _libc_call("setns", self._home, _CLONE_NEWNET)
            os.close(self._home)
            self._home = None

    def _build(self):
        ours = os.readlink(_OURS)
        for name in ("middle", "far"):
            side = Process("netns-" + name, ["unshare", "-n", "sleep", "infinity"], self.dir).start()
            self._sides[name] = side
            wait_until(lambda s=side: s.running and os.readlink("/proc/%d/ns/net" % s.pid) != ours, 10, "a namespace")
        middle, far = (str(self._sides[name].pid) for name in ("middle", "far"))
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "middle0")
        _run("ip", "link", "set", "middle0", "netns", middle)
        _run(*self.argv("middle", ["ip", "link", "add", "middle1", "type", "veth", "peer", "name", "far0"]))
        _run(*self.argv("middle", ["ip", "link", "set", "far0", "netns", far]))
        self._near_up()
        for side, commands in (("middle", ["ip link set lo up", "ip addr add 10.77.0.2/24 dev middle0", "ip link set middle0 up",
                                           "ip addr add 10.78.0.1/24 dev middle1", "ip link set middle1 up"]),
                               ("far", ["ip link set lo up", "ip addr add 10.78.0.2/24 dev far0", "ip link set far0 up",
                                        "ip route add default via 10.78.0.1"])):
            for command in commands:
                _run(*self.argv(side, command.split()))
        self._forward(True)

    def _near_up(self):
        _run("ip", "addr", "replace", self.near + "/24", "dev", "near0")
        _run("ip", "link", "set", "near0", "up")
        _run("ip", "route", "replace", "10.78.0.0/24", "via", "10.77.0.2")

    def _forward(self, on):
        _run(*self.argv("middle", ["sh", "-c", "echo %d >/proc/sys/net/ipv4/ip_forward" % on]))

    def argv(self, side, argv):
        """The command line that runs `argv` on the "far" side, or in the "middle"; the pid is the program's own."""
        return ["nsenter", "--net=/proc/%d/ns/net" % self._sides[side].pid, "--"] + argv

    def silence(self):
        self._forward(False)

    def unplug(self):
        _run("ip", "link", "set", "near0", "down")

    def heal(self):
        self._forward(True)
        self._near_up()


class FarMemcached(Memcached):
    """memcached on the far side."""

    def __init__(self, net, dir, name="cache-far", port=None, options=(), keep=False):
        super().__init__(dir, name, port, options, keep)
        self.net = net
        argv = self.process.argv
        argv[argv.index("127.0.0.1")] = net.far
        self.process.argv = net.argv("far", argv)

    @property
    def address(self):
        return "%s:%d" % (self.net.far, self.port)

    def client(self, timeout=5):
        return FarClient(self.net.far, self.port, timeout)


class FarClient(MemcachedClient):
    def __init__(self, host, port, timeout):
        self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")


def far_database(net, db):
    """Puts a server that was made but not started on the far side; its unix socket is here all the same."""
    argv = db.process.argv
    if "--bind-address=127.0.0.1" not in argv:
        raise Failure("the database's address is not where it was looked for")
    argv[argv.index("--bind-address=127.0.0.1")] = "--bind-address=" + net.far
    db.process.argv = net.argv("far", argv)
    db.host = net.far
    return db
