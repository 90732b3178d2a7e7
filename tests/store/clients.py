"""What the tests of clients and broker share: published tasks, a wait in the background …"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from jobrunner.model import Priority
from jobrunner.params import ParamSpec, ParamType
from jobrunner.store.published import Published, PublishedTask, publish
from tests.store.factories import Store

T = TypeVar("T")

DEMO = PublishedTask("demo", "python", params=[ParamSpec("n", ParamType.INTEGER, default=1)])
RESIZE = PublishedTask(
    "resize",
    "python",
    params=[
        ParamSpec("path"),
        ParamSpec("width", ParamType.INTEGER, default=200, required=False),
    ],
    queue="web",
    priority=Priority.HIGH,
)


def publish_tasks(store: Store, *tasks: PublishedTask) -> None:
    """As the daemon does at its start."""
    store.run(publish(store.keys, Published({task.name: task for task in tasks}, {})))


def eventually(check: Callable[[], T], within: float = 5) -> T:
    """The first true value of `check`."""
    give_up_at = time.monotonic() + within
    while True:
        if found := check():
            return found
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.002)


def is_watched(store: Store, job_id: str) -> bool:
    return bool(store.command("SCARD", store.keys.watchers(job_id)))


@contextmanager
def in_background(call: Callable[[], T]) -> Iterator[Future[T]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call)


class CutLine:
    """A way to the server that can lose a reply: the request arrives, the answer does not."""

    def __init__(self, path: Path, server: str) -> None:
        self.path = str(path)
        self.replies_to_lose = 0
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=[client], daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server)
            while request := client.recv(65536):
                server.sendall(request)
                reply = server.recv(65536)
                if self.replies_to_lose:
                    self.replies_to_lose -= 1
                    return
                client.sendall(reply)


def calls_of(store: Store) -> dict[str, int]:
    """How often each command was called at the server, by anybody."""
    lines: Any = store.command("INFO", "commandstats").decode().splitlines()
    pairs = (line.removeprefix("cmdstat_").split(":calls=") for line in lines if "calls=" in line)
    return {name: int(rest.partition(",")[0]) for name, rest in pairs}
