"""Time zones and their clock changes: which wall-clock times a span of instants shows.

zoneinfo does not list the changes of a zone, so they are found by comparing offsets.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from jobrunner.crons.errors import InvalidCron
from jobrunner.manifest import naming

ONE_SECOND = timedelta(seconds=1)  # fire times and clock changes are whole seconds
# Debian's limit: a longer change corrects the clock, and the new time simply counts.
LONGEST_CHANGE = timedelta(hours=3)
# Two changes that undo each other within this time are missed; since 1970 none were within a week.
LOOK_AHEAD = timedelta(days=5)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Wall-clock times from `low` up to `high`, which is not included, at one offset from UTC.

    Times that a clock change skipped have `moved_to`, the instant when the clocks change, instead.
    """

    low: datetime
    high: datetime
    offset: timedelta
    moved_to: datetime | None = None

    def instant(self, wall: datetime) -> datetime:
        return self.moved_to or (wall - self.offset).replace(tzinfo=UTC)


def find_zone(name: str) -> ZoneInfo:
    """The zone of the time zone database. Raises InvalidCron, with the nearest name."""
    zone = naming.find_zone(name)
    if zone is None:
        raise InvalidCron(
            f"unknown time zone '{name[:64]}'",
            why="the time zone database has no such name",
            fix=_zone_advice(name[:64]),
        )
    return zone


def _zone_advice(name: str) -> str:
    if (advice := naming.zone_advice(name)) is not None:
        return advice
    names = {zone.lower(): zone for zone in naming.zone_names()}
    cities = {zone.rpartition("/")[2]: names[zone] for zone in names}
    wanted = name.lower().replace(" ", "_")
    for choices in (names, cities):
        if close := difflib.get_close_matches(wanted, choices, n=1):
            return f"did you mean '{choices[close[0]]}'?"
    return "write a name like 'Europe/Berlin', or 'UTC'"


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """What the zone's clocks are ahead of UTC."""
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def wall_time(instant: datetime, offset: timedelta) -> datetime:
    """What a clock shows, without its zone: the only form that croniter is given."""
    return instant.replace(tzinfo=None) + offset


def next_change(zone: ZoneInfo, since: datetime, until: datetime) -> datetime | None:
    """The first instant, not after `until`, whose offset differs from that of `since`."""
    offset = offset_at(zone, since)
    while since < until:
        probe = min(since + LOOK_AHEAD, until)
        if offset_at(zone, probe) != offset:
            return _change_between(zone, since, probe)
        since = probe
    return None


def _change_between(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    offset = offset_at(zone, before)
    while after - before > ONE_SECOND:
        middle = before + (after - before) // (2 * ONE_SECOND) * ONE_SECOND
        if offset_at(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def stretches(
    zone: ZoneInfo, since: datetime, until: datetime, *, is_wild: bool
) -> Iterator[Stretch]:
    """The wall-clock times that count later than `since` and not later than `until`.

    Both are UTC and whole seconds. Wild: the times that clocks show, of which some are absent and
    some come twice. Otherwise each time comes once: a skipped one at the end of the gap, a repeated
    one in the first pass.
    """
    offset = offset_at(zone, since)
    low = _first_wall_time(zone, since, offset, is_wild=is_wild)
    while True:
        change = next_change(zone, since, until)
        high = wall_time(change or until + ONE_SECOND, offset)
        if low < high:
            yield Stretch(low, high, offset)
        if change is None:
            return
        jump = offset_at(zone, change) - offset
        since, offset = change, offset + jump
        if is_wild or abs(jump) > LONGEST_CHANGE:
            low = high + jump
        else:
            low = high
            if jump > timedelta(0):
                # With the second after the gap: a time just then belongs to the same fire time.
                yield Stretch(low, high + jump + ONE_SECOND, offset, moved_to=change)
                low = high + jump + ONE_SECOND


def _first_wall_time(
    zone: ZoneInfo, since: datetime, offset: timedelta, *, is_wild: bool
) -> datetime:
    """A second later; in a second pass, for a fixed cron, the end of what is repeated."""
    wall = wall_time(since, offset) + ONE_SECOND
    local = since.astimezone(zone)
    if is_wild or not local.fold:
        return wall
    before = local.replace(fold=0).utcoffset() or offset
    if before - offset > LONGEST_CHANGE:
        return wall
    return wall_time(_change_between(zone, since - (before - offset), since), before)
