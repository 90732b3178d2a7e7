"""How long a command bears with a store that does not answer, and when it says what it waits for.

A server that is stopped, or swamped, takes connections and answers nothing. One patience is shared
by all connections of a command and by all their tries, and each byte that comes renews it: so the
bound is one on silence, however often something is tried meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A command needs some tenths of a second to start: so a person is told within three seconds of
# Enter, and has the prompt back after ten.
TELL_AFTER_S = 2.0
GIVE_UP_AFTER_S = 9.0


class Patience:
    """Of one command; times are monotonic seconds."""

    def __init__(self, tell: Callable[[], None], limit_s: float = GIVE_UP_AFTER_S) -> None:
        """`tell` is called once in each silence; `limit_s` is how long one may last."""
        self._tell = tell
        self._limit_s = limit_s
        self._silent_since: float | None = None
        self._is_told = False

    def begin(self) -> None:
        """Something is asked for. A silence that lasts already goes on."""
        if self._silent_since is None:
            self._silent_since = time.monotonic()

    def heard(self) -> None:
        """The store has answered."""
        self._silent_since = None
        self._is_told = False

    def is_over(self) -> bool:
        """Whether the silence has lasted too long."""
        return self._silent_since is not None and time.monotonic() >= self._gives_up_at

    def next_wait(self, until: float) -> float:
        """How long the next call may wait, which itself has time until then.

        Tells, if it is time. Raises TimeoutError when there is no time left.
        """
        self.begin()
        now = time.monotonic()
        if now >= min(until, self._gives_up_at):
            raise TimeoutError("no answer in time")
        if not self._is_told and now >= self._tells_at:
            self._is_told = True
            self._tell()
        due = [until, self._gives_up_at, *([] if self._is_told else [self._tells_at])]
        return max(min(due) - now, 0.001)

    @contextmanager
    def of(self, limit_s: float) -> Iterator[None]:
        """Another limit within the block."""
        before, self._limit_s = self._limit_s, limit_s
        try:
            yield
        finally:
            self._limit_s = before

    @property
    def _gives_up_at(self) -> float:
        return (self._silent_since or 0.0) + self._limit_s

    @property
    def _tells_at(self) -> float:
        return (self._silent_since or 0.0) + TELL_AFTER_S
