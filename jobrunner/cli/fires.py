"""Coming fire times, of one cron or of several together. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice

from jobrunner.cli.instants import instant_option
from jobrunner.crons import Cron, NeverFires, clock_note, next_fire


@dataclass(frozen=True, slots=True)
class ComingFire:
    """One fire time (UTC), with the cron that asks for it."""

    fire_time: datetime
    cron: Cron

    @property
    def local_time(self) -> datetime:
        """In the cron's time zone."""
        return self.fire_time.astimezone(self.cron.zone)

    @property
    def note(self) -> str | None:
        """What a clock change does to it."""
        return clock_note(self.cron, self.fire_time)


def coming_fires(
    crons: Sequence[Cron], start: str | None, now: datetime, count: int
) -> list[ComingFire]:
    """The first `count` fires of all crons, from `start` on (see `start_of`), else later than now.

    A cron that never fires has none. Raises UsageError for a `start` that cannot be read.
    """
    rows = [_fires(cron, now if start is None else start_of(start, cron)) for cron in crons]
    return list(islice(merge(*rows, key=lambda fire: fire.fire_time), count))


def _fires(cron: Cron, after: datetime) -> Iterator[ComingFire]:
    while True:
        try:
            after = next_fire(cron, after)
        except NeverFires:
            return
        yield ComingFire(after, cron)


def start_of(text: str, cron: Cron) -> datetime:
    """An instant just before the one in the text: RFC 3339, or a date or time local to the cron."""
    # A fire time equal to the start counts, and `next_fire` looks strictly later.
    return instant_option(text, cron.zone) - timedelta(microseconds=1)
