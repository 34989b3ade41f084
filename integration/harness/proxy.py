"""A TCP proxy on loopback that makes a network bad: delay, a limited rate, silence, cut connections.

    with Proxy(cache.port) as proxy:        # clients connect to proxy.address
        proxy.delay = 0.02                  # seconds, each way
        proxy.rate = 100_000                # bytes per second, each way and connection
        proxy.cut()                         # every connection is reset; new ones are taken
        proxy.stall()                       # nothing goes through; connections stay, new ones are taken (half-open)
        proxy.refuse()                      # every connection is reset, new ones are refused
        proxy.resume()                      # stall and refuse end; what waited goes on

It is one thread; the settings may be changed by any other at any time.
"""

import collections
import selectors
import socket
import struct
import threading
import time

from .process import free_port

# What one direction of one connection may hold before the sender is no longer read: a socket's buffer, more or less.
HOLD = 256 * 1024
CHUNK = 16 * 1024


class _Way:
    """One direction of a connection: bytes read from `source`, each chunk due at some time, for `sink`."""

    def __init__(self, source, sink):
        self.source = source
        self.sink = sink
        self.chunks = collections.deque()
        self.held = 0
        self.free_at = 0.0  # when the line may carry the next byte
        self.finished = False  # the source has sent its last byte
        self.told = False      # and the sink knows it

    def put(self, data, now, delay, rate):
        at = max(now, self.free_at)
        if rate:
            self.free_at = at + len(data) / rate
            at = self.free_at
        self.chunks.append((at + delay, data))
        self.held += len(data)

    def due(self):
        return self.chunks[0][0] if self.chunks else None

    def send(self, now):
        """False when the sink takes no more at the moment."""
        while self.chunks and self.chunks[0][0] <= now:
            at, data = self.chunks.popleft()
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            self.held -= sent
            if sent < len(data):
                self.chunks.appendleft((at, data[sent:]))
                return False
        if self.finished and not self.told and not self.chunks:
            self.told = True
            self.sink.shutdown(socket.SHUT_WR)
        return True


class _Pair:
    def __init__(self, client, server):
        self.sockets = (client, server)
        self.ways = (_Way(client, server), _Way(server, client))

    def close(self, reset):
        for s in self.sockets:
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()


class Proxy:
    def __init__(self, port, host="127.0.0.1", delay=0.0, rate=None):
        self.target = (host, port)
        self.port = free_port()
        self.delay = delay
        self.rate = rate
        self.passed = 0  # bytes
        self._state = "open"
        self._pairs = []
        self._listener = None
        self._end = False
        self._wake_r, self._wake_w = socket.socketpair()
        self._done = threading.Condition()
        self._seen = None
        self._cuts = self._cuts_done = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._listen()
        self._thread.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def cut(self):
        with self._done:
            self._cuts += 1
            wanted = self._cuts
            self._wake_w.send(b"x")
            if not self._done.wait_for(lambda: self._cuts_done >= wanted, 10):
                raise RuntimeError("the proxy's thread does not answer")

    def stall(self):
        self._become("stalled")

    def refuse(self):
        self._become("refusing")

    def resume(self):
        self._become("open")

    def connections(self):
        return len(self._pairs)

    def close(self):
        self._end = True
        self._wake_w.send(b"x")
        self._thread.join(10)

    # --- its thread ---------------------------------------------------------------------------------------

    def _become(self, state):
        """Returns when the thread has done it."""
        with self._done:
            self._state = state
            self._wake_w.send(b"x")
            if not self._done.wait_for(lambda: self._seen == state, 10):
                raise RuntimeError("the proxy's thread does not answer")

    def _listen(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(64)
        self._listener.setblocking(False)

    def _accept(self):
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        server = socket.socket()
        server.settimeout(2)
        try:
            server.connect(self.target)
        except OSError:
            server.close()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        for s in (client, server):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append(_Pair(client, server))

    def _drop(self, pair, reset=True):
        pair.close(reset)
        self._pairs.remove(pair)

    def _read(self, way, now):
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return
        if data:
            self.passed += len(data)
            way.put(data, now, self.delay, self.rate)
        else:
            way.finished = True

    def _take_state(self):
        with self._done:
            state = self._state
            if state == "refusing" or self._cuts_done < self._cuts:
                for pair in list(self._pairs):
                    self._drop(pair)
            self._cuts_done = self._cuts
            if state == "refusing":
                if self._listener:
                    self._listener.close()
                    self._listener = None
            elif self._listener is None:
                self._listen()
            self._seen = state
            self._done.notify_all()
        return state

    def _run(self):
        try:
            while not self._end:
                self._round(self._take_state())
        finally:
            for pair in list(self._pairs):
                self._drop(pair)
            for s in (self._listener, self._wake_r, self._wake_w):
                if s:
                    s.close()

    def _round(self, state):
        now = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_r, selectors.EVENT_READ, None)
            if self._listener:
                selector.register(self._listener, selectors.EVENT_READ, None)
            timeout = None
            if state == "open":
                events = {}
                for pair in self._pairs:
                    for way in pair.ways:
                        if not way.finished and way.held < HOLD:
                            events.setdefault(way.source, [0, pair])[0] |= selectors.EVENT_READ
                        if way.due() is not None and way.due() <= now:
                            events.setdefault(way.sink, [0, pair])[0] |= selectors.EVENT_WRITE
                        elif way.due() is not None:
                            wait = max(0.0, way.due() - now)
                            timeout = wait if timeout is None else min(timeout, wait)
                for s, (mask, pair) in events.items():
                    selector.register(s, mask, pair)
            for key, mask in selector.select(timeout):
                if key.fileobj is self._wake_r:
                    self._wake_r.recv(4096)
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._serve(key.data, key.fileobj, mask)
            if state == "open":
                now = time.monotonic()
                for pair in list(self._pairs):
                    self._flush(pair, now)

    def _serve(self, pair, s, mask):
        if pair not in self._pairs or not mask & selectors.EVENT_READ:
            return
        try:
            for way in pair.ways:
                if way.source is s:
                    self._read(way, time.monotonic())
        except OSError:
            self._drop(pair)

    def _flush(self, pair, now):
        try:
            for way in pair.ways:
                way.send(now)
            if all(w.finished and not w.chunks for w in pair.ways):
                self._drop(pair, reset=False)
        except OSError:
            if pair in self._pairs:
                self._drop(pair)
