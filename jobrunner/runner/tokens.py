"""Who has a call that was sent to a function host: the host, once it has taken the call's token.

The worker sends a host several short calls at once. With each call goes a token, a number of four
bytes, into a pipe of which both hold the read end. The host performs a call only when it has read
its token; the worker takes calls back by reading the tokens that are left. The kernel gives each
token to one of them, so that it is always decided, without asking a host that may be busy for
hours, stopped or dead, which calls it has begun.

Imported by function hosts: light.
"""

import os
import struct
from collections.abc import Iterable

_TOKEN = struct.Struct("!I")
LAST_NUMBER = 0xFFFF_FFFF
READ_BYTES = 4096  # more than all tokens that are ever in a pipe


class Tokens:
    """The worker's side."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def give(self, numbers: Iterable[int]) -> None:
        """To be done before the calls are sent: a call without a token counts as taken back."""
        os.write(self._write_end, b"".join(map(_TOKEN.pack, numbers)))

    def take_back(self) -> int:
        """Take what is left; how many calls, the last ones, the host will not begin any more."""
        try:
            return len(os.read(self.read_end, READ_BYTES)) // _TOKEN.size
        except BlockingIOError:
            return 0

    def descriptors(self) -> list[int]:
        """Both ends."""
        return [self.read_end, self._write_end]

    def close(self) -> None:
        """Nothing can be given or taken any more."""
        os.close(self.read_end)
        os.close(self._write_end)


class TokenTaker:
    """The host's side."""

    def __init__(self, read_end: int) -> None:
        self.read_end = read_end
        self._taken: int | None = None  # of a call that comes after some that were taken back

    def take(self, number: int) -> bool:
        """Whether the call of this number is the host's to perform."""
        if self._taken is None:
            try:
                (self._taken,) = _TOKEN.unpack(os.read(self.read_end, _TOKEN.size))
            except BlockingIOError:
                return False
        if self._taken != number:
            return False
        self._taken = None
        return True
