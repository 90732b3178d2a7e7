"""A store that is further away: what passes to it and back arrives so much later.

A process of its own, that forwards what it has read in one piece and looks at nothing in it: the
proxy of the fault suite reads each request, which would cost more than what is measured here. As
the delay is the same for all, one queue in the order of arrival is enough for all connections.
"""

import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Self

from jobrunner.store.address import StoreAddress

BACKLOG = 512
CHUNK = 1 << 20  # bytes read at once
READY = "ready"


class Distance:
    """Goes on while it is entered; `url` is how the store is reached through it."""

    def __init__(self, store: StoreAddress, delay_s: float) -> None:
        """`delay_s` is added each way. The store is one with a Unix socket."""
        self._folder = tempfile.TemporaryDirectory(prefix="jr-far-")
        self._socket = Path(self._folder.name, "far.sock")
        arguments = [str(self._socket), str(store.endpoint().path), str(delay_s)]
        self._program = [sys.executable, "-m", "jobrunner.bench.distance", *arguments]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._program, stdout=subprocess.PIPE, text=True)
        if self._process.stdout is not None:
            self._process.stdout.readline()  # it listens from now on
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()


class Forwarder:
    """Accepts connections at `listener`, and opens one to the socket `target` for each."""

    def __init__(self, listener: socket.socket, target: str, delay_s: float) -> None:
        self._listener = listener
        self._target = target
        self._delay_s = delay_s
        self._peers: dict[socket.socket, socket.socket] = {}
        self._read_from = [listener]
        self._pieces: deque[tuple[float, socket.socket, bytes]] = deque()  # when due, to whom

    def run(self) -> None:
        """Forward until the process is killed."""
        while True:
            # Not a poll, which would round the time up to whole milliseconds.
            for side in select.select(self._read_from, [], [], self._wait_s())[0]:
                if side is self._listener:
                    self._accept()
                else:
                    self._read(side)
            while self._pieces and self._pieces[0][0] <= time.monotonic():
                _, side, chunk = self._pieces.popleft()
                self._send(side, chunk)

    def _wait_s(self) -> float | None:
        return max(self._pieces[0][0] - time.monotonic(), 0) if self._pieces else None

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._target)
        self._peers |= {near: far, far: near}
        self._read_from += [near, far]

    def _read(self, side: socket.socket) -> None:
        try:
            chunk = side.recv(CHUNK)
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._read_from.remove(side)
        self._pieces.append((time.monotonic() + self._delay_s, self._peers[side], chunk))

    def _send(self, side: socket.socket, chunk: bytes) -> None:
        """Blocks while the side reads nothing: a daemon always reads, the server as well."""
        if side not in self._peers:
            return
        try:
            side.sendall(chunk)
        except ConnectionError:
            chunk = b""  # it has gone: there is nobody to send for any more
        if not chunk:
            self._close(side)

    def _close(self, side: socket.socket) -> None:
        for each in (side, self._peers.pop(side)):
            self._peers.pop(each, None)
            if each in self._read_from:
                self._read_from.remove(each)
            each.close()


def main(path: str, target: str, delay_s: str) -> None:
    """Serve at this path until killed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(BACKLOG)
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    Forwarder(listener, target, float(delay_s)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
