"""The way to the real server, with a switch in it, to act an outage."""

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

from jobrunner.store.address import StoreAddress

CHUNK = 1 << 16
LOOK_EVERY_S = 0.01  # whether the switch was thrown


class Switch:
    """Carries what clients and the server say to each other, while it is up."""

    def __init__(self, path: str, address: StoreAddress) -> None:
        self.address = StoreAddress(address.name, socket=path)
        self.round_trips = 0  # requests are sent in one piece here, whatever their number
        self.replies_held = 0
        self._server = address.socket
        self._is_down = False
        self._is_hanging = False
        self._until_loss: int | None = None  # replies that arrive before the one that is lost
        self._is_closed = False
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def down(self) -> None:
        """Cut all connections, and refuse new ones."""
        self._is_down = True

    def vanish(self) -> None:
        """Cut all connections, and be no more where clients look, as a server that was killed."""
        os.rename(self._path, f"{self._path}.away")
        self._is_down = True

    def hang(self) -> None:
        """Take requests, and keep the replies back until it is up again."""
        self._is_hanging = True

    def up(self) -> None:
        if not os.path.exists(self._path):
            os.rename(f"{self._path}.away", self._path)
        self._is_down = self._is_hanging = False

    def lose_reply(self, after: int = 0) -> None:
        """The next request but so many arrives, its reply does not: the connection is cut."""
        self._until_loss = after

    def close(self) -> None:
        self._is_closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def _run(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed in the end
            while True:
                client, _ = self._listener.accept()
                self._run(self._carry, client)

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            if self._is_down:
                return
            server.connect(self._server or "")
            for said_by, said in _conversation(client, server, self._must_end):
                if said_by is client:
                    self.round_trips += 1
                    server.sendall(said)
                elif self._until_loss == 0:
                    self._until_loss = None
                    return
                else:
                    self._until_loss = self._until_loss and self._until_loss - 1
                    self._wait_while_hanging()
                    client.sendall(said)

    def _wait_while_hanging(self) -> None:
        self.replies_held += self._is_hanging
        while self._is_hanging and not self._must_end():
            time.sleep(LOOK_EVERY_S)

    def _must_end(self) -> bool:
        return self._is_down or self._is_closed


def _conversation(
    client: socket.socket, server: socket.socket, must_end: Callable[[], bool]
) -> Iterator[tuple[socket.socket, bytes]]:
    with selectors.DefaultSelector() as selector:
        for end in (client, server):
            selector.register(end, selectors.EVENT_READ, end)
        while not must_end():
            for key, _ in selector.select(LOOK_EVERY_S):
                said = key.data.recv(CHUNK)
                if not said or must_end():
                    return
                yield key.data, said
