"""What a worker and a function host say to each other: frames of msgpack over a socket pair.

Imported by function hosts: light.
"""

import struct
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from jobrunner.model import JobError, Reason

_LENGTH = struct.Struct("!I")
M = TypeVar("M")


class Call(msgspec.Struct, frozen=True, array_like=True):
    """Perform this. `fire_time` is milliseconds since the epoch."""

    target: str  # module:function
    arguments: dict[str, Any]
    args: list[Any]
    labels: dict[str, Any]
    job_id: str
    task: str
    attempt: int
    fence: str
    queue: str
    fire_time: int | None


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The host has started."""


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The function's module is imported, for its first call: now its timeout may begin."""


class Progress(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """How far the function says it is, in JSON."""

    value: bytes


class Returned(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The function's result, in JSON."""

    result: bytes | None


class Raised(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Why the call failed, and the names of its exception for the retry policy."""

    error: JobError
    reason: Reason
    exceptions: tuple[str, ...] = ()


End = Returned | Raised
Reply = Ready | Loaded | Progress | Returned | Raised


def frame(message: Call | Reply) -> bytes:
    """The message as it is sent. Raises TypeError for what msgpack cannot carry."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Messages from the bytes of a socket, whatever their pieces."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies of the frames that `data` completes."""
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            body, self._data = self._data[_LENGTH.size : end], self._data[end:]
            yield body


decode_call = msgspec.msgpack.Decoder(Call).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
