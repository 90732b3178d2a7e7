"""Clock changes for people: when they are, and what they do to a cron's fire times."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobrunner.crons.model import Cron, Rule
from jobrunner.crons.zones import LONGEST_CHANGE, next_change, offset_at, wall_time
from jobrunner.manifest.units import format_duration


@dataclass(frozen=True, slots=True)
class ClockChange:
    """The clocks of a zone are set at an instant (UTC) from one wall-clock time to another."""

    zone: ZoneInfo
    at: datetime
    before: datetime
    after: datetime

    @property
    def jump(self) -> timedelta:
        """By how much; negative when they go back."""
        return self.after - self.before

    @property
    def words(self) -> str:
        """`clocks go forward 1h: 02:00 becomes 03:00`."""
        way = "forward" if self.jump > timedelta(0) else "back"
        hands = f"{_clock(self.before)} becomes {_clock(self.after)}"
        return f"clocks go {way} {format_duration(abs(self.jump))}: {hands}"


def clock_changes(zone: ZoneInfo, since: datetime, until: datetime) -> Iterator[ClockChange]:
    """The changes later than `since` and not later than `until` (aware), in order."""
    since, until = since.replace(microsecond=0), until.replace(microsecond=0)
    while change := next_change(zone, since, until):
        before = wall_time(change, offset_at(zone, since))
        yield ClockChange(zone, change, before, wall_time(change, offset_at(zone, change)))
        since = change


def clock_note(cron: Cron, fire_time: datetime, after: datetime | None = None) -> str | None:
    """What clock changes do to this fire time (aware, UTC); None when nothing.

    With `after`, the fire time before it, also which times in between do not exist.
    """
    if cron.rule is None:
        return None
    note = _gap_note(cron, cron.rule, fire_time) or _fold_note(cron, cron.rule, fire_time)
    if note or after is None:
        return note
    return _skip_note(cron, cron.rule, after, fire_time)


def _gap_note(cron: Cron, rule: Rule, fire_time: datetime) -> str | None:
    before = offset_at(cron.zone, fire_time - timedelta(seconds=1))
    after = offset_at(cron.zone, fire_time)
    if rule.fields.is_wild or not timedelta(0) < after - before <= LONGEST_CHANGE:
        return None
    low, high = wall_time(fire_time, before), wall_time(fire_time, after)
    for missing in rule.calendar.times_between(low, high):
        return f"clocks go forward: {_clock(missing)} does not exist, fires at {_clock(high)}"
    return None


def _fold_note(cron: Cron, rule: Rule, fire_time: datetime) -> str | None:
    local = fire_time.astimezone(cron.zone)
    first, second = (local.replace(fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    if first == second:
        return None
    is_both = rule.fields.is_wild or first - second > LONGEST_CHANGE
    this = ("this is the second" if local.fold else "this is the first") if is_both else None
    return f"clocks go back: {_clock(local)} comes twice, {this or 'fires the first time only'}"


def _skip_note(cron: Cron, rule: Rule, after: datetime, fire_time: datetime) -> str | None:
    """Of a wild cron, or a correction of the clock: the times in a gap make no fire."""
    for change in clock_changes(cron.zone, after, fire_time):
        if not (rule.fields.is_wild or change.jump > LONGEST_CHANGE):
            continue
        if missing := _times_in_gap(rule, change):
            return f"clocks go forward: {missing}"
    return None


def _times_in_gap(rule: Rule, change: ClockChange) -> str | None:
    times = rule.calendar.times
    runs = list(rule.calendar.runs(change.before, change.after))
    if not runs:
        return None
    first = _clock(runs[0].midnight + times[runs[0].first])
    last = _clock(runs[-1].midnight + times[runs[-1].end - 1])
    count = sum(run.end - run.first for run in runs)
    if count == 1:
        return f"{first} does not exist and is skipped"
    joined = f"{first} and {last}" if count == 2 else f"{count} times from {first} to {last}"
    return f"{joined} do not exist and are skipped"


def _clock(time: datetime) -> str:
    return f"{time:%H:%M:%S}" if time.second else f"{time:%H:%M}"
