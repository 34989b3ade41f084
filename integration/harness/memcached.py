"""A private memcached and the few commands of a client."""

import os
import shutil
import socket

from .process import BUILD, Failure, Process, free_port, wait_until


class Memcached:
    def __init__(self, dir, name="memcached", port=None, options=(), keep=False):
        path = self.program()
        self.name = name
        self.port = port or free_port()
        argv = [path, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "64", "-t", "2", "-c", "4096"]
        if os.geteuid() == 0:
            argv += ["-u", "root"]
        self.process = Process(name, argv + list(options), dir, keep=keep)

    @staticmethod
    def program():
        path = shutil.which("memcached")
        if not path:
            raise Failure("memcached is not installed; run integration/packages")
        return path

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=20):
        def ready():
            self.process.check_running()
            try:
                with self.client(timeout=1) as c:
                    return c.command(b"version").startswith(b"VERSION")
            except OSError:
                return False
        wait_until(ready, timeout, "%s to answer" % self.name)

    def kill(self):
        self.process.kill()

    def stop(self):
        return self.process.stop()

    def pause(self):
        self.process.pause()

    def resume(self):
        self.process.resume()

    def client(self, timeout=5):
        return MemcachedClient(self.port, timeout)

    def set(self, key, value):
        with self.client() as c:
            c.set(key, value)

    def get(self, key):
        with self.client() as c:
            return c.get(key)

    def stats(self):
        with self.client() as c:
            return c.stats()


class SquealCache(Memcached):
    """Ours in its place."""

    @staticmethod
    def program():
        path = os.path.join(BUILD, "bin", "squeal-cache")
        if not os.path.exists(path):
            raise Failure("%s is not built; run make" % path)
        return path


class MemcachedClient:
    """One connection.  Keys and values are bytes or str."""

    def __init__(self, port, timeout=5):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    @staticmethod
    def _bytes(text):
        return text if isinstance(text, bytes) else text.encode()

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("memcached closed the connection")
        return line[:-2]

    def command(self, line):
        self.socket.sendall(line + b"\r\n")
        return self.line()

    def set(self, key, value):
        key, value = self._bytes(key), self._bytes(value)
        reply = self.command(b"set %s 0 0 %d\r\n%s" % (key, len(value), value))
        if reply != b"STORED":
            raise Failure("memcached said %r to a set of %r" % (reply, key))

    def get(self, key):
        """The value, or None."""
        reply = self.command(b"mg %s v" % self._bytes(key))
        if reply == b"EN":
            return None
        if not reply.startswith(b"VA "):
            raise Failure("memcached said %r to a get of %r" % (reply, key))
        size = int(reply.split()[1])
        return self.file.read(size + 2)[:-2]

    def stats(self):
        self.socket.sendall(b"stats\r\n")
        out = {}
        while True:
            line = self.line()
            if line == b"END":
                return out
            _, name, value = line.split(b" ", 2)
            out[name.decode()] = value.decode()
