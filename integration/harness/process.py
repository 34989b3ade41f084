"""Processes that never outlive the test, ports that nobody else has, and waiting for conditions."""

import atexit
import ctypes
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1

_live = []
_port_claims = {}


class Failure(Exception):
    """Something did not happen; the text says what, and where to look."""


def run_dir(name, fresh=True):
    """The folder build/run/<name>, emptied first unless told otherwise."""
    path = os.path.join(BUILD, "run", name)
    if fresh and os.path.isdir(path):
        shutil.rmtree(path)
    os.makedirs(path, exist_ok=True)
    return path


def wait_until(cond, timeout, what):
    """Polls `cond` until it is true and returns its value; Failure names `what` when it is not in time."""
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        value = cond()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure("waited %g s for %s" % (timeout, what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def free_port():
    """A loopback port below the range of outgoing connections, so that a killed server finds it free again.

    The claim is an abstract unix socket: it spans every user and clone on the machine and ends with us.
    """
    if sys.platform != "linux":
        raise Failure("the harness needs Linux")
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low = int(f.read().split()[0])
    top = min(low, 32768) if low > 12000 else 65000
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, top)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind("\0squeal-port-%d" % port)
        except OSError:
            claim.close()
            continue
        probe = socket.socket()
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        finally:
            probe.close()
        _port_claims[port] = claim
        return port
    raise Failure("no free port on 127.0.0.1")


def _child(with_us):
    def setup():
        if with_us:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return setup


class Process:
    """One program that can be stopped, killed, paused and started again.

    Output goes to <dir>/<name>.log, appended over restarts.  With keep=True it outlives us (DEMO_KEEP).
    Start processes from the main thread: the kernel ends them together with the thread that started them.
    """

    def __init__(self, name, argv, dir, env=None, keep=False):
        self.name = name
        self.argv = argv
        self.dir = dir
        self.env = env or {}
        self.keep = keep
        self.log = os.path.join(dir, name + ".log")
        self.popen = None
        self.asked = None  # the process that was told to end

    @property
    def pid(self):
        return self.popen.pid if self.popen else None

    @property
    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def start(self, extra_env=None, stdin=subprocess.DEVNULL):
        if self.running:
            raise Failure("%s runs already" % self.name)
        env = dict(os.environ)
        env.update(self.env)
        env.update(extra_env or {})
        out = open(self.log, "ab")
        try:
            self.popen = subprocess.Popen(self.argv, stdin=stdin, stdout=out, stderr=out, env=env,
                                          cwd=self.dir, start_new_session=True, preexec_fn=_child(not self.keep))
        except OSError as e:
            raise Failure("cannot start %s: %s" % (self.argv[0], e.strerror))
        finally:
            out.close()
        if self not in _live:
            _live.append(self)
        return self

    def signal(self, sig):
        if self.running:
            self.popen.send_signal(sig)

    def kill(self):
        """kill -9, and waits until it is gone."""
        if self.popen is None:
            return
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def terminate(self):
        """SIGTERM, once: a second one would ask for haste."""
        if self.running and self.popen is not self.asked:
            self.asked = self.popen
            self.resume()
            self.signal(signal.SIGTERM)

    def stop(self, timeout=15):
        """SIGTERM, then kill -9 when that is not obeyed.  Returns the exit status."""
        if self.popen is None:
            return None
        if self.running:
            self.terminate()
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.wait()

    def wait(self, timeout, what="to end"):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure("waited %g s for %s %s; its log is %s" % (timeout, self.name, what, self.log))

    def log_text(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def check_running(self):
        if not self.running:
            raise Failure("%s ended with status %s; its log (%s) ends:\n%s"
                          % (self.name, self.popen.returncode if self.popen else "?", self.log,
                             "\n".join(self.log_text().splitlines()[-10:])))


def stop_everything():
    """Stops what is still running, last started first.  At exit this happens anyway."""
    while _live:
        process = _live.pop()
        if process.keep:
            continue
        try:
            if process.popen is not None and process.running:
                process.resume()
                process.kill()
        except Exception as e:
            print("harness: %s (pid %s) was not stopped: %s" % (process.name, process.pid, e), file=sys.stderr)


def show_logs(path, lines=15, out=sys.stderr):
    """The ends of all logs below `path`, for a failure's reader."""
    for log in sorted(glob.glob(os.path.join(path, "**", "*.log"), recursive=True)):
        if os.sep + "data" + os.sep in log:
            continue
        with open(log, errors="replace") as f:
            tail = f.read().splitlines()[-lines:]
        if tail:
            print("--- %s" % os.path.relpath(log, ROOT), file=out)
            for line in tail:
                print("    " + line[:300], file=out)


atexit.register(stop_everything)
