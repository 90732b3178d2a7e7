"""Instants and durations as people give them to options.

A local time is taken as a cron takes a fixed one: one that the clocks skip is the end of the gap,
one that they show twice is the first of the two.
"""

import re
from bisect import bisect_left
from datetime import UTC, datetime, time, timedelta, tzinfo

from jobrunner.errors import UsageError
from jobrunner.manifest.units import LONGEST, TooLong, parse_duration

_TIME_OF_DAY = re.compile(r"\d\d:\d\d(?::\d\d)?", re.ASCII)
_ONE_DAY = timedelta(days=1)


def since_option(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    """`1d` is that long ago; else an instant as `instant_option` reads it. UTC.

    Raises UsageError.
    """
    try:
        return now - parse_duration(text)
    except TooLong:
        raise UsageError(
            f"the duration '{text}' is too long",
            why=f"the longest is {LONGEST.days}d",
            fix="leave the option out for jobs of any age",
        ) from None
    except ValueError:
        return instant_option(text, zone)


def instant_option(text: str, zone: tzinfo | None) -> datetime:
    """RFC 3339, or a date or time in the zone (None: the system's); UTC. Raises UsageError."""
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"cannot read the instant '{text}'",
            why="it is neither RFC 3339 nor a local date, with or without a time",
            fix="write e.g. 2026-03-28, 2026-03-28T01:30 or 2026-03-28T00:30:00Z",
        ) from None
    try:
        return _instant_of(written, zone) if written.tzinfo is None else written.astimezone(UTC)
    except (OverflowError, ValueError):  # the second by the system's zone, a day before the end
        raise UsageError(
            f"the instant '{text}' is out of range",
            why="in UTC it is before the year 1 or after the year 9999, or close to that",
            fix="write an instant within them",
        ) from None


def coming_instant(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    """A time of day is the next such time after `now`; else as `instant_option`. UTC.

    Raises UsageError.
    """
    try:
        wall = time.fromisoformat(text) if _TIME_OF_DAY.fullmatch(text) else None
    except ValueError:  # 25:00
        wall = None
    if wall is None:
        return instant_option(text, zone)
    today = datetime.combine(now.astimezone(zone).date(), wall)
    instant = _instant_of(today, zone)
    return instant if instant > now else _instant_of(today + _ONE_DAY, zone)


def _instant_of(wall: datetime, zone: tzinfo | None) -> datetime:
    """When the clocks of the zone show `wall`, or pass it; `wall` has no zone, the result is UTC.

    Raises OverflowError, ValueError where no instant can be that early or late.
    """
    # Before and after the change they differ, in an order that `datetime` leaves open.
    early, late = sorted(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    for instant in (early, late):
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            return instant
    before = early.astimezone(zone).utcoffset()
    seconds = range(int(early.timestamp()), int(late.timestamp()) + 1)
    change = bisect_left(
        seconds,
        True,
        key=lambda second: (
            datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset() != before
        ),
    )
    return datetime.fromtimestamp(seconds[change], UTC)
