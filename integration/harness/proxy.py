"""A TCP way that can be slow, stand still or break: between a program and a server of the tests."""

import asyncio
import threading

from .process import free_port


class Proxy:
    """Forwards 127.0.0.1:port to the target.

        proxy.delay = 0.1      seconds that every byte takes, each way
        proxy.stall()          connections stay, nothing gets through any more (half-open); proxy.resume()
        proxy.cut()            resets every connection; new ones are taken
    """

    def __init__(self, target_port):
        self.target_port = target_port
        self.port = free_port()
        self.delay = 0
        self.open_connections = set()
        self._loop = asyncio.new_event_loop()
        self._passing = None
        self._server = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._up.wait()

    def _run(self):
        asyncio.set_event_loop(self._loop)

        async def up():
            self._passing = asyncio.Event()
            self._passing.set()
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self._up.set()
        self._loop.run_until_complete(up())
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _connected(self, reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, there_writer)
        self.open_connections.add(pair)
        try:
            await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        except OSError:
            pass
        finally:
            self.open_connections.discard(pair)
            for w in pair:
                w.transport.abort()

    async def _pump(self, reader, writer):
        queue = asyncio.Queue(256)

        async def take():
            while True:
                data = await reader.read(65536)
                await queue.put((self._loop.time() + self.delay, data))
                if not data:
                    return

        async def give():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - self._loop.time()))
                await self._passing.wait()
                if not data:
                    # One side has ended: so does the other.
                    raise ConnectionResetError
                writer.write(data)
                await writer.drain()
        await asyncio.gather(take(), give())

    def _call(self, fn):
        done = threading.Event()

        def run():
            fn()
            done.set()
        self._loop.call_soon_threadsafe(run)
        done.wait(5)

    def stall(self):
        self._call(self._passing.clear)

    def resume(self):
        self._call(self._passing.set)

    def cut(self):
        def abort():
            for pair in list(self.open_connections):
                for writer in pair:
                    writer.transport.abort()
        self._call(abort)

    def close(self):
        self.cut()
        self._call(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
