"""What something else has written to the store: what can be read counts, the rest is left out.

Reading must not fail for it: one damaged record would hide all its neighbours in every list, and
one damaged key would end every daemon. So a key of another type is read as one that is not there.
It is told by its name, once for a while, and `doctor --repair` mends it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from jobrunner.log import EventLog
from jobrunner.store.decoding import whole_of
from jobrunner.store.failures import ReplyError
from jobrunner.store.requests import Command, Script

# What reading a damaged value raises. OSError: an instant that the system's calendar cannot hold.
UNREADABLE = (
    KeyError,
    ValueError,
    OverflowError,
    OSError,
    RecursionError,
    msgspec.DecodeError,
)

Readers = Mapping[str, Callable[[str], object]]


def damaged_fields(
    fields: Mapping[str, str], readers: Readers, needed: Mapping[str, str]
) -> list[str]:
    """The names of the fields that their readers refuse, and of needed ones that are missing."""
    missing = [name for name in needed if name not in fields]
    return missing + [
        name
        for name, read in readers.items()
        if name in fields and not _can_read(read, fields[name])
    ]


def mended(
    fields: Mapping[str, str], damaged: list[str], needed: Mapping[str, str]
) -> dict[str, str]:
    """The fields without the damaged ones; of the needed ones, these values stand in."""
    return {**needed, **{name: text for name, text in fields.items() if name not in damaged}}


def _can_read(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except UNREADABLE:
        return False
    return True


def count_of(number: bytes | None) -> int:
    """A counter's value; 0 for one that is missing, or damaged: then nobody knows."""
    return whole_of(number) or 0


FIX = "`jobrunner doctor` names all keys that something else has written, `--repair` mends them"
TOLD_AGAIN_S = 3600.0  # about the same key
MOST_TOLD = 1000  # keys that are remembered
NOT_REPLACED: Any = object()
# What a read of a key that is not there replies, by command.
_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("HGET", "GET", "ZSCORE", "XREAD"), None),
    **dict.fromkeys(("ZCARD", "SISMEMBER", "HEXISTS", "XLEN"), 0),
    **dict.fromkeys(("ZREM", "HDEL", "SREM", "XACK", "XDEL"), 0),
    **dict.fromkeys(("HGETALL", "SMEMBERS", "ZRANGE", "XRANGE", "XREVRANGE", "LRANGE"), ()),
    **dict.fromkeys(("XINFO", "XPENDING"), ()),
}
_KEY_AT = {"XINFO": 2, "XREAD": -2}  # among the words of a command, if not the first after its name
_OF_EACH = {"HMGET", "ZMSCORE"}  # a reply per field


def in_place_of(error: ReplyError, request: Command | Script) -> Any:
    """The reply that stands for an error, since its key is of another type; else NOT_REPLACED."""
    if error.code != "WRONGTYPE" or not isinstance(request, Command):
        return NOT_REPLACED
    name = str(request.args[0])
    key = str(request.args[_KEY_AT.get(name, 1)])
    if name in _OF_EACH:
        told.tell(key)
        return [None] * (len(request.args) - 2)
    if name not in _NOTHING and not request.is_optional:
        return NOT_REPLACED
    told.tell(key)
    found = _NOTHING.get(name, 0)
    return list(found) if isinstance(found, tuple) else found


class Told:
    """Tells of each damage once in a while, however often it is met."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._listener: Callable[[str], None] | None = None

    def hear(self, listener: Callable[[str], None] | None) -> None:
        """Tell this listener of damaged keys from now on, each anew; None: the log."""
        self._listener = listener
        self._until.clear()

    def tell(self, key: str) -> None:
        """Of a key of another type than jobrunner writes there."""
        if not self._is_news(key):
            return
        if self._listener is not None:
            self._listener(key)
        else:
            EventLog().error(f"found a damaged key: {key}", fix=FIX)

    def tell_error(self, doing: str, error: ReplyError) -> None:
        """Of what the store could not do for it, and what is left undone."""
        if self._is_news(f"{doing} {error}"):
            EventLog().error(f"could not {doing}", error=error, fix=FIX)

    def _is_news(self, what: str) -> bool:
        now = time.monotonic()
        if now < self._until.get(what, 0.0):
            return False
        if len(self._until) >= MOST_TOLD:
            self._until.clear()
        self._until[what] = now + TOLD_AGAIN_S
        return True


told = Told()  # in this process


@contextmanager
def passing_over(doing: str) -> Iterator[None]:
    """Leave out what the store refuses for damage: a loop goes on with what comes next."""
    try:
        yield
    except ReplyError as error:
        told.tell_error(doing, error)
