"""When crons fire: wall-clock times and clock changes put together. Instants are aware, in UTC.

Clock changes follow Debian's cron(8). A cron is wild when its minute or hour field starts with `*`:
it follows the clock on the wall, skips the times that the clock skips and fires again in those that
it repeats. A fixed cron fires once for each of its times: a skipped one at the end of the gap
(several of them together), a repeated one in the first pass. Changes of more than three hours are
corrections of the clock: all crons follow them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from jobrunner.crons.errors import NeverFires
from jobrunner.crons.model import Cron, Rule
from jobrunner.crons.zones import Stretch, offset_at, stretches, wall_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HORIZON_YEARS = 400  # a whole cycle of the calendar: what did not come by then never comes
HORIZON = timedelta(days=HORIZON_YEARS * 366)
LEAP = timedelta(days=7)  # most crons fire within a week
LAST_YEAR = 9500  # beyond it, calendar arithmetic would leave what a datetime can hold


@dataclass(frozen=True, slots=True)
class FireSpan:
    """A row of fire times: its first and last, and how many they are."""

    first: datetime
    last: datetime
    count: int


def next_fire(cron: Cron, after: datetime) -> datetime:
    """First fire time strictly later than `after`, and than 1970-01-01T00:00Z.

    Raises NeverFires when none comes in a whole cycle of the calendar, 400 years, as for `@reboot`.
    """
    since = max(after, EPOCH)
    limit = since + HORIZON if since.year < LAST_YEAR else since
    while since < limit:
        until = min(since + LEAP, limit) if cron.rule else limit
        for fire_time in fire_times(cron, since, until):
            return fire_time
        since = _skip_ahead(cron.zone, cron.rule, until, limit) if cron.rule else limit
    raise NeverFires(
        f"cron '{cron.name}' never fires",
        why=f"'{cron.expression}' has no fire time in the {HORIZON_YEARS} years after {after}",
        fix="change its expression",
    )


def _skip_ahead(zone: ZoneInfo, rule: Rule, since: datetime, limit: datetime) -> datetime:
    """An instant up to which surely nothing fires, so that nobody looks for it week by week."""
    offset = offset_at(zone, since)
    wall = rule.calendar.first_from(wall_time(since, offset))
    if wall is None:
        return limit
    # A day earlier, since the offset may be another one by then.
    return max(since, (wall - offset).replace(tzinfo=UTC) - timedelta(days=1))


def fire_times(cron: Cron, since: datetime, until: datetime) -> Iterator[datetime]:
    """The fire times later than `since` and not later than `until`, in order."""
    if cron.rule is None:
        if cron.interval is not None:
            yield from _multiples(cron.interval, since, until)
        return
    for stretch in _stretches(cron, cron.rule, since, until):
        for wall in cron.rule.calendar.times_between(stretch.low, stretch.high):
            yield stretch.instant(wall)
            if stretch.moved_to is not None:
                break


def fire_span(cron: Cron, since: datetime, until: datetime) -> FireSpan | None:
    """The same fire times, counted without looking at each: fit for any downtime."""
    first = last = None
    count = 0
    for part in _spans(cron, since, until):
        first, last, count = first or part.first, part.last, count + part.count
    return FireSpan(first, last, count) if first and last else None


def _spans(cron: Cron, since: datetime, until: datetime) -> Iterator[FireSpan]:
    if cron.rule is None:
        if cron.interval is not None:
            yield from _interval_spans(cron.interval, since, until)
        return
    times = cron.rule.calendar.times
    for stretch in _stretches(cron, cron.rule, since, until):
        for run in cron.rule.calendar.runs(stretch.low, stretch.high):
            first = stretch.instant(run.midnight + times[run.first])
            if stretch.moved_to is not None:
                yield FireSpan(first, first, 1)
                break
            last = stretch.instant(run.midnight + times[run.end - 1])
            yield FireSpan(first, last, run.end - run.first)


def _stretches(cron: Cron, rule: Rule, since: datetime, until: datetime) -> Iterator[Stretch]:
    since, until = since.replace(microsecond=0), until.replace(microsecond=0)
    return stretches(cron.zone, since, until, is_wild=rule.fields.is_wild)


def _multiples(interval: timedelta, since: datetime, until: datetime) -> Iterator[datetime]:
    for number in range((since - EPOCH) // interval + 1, (until - EPOCH) // interval + 1):
        yield EPOCH + number * interval


def _interval_spans(interval: timedelta, since: datetime, until: datetime) -> Iterator[FireSpan]:
    first, last = (since - EPOCH) // interval + 1, (until - EPOCH) // interval
    if first <= last:
        yield FireSpan(EPOCH + first * interval, EPOCH + last * interval, last - first + 1)
