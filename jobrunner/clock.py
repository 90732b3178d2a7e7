"""The only place that reads a clock, so that tests can move time."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    """Wall-clock time (aware, UTC), monotonic time (seconds) and interruptible sleep."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep_until(self, instant: datetime, wake: "asyncio.Event") -> None: ...


class SystemClock:
    """The machine's clocks."""

    # A sleep this long at most: a wall clock that was set, or a machine that was
    # suspended, is noticed after it; asyncio's own timers know only monotonic time.
    LONGEST_SLEEP_S = 5.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, instant: datetime, wake: "asyncio.Event") -> None:
        """Return at `instant`, when `wake` is set or after `LONGEST_SLEEP_S`: the first of them."""
        import asyncio  # here: the CLI needs a clock and has no loop; this import costs 15 ms

        seconds = min((instant - self.now()).total_seconds(), self.LONGEST_SLEEP_S)
        if seconds <= 0 or wake.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            return


class StoreClock:
    """The store's time, which all daemons share; this machine's own may be wrong by any amount.

    Between two answers of the store it goes on by the monotonic clock. Until the first one it is
    the machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at, self._heard_at = clock.now(), clock.monotonic()

    def note(self, at: datetime) -> timedelta:
        """The store has just said that it is `at`; returns how far it was set since it last did.

        Forward also for the time that this machine was suspended.
        """
        was_set = at - self.now()
        self._at, self._heard_at = at, self._clock.monotonic()
        return was_set

    def now(self) -> datetime:
        return self._at + timedelta(seconds=self._clock.monotonic() - self._heard_at)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep_until(self, instant: datetime, wake: "asyncio.Event") -> None:
        await self._clock.sleep_until(self._clock.now() + (instant - self.now()), wake)


def to_ms(instant: datetime) -> int:
    """Milliseconds since the epoch, as the store keeps instants."""
    return round(instant.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC instant of a store timestamp."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def rfc3339(instant: datetime) -> str:
    """`2026-11-21T01:00:00Z`, with milliseconds only where there are any."""
    text = instant.astimezone(UTC).isoformat(
        timespec="milliseconds" if instant.microsecond >= 1000 else "seconds"
    )
    return text.replace("+00:00", "Z")
