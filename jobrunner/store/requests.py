"""The store's operations as values, so that each is written once for sync and async callers.

An operation is a generator: it yields a `Request`, is sent the reply, and returns its
result. `store/connection.py` has the two drivers (`run`) that perform the requests; nothing
here does I/O. A request is one round trip, but for a series, which has one for each of its own.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

LARGEST_CALL = 16 << 20  # bytes that one call carries: what the server can take in a moment

Argument = bytes | str | int | float


class Command(msgspec.Struct, frozen=True):
    """One Redis command, e.g. `Command(("HGETALL", key))`.

    The reply is the raw one of protocol 2: bytes, integers, None and (flat) lists.
    """

    args: tuple[Argument, ...]
    block_ms: int = 0  # how long a blocking read may wait at the server; added to the read timeout
    is_optional: bool = False  # a write that is left out where its key is of another type


class Script(msgspec.Struct, frozen=True):
    """One call of `lua/<name>.lua`. Sent as EVALSHA; loaded again when the server forgot it."""

    name: str
    keys: list[str]
    args: list[Argument]
    reads_only: bool = False  # sent as EVALSHA_RO: a user that may only read can call it


class Pipeline(msgspec.Struct, frozen=True):
    """Several commands or scripts in one round trip; the reply is the list of replies.

    Not a transaction: what must be atomic is one script. The first error is raised
    after all replies are read.
    """

    requests: list[Command | Script]


class Series(msgspec.Struct, frozen=True):
    """Requests in a row, each made while the server works on the one before.

    The reply is the list of replies. After an error nothing more is sent; of what was sent before
    it was known, all that can be is performed.
    """

    requests: Iterator[Command | Script]


Single = Command | Script | Pipeline
Request = Single | Series
T = TypeVar("T")
Operation = Generator[Request, Any, T]


def portions(items: Sequence[T], size_of: Callable[[T], int], most: int) -> Iterator[Sequence[T]]:
    """The items in rows for one call each: at most so many, and not more bytes than it may carry.

    What is larger by itself goes alone.
    """
    start = size = 0
    for index, item in enumerate(items):
        size += size_of(item)
        if index > start and (index - start == most or size > LARGEST_CALL):
            yield items[start:index]
            start, size = index, size_of(item)
    if items:
        yield items[start:]
