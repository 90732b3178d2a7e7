"""An event loop in a thread of its own, for synchronous code; its timers are precise."""

import asyncio
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from jobrunner.runner.prctl import wake_promptly

if sys.platform == "linux":
    import select

    class PreciseSelector(selectors.EpollSelector):
        """Waits for microseconds, where epoll rounds up to the next millisecond."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """As the loop asks it to, seconds."""
            if timeout is not None and timeout > 0:
                # One can wait for an epoll itself: it is readable when it has an event.
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)
else:
    PreciseSelector = selectors.DefaultSelector

T = TypeVar("T")


class LoopThread:
    """Runs from its making until `stop`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.SelectorEventLoop(PreciseSelector())
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function between two events of the loop; at once when it is called from there,
        or after the end."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return function()

        async def perform() -> T:
            return function()

        return self.run(perform())

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        wake_promptly()
        self._loop.run_forever()
