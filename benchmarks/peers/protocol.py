"""What all peers share: where their server is, which case is measured, and the counter.

Standard library only: it runs in the environments of all peers.
"""

import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

SOCKET = "BENCH_SOCKET"  # path of the server's Unix socket
COUNTER = "BENCH_COUNTER"  # path of the file to which each job appends one byte
CASE = "BENCH_CASE"  # `async` or `sync`
GOAL = "BENCH_GOAL"  # `throughput` or `latency`
FOLDER = "BENCH_FOLDER"  # for files of the run

WAIT_S = 30.0  # for one job of the latency case
LATENCIES_S = 6.0  # for all of them: some peers answer ten times a second


class Peer(Protocol):
    """A module `with_<peer>`."""

    def submit_each(self, count: int) -> float:
        """Submit jobs one awaited at a time; how long that took, seconds."""

    def submit_bulk(self, count: int) -> float:
        """The same in the fastest way that is documented."""

    def latency(self, count: int) -> list[float]:
        """Per job, seconds from the submit to the result in the client's hands.

        Of so many jobs, or of those that `LATENCIES_S` leaves time for.
        """

    def work(self) -> None:
        """Become the worker."""


def socket_path() -> str:
    return os.environ[SOCKET]


def url(scheme: str = "unix") -> str:
    return f"{scheme}://{socket_path()}"


def is_async() -> bool:
    """Whether asynchronous no-op jobs are asked for, not synchronous ones."""
    return os.environ[CASE] == "async"


def is_for_latency() -> bool:
    """Whether results shall come at once, rather than many of them."""
    return os.environ[GOAL] == "latency"


class Counter:
    """Counts jobs from outside all peers: a byte per job in a file, a microsecond each."""

    def __init__(self) -> None:
        self._file = os.open(os.environ[COUNTER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def count(self) -> None:
        os.write(self._file, b".")


def become(*program: str) -> NoReturn:
    """Replace this process by another one, of the same environment."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *program])


def timed(submit: Callable[[], object], count: int) -> float:
    """Seconds that so many calls take."""
    begun = time.perf_counter()
    for _ in range(count):
        submit()
    return time.perf_counter() - begun


async def timed_async(submit: Callable[[], Awaitable[object]], count: int) -> float:
    """The same of calls that are awaited, one after the other."""
    begun = time.perf_counter()
    for _ in range(count):
        await submit()
    return time.perf_counter() - begun


def each_timed(submit_and_wait: Callable[[], object], count: int) -> list[float]:
    """Seconds of each call; fewer calls, when time is over before."""
    end = time.monotonic() + LATENCIES_S
    found: list[float] = []
    while len(found) < count and time.monotonic() < end:
        found.append(timed(submit_and_wait, 1))
    return found


async def each_timed_async(
    submit_and_wait: Callable[[], Awaitable[object]], count: int
) -> list[float]:
    """The same of calls that are awaited."""
    end = time.monotonic() + LATENCIES_S
    found: list[float] = []
    while len(found) < count and time.monotonic() < end:
        found.append(await timed_async(submit_and_wait, 1))
    return found
