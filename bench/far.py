"""A way to the lab's object store that is 30 ms long, and on which HTTP requests are counted, whoever sends them.

It runs in a process of its own: `python bench/far.py` prints the port that it listens at. For each line that it is
sent, the seconds that every byte takes one way from now on, it answers with the requests since the line before.
"""

import asyncio
import collections
import json
import pathlib
import re
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from lab import podman, s3  # noqa: E402

ONE_WAY = 0.015


class Way:
    """The proxy, as the benchmark sees it."""

    def __enter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen([sys.executable, __file__], text=True, bufsize=1, **pipes)
        self.endpoint = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(timeout=10)

    def requests(self, one_way=ONE_WAY):
        """Return the requests (list of str) since this was last called; ``one_way`` seconds hold from now on."""
        self._process.stdin.write(f"{one_way}\n")
        return json.loads(self._process.stdout.readline())


class Requests:
    """Finds the requests in what a client sends over one connection, and adds them to a list."""

    def __init__(self, found):
        self._found, self._head, self._body = found, b"", 0

    def feed(self, data):
        """data (bytes): what came next."""
        while data:
            passed = min(self._body, len(data))
            self._body -= passed
            head, end, data = (self._head + data[passed:]).partition(b"\r\n\r\n")
            self._head = b"" if end else head
            if end:
                self._found.append(" ".join(head.decode().split(" ", 2)[:2]))
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
                self._body = int(length[1]) if length else 0
                if re.search(rb"\r\ntransfer-encoding:", head, re.IGNORECASE):
                    raise ValueError(f"a body without a length, which cannot be counted: {head}")


class End(asyncio.Protocol):
    """One end of a connection. What arrives here leaves at the other end later, in its order."""

    def __init__(self, proxy, other=None):
        self._proxy, self.other, self._waiting, self._since = proxy, other, collections.deque(), 0
        self._requests = None if other else Requests(proxy.found)

    def connection_made(self, transport):
        self.transport, loop = transport, asyncio.get_running_loop()
        if not self.other:
            # Over a real way of this length a connection is there after one round trip.
            self._since = loop.time() + 2 * self._proxy.one_way
            transport.pause_reading()
            self._task = loop.create_task(self._reach())

    async def _reach(self):
        made = asyncio.get_running_loop().create_connection(lambda: End(self._proxy, self), "127.0.0.1", s3.PORT)
        _, self.other = await made
        self.transport.resume_reading()

    def data_received(self, data):
        if self._requests:
            self._requests.feed(data)
        self._later(data)

    def connection_lost(self, exc):
        self._later(b"")

    def _later(self, data):
        loop = asyncio.get_running_loop()
        self._waiting.append(data)
        loop.call_at(max(loop.time(), self._since) + self._proxy.one_way, self._leave)

    def _leave(self):
        data = self._waiting.popleft()
        if data:
            self.other.transport.write(data)
        elif self.other:
            self.other.transport.close()


class Proxy:
    """What all connections share."""

    def __init__(self):
        self.found, self.one_way = [], ONE_WAY

    async def serve(self, listening):
        """Serve until the input ends."""
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        await loop.create_server(lambda: End(self), sock=listening)
        while line := await lines.readline():
            self.one_way, found = float(line), self.found[:]
            self.found.clear()
            print(json.dumps(found), flush=True)


def main():
    """Listen on this machine, and connect from within the cloud's network."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listening.getsockname()[1], flush=True)
    with podman.network("cloud"):
        asyncio.run(Proxy().serve(listening))


if __name__ == "__main__":
    main()
