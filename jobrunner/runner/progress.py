"""Progress of a function on its way to the store: not too often, but the last one always."""

import asyncio
import threading
from collections.abc import Callable

EVERY_S = 0.5


class ProgressReport:
    """The progress of one attempt. Belongs to the worker's loop; `report` to any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._write = write
        self._written_at = -EVERY_S
        self._pending: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None

    def report(self, value: bytes) -> None:
        """Take a value (JSON); written now, or when half a second has passed since the last one."""
        if threading.get_ident() == self._loop_thread:
            self._take(value)
        else:
            self._loop.call_soon_threadsafe(self._take, value)

    def close(self) -> None:
        """Write what waits; the attempt has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    def _take(self, value: bytes) -> None:
        self._pending = value
        if self._timer is None:
            delay = max(self._written_at + EVERY_S - self._loop.time(), 0)
            if delay == 0:
                self._flush()
            else:
                self._timer = self._loop.call_later(delay, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._written_at = self._loop.time()
        value, self._pending = self._pending, None
        if value is not None:
            self._write(value)
