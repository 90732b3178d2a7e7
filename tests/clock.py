"""A clock that tests move by hand."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2030, 5, 6, tzinfo=UTC)


class FakeClock:
    """Stands still until it is moved; who sleeps is woken by each move, as `SystemClock` would."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep_until(self, instant: datetime, wake: asyncio.Event) -> None:
        """Return when `wake` is set, or after a move; at once when the instant has passed."""
        if instant <= self._now or wake.is_set():
            await asyncio.sleep(0)
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (self._moved, wake)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def advance(self, **duration: float) -> datetime:
        """Let time pass, e.g. `advance(minutes=5)`; returns the new time."""
        passed = timedelta(**duration)
        self._monotonic += passed.total_seconds()
        return self._move(self._now + passed)

    def set_to(self, instant: datetime) -> datetime:
        """Set the wall clock, as ntpd or a suspend does: the monotonic one knows nothing of it."""
        return self._move(instant)

    def _move(self, instant: datetime) -> datetime:
        self._now = instant
        self._moved.set()
        self._moved = asyncio.Event()
        return instant
