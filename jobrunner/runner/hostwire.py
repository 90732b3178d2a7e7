"""What a worker and a function host say to each other: frames of msgpack over a socket pair.

Worker: perhaps `Withheld`, then `Call` … `Go`. Host: `Ready`, then for each call in order, unless
the worker has taken it back (see `tokens`), perhaps `Loaded`, some `Progress`, and its end,
`Returned` or `Raised`. After an end with `has_output` the host begins nothing before `Go`: what is
in the output pipes is that call's, and the worker has to read it first.

Imported by function hosts: light.
"""

import struct
from typing import Any

import msgspec

from jobrunner.model import JobError, Reason

_LENGTH = struct.Struct("!I")


class Call(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Perform this. `fire_time` is milliseconds since the epoch."""

    number: int  # of its token
    target: str  # module:function
    arguments: dict[str, Any]
    labels: dict[str, Any]
    job_id: str
    task: str
    attempt: int
    fence: str
    queue: str
    fire_time: int | None
    secrets: list[str] = []  # values that must not be in an error


class Withheld(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Variables of the store, for the host and not for what its functions start."""

    variables: dict[str, str]


class Go(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The output of the last call was read: the next one may begin."""


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
    seconds: float  # that the call took
    has_output: bool  # in the pipes, still to be read


class Raised(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Why the call failed, and the names of its exception for the retry policy."""

    error: JobError
    reason: Reason
    exceptions: tuple[str, ...]
    seconds: float
    has_output: bool


End = Returned | Raised
Request = Call | Go | Withheld
Reply = Ready | Loaded | Progress | Returned | Raised


def frame(message: Request | Reply) -> bytes:
    """The message as it is sent. Raises TypeError for what msgpack cannot carry."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class BrokenFrame(Exception):
    """It is longer than any message can be: somebody else has written into the socket."""


class FrameReader:
    """Messages from the bytes of a socket, whatever their pieces, in time linear in their size."""

    def __init__(self, longest: int = 1 << 32) -> None:
        """`longest`: bytes of a message."""
        self._longest = longest
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the frames that `data` completes. Raises BrokenFrame."""
        self._data += data  # not to a new object: a long message comes in thousands of pieces
        bodies = []
        begin = 0
        while len(self._data) - begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data, begin)
            if length > self._longest:
                raise BrokenFrame(f"a message of {length:,} bytes")
            end = begin + _LENGTH.size + length
            if len(self._data) < end:
                break
            with memoryview(self._data) as view:
                bodies.append(bytes(view[begin + _LENGTH.size : end]))
            begin = end
        del self._data[:begin]
        return bodies


_encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
