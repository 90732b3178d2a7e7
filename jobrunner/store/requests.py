"""The store's operations as values, so that each is written once for sync and async callers.

An operation is a generator: it yields a `Request`, is sent the reply, and returns its
result. `store/connection.py` has the two drivers (`run`) that perform the requests; nothing
here does I/O. A request is one round trip.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

Argument = bytes | str | int | float


@dataclass(frozen=True, slots=True)
class Command:
    """One Redis command, e.g. `Command(("HGETALL", key))`.

    The reply is the raw one of protocol 2: bytes, integers, None and (flat) lists.
    """

    args: tuple[Argument, ...]
    block_ms: int = 0  # how long a blocking read may wait at the server; added to the read timeout


@dataclass(frozen=True, slots=True)
class Script:
    """One call of `lua/<name>.lua`. Sent as EVALSHA; loaded again when the server forgot it."""

    name: str
    keys: list[str]
    args: list[Argument]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Several commands or scripts in one round trip; the reply is the list of replies.

    Not a transaction: what must be atomic is one script. The first error is raised
    after all replies are read.
    """

    requests: list[Command | Script]


Request = Command | Script | Pipeline
T = TypeVar("T")
Operation = Generator[Request, Any, T]
