"""Coming fire times, of one cron or of several together, and the clock changes among them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice

from jobrunner.cli.instants import instant_option
from jobrunner.crons import (
    ClockChange,
    Cron,
    NeverFires,
    clock_changes,
    clock_note,
    interval_note,
    next_fire,
)


@dataclass(frozen=True, slots=True)
class ComingFire:
    """One fire time (UTC), with the cron that asks for it."""

    fire_time: datetime
    cron: Cron
    after: datetime  # the fire time before it, or where the list begins
    is_first: bool = False  # of its cron

    @property
    def local_time(self) -> datetime:
        """In the cron's time zone."""
        return self.fire_time.astimezone(self.cron.zone)

    @property
    def remark(self) -> str | None:
        """All that is to be said of it: at the first fire of a cron also from where it counts."""
        begin = interval_note(self.cron) if self.is_first else None
        return "; ".join(filter(None, (self.note, begin))) or None

    @property
    def note(self) -> str | None:
        """What a clock change does to it."""
        return clock_note(self.cron, self.fire_time, self.after)


def coming_fires(
    crons: Sequence[Cron], start: str | None, now: datetime, count: int
) -> list[ComingFire]:
    """The first `count` fires of all crons, from `start` on (see `start_of`), else later than now.

    A cron that never fires has none. Raises UsageError for a `start` that cannot be read.
    """
    rows = [_fires(cron, now if start is None else start_of(start, cron)) for cron in crons]
    return list(islice(merge(*rows, key=lambda fire: fire.fire_time), count))


def _fires(cron: Cron, after: datetime) -> Iterator[ComingFire]:
    is_first = True
    while True:
        try:
            fire_time = next_fire(cron, after)
        except NeverFires:
            return
        yield ComingFire(fire_time, cron, after, is_first)
        after, is_first = fire_time, False


def untold_changes(fires: Sequence[ComingFire]) -> list[ClockChange]:
    """The clock changes before and among the fires that no fire's note tells, in order."""
    found = {
        (change.at, change.zone.key): change
        for fire in fires
        if fire.note is None
        for change in clock_changes(fire.cron.zone, fire.after, fire.fire_time)
    }
    return [found[place] for place in sorted(found)]


def start_of(text: str, cron: Cron) -> datetime:
    """An instant just before the one in the text: RFC 3339, or a date or time local to the cron."""
    # A fire time equal to the start counts, and `next_fire` looks strictly later.
    return instant_option(text, cron.zone) - timedelta(microseconds=1)
